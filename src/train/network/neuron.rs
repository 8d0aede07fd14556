//! The neurons of a hidden layer: settings and learned parameters.
//!
//! | neuron | one time step, for a current x |
//! |---|---|
//! | iaf | v = u + x; s = trunc(v / theta) if v > 0 else 0, or once at most: 1 if v >= theta else 0; u = v - theta s |
//! | lif | u = alpha r + (1 - alpha) x |
//! | cuba-lif | i = alpha i + x; u = beta r + i |
//! | adlif | w = beta w + a u + b s; u = alpha (u - s) + (1 - alpha) (x - w) |
//! | silif | adlif with alpha = exp(-exp(p_alpha + dt)), beta = exp(-exp(p_beta + dt)) |
//! | c-silif | z = l (z - 0.5 s) + b x, with the complex l = exp(exp(log_dt) (-exp(log_log_alpha) + i alpha_img)) |
//!
//! The formulas of iaf are computed from left to right. In the others, the state variables on the right side have the
//! values of the time step before, with two exceptions: u of adlif and silif uses the new w, and u of cuba-lif uses the
//! new i.
//!
//! r is u - s with the soft reset, and u (1 - s) with the hard reset. Except for iaf, s is 1 if u > 1, else 0. In
//! c-silif, u is 2 Re z.
//!
//! Sources: sparch (lif, adlif), SSM-inspired LIF (silif, c-silif), Sinabs (iaf), Synaptic of snnTorch (cuba-lif).

use crate::kernel::cell::Cell;
pub use crate::kernel::cell::{Reset, Surrogate};
use crate::network::iaf::Iaf;

/// sparch's range of fast decay factors: e^(-1/5) to e^(-1/25), a time constant of 5 to 25 steps.
pub(super) const FAST_DECAY: [f32; 2] = [0.818_730_8, 0.960_789_44];
/// sparch's range of slow decay factors: e^(-1/30) to e^(-1/120), a time constant of 30 to 120 steps.
const SLOW_DECAY: [f32; 2] = [0.967_216_1, 0.991_701_3];

/// The neurons of a hidden layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Neuron {
    /// Integrate-and-fire neurons without leak.
    Iaf(Iaf),
    /// Leaky integrate-and-fire neurons.
    Lif(Lif),
    /// Leaky integrate-and-fire neurons whose input current decays too.
    CubaLif(CubaLif),
    /// Adaptive leaky integrate-and-fire neurons.
    Adlif(Adlif),
    /// Adaptive neurons whose decay factors come from learned time constants.
    Silif(Silif),
    /// Resonators with a complex state.
    CSilif(CSilif),
}

/// Settings of leaky integrate-and-fire neurons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lif {
    /// Surrogate gradient.
    pub surrogate: Surrogate,
    /// Range of the decay factor of the membrane potential. The initial values are drawn from it.
    pub alpha: [f32; 2],
    /// Whether each neuron learns its own decay factor, clamped to the range.
    pub learn: bool,
    /// What happens after a spike.
    pub reset: Reset,
}

impl Default for Lif {
    /// Returns the settings of sparch.
    fn default() -> Lif {
        Lif { surrogate: Surrogate::default(), alpha: FAST_DECAY, learn: true, reset: Reset::Soft }
    }
}

/// Settings of leaky integrate-and-fire neurons whose input current decays too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CubaLif {
    /// Surrogate gradient.
    pub surrogate: Surrogate,
    /// Range of the decay factor of the input current.
    pub alpha: [f32; 2],
    /// Range of the decay factor of the membrane potential.
    pub beta: [f32; 2],
    /// Whether each neuron learns its own decay factors, clamped to the ranges.
    pub learn: bool,
    /// What happens after a spike.
    pub reset: Reset,
}

impl Default for CubaLif {
    fn default() -> CubaLif {
        CubaLif {
            surrogate: Surrogate::default(),
            alpha: FAST_DECAY,
            beta: FAST_DECAY,
            learn: true,
            reset: Reset::Soft,
        }
    }
}

/// Settings of adaptive neurons. Each neuron learns its own four numbers. Each number is drawn from its range, and
/// clamped to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adlif {
    /// Surrogate gradient.
    pub surrogate: Surrogate,
    /// Range of the decay factor of the membrane potential.
    pub alpha: [f32; 2],
    /// Range of the decay factor of the adaptation.
    pub beta: [f32; 2],
    /// Range of the factor a: how strongly the membrane potential changes the adaptation.
    pub a: [f32; 2],
    /// Range of the factor b: how strongly a spike changes the adaptation.
    pub b: [f32; 2],
}

impl Default for Adlif {
    /// Returns the settings of sparch.
    fn default() -> Adlif {
        Adlif { surrogate: Surrogate::default(), alpha: FAST_DECAY, beta: SLOW_DECAY, a: [-1.0, 1.0], b: [0.0, 2.0] }
    }
}

/// Settings of adaptive neurons whose decay factors come from learned time constants. Rates are in 1/s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Silif {
    /// Surrogate gradient.
    pub surrogate: Surrogate,
    /// Range of the initial decay rate of the membrane potential, exp(p_alpha).
    pub rate_alpha: [f32; 2],
    /// Range of the initial decay rate of the adaptation, exp(p_beta).
    pub rate_beta: [f32; 2],
    /// Initial duration of a time step in seconds. The learned parameter dt is the logarithm of the duration.
    pub dt: f32,
    /// Range of the factor a: how strongly the membrane potential changes the adaptation. a is clamped to this range.
    pub a: [f32; 2],
    /// Range of the factor b: how strongly a spike changes the adaptation. b is clamped to this range.
    pub b: [f32; 2],
}

impl Default for Silif {
    /// Returns the settings of SSM-inspired LIF.
    fn default() -> Silif {
        Silif {
            surrogate: Surrogate::default(),
            rate_alpha: [10.0, 250.0],
            rate_beta: [2.5, 10.0],
            dt: 0.004,
            a: [0.0, 1.0],
            b: [0.0, 2.0],
        }
    }
}

/// Settings of resonators with a complex state. The learned parameters are not clamped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CSilif {
    /// Surrogate gradient.
    pub surrogate: Surrogate,
    /// Range of the initial duration of a time step, exp(log_dt).
    pub dt: [f32; 2],
    /// Initial decay rate, exp(log_log_alpha).
    pub decay: f32,
    /// Initial angular frequency, alpha_img.
    pub frequency: f32,
    /// Range of the initial gain b of the input current.
    pub b: [f32; 2],
}

impl Default for CSilif {
    /// Returns the settings of SSM-inspired LIF for SHD.
    fn default() -> CSilif {
        CSilif {
            surrogate: Surrogate::default(),
            dt: [0.01, 0.5],
            decay: 0.5,
            frequency: std::f32::consts::PI,
            b: [0.0, 1.0],
        }
    }
}

/// A parameter that each neuron of a layer learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learned {
    /// Name of the parameter, the last part of the tensor's name in the model file.
    pub name: &'static str,
    /// How the initial value is drawn.
    pub draw: Draw,
    /// Range to which the value is clamped when it is used. `None` without clamping.
    pub clamp: Option<[f32; 2]>,
}

/// Distribution of an initial value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Draw {
    /// Uniform between the two numbers.
    Uniform([f32; 2]),
    /// Uniform between the logarithms of the two numbers.
    Log([f32; 2]),
}

impl Neuron {
    /// Name of the neuron in a network file.
    pub fn name(&self) -> &'static str {
        match self {
            Neuron::Iaf(_) => "iaf",
            Neuron::Lif(_) => "lif",
            Neuron::CubaLif(_) => "cuba-lif",
            Neuron::Adlif(_) => "adlif",
            Neuron::Silif(_) => "silif",
            Neuron::CSilif(_) => "c-silif",
        }
    }

    /// Returns the neuron model for the kernels ([`Cell`]) and the surrogate gradient, or `None` for [`Neuron::Iaf`].
    pub(crate) fn cell(&self) -> Option<(Cell, Surrogate)> {
        match self {
            Neuron::Iaf(_) => None,
            Neuron::Lif(of) => Some((Cell::Lif(of.reset), of.surrogate)),
            Neuron::CubaLif(of) => Some((Cell::CubaLif(of.reset), of.surrogate)),
            Neuron::Adlif(of) => Some((Cell::Adlif, of.surrogate)),
            Neuron::Silif(of) => Some((Cell::Silif, of.surrogate)),
            Neuron::CSilif(of) => Some((Cell::CSilif, of.surrogate)),
        }
    }

    /// Whether the membrane potential can grow without bound. A negative factor a makes the adaptation
    /// increase the potential.
    pub(crate) fn can_be_unstable(&self) -> bool {
        matches!(self, Neuron::Adlif(Adlif { a: [low, _], .. }) | Neuron::Silif(Silif { a: [low, _], .. }) if *low < 0.0)
    }

    /// Returns the number of state variables, apart from the spikes.
    pub(crate) fn states(&self) -> usize {
        if matches!(self, Neuron::Iaf(_) | Neuron::Lif(_)) { 1 } else { 2 }
    }

    /// Returns the decay factors if they are not learned. All neurons share them. Otherwise, returns an empty list.
    pub(crate) fn fixed(&self) -> Vec<f32> {
        match *self {
            Neuron::Lif(Lif { learn: false, alpha, .. }) => vec![alpha[0]],
            Neuron::CubaLif(CubaLif { learn: false, alpha, beta, .. }) => vec![alpha[0], beta[0]],
            _ => Vec::new(),
        }
    }

    /// Whether a layer of these neurons can have a recurrent connection.
    pub fn can_be_recurrent(&self) -> bool {
        !matches!(self, Neuron::Iaf(_))
    }

    /// Returns the parameters that each neuron learns, in the order of the flat list of parameters.
    pub fn learned(&self) -> Vec<Learned> {
        let clamped = |name, range| Learned { name, draw: Draw::Uniform(range), clamp: Some(range) };
        let free = |name, draw| Learned { name, draw, clamp: None };
        match *self {
            Neuron::Iaf(_) => Vec::new(),
            Neuron::Lif(Lif { learn: false, .. }) | Neuron::CubaLif(CubaLif { learn: false, .. }) => Vec::new(),
            Neuron::Lif(of) => vec![clamped("alpha", of.alpha)],
            Neuron::CubaLif(of) => vec![clamped("alpha", of.alpha), clamped("beta", of.beta)],
            Neuron::Adlif(of) => {
                vec![clamped("alpha", of.alpha), clamped("beta", of.beta), clamped("a", of.a), clamped("b", of.b)]
            }
            Neuron::Silif(of) => vec![
                free("p_alpha", Draw::Log(of.rate_alpha)),
                free("p_beta", Draw::Log(of.rate_beta)),
                free("dt", Draw::Log([of.dt; 2])),
                clamped("a", of.a),
                clamped("b", of.b),
            ],
            Neuron::CSilif(of) => vec![
                free("log_log_alpha", Draw::Log([of.decay; 2])),
                free("alpha_img", Draw::Uniform([of.frequency; 2])),
                free("log_dt", Draw::Log(of.dt)),
                free("b", Draw::Uniform(of.b)),
            ],
        }
    }
}
