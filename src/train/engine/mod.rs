//! Engines: each computes the loss and the gradients of a batch in host memory.
//!
//! | engine | file | what it is |
//! |---|---|---|
//! | [`CpuEngine`] | `cpu.rs` | our kernels on the CPU, for linear layers and integrate-and-fire neurons |
//! | [`LayeredEngine`] | `layered/` | our kernels on the CPU, for all layers of a network file |
//! | [`GpuEngine`] | `gpu.rs` | our kernels on a GPU, with the buffers and launches of [`GpuNetwork`] |
//! | `LibtorchEngine` | `libtorch/` | libtorch's autograd, for comparisons with the kernels (feature `libtorch`) |
//!
//! `step.rs` has the trait [`Engine`], and `training_loss.rs` the loss; `tracer.rs` runs single samples, to show what
//! happens inside the network. A process that trains alone on a GPU uses no engine: `learner/gpu.rs` uses
//! [`GpuNetwork`]. If several ranks train on GPUs, each of them uses a [`GpuEngine`].

mod choice;
mod cpu;
mod gpu;
mod gpu_network;
mod layered;
#[cfg(feature = "libtorch")]
mod libtorch;
mod step;
#[cfg(test)]
mod tests;
mod tracer;
mod training_loss;

pub use crate::kernel::SpikeCounts;
pub use choice::{Arithmetic, EngineChoice};
pub use cpu::CpuEngine;
pub use gpu::GpuEngine;
pub use gpu_network::{Extent, GpuNetwork};
pub(crate) use gpu_network::{Rounding, check_layers};
pub use layered::LayeredEngine;
#[cfg(feature = "libtorch")]
pub use libtorch::LibtorchEngine;
pub use step::{BatchLoss, Engine};
pub(crate) use step::{Prediction, check_interrupt, check_labels, check_loss, check_potentials, predict, share};
pub(crate) use tracer::{Traced, Tracer};
pub use training_loss::{SpikeRate, TrainingLoss};
