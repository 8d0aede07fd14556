//! Loaders: batches of sparse frames from a shard set, in an epoch's order.
//!
//! Whether the columns come from the shards ([`stream`]) or from memory ([`cache`]), an epoch's batches are the same:
//! the order is the format's permutation, and every sample comes exactly once. A thread makes them ahead of the
//! training step and ends with the epoch.

mod ahead;
pub mod batch;
pub mod cache;
pub mod stream;

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use ahead::{AHEAD, ahead};
pub use batch::Batch;
use cache::HostCache;
use crossbeam_channel::bounded;
use rayon::prelude::*;
use stream::{Place, Spare, Windows};

use crate::error::{Error, Result};
use crate::progress::{Progress, Verbosity, human_bytes};
use crate::shard::ShardSet;

/// Where samples are kept between epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheChoice {
    /// In memory if the set fits well, else nowhere.
    Auto,
    /// Nowhere: read, check and decode in every epoch.
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
    drop_last: bool,
    /// Between epochs.
    spare: Mutex<Spare>,
}

impl Loader {
    /// Opens `set` for loading, and fills the cache if there is to be one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] for the device cache, [`Error::Usage`] for a host cache larger than the memory that is
    /// free, [`Error::Corrupt`].
    pub fn new(set: ShardSet, choice: CacheChoice, verbosity: Verbosity) -> Result<Loader> {
        let needed = cache::host_bytes(&set);
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
        Ok(Loader { set, cache, why, drop_last: false, spare: Mutex::default() })
    }

    /// The set.
    pub fn set(&self) -> &ShardSet {
        &self.set
    }

    /// Which cache was chosen, and why.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Keeps the pages that the loader reads in memory; how many bytes those are. A cached set needs none of them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where a limit forbids it.
    pub fn pin(&self) -> Result<u64> {
        if self.cache.is_some() { Ok(0) } else { self.set.pin() }
    }

    /// The host cache, if there is one.
    pub fn cache(&self) -> Option<&HostCache> {
        self.cache.as_ref()
    }

    /// With the last batch of an epoch left out where it would be smaller than the others.
    pub fn drop_last(mut self, drop_last: bool) -> Loader {
        self.drop_last = drop_last;
        self
    }

    /// How many batches an epoch has; the last may be smaller, if it is not dropped.
    pub fn batches(&self, batch_size: usize) -> u64 {
        self.samples(batch_size).div_ceil(batch_size as u64)
    }

    /// How many samples an epoch has.
    fn samples(&self, batch_size: usize) -> u64 {
        let samples = self.set.len();
        if self.drop_last { samples - samples % batch_size as u64 } else { samples }
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
        mut each: impl FnMut(&Batch) -> Result<bool>,
    ) -> Result<()> {
        let widths = self.set.manifest().description.widths;
        let (back, used) = bounded::<Batch>(AHEAD);
        let mut windows = self.windows(order, batch_size, first);
        let mut next_batch = || -> Result<Batch> {
            let mut batch = used.try_recv().unwrap_or_else(|_| Batch::new(widths));
            batch.clear();
            windows.next_batch(|places| {
                places.iter().try_for_each(|place| {
                    batch.labels.push(place.label());
                    place.unpack(|sample| sample.unpack(&mut batch.frames))
                })
            })?;
            Ok(batch)
        };
        let made = ahead(
            || Some(next_batch()).filter(|batch| !batch.as_ref().is_ok_and(Batch::is_empty)),
            |batch| {
                let more = each(&batch)?;
                let _ = back.try_send(batch); // to be filled again
                Ok(more)
            },
        );
        self.keep(windows);
        made
    }

    /// Calls `each` with the batches of an epoch as dense float32, (B, T, P * H * W), and their labels, from number
    /// `first` on, until it returns false. T is `steps`: frames beyond it are left out. All threads make a batch
    /// together, straight from the packed entries, and none is made ahead.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with the chunk that could not be decoded, or what `each` returns.
    pub fn dense_epoch(
        &self,
        order: EpochOrder,
        batch_size: usize,
        first: u64,
        steps: usize,
        mut each: impl FnMut(&[f32], &[u32]) -> Result<bool>,
    ) -> Result<()> {
        let mut windows = self.windows(order, batch_size, first);
        let (mut dense, mut labels) = (std::mem::take(windows.dense()), Vec::new());
        let sample_len = steps * self.set.manifest().description.shape.cells() as usize;
        loop {
            labels.clear();
            let samples = windows.next_batch(|places| {
                let start = labels.len() * sample_len;
                labels.extend(places.iter().map(Place::label));
                let end = labels.len() * sample_len;
                dense.resize(dense.len().max(end), 0.0);
                let samples = dense[start..end].par_chunks_mut(sample_len.max(1)).zip(places);
                samples.try_for_each(|(dense, place)| place.unpack(|sample| sample.write_dense(dense)))
            })?;
            if samples == 0 || !each(&dense[..samples * sample_len], &labels)? {
                break;
            }
        }
        *windows.dense() = dense;
        self.keep(windows);
        Ok(())
    }

    fn windows(&self, order: EpochOrder, batch_size: usize, first: u64) -> Windows<'_> {
        let samples = self.samples(batch_size);
        let positions = first.saturating_mul(batch_size as u64).min(samples)..samples;
        let spare = std::mem::take(&mut *self.spare.lock().unwrap_or_else(PoisonError::into_inner));
        Windows::new(&self.set, self.cache.as_ref(), order, batch_size, positions, spare)
    }

    fn keep(&self, windows: Windows<'_>) {
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = windows.into_spare();
    }
}
