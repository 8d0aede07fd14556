//! Integrate-and-fire neurons, over time and back.
//!
//! ```text
//! v[t] = u[t-1] + x[t]
//! s[t] = trunc(v[t] / theta) if v[t] > 0 else 0             any number of spikes a step
//! u[t] = v[t] - theta * s[t]                                then max(u, m) where a lower bound m is set
//!
//! sigma(v)  = peak * exp(-rate * |v - theta|)               the surrogate of ds/dv
//! lambda[t] = sigma(v[t]) * g[t] + n[t] * (1 - theta * sigma(v[t])) * lambda[t+1]
//! ```
//!
//! with g = dL/ds from above, n\[t\] = 1 where u\[t\] > m before the bound (1 everywhere without one) and dL/dx = lambda.
//! This is Sinabs' IAF (MultiSpike, MembraneSubtract, SingleExponential), whose gradient passes through the reset,
//! written as one linear pass. Only v is kept for it.

use multiversion::multiversion;

use super::exp::exp_nonpositive;
use super::{TILE, Tile};

/// The constants of a layer's neurons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neuron {
    /// Spike threshold, and what a spike takes from the membrane. Positive.
    pub theta: f32,
    /// Lower bound of the membrane potential, m.
    pub min_v_mem: Option<f32>,
    /// sigma(theta), the surrogate's largest value.
    pub peak: f32,
    /// How fast it falls off, by 1/e each 1/rate away from theta.
    pub rate: f32,
}

impl Neuron {
    /// How often the neuron spikes at membrane potential `v`. NaN gives NaN, so that a diverged layer is seen in the
    /// loss and is not silent.
    #[inline(always)]
    pub fn spikes(&self, v: f32) -> f32 {
        if v <= 0.0 { 0.0 } else { (v / self.theta).trunc() }
    }

    /// The surrogate gradient at `v`.
    #[inline(always)]
    pub fn sigma(&self, v: f32) -> f32 {
        self.peak * exp_nonpositive(-((v - self.theta).abs() * self.rate))
    }

    /// Whether v / theta is v * (1 / theta) to the bit.
    fn has_exact_reciprocal(&self) -> bool {
        self.theta.is_normal() && self.theta.to_bits() & ((1 << 23) - 1) == 0 && (1.0 / self.theta).is_normal()
    }
}

/// A tile of neurons over time: `v` holds the currents x of each step before and v after.
///
/// Sets a bit of `fired[t * tiles]` for each neuron that spiked at step t.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn forward_tile(neuron: &Neuron, v: &mut [Tile], fired: &mut [u32], tiles: usize) {
    match (neuron.min_v_mem.is_some(), neuron.has_exact_reciprocal()) {
        (false, true) => forward_body::<false, true>(neuron, v, fired, tiles),
        (false, false) => forward_body::<false, false>(neuron, v, fired, tiles),
        (true, true) => forward_body::<true, true>(neuron, v, fired, tiles),
        (true, false) => forward_body::<true, false>(neuron, v, fired, tiles),
    }
}

#[inline(always)]
fn forward_body<const BOUNDED: bool, const RECIPROCAL: bool>(
    neuron: &Neuron,
    v: &mut [Tile],
    fired: &mut [u32],
    tiles: usize,
) {
    let theta = neuron.theta;
    let reciprocal = 1.0 / theta;
    let lower = neuron.min_v_mem.unwrap_or(f32::NEG_INFINITY);
    let mut u = [0.0; TILE];
    for (v, fired) in v.iter_mut().zip(fired.iter_mut().step_by(tiles)) {
        let mut mask = 0;
        for j in 0..TILE {
            let before = u[j] + v[j];
            let ratio = if RECIPROCAL { before * reciprocal } else { before / theta };
            let spikes = if before <= 0.0 { 0.0 } else { ratio.trunc() };
            let after = before - theta * spikes;
            u[j] = if BOUNDED && after < lower { lower } else { after };
            v[j] = before;
            mask |= u32::from(spikes != 0.0) << j;
        }
        *fired = mask;
    }
}

/// lambda of a tile: `lambda` holds g of each step before and lambda after; `v` is what [`forward_tile`] wrote.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn backward_tile(neuron: &Neuron, v: &[Tile], lambda: &mut [Tile]) {
    if neuron.min_v_mem.is_some() {
        backward_body::<true>(neuron, v, lambda, |own| *own);
    } else {
        backward_body::<false>(neuron, v, lambda, |own| *own);
    }
}

/// [`backward_tile`] where g is the same `row` at every step, as it is below a readout that is summed over time.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn backward_tile_constant(neuron: &Neuron, v: &[Tile], row: &Tile, lambda: &mut [Tile]) {
    if neuron.min_v_mem.is_some() {
        backward_body::<true>(neuron, v, lambda, |_| *row);
    } else {
        backward_body::<false>(neuron, v, lambda, |_| *row);
    }
}

#[inline(always)]
fn backward_body<const BOUNDED: bool>(
    neuron: &Neuron,
    v: &[Tile],
    lambda: &mut [Tile],
    incoming: impl Fn(&Tile) -> Tile,
) {
    let lower = neuron.min_v_mem.unwrap_or(f32::NEG_INFINITY);
    let mut next = [0.0; TILE];
    for (v, lambda) in v.iter().zip(lambda).rev() {
        let g = incoming(lambda);
        for j in 0..TILE {
            let sigma = neuron.sigma(v[j]);
            let carried = (1.0 - neuron.theta * sigma) * next[j];
            // Below the bound the state was replaced, so nothing flows back through it.
            let bound = BOUNDED && v[j] - neuron.theta * neuron.spikes(v[j]) <= lower;
            next[j] = sigma * g[j] + if bound { 0.0 } else { carried };
        }
        *lambda = next;
    }
}

/// The same in plain float64, one neuron at a time, straight from the formulas: what the kernels are held to.
pub mod reference {
    use super::Neuron;

    /// Spikes and v of each step, from the input currents `x` of each step.
    pub fn forward(neuron: &Neuron, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let theta = f64::from(neuron.theta);
        let mut u = 0.0;
        let (mut spikes, mut potentials) = (Vec::new(), Vec::new());
        for x in x {
            let v = u + x;
            let s = if v > 0.0 { (v / theta).trunc() } else { 0.0 };
            u = v - theta * s;
            if let Some(m) = neuron.min_v_mem {
                u = u.max(f64::from(m));
            }
            spikes.push(s);
            potentials.push(v);
        }
        (spikes, potentials)
    }

    /// lambda of each step, from v and g of each step.
    pub fn backward(neuron: &Neuron, v: &[f64], g: &[f64]) -> Vec<f64> {
        let theta = f64::from(neuron.theta);
        let mut lambda = vec![0.0; v.len()];
        let mut next = 0.0;
        for t in (0..v.len()).rev() {
            let sigma = f64::from(neuron.peak) * (-f64::from(neuron.rate) * (v[t] - theta).abs()).exp();
            let s = if v[t] > 0.0 { (v[t] / theta).trunc() } else { 0.0 };
            let open = neuron.min_v_mem.is_none_or(|m| v[t] - theta * s > f64::from(m));
            next = sigma * g[t] + if open { (1.0 - theta * sigma) * next } else { 0.0 };
            lambda[t] = next;
        }
        lambda
    }
}
