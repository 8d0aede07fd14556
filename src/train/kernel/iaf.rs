//! Integrate-and-fire neurons: the forward pass over time, and the backward pass.
//!
//! ```text
//! v[t] = u[t-1] + x[t]
//! s[t] = trunc(v[t] / theta) if v[t] > 0 else 0             any number of spikes per time step, or
//! s[t] = 1 if v[t] >= theta else 0                          one at most
//! u[t] = v[t] - theta * s[t]                                then max(u, m) if there is a lower bound m
//!
//! sigma(v)  = peak * exp(-rate * |v - theta|)               the surrogate of ds/dv
//! lambda[t] = sigma(v[t]) * g[t] + n[t] * (1 - theta * sigma(v[t])) * lambda[t+1]
//! ```
//!
//! x is the input current, v the membrane potential, s the number of spikes, and u the potential after the spikes. L is
//! the loss. g is dL/ds, which comes from the next layer. lambda is dL/dx. n\[t\] is 0 if v\[t\] - theta * s\[t\] is at
//! or below the bound m, and otherwise 1.
//!
//! This is Sinabs' IAF (MultiSpike or SingleSpike, MembraneSubtract, SingleExponential), in which the gradient also
//! flows through the subtraction of theta * s. The backward pass needs only v from the forward pass.

use crate::kernel::exp::exp;
use crate::kernel::isa::for_each_isa;
use crate::kernel::vector::{F32x16, Real};
use crate::kernel::{Tile, halves, halves_mut};

/// Constants that all neurons share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Neuron {
    /// Spike threshold theta, a positive number. Each spike subtracts theta from the membrane potential.
    pub(crate) theta: f32,
    /// Lower bound m of the membrane potential, or `None` without a bound.
    pub(crate) min_v_mem: Option<f32>,
    /// Whether a neuron spikes at most once per time step.
    pub(crate) is_single: bool,
    /// Largest value of the surrogate gradient sigma. It is reached at v = theta.
    pub(crate) peak: f32,
    /// Decay rate of the surrogate gradient: sigma(v) = peak * exp(-rate * |v - theta|).
    pub(crate) rate: f32,
}

impl Neuron {
    /// Returns the number of spikes at membrane potential `v`. For NaN it is NaN, or 1 if neurons spike once:
    /// [`ends_finite`] finds NaN.
    #[inline(always)]
    pub(crate) fn spikes<R: Real>(&self, v: R) -> R {
        if self.is_single {
            return R::splat(1.0).zero_at_most(v, R::splat(self.largest_silent()));
        }
        v.div(R::splat(self.theta)).at_least(R::splat(0.0)).trunc()
    }

    /// Returns the largest number below theta.
    pub(crate) fn largest_silent(&self) -> f32 {
        self.theta.next_down()
    }

    /// Whether v / theta and v * (1 / theta) have the same bits for every v.
    pub(crate) fn has_exact_reciprocal(&self) -> bool {
        self.theta.is_normal() && self.theta.to_bits() & ((1 << 23) - 1) == 0 && (1.0 / self.theta).is_normal()
    }
}

for_each_isa! {
    /// Runs a layer forward over time. Replaces the input currents in `v` with membrane potentials.
    ///
    /// `v[tile * stride + t][j]` belongs to neuron `tile * TILE_WIDTH + j` at time step t. Bit j of
    /// `fired[t * tiles + tile]` is set if this neuron spikes.
    pub(crate) fn forward<V>(neuron: &Neuron, v: &mut [Tile], stride: usize, steps: usize, fired: &mut [u32]) {
        let (reciprocal, zero) = (V::splat(1.0 / neuron.theta), V::splat(0.0));
        let by_product = |v: V| v.mul(reciprocal).at_least(zero).trunc();
        let any = |v: V| neuron.spikes(v);
        match (neuron.min_v_mem.is_some(), !neuron.is_single && neuron.has_exact_reciprocal()) {
            (false, true) => forward_tiles::<V, false>(neuron, v, stride, steps, fired, by_product),
            (false, false) => forward_tiles::<V, false>(neuron, v, stride, steps, fired, any),
            (true, true) => forward_tiles::<V, true>(neuron, v, stride, steps, fired, by_product),
            (true, false) => forward_tiles::<V, true>(neuron, v, stride, steps, fired, any),
        }
    }

    /// Runs one tile of neurons backward over time. Replaces dL/d(spikes) in `lambda` with dL/d(input currents).
    pub(crate) fn backward_tile<V>(neuron: &Neuron, v: &[Tile], lambda: &mut [Tile]) {
        if neuron.min_v_mem.is_some() {
            backward_steps::<V, true>(neuron, v, lambda, |own| *own);
        } else {
            backward_steps::<V, false>(neuron, v, lambda, |own| *own);
        }
    }

    /// Like [`backward_tile`], but dL/d(spikes) is `row` at every time step.
    pub(crate) fn backward_tile_constant<V>(neuron: &Neuron, v: &[Tile], row: &Tile, lambda: &mut [Tile]) {
        if neuron.min_v_mem.is_some() {
            backward_steps::<V, true>(neuron, v, lambda, |_| *row);
        } else {
            backward_steps::<V, false>(neuron, v, lambda, |_| *row);
        }
    }
}

/// Returns whether all potentials at the last step are finite. A potential that is NaN or infinite stays so until the
/// last step, except for minus infinity with a lower bound: the bound replaces it, as every potential below.
/// It counts as finite. `v` is as in [`forward`].
pub(crate) fn ends_finite(neuron: &Neuron, v: &[Tile], stride: usize, steps: usize) -> bool {
    let is_fine = |v: f32| v.is_finite() || v == f32::NEG_INFINITY && neuron.min_v_mem.is_some();
    let mut last = v.chunks_exact(stride.max(1)).filter_map(|v| v[..steps].last());
    last.all(|v| v.iter().all(|&v| is_fine(v)))
}

/// Does the work of [`forward`], two tiles of neurons at a time. `spikes` returns the number of spikes at a potential.
#[inline(always)]
fn forward_tiles<V: F32x16, const BOUNDED: bool>(
    neuron: &Neuron,
    v: &mut [Tile],
    stride: usize,
    steps: usize,
    fired: &mut [u32],
    spikes: impl Fn(V) -> V + Copy,
) {
    let tiles = v.len() / stride.max(1);
    for (pair, columns) in v.chunks_mut(2 * stride.max(1)).enumerate() {
        let fired = fired.get_mut(2 * pair..).unwrap_or_default();
        let (first, second) = columns.split_at_mut(stride);
        if second.is_empty() {
            forward_steps::<V, BOUNDED, 1>(neuron, [&mut first[..steps]], fired, tiles, spikes);
        } else {
            let columns = [&mut first[..steps], &mut second[..steps]];
            forward_steps::<V, BOUNDED, 2>(neuron, columns, fired, tiles, spikes);
        }
    }
}

#[inline(always)]
fn forward_steps<V: F32x16, const BOUNDED: bool, const N: usize>(
    neuron: &Neuron,
    columns: [&mut [Tile]; N],
    fired: &mut [u32],
    tiles: usize,
    spikes: impl Fn(V) -> V,
) {
    let take = V::splat(-neuron.theta);
    let lower = V::splat(neuron.min_v_mem.unwrap_or(f32::NEG_INFINITY));
    let mut u = [[V::splat(0.0); 2]; N];
    let steps = columns.iter().map(|column| column.len()).min().unwrap_or(0);
    for t in 0..steps {
        for n in 0..N {
            let mut mask = 0;
            for (half, v) in halves_mut(&mut columns[n][t]).into_iter().enumerate() {
                let before = u[n][half].add(V::load(v));
                let spikes = spikes(before);
                let after = take.mul_add(spikes, before);
                u[n][half] = if BOUNDED { after.at_least(lower) } else { after };
                before.store(v);
                mask |= spikes.nonzero() << (half * 16);
            }
            fired[t * tiles + n] = mask;
        }
    }
}

#[inline(always)]
fn backward_steps<V: F32x16, const BOUNDED: bool>(
    neuron: &Neuron,
    v: &[Tile],
    lambda: &mut [Tile],
    incoming: impl Fn(&Tile) -> Tile,
) {
    let (theta, take, peak) = (V::splat(neuron.theta), V::splat(-neuron.theta), V::splat(neuron.peak));
    let (rate, lower) = (V::splat(-neuron.rate), V::splat(neuron.min_v_mem.unwrap_or(f32::NEG_INFINITY)));
    let mut next = [V::splat(0.0); 2];
    for (v, lambda) in v.iter().zip(lambda).rev() {
        let g = incoming(lambda);
        let rows = halves(v).into_iter().zip(halves(&g)).zip(halves_mut(lambda));
        for (((v, g), lambda), next) in rows.zip(&mut next) {
            let (v, g) = (V::load(v), V::load(g));
            let sigma = exp(v.sub(theta).abs().mul(rate)).mul(peak);
            *next = if BOUNDED {
                // Below the bound the potential was replaced, so no gradient flows back through it.
                let after = take.mul_add(neuron.spikes(v), v);
                let open = next.zero_at_most(after, lower);
                sigma.mul_add(take.mul_add(open, g), open)
            } else {
                sigma.mul_add(take.mul_add(*next, g), *next)
            };
            next.store(lambda);
        }
    }
}

/// The formulas of this module in float64, for one neuron at a time.
#[cfg(test)]
pub(crate) mod reference {
    use super::Neuron;

    fn spikes(neuron: &Neuron, v: f64) -> f64 {
        let theta = f64::from(neuron.theta);
        match neuron.is_single {
            true => f64::from(v >= theta),
            false if v > 0.0 => (v / theta).trunc(),
            false => 0.0,
        }
    }

    /// Returns the spike count and the membrane potential at each time step. `x` is the input current.
    pub(crate) fn forward(neuron: &Neuron, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let theta = f64::from(neuron.theta);
        let mut u = 0.0;
        let (mut spikes, mut potentials) = (Vec::new(), Vec::new());
        for x in x {
            let v = u + x;
            let s = self::spikes(neuron, v);
            u = v - theta * s;
            if let Some(m) = neuron.min_v_mem {
                u = u.max(f64::from(m));
            }
            spikes.push(s);
            potentials.push(v);
        }
        (spikes, potentials)
    }

    /// Returns lambda for the membrane potential `v` and the gradient `g` of the loss with respect to the spikes.
    pub(crate) fn backward(neuron: &Neuron, v: &[f64], g: &[f64]) -> Vec<f64> {
        let theta = f64::from(neuron.theta);
        let mut lambda = vec![0.0; v.len()];
        let mut next = 0.0;
        for t in (0..v.len()).rev() {
            let sigma = f64::from(neuron.peak) * (-f64::from(neuron.rate) * (v[t] - theta).abs()).exp();
            let after = v[t] - theta * spikes(neuron, v[t]);
            let open = neuron.min_v_mem.is_none_or(|m| after > f64::from(m));
            next = sigma * g[t] + if open { (1.0 - theta * sigma) * next } else { 0.0 };
            lambda[t] = next;
        }
        lambda
    }
}
