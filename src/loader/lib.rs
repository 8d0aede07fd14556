#![doc = include_str!("README.md")]

// loader, batch, windows     makes batches of an epoch; reads its samples one window at a time
// epoch_order                the order in which an epoch visits the samples
// host_cache, cache_choice   all chunks of a set in memory; which cache is used
// augment                    random changes of training samples
// share                      which samples of a batch a process takes
// padding                    how long the samples of a batch are
// prefetch                   makes batches ahead of the training step

mod augment;
mod batch;
mod cache_choice;
mod epoch_order;
mod host_cache;
mod loader;
mod padding;
mod prefetch;
mod share;
mod windows;

pub use augment::{Amount, Augmentation, Step};
pub use batch::Batch;
pub use cache_choice::CacheChoice;
pub use epoch_order::{EpochOrder, MIX_FACTORS, MIX_INCREMENT, mix};
pub use host_cache::{HostCache, host_bytes};
pub use loader::Loader;
pub use padding::fixed_steps;
pub use prefetch::AHEAD;
pub use share::{MAX_BLOCKS, Share};
pub use windows::{EpochSample, Windows};
