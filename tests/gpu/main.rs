//! Tests of training on a GPU, in one binary. By default they run on an emulated GPU, with the kernels compiled as C++.
//!
//! The environment variables of the tests:
//!
//! - TONIC_TEST_REAL_GPU: if it is set, the tests run on the first GPU of the machine
//! - TONIC_EMULATED_PTX: path of a libnvrtc.so.13, such as `$PWD/.deps/nvrtc/libnvrtc.so.13`, that compiles the kernels
//!   for the emulated GPU
//! - TONIC_EMULATED_COPIES: if it is `early`, the emulator makes asynchronous copies at once. Otherwise, it makes them
//!   as late as CUDA allows
//!
//! ```text
//! engines, agreement             a training step has the same results as on the CPU
//! layers                         the same for networks with any kinds of layers
//! networks                       runs of such networks
//! odd                            very small and unusual sets
//! ptx                            kernels that NVRTC compiles
//! caches                         the same bits with every cache
//! ring                           prefetching of batches
//! memory                         GPU memory
//! resume, evaluation, options    stopped runs, evaluation of runs, options
//! health, faults                 warnings and errors
//! bench, check                   benchmarks, and the self-check
//! trainer, sets, runs, random    helpers
//! ```

#[path = "../train/agreement.rs"]
mod agreement;
mod bench;
mod caches;
mod check;
mod engines;
mod evaluation;
mod faults;
mod health;
mod layers;
mod memory;
mod networks;
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

fn is_real() -> bool {
    std::env::var_os("TONIC_TEST_REAL_GPU").is_some()
}

/// Returns the folder of the kernels that tests compile.
fn kernel_cache() -> PathBuf {
    if is_real() {
        return concat!(env!("CARGO_TARGET_TMPDIR"), "/kernels").into();
    }
    tonic_emulator::kernel_cache(std::env::var_os(tonic_emulator::PTX).is_some())
}

fn backend() -> Backend {
    set_kernel_cache(&kernel_cache());
    Backend::gpu(0, EngineChoice::Fused, MatmulPrecision::Highest).unwrap()
}
