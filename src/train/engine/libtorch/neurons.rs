//! The neurons of a layer over time. `network/neuron.rs` has the formulas.
//!
//! tch cannot define autograd functions. The code therefore computes the spike count s of a potential v as
//!
//! ```text
//! s = spikes(v) + (f - f.detach())    with f = sigma(v).detach() * v
//! ```
//!
//! The value of s is exactly the spike count, because f - f is 0. ds/dv is the surrogate gradient sigma(v).

use tch::Tensor;

use crate::engine::step::check_interrupt;
use crate::error::Result;
use crate::kernel::iaf;
use crate::network::{Neuron, Reset, Surrogate};

/// States and spikes of a layer, (batch, neurons).
pub(super) struct States {
    pub(super) u: Tensor,
    /// Second state variable: adaptation (`adlif`, `silif`), synaptic current (`cuba-lif`) or Im z (`c-silif`).
    pub(super) w: Tensor,
    pub(super) s: Tensor,
}

/// Returns the spike counts, (time steps, batch, neurons). `learned` has the learned parameters of the neurons, clamped
/// to their ranges, and then the fixed ones.
pub(super) fn spikes_over_time(
    neuron: &Neuron,
    learned: &[Tensor],
    recurrent: Option<&Tensor>,
    currents: &Tensor,
    mut states: States,
) -> Result<Tensor> {
    let steps = currents.size()[0];
    if steps == 0 {
        return Ok(currents.shallow_clone());
    }
    let cell = Cell::new(neuron, learned);
    let mut all = Vec::new();
    for t in 0..steps {
        check_interrupt()?;
        let own = currents.get(t);
        let x = match recurrent {
            Some(weights) => own + states.s.matmul(weights),
            None => own,
        };
        states = cell.step(&states, &x);
        all.push(states.s.shallow_clone());
    }
    Ok(Tensor::stack(&all, 0))
}

/// A kind of neuron, with its constants.
enum Cell {
    Iaf(iaf::Neuron),
    Lif([Tensor; 1], Reset, Surrogate),
    CubaLif([Tensor; 2], Reset, Surrogate),
    Adaptive([Tensor; 4], Surrogate),
    Complex([Tensor; 3], Surrogate),
}

impl Cell {
    fn new(neuron: &Neuron, learned: &[Tensor]) -> Cell {
        let of = |i: usize| learned[i].shallow_clone();
        match *neuron {
            Neuron::Iaf(neuron) => Cell::Iaf(neuron.constants()),
            Neuron::Lif(lif) => Cell::Lif([of(0)], lif.reset, lif.surrogate),
            Neuron::CubaLif(lif) => Cell::CubaLif([of(0), of(1)], lif.reset, lif.surrogate),
            Neuron::Adlif(adlif) => Cell::Adaptive([of(0), of(1), of(2), of(3)], adlif.surrogate),
            Neuron::Silif(silif) => {
                let decay = |p: usize| (-(of(p) + of(2)).exp()).exp();
                Cell::Adaptive([decay(0), decay(1), of(3), of(4)], silif.surrogate)
            }
            Neuron::CSilif(silif) => {
                let step = of(2).exp();
                let (radius, angle) = ((-of(0).exp() * &step).exp(), of(1) * &step);
                Cell::Complex([&radius * angle.cos(), &radius * angle.sin(), of(3)], silif.surrogate)
            }
        }
    }

    /// Returns the states after a time step with the current `x`.
    fn step(&self, States { u, w, s }: &States, x: &Tensor) -> States {
        match self {
            Cell::Iaf(neuron) => {
                let v = u + x;
                let s = counted(neuron, &v);
                let mut u = v - &s * f64::from(neuron.theta);
                if let Some(m) = neuron.min_v_mem {
                    // Not `clamp`: its gradient is 1 at u = m.
                    u = u.where_self(&u.gt(f64::from(m)), &u.full_like(f64::from(m)));
                }
                States { u, w: w.shallow_clone(), s }
            }
            Cell::Lif([alpha], kind, surrogate) => {
                let u = alpha * reset(u, s, *kind) + (1 - alpha) * x;
                States { s: spike(&u, surrogate), w: w.shallow_clone(), u }
            }
            Cell::CubaLif([alpha, beta], kind, surrogate) => {
                let w = alpha * w + x;
                let u = beta * reset(u, s, *kind) + &w;
                States { s: spike(&u, surrogate), w, u }
            }
            Cell::Adaptive([alpha, beta, a, b], surrogate) => {
                let w = beta * w + a * u + b * s;
                let u = alpha * (u - s) + (1 - alpha) * (x - &w);
                States { s: spike(&u, surrogate), w, u }
            }
            Cell::Complex([p, q, b], surrogate) => {
                let v = u - s * 0.5;
                let (u, w) = (p * &v - q * w + b * x, q * v + p * w);
                States { s: spike(&(&u * 2.0), surrogate), w, u }
            }
        }
    }
}

fn reset(u: &Tensor, s: &Tensor, kind: Reset) -> Tensor {
    match kind {
        Reset::Soft => u - s,
        Reset::Hard => u * (1 - s),
    }
}

/// Returns 1 where the potential is above 1, else 0. Its derivative is the surrogate gradient.
fn spike(u: &Tensor, surrogate: &Surrogate) -> Tensor {
    let x = u.detach() - 1.0;
    let sigma = match *surrogate {
        Surrogate::Boxcar { height, width } => {
            let width = f64::from(width);
            (x.gt(-width) * x.le(width)).to_kind(x.kind()) * f64::from(height)
        }
        Surrogate::SingleExponential { width, scale } => (x.abs() / -f64::from(width)).exp() * f64::from(scale / width),
        Surrogate::Arctan { alpha } => {
            let y = &x * (std::f64::consts::FRAC_PI_2 * f64::from(alpha));
            (&y * &y + 1.0).reciprocal() * (f64::from(alpha) / 2.0)
        }
        Surrogate::FastSigmoid { slope } => {
            let y = x.abs() * f64::from(slope) + 1.0;
            (&y * &y).reciprocal()
        }
    };
    with_gradient(x.gt(0.0).to_kind(x.kind()), sigma, u)
}

/// Returns the spike counts of integrate-and-fire neurons, with the surrogate gradient.
fn counted(neuron: &iaf::Neuron, v: &Tensor) -> Tensor {
    let theta = f64::from(neuron.theta);
    let fixed = v.detach();
    let count = if neuron.is_single {
        fixed.ge(theta).to_kind(v.kind())
    } else {
        let count = (&fixed / theta).trunc();
        count.where_self(&fixed.gt(0.0), &count.zeros_like())
    };
    let sigma = ((&fixed - theta).abs() * -f64::from(neuron.rate)).exp() * f64::from(neuron.peak);
    with_gradient(count, sigma, v)
}

fn with_gradient(value: Tensor, sigma: Tensor, v: &Tensor) -> Tensor {
    let f = sigma * v;
    value + (&f - f.detach())
}
