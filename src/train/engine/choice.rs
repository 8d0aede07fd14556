//! The choices of engine and device that a run's `config.toml` records. `learner/backend.rs` makes the chosen engine.

use serde::{Deserialize, Serialize};

/// The engine that a user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// The kernels of this crate.
    #[default]
    Fused,
    /// libtorch's autograd, to compare the kernels with.
    Reference,
}

/// The kind of device that a run is trained on. CPU and GPU round sums differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// A CPU. All CPUs give the same bits.
    #[default]
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}
