//! Tests of the GPU's side of the training wing, in one binary: on a GPU if the machine has one, and else on an emulated
//! one, whose kernels are the same sources compiled as C++.

#[path = "../train/agreement.rs"]
mod agreement;
mod check;
#[path = "../emulator/mod.rs"]
mod emulator;
mod engines;
#[path = "../train/random.rs"]
mod random;

use tonic_toolkit::train::kernel::cuda::Device;

/// The device that is tested on.
fn device() -> Device {
    if std::env::var_os("TONIC_TEST_REAL_GPU").is_none() {
        emulator::install();
    }
    Device::open(0).unwrap()
}
