//! Feeds a learner with samples: streamed from the shards, cached in host memory, or cached on the GPU.
//!
//! ```text
//! open           Feed: a set, open for training or evaluation
//! device_cache   a set in the GPU's memory
//! ring           batches of a larger set on their way to the GPU
//! staging        columns of samples in page-locked memory
//! staged_batch   one batch of the host on the GPU
//! inflation      dense batches, made on the GPU
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
pub(crate) use inflation::{DENSE_BATCHES, Inflation};
pub use open::Feed;
pub use random::RandomFrames;
pub use ring::Ring;
pub(crate) use staged_batch::StagedBatch;
