//! The arguments that choose what computes.

use std::path::PathBuf;

use clap::Args;
use tonic_train::Result;
use tonic_train::engine::{DeviceChoice, EngineChoice, Resolved};
use tonic_train::gpu::set_libtorch;
use tonic_train::kernel::program::MatmulPrecision;

/// Where to compute.
#[derive(Args)]
pub(crate) struct DeviceArgs {
    /// auto (a GPU where there is one that can be used), cpu, cuda or cuda:N. Our kernels need the driver and NVRTC
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// How exact matrix products are on a GPU, in PyTorch's words: highest (float32), high (16 bits of each number),
    /// medium (8 bits, bfloat16). Spikes are exact in all of them, weights and gradients are rounded
    #[arg(long, value_name = "P", default_value = "highest")]
    pub matmul_precision: MatmulPrecision,
    /// A libtorch 2.11.0 or Python's torch package, where NVRTC and, for --engine reference on a GPU, libtorch's CUDA
    /// part are looked for first
    #[arg(long, value_name = "DIR")]
    libtorch: Option<PathBuf>,
}

impl DeviceArgs {
    /// Resolves the arguments to a device on this machine.
    pub(crate) fn resolve(&self, engine: EngineChoice) -> Result<Resolved> {
        if let Some(dir) = &self.libtorch {
            set_libtorch(dir)?;
        }
        match (self.device, engine) {
            // The CUDA part of libtorch is a separate download, so it is used only on request.
            (DeviceChoice::Auto, EngineChoice::Reference) => DeviceChoice::Cpu.resolve(),
            (choice, _) => choice.resolve(),
        }
    }
}
