//! Loaders: batches of sparse frames from a shard set, in an epoch's order.
//!
//! Whether the columns come from mapped shards ([`stream`]) or from memory ([`cache`]), an epoch's batches are the same:
//! the order is the format's permutation, and every sample comes exactly once. A thread makes them ahead of the
//! training step and ends with the epoch.

mod ahead;
pub mod batch;
pub mod cache;
pub mod stream;

use std::str::FromStr;

use ahead::ahead;
pub use batch::Batch;
use cache::HostCache;
use stream::Windows;

use crate::error::{Error, Result};
use crate::progress::{Progress, Verbosity, human_bytes};
use crate::shard::ShardSet;

/// Where samples are kept between epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheChoice {
    /// In memory if the set fits well, else nowhere.
    Auto,
    /// Nowhere: map, check and decode in every epoch.
    Stream,
    /// Decoded in memory.
    Host,
    /// Decoded on the GPU.
    Device,
}

impl FromStr for CacheChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<CacheChoice, String> {
        match text {
            "auto" => Ok(CacheChoice::Auto),
            "stream" => Ok(CacheChoice::Stream),
            "host" => Ok(CacheChoice::Host),
            "device" => Ok(CacheChoice::Device),
            _ => Err("expected auto, stream, host or device".into()),
        }
    }
}

/// In which order an epoch's samples come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochOrder {
    /// As in the set.
    Sequential,
    /// By the format's permutation.
    Shuffled {
        /// The run's seed.
        seed: u64,
        /// The epoch's number.
        epoch: u64,
    },
}

/// A set, ready to give epochs of batches.
#[derive(Debug)]
pub struct Loader {
    set: ShardSet,
    cache: Option<HostCache>,
    why: String,
}

impl Loader {
    /// Opens `set` for loading, and fills the cache if there is to be one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] for the device cache, [`Error::Usage`] for a host cache larger than the memory that is
    /// free, [`Error::Corrupt`].
    pub fn new(set: ShardSet, choice: CacheChoice, verbosity: Verbosity) -> Result<Loader> {
        let needed = cache::host_bytes(set.manifest());
        let free = cache::free_memory();
        let fits = free.is_none_or(|free| needed <= free / 2);
        let size = human_bytes(needed);
        let of_free = free.map_or("an unknown amount".into(), human_bytes);
        let (host, why) = match choice {
            CacheChoice::Stream => (false, "stream: as asked".to_string()),
            CacheChoice::Auto if fits => (true, format!("host: its {size} fit into half of the {of_free} free")),
            CacheChoice::Auto => (false, format!("stream: its {size} exceed half of the {of_free} free")),
            CacheChoice::Host if free.is_none_or(|free| needed <= free) => (true, format!("host: {size}, as asked")),
            CacheChoice::Host => {
                let expected = format!("at most the {of_free} of memory that are free (or --cache stream)");
                return Err(Error::usage("--cache host", expected, size));
            }
            CacheChoice::Device => {
                let why = "this version trains on the CPU; use --cache host or --cache stream".into();
                return Err(Error::Unavailable { what: "--cache device".into(), why });
            }
        };
        let cache = if host {
            let progress = Progress::start(verbosity, "load", set.len(), "samples");
            let cache = HostCache::load(&set, &progress)?;
            progress.finish();
            Some(cache)
        } else {
            set.read_ahead();
            None
        };
        Ok(Loader { set, cache, why })
    }

    /// The set.
    pub fn set(&self) -> &ShardSet {
        &self.set
    }

    /// Which cache was chosen, and why.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// The host cache, if there is one.
    pub fn cache(&self) -> Option<&HostCache> {
        self.cache.as_ref()
    }

    /// How many batches an epoch has; the last may be smaller.
    pub fn batches(&self, batch_size: usize) -> u64 {
        self.set.len().div_ceil(batch_size as u64)
    }

    /// Calls `each` with the batches of an epoch, from number `first` on, until it returns false. They are made ahead
    /// by a thread that ends before this returns.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with the chunk that could not be decoded, [`Error::WorkerLost`] where the thread panicked, or
    /// what `each` returns.
    pub fn epoch(
        &self,
        order: EpochOrder,
        batch_size: usize,
        first: u64,
        each: impl FnMut(Batch) -> Result<bool>,
    ) -> Result<()> {
        let mut windows = Windows::new(&self.set, self.cache.as_ref(), order, batch_size, first);
        ahead(move || windows.next_batch().transpose(), each)
    }
}
