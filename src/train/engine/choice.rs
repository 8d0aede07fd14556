//! Words of a run's configuration for what computes. `learner/backend.rs` makes the choice.

use serde::{Deserialize, Serialize};

/// The engine that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// The kernels of this crate.
    #[default]
    Fused,
    /// libtorch's autograd, to compare the kernels with.
    Reference,
}

/// The kind of device that a run was trained on, by which its sums are rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// A CPU. All of them round alike.
    #[default]
    Cpu,
    /// A GPU.
    Cuda,
}
