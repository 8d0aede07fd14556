//! Benchmarks: training steps alone, and whole epochs from each cache of a set.
//!
//! ```text
//! set       benchmark of a set: steps, then epochs
//! random    benchmark of steps on random frames, without a set
//! step      measures training steps, without loading
//! caches    measures epochs from each cache of a set
//! gpu       measures steps, dense batches and loading on a GPU
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
