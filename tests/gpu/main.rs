//! Tests of the GPU's side of the training wing, in one binary: on an emulated GPU, whose kernels are the same sources
//! compiled as C++; or on the first that the driver shows, if TONIC_TEST_REAL_GPU is set. `scripts/test` does both, the
//! latter for each GPU of the machine. By hand, all of them can run the real compiler's code on the emulated GPU, where
//! every access to memory is checked: `TONIC_EMULATED_PTX=$PWD/.deps/nvrtc/libnvrtc.so.13 cargo test --features train
//! --test gpu`. With TONIC_EMULATED_COPIES=early, asynchronous copies are made at once, and not as late as they may.

#[path = "../train/agreement.rs"]
mod agreement;
mod bench;
mod caches;
mod check;
mod engines;
mod evaluation;
mod faults;
mod memory;
mod odd;
mod options;
mod ptx;
#[path = "../train/random.rs"]
mod random;
mod resume;
mod ring;
#[path = "../train/runs.rs"]
mod runs;
#[path = "../train/sets.rs"]
#[allow(dead_code)] // tests/train uses the rest
mod sets;
mod trainer;

use std::path::PathBuf;

use tonic_toolkit::train::MatmulPrecision;
use tonic_toolkit::train::engine::EngineChoice;
use tonic_toolkit::train::gpu::set_kernel_cache;
use tonic_toolkit::train::learner::Backend;

/// Whether the tests are to run on a real GPU.
fn is_real() -> bool {
    std::env::var_os("TONIC_TEST_REAL_GPU").is_some()
}

/// Where kernels are kept that were compiled in a test: those of an emulator and those of a GPU never meet.
fn kernel_cache() -> PathBuf {
    if is_real() {
        return concat!(env!("CARGO_TARGET_TMPDIR"), "/kernels").into();
    }
    tonic_emulator::kernel_cache(std::env::var_os(tonic_emulator::PTX).is_some())
}

/// The GPU that is tested on.
fn backend() -> Backend {
    set_kernel_cache(&kernel_cache());
    Backend::gpu(0, EngineChoice::Fused, MatmulPrecision::Highest).unwrap()
}
