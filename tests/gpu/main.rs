//! Tests of training on a GPU, in one binary.
//!
//! The tests run on an emulated GPU, with the kernels compiled as C++. If the environment variable TONIC_TEST_REAL_GPU
//! is set, they run on the first GPU of the machine instead. `scripts/test` runs them on the emulated GPU, and on each
//! GPU of the machine.
//!
//! To run NVRTC's code on the emulated GPU, where every access to memory is checked, use
//! `TONIC_EMULATED_PTX=$PWD/.deps/nvrtc/libnvrtc.so.13 cargo test --features train --test gpu`. If
//! TONIC_EMULATED_COPIES is `early`, the emulator makes asynchronous copies at once. If it is not set, the emulator
//! makes such copies as late as CUDA allows.
//!
//! ```text
//! engines, agreement, odd, ptx   steps compute what the CPU computes; unusual sets; compiled by NVRTC
//! caches, ring, memory           where a set is kept; prefetching; what fits
//! resume, evaluation, options    runs
//! health, faults, bench, check   what training says, and how it fails; benchmarks; the self-check
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

fn is_real() -> bool {
    std::env::var_os("TONIC_TEST_REAL_GPU").is_some()
}

/// Returns the folder of the kernels that tests compile. The emulated GPU and a real GPU have different folders.
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
