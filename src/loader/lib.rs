#![doc = include_str!("README.md")]

mod batch;
mod cache_choice;
mod host_cache;
mod loader;
mod order;
mod prefetch;
mod windows;

pub use batch::Batch;
pub use cache_choice::CacheChoice;
pub use host_cache::{HostCache, host_bytes};
pub use loader::Loader;
pub use order::EpochOrder;
pub use prefetch::AHEAD;
pub use windows::{EpochSample, Windows};
