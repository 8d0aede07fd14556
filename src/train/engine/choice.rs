//! The choices of engine and device that a run's `config.toml` records.

use serde::{Deserialize, Serialize};

/// The engine that a user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// The kernels of this crate, on a CPU or on a GPU.
    #[default]
    Fused,
    /// libtorch's autograd, for comparisons with the kernels.
    Reference,
}

/// The kind of device that trains a run. CPUs and GPUs round sums differently, so their results differ slightly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// A CPU. All CPUs give the same bits.
    #[default]
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}
