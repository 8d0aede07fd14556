//! Gives samples to a learner: from the shards, from a cache in host memory, or from a cache in GPU memory.
//!
//! ```text
//! open           Feed: a set, open for training or evaluation
//! device_cache   a set in GPU memory
//! ring           prefetches batches to the GPU, for sets larger than GPU memory
//! staging        columns of samples in page-locked memory, for copies to the GPU
//! staged_batch   copies one batch from host memory to the GPU
//! inflation      writes dense batches on the GPU
//! random         random batches, without a set
//! ```

mod device_cache;
mod inflation;
mod open;
mod random;
mod ring;
mod staged_batch;
mod staging;

pub(crate) use device_cache::DeviceCache;
pub(crate) use inflation::{Inflation, LAUNCH_BATCHES};
pub use open::Feed;
pub use random::RandomFrames;
pub use ring::Ring;
pub(crate) use staged_batch::StagedBatch;
pub(crate) use staging::{Sizes, Staging};
