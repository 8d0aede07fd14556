//! Loaders: batches of sparse frames from a shard set, in an epoch's order.
//!
//! Whether the columns come from the shards ([`stream`]), from memory ([`cache`]) or from a GPU's ([`mod@device`]), an
//! epoch's batches are the same: the order is the format's permutation, and every sample comes exactly once. A thread makes
//! them ahead of the training step and ends with the epoch; for a GPU into a [`ring`] of [`staging`] memory, unless its own
//! holds the set.

mod ahead;
pub mod batch;
pub mod cache;
pub mod device;
pub mod ring;
pub mod staging;
pub mod stream;

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use ahead::{AHEAD, ahead};
pub use batch::Batch;
use cache::HostCache;
use crossbeam_channel::bounded;
use device::DeviceCache;
use rayon::prelude::*;
use stream::{Place, Spare, Windows};

use crate::error::{Error, Result};
use crate::progress::{Progress, Verbosity, human_bytes};
use crate::shard::ShardSet;
use crate::train::kernel::program::Program;

/// Where samples are kept between epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheChoice {
    /// On the GPU that trains, if the set fits well there; else in memory, if it fits well here; else nowhere.
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

impl CacheChoice {
    /// Where the samples of a set are kept, and why there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] for a device cache without a GPU, [`Error::Usage`] for a cache larger than the memory that is
    /// free.
    pub fn place(self, set: &ShardSet, gpu: Option<&Program>) -> Result<(CacheChoice, String)> {
        let host = cache::host_bytes(set);
        let free = cache::free_memory();
        let (size, of_free) = (human_bytes(host), free.map_or("an unknown amount".into(), human_bytes));
        let fits = free.is_none_or(|free| host <= free / 2);
        let on_device = |program: &Program| {
            Ok::<_, Error>((device::device_bytes(set, program.form()), program.device().free_memory()?))
        };
        match (self, gpu) {
            (CacheChoice::Stream, _) => Ok((self, "stream: as asked".into())),
            (CacheChoice::Auto, Some(program)) => {
                let (needed, left) = on_device(program)?;
                let (needed, free, fits_there) = (human_bytes(needed), human_bytes(left), needed <= left / 2);
                Ok(match (fits_there, fits) {
                    (true, _) => {
                        (CacheChoice::Device, format!("device: its {needed} fit into half of the {free} free there"))
                    }
                    (false, true) => {
                        let why = format!("host: its {needed} exceed half of the {free} free on the device");
                        (CacheChoice::Host, why)
                    }
                    (false, false) => {
                        let why = format!("stream: half of the memory free, {free} there and {of_free} here, is less");
                        (CacheChoice::Stream, why)
                    }
                })
            }
            (CacheChoice::Auto, None) if fits => {
                Ok((CacheChoice::Host, format!("host: its {size} fit into half of the {of_free} free")))
            }
            (CacheChoice::Auto, None) => {
                Ok((CacheChoice::Stream, format!("stream: its {size} exceed half of the {of_free} free")))
            }
            (CacheChoice::Host, _) if free.is_none_or(|free| host <= free) => {
                Ok((self, format!("host: {size}, as asked")))
            }
            (CacheChoice::Host, _) => {
                let expected = format!("at most the {of_free} of memory that are free (or --cache stream)");
                Err(Error::usage("--cache host", expected, size))
            }
            (CacheChoice::Device, Some(program)) => {
                let (needed, left) = on_device(program)?;
                if needed <= left {
                    return Ok((self, format!("device: {}, as asked", human_bytes(needed))));
                }
                let expected =
                    format!("at most the {} that are free on the device (or --cache stream)", human_bytes(left));
                Err(Error::usage("--cache device", expected, human_bytes(needed)))
            }
            (CacheChoice::Device, None) => {
                let why =
                    "it is for training on a GPU with the fused engine; use --cache host or --cache stream".into();
                Err(Error::Unavailable { what: "--cache device".into(), why })
            }
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

/// Where a loader has its samples.
#[derive(Debug)]
enum Kept {
    Shards,
    Host(HostCache),
    Device(Box<DeviceCache>),
}

/// A set, ready to give epochs of batches.
#[derive(Debug)]
pub struct Loader {
    set: ShardSet,
    kept: Kept,
    why: String,
    drop_last: bool,
    /// Between epochs.
    spare: Mutex<Spare>,
}

impl Loader {
    /// Opens `set` for loading on the CPU, or for a GPU, and fills the cache if there is to be one.
    ///
    /// # Errors
    /// Those of [`CacheChoice::place`], [`Error::Corrupt`], [`Error::Cuda`].
    pub fn new(set: ShardSet, choice: CacheChoice, gpu: Option<&Program>, verbosity: Verbosity) -> Result<Loader> {
        let (place, why) = choice.place(&set, gpu)?;
        let progress = || Progress::start(verbosity, "load", set.len(), "samples");
        let kept = match (place, gpu) {
            (CacheChoice::Device, Some(program)) => {
                let progress = progress();
                let cache = DeviceCache::load(&set, program.device(), program.form(), &progress)?;
                progress.finish();
                Kept::Device(Box::new(cache))
            }
            (CacheChoice::Host, _) => {
                let progress = progress();
                let cache = HostCache::load(&set, &progress)?;
                progress.finish();
                Kept::Host(cache)
            }
            _ => {
                set.read_ahead();
                Kept::Shards
            }
        };
        Ok(Loader { set, kept, why, drop_last: false, spare: Mutex::default() })
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
        if matches!(self.kept, Kept::Shards) { self.set.pin() } else { Ok(0) }
    }

    /// The host cache, if there is one.
    pub fn host_cache(&self) -> Option<&HostCache> {
        if let Kept::Host(cache) = &self.kept { Some(cache) } else { None }
    }

    /// The device cache, if there is one.
    pub fn device_cache(&self) -> Option<&DeviceCache> {
        if let Kept::Device(cache) = &self.kept { Some(cache) } else { None }
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
    pub fn samples(&self, batch_size: usize) -> u64 {
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
        Windows::new(&self.set, self.host_cache(), order, batch_size, positions, spare)
    }

    fn keep(&self, windows: Windows<'_>) {
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = windows.into_spare();
    }
}
