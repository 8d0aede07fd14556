//! Benchmarks: training steps alone, and whole epochs from each cache of a set.
//!
//! ```text
//! set       benchmark of a set: steps, then epochs
//! random    benchmark of steps on random frames, without a set
//! step      times training steps, without loading
//! caches    times epochs from each cache of a set
//! gpu       times steps, dense batches and loading on a GPU
//! ```

mod caches;
mod gpu;
mod random;
mod set;
mod step;

pub use gpu::{DeviceMemory, GpuMeasured, Inflated, Promoted};
pub use random::bench_random;
pub use set::{SetBench, SetMeasured, bench_set};
pub use step::{StepBench, StepMeasured};
