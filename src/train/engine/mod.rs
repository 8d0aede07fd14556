//! One training step: the same network on our kernels for the CPU, on our kernels for a GPU, or in libtorch.
//!
//! | engine | file | what it is |
//! |---|---|---|
//! | [`CpuEngine`] | `cpu.rs` | our kernels on the CPU |
//! | [`GpuEngine`] | `gpu.rs` | our kernels on a GPU, with the buffers and launches of [`GpuNetwork`] |
//! | `LibtorchEngine` | `libtorch.rs` | libtorch's autograd, to compare the kernels with (feature `libtorch`) |
//!
//! An engine takes a batch from host memory and returns the loss of the batch. `step.rs` has the trait [`Engine`],
//! `choice.rs` has the names of the engines, and `learner/backend.rs` makes the chosen engine. Training on a GPU uses
//! [`GpuNetwork`] without an engine (`learner/gpu.rs`).

mod choice;
mod cpu;
mod gpu;
mod gpu_network;
#[cfg(feature = "libtorch")]
mod libtorch;
mod step;
#[cfg(test)]
mod tests;

pub use crate::kernel::SpikeCounts;
pub use choice::{Arithmetic, EngineChoice};
pub use cpu::CpuEngine;
pub(crate) use cpu::hidden_spikes;
pub use gpu::GpuEngine;
pub use gpu_network::{Extent, GpuNetwork};
#[cfg(feature = "libtorch")]
pub use libtorch::LibtorchEngine;
pub use step::{BatchLoss, Engine};
pub(crate) use step::{Prediction, check_interrupt, check_loss, predict};
