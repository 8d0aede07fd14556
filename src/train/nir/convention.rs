//! How a program that reads NIR understands time constants, resets and thresholds. The importers of frameworks differ
//! from NIR's equations, and from each other.

use std::str::FromStr;

use crate::error::{BaseFault, Error, Result};
use crate::network::{Iaf, Reset, SpikeFn};

/// The program that reads a file or wrote it. It decides what the numbers in the file mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convention {
    /// NIR's equations: time constants in seconds, alpha = exp(-dt / tau).
    Nir,
    /// Sinabs' importer:
    ///
    /// - Time constants are in time steps, and alpha = exp(-1 / tau).
    /// - R is ignored: v = alpha v + x.
    /// - A spike subtracts the threshold.
    /// - Neurons spike at or above the threshold, and several times per step at or above twice the threshold. Of this
    ///   crate's neurons, only integrate-and-fire neurons without leak do both.
    /// - The lower bound of the potential of integrate-and-fire neurons is minus the threshold.
    Sinabs,
    /// snnTorch's importer: dt is 0.1 ms, and alpha = 1 - dt / tau. A spike sets the membrane potential to 0.
    SnnTorch,
}

/// Time step of snnTorch's importer in seconds.
const SNNTORCH_DT: f64 = 1e-4;

impl FromStr for Convention {
    type Err = String;

    fn from_str(text: &str) -> Result<Convention, String> {
        match text {
            "nir" => Ok(Convention::Nir),
            "sinabs" => Ok(Convention::Sinabs),
            "snntorch" => Ok(Convention::SnnTorch),
            _ => Err("expected nir, sinabs or snntorch".into()),
        }
    }
}

impl Convention {
    pub(super) fn name(self) -> &'static str {
        match self {
            Convention::Nir => "nir",
            Convention::Sinabs => "sinabs",
            Convention::SnnTorch => "snntorch",
        }
    }

    /// Returns the duration of a time step in the file's unit of time.
    pub(super) fn time_step(self, dt: Option<f64>) -> Result<f64> {
        match (self, dt) {
            (Convention::Sinabs, _) => Ok(1.0),
            (Convention::SnnTorch, _) => Ok(SNNTORCH_DT),
            (Convention::Nir, Some(dt)) => Ok(dt),
            (Convention::Nir, None) => {
                let expected = "the duration of a time step in seconds, which the recipe of the run doesn't give";
                Err(Error::usage("dt", expected, "none"))
            }
        }
    }

    /// Refuses integrate-and-fire neurons without leak that the program cannot compute. `what` names their layer.
    pub(super) fn check_iaf(self, what: &str, neuron: &Iaf) -> Result<()> {
        let refuse = |expected: &str, got: &str| Err(Error::usage(what, expected, got));
        let bound = |bound: Option<f32>| bound.map_or("no bound".into(), |bound| format!("min_v_mem = {bound:?}"));
        match (self, neuron.spike_fn) {
            (Convention::Sinabs, SpikeFn::Multi) if neuron.min_v_mem == Some(-neuron.theta) => Ok(()),
            (Convention::Sinabs, SpikeFn::Multi) => {
                let expected = format!("min_v_mem = {:?}, the bound that Sinabs' importer sets", -neuron.theta);
                refuse(&expected, &bound(neuron.min_v_mem))
            }
            (Convention::Sinabs, SpikeFn::Single) => {
                refuse("spike_fn = \"multi\", the only one of Sinabs' importer", "spike_fn = \"single\"")
            }
            (Convention::Nir, _) if neuron.min_v_mem.is_none() => Ok(()),
            (Convention::Nir, _) => {
                let expected = "no lower bound, which NIR has not; --convention sinabs writes min_v_mem = -theta";
                refuse(expected, &bound(neuron.min_v_mem))
            }
            (Convention::SnnTorch, _) => refuse(
                "lif or cuba-lif: snnTorch's importer makes neurons that leak from IF",
                "iaf, which does not leak",
            ),
        }
    }

    /// Returns the time constant for a decay factor between 0 and 1.
    pub(super) fn tau(self, alpha: f64, dt: f64) -> f64 {
        if self == Convention::SnnTorch { dt / (1.0 - alpha) } else { -dt / alpha.ln() }
    }

    /// Returns the decay factor for a time constant.
    pub(super) fn alpha(self, tau: f64, dt: f64) -> f64 {
        if self == Convention::SnnTorch { 1.0 - dt / tau } else { (-dt / tau).exp() }
    }

    /// Whether the factor 1 - alpha of the input current is in the weights, instead of in the neuron's equation.
    pub(super) fn gain_is_in_weights(self) -> bool {
        self != Convention::Nir
    }

    /// Returns the reset that the program applies to all neurons, or `None` if files can choose between both resets.
    pub(super) fn reset(self) -> Option<Reset> {
        match self {
            Convention::Nir => None,
            Convention::Sinabs => Some(Reset::Soft),
            Convention::SnnTorch => Some(Reset::Hard),
        }
    }
}
