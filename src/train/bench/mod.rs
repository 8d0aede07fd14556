//! Benchmarks: training steps alone, and whole epochs from each cache of a set, with and without training.

mod caches;
mod gpu;
mod random;
mod set;
mod step;

pub use gpu::{DeviceMemory, GpuMeasured, Inflated, Promoted};
pub use random::bench_random;
pub use set::{SetBench, SetMeasured, bench_set};
pub use step::{StepBench, StepMeasured};
