//! Benchmarks of training steps, and of each way to store a set: loading alone, and loading with training.

mod gpu;
mod random;
mod set;
mod step;
mod ways;

pub use gpu::{DeviceMemory, GpuMeasured, Inflated, Promoted};
pub use random::bench_random;
pub use set::{SetBench, SetMeasured, bench_set};
pub use step::{StepBench, StepMeasured};
