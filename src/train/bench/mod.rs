//! Benchmarks of training steps, and of each cache of a set: loading alone, and loading with training.

mod caches;
mod gpu;
mod random;
mod set;
mod step;

pub use gpu::{DeviceMemory, GpuMeasured, Inflated, Promoted};
pub use random::bench_random;
pub use set::{SetBench, SetMeasured, bench_set};
pub use step::{StepBench, StepMeasured};
