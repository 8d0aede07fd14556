//! Integrate-and-fire neurons without leak: their settings.

use serde::{Deserialize, Serialize};

use crate::kernel::iaf::Neuron;
use crate::network::surrogate::SingleExponential;

/// Constants of integrate-and-fire neurons without leak. Each spike subtracts the threshold theta from the membrane
/// potential.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Iaf {
    /// Spike threshold theta, a positive number.
    pub theta: f32,
    /// Lower bound of the membrane potential, or `None` without a bound.
    pub min_v_mem: Option<f32>,
    /// Surrogate gradient: the backward pass uses it instead of the derivative of the spike count.
    pub surrogate: SingleExponential,
    /// How often a neuron can spike per time step. A model file describes neurons with another than the default in its
    /// list of layers, so that versions without this setting refuse the file.
    #[serde(skip)]
    pub spike_fn: SpikeFn,
}

/// How often an integrate-and-fire neuron can spike per time step, with Sinabs' names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpikeFn {
    /// `MultiSpike`: as often as theta fits into the membrane potential.
    #[default]
    Multi,
    /// `SingleSpike`: once, if the membrane potential is theta or more.
    Single,
}

impl Default for Iaf {
    /// Returns the defaults of Sinabs: a threshold of 1, no lower bound, the default surrogate gradient, and several
    /// spikes per time step.
    fn default() -> Iaf {
        Iaf { theta: 1.0, min_v_mem: None, surrogate: SingleExponential::default(), spike_fn: SpikeFn::Multi }
    }
}

impl Iaf {
    /// Returns the first constant that is wrong: its name, what was expected, and its value.
    pub(crate) fn fault(&self) -> Option<(&'static str, &'static str, f32)> {
        let SingleExponential { grad_width, grad_scale } = self.surrogate;
        let positive = [("theta", self.theta), ("grad_width", grad_width), ("grad_scale", grad_scale)];
        let positive = positive.into_iter().find(|(_, value)| !(value.is_finite() && *value > 0.0));
        let bound = self.min_v_mem.filter(|bound| !bound.is_finite() || *bound >= self.theta);
        let bound = bound.map(|bound| ("min_v_mem", "a number below the threshold", bound));
        positive.map(|(name, value)| (name, "a positive number", value)).or(bound)
    }

    pub(crate) fn constants(&self) -> Neuron {
        let width = self.theta * self.surrogate.grad_width;
        Neuron {
            theta: self.theta,
            min_v_mem: self.min_v_mem,
            is_single: self.spike_fn == SpikeFn::Single,
            peak: self.surrogate.grad_scale / width,
            rate: 1.0 / width,
        }
    }
}
