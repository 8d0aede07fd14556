//! The loader: makes the batches of an epoch, from the host cache or from the shards.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::bounded;
use rayon::prelude::*;
use tonic_base::{Error as BaseError, Progress, Verbosity};
use tonic_shard::{Error, Result, ShardSet};

use crate::augment::Augmentation;
use crate::batch::Batch;
use crate::cache_choice::CacheChoice;
use crate::epoch_order::EpochOrder;
use crate::host_cache::HostCache;
use crate::prefetch::{AHEAD, ahead};
use crate::share::Share;
use crate::windows::{EpochSample, Spare, Windows};

/// Makes the batches of an epoch from a shard set, through a cache if one was chosen.
#[derive(Debug)]
pub struct Loader {
    set: ShardSet,
    cache: Option<HostCache>,
    why: String,
    drop_last: bool,
    augmentation: Option<Augmentation>,
    /// Decoders and buffers of the previous epoch. The next epoch reuses them.
    spare: Mutex<Spare>,
}

impl Loader {
    /// Makes a loader for `set`, and chooses a cache. If the host cache is chosen, loads the whole set into it.
    ///
    /// # Errors
    /// Errors of [`CacheChoice::resolve`]; [`tonic_base::Error::Corrupt`] and [`tonic_base::Error::Io`] if the set
    /// cannot be loaded.
    pub fn new(set: ShardSet, choice: CacheChoice, verbosity: Verbosity) -> Result<Loader> {
        let chosen = choice.resolve(&set)?;
        Loader::chosen(set, chosen, verbosity)
    }

    /// Makes a loader for `set` with the cache `choice`. `why` is a message that says why this cache was chosen. A host
    /// cache is loaded at once. With [`CacheChoice::Device`], the caller keeps the samples in GPU memory.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`] and [`tonic_base::Error::Io`] if the set cannot be loaded.
    pub fn chosen(set: ShardSet, (choice, why): (CacheChoice, String), verbosity: Verbosity) -> Result<Loader> {
        let mut cache = None;
        match choice {
            CacheChoice::Host => {
                let progress = Progress::start(verbosity, "load", set.len(), "samples");
                cache = Some(HostCache::load(&set, &progress)?);
                progress.finish();
            }
            CacheChoice::Device => {}
            CacheChoice::Stream | CacheChoice::Auto => set.read_ahead(),
        }
        Ok(Loader { set, cache, why, drop_last: false, augmentation: None, spare: Mutex::default() })
    }

    /// The set whose samples are in the batches.
    pub fn set(&self) -> &ShardSet {
        &self.set
    }

    /// Message that says which cache was chosen, and why.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Locks the pages of the shards in memory (`mlock`) and returns the number of locked bytes: 0 with a host cache.
    ///
    /// # Errors
    /// [`tonic_base::Error::Unavailable`] if the limit on locked memory is too low.
    pub fn pin(&self) -> Result<u64> {
        if self.cache.is_none() { self.set.pin() } else { Ok(0) }
    }

    /// The host cache; `None` if the loader has none.
    pub fn host_cache(&self) -> Option<&HostCache> {
        self.cache.as_ref()
    }

    /// Sets whether an epoch leaves out a last batch that is smaller than the other batches.
    pub fn drop_last(mut self, drop_last: bool) -> Loader {
        self.drop_last = drop_last;
        self
    }

    /// Sets the random changes of the samples in [`Loader::epoch`].
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] if a step doesn't fit the set's frames; see [`Augmentation::check`].
    pub fn augment(mut self, augmentation: Augmentation) -> Result<Loader> {
        let description = &self.set.manifest().description;
        augmentation.check(description.shape, description.widths)?;
        self.augmentation = Some(augmentation).filter(|augmentation| !augmentation.steps.is_empty());
        Ok(self)
    }

    /// The random changes of the samples in [`Loader::epoch`]; `None` if there are none.
    pub fn augmentation(&self) -> Option<&Augmentation> {
        self.augmentation.as_ref()
    }

    /// Number of batches per epoch, for batches of `batch_size` samples.
    pub fn batches(&self, batch_size: usize) -> u64 {
        self.samples(batch_size).div_ceil(batch_size as u64)
    }

    /// Number of samples per epoch. Samples that [`Loader::drop_last`] leaves out don't count.
    pub fn samples(&self, batch_size: usize) -> u64 {
        let samples = self.set.len();
        if self.drop_last { samples - samples % batch_size as u64 } else { samples }
    }

    /// Number of samples in the batch with the index `batch`, for batches of `batch_size` samples.
    pub fn samples_of(&self, batch_size: usize, batch: u64) -> usize {
        let Range { start, end } = self.positions(batch_size, batch..batch.saturating_add(1));
        (end - start) as usize
    }

    /// Calls `each` with the batches of an epoch, from the batch with the index `first` on. Stops when `each` returns
    /// false. While `each` runs, another thread makes the next batches. The samples of a shuffled epoch are changed as
    /// [`Loader::augment`] says.
    ///
    /// # Errors
    /// - [`tonic_base::Error::Corrupt`], which names the chunk that could not be decoded.
    /// - [`tonic_base::Error::Io`].
    /// - [`tonic_base::Error::WorkerLost`] if the other thread panicked.
    /// - Any error of `each`.
    pub fn epoch<E: From<Error> + From<BaseError> + Send>(
        &self,
        order: EpochOrder,
        batch_size: usize,
        first: u64,
        each: impl FnMut(&Batch) -> Result<bool, E>,
    ) -> Result<(), E> {
        self.epoch_share(order, batch_size, first..u64::MAX, Share::whole(), each)
    }

    /// Like [`Loader::epoch`], but for the batches with the indices `batches`, and only for the samples that `share`
    /// takes of each batch. A batch that `each` gets can be empty.
    ///
    /// # Errors
    /// The errors of [`Loader::epoch`].
    pub fn epoch_share<E: From<Error> + From<BaseError> + Send>(
        &self,
        order: EpochOrder,
        batch_size: usize,
        batches: Range<u64>,
        share: Share,
        each: impl FnMut(&Batch) -> Result<bool, E>,
    ) -> Result<(), E> {
        let positions = self.positions(batch_size, batches);
        self.batches_of((order, batch_size, positions, share), self.augmentation_of(order), each)
    }

    /// Like [`Loader::epoch_share`], but with all samples of the set as they are stored: without augmentation, and with
    /// the samples that [`Loader::drop_last`] leaves out.
    ///
    /// # Errors
    /// The errors of [`Loader::epoch`].
    pub fn stored_epoch<E: From<Error> + From<BaseError> + Send>(
        &self,
        order: EpochOrder,
        batch_size: usize,
        share: Share,
        each: impl FnMut(&Batch) -> Result<bool, E>,
    ) -> Result<(), E> {
        self.batches_of((order, batch_size, 0..self.set.len(), share), None, each)
    }

    /// Calls `each` with the batches of the samples at `positions` of an epoch, see [`Loader::epoch_share`]. If
    /// `augmentation` is given, the samples are changed.
    fn batches_of<E: From<Error> + From<BaseError> + Send>(
        &self,
        (order, batch_size, positions, share): (EpochOrder, usize, Range<u64>, Share),
        augmentation: Option<&Augmentation>,
        mut each: impl FnMut(&Batch) -> Result<bool, E>,
    ) -> Result<(), E> {
        let description = &self.set.manifest().description;
        let (widths, shape) = (description.widths, description.shape);
        let (back, used) = bounded::<Batch>(AHEAD);
        let mut stored = Batch::new(widths);
        let make = |windows: &mut Windows<'_>| {
            let mut batch = used.try_recv().unwrap_or_else(|_| Batch::new(widths));
            let target = if augmentation.is_some() { &mut stored } else { &mut batch };
            target.clear();
            let taken = windows.next_batch(|samples| target.extend(samples, order))?;
            if let Some(augmentation) = augmentation {
                augmentation.apply(&stored, shape, &mut batch);
            }
            Ok((taken > 0).then_some(batch))
        };
        self.read_ahead((order, batch_size, positions, share), make, |batch| {
            let more = each(&batch)?;
            let _ = back.try_send(batch); // recycled; dropped if the channel is full
            Ok(more)
        })
    }

    /// Returns copies of these samples of an epoch, changed as [`Loader::augment`] says. `None` if the samples of this
    /// epoch are not changed.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`], which names the chunk, if a cell is outside the frame.
    pub fn augmented(&self, order: EpochOrder, samples: &[EpochSample<'_>]) -> Result<Option<Batch>> {
        let Some(augmentation) = self.augmentation_of(order) else { return Ok(None) };
        let description = &self.set.manifest().description;
        let [mut stored, mut changed] = [(); 2].map(|()| Batch::new(description.widths));
        stored.extend(samples, order)?;
        augmentation.apply(&stored, description.shape, &mut changed);
        Ok(Some(changed))
    }

    /// Like [`Loader::epoch`], but for batches of any type. `make` builds the next batch on another thread, and returns
    /// `None` at the end of the epoch.
    ///
    /// # Errors
    /// Any error of `make` or `each`; [`tonic_base::Error::WorkerLost`] if `make` panicked.
    pub fn prefetch<T: Send, E: From<BaseError> + Send>(
        &self,
        order: EpochOrder,
        batch_size: usize,
        first: u64,
        make: impl FnMut(&mut Windows<'_>) -> Result<Option<T>, E> + Send,
        each: impl FnMut(T) -> Result<bool, E>,
    ) -> Result<(), E> {
        let positions = self.positions(batch_size, first..u64::MAX);
        self.read_ahead((order, batch_size, positions, Share::whole()), make, each)
    }

    fn read_ahead<T: Send, E: From<BaseError> + Send>(
        &self,
        what: (EpochOrder, usize, Range<u64>, Share),
        mut make: impl FnMut(&mut Windows<'_>) -> Result<Option<T>, E> + Send,
        each: impl FnMut(T) -> Result<bool, E>,
    ) -> Result<(), E> {
        self.read_share(what, |windows| ahead(|| make(windows).transpose(), each))
    }

    /// Calls `work` with a [`Windows`], an iterator over batches. The batches have the samples at `positions` of the
    /// epoch. Positions count from 0, and must be below the number of samples in the set. No thread makes batches
    /// ahead: see [`Loader::prefetch`].
    pub fn read<R>(
        &self,
        order: EpochOrder,
        batch_size: usize,
        positions: Range<u64>,
        work: impl FnOnce(&mut Windows<'_>) -> R,
    ) -> R {
        self.read_share((order, batch_size, positions, Share::whole()), work)
    }

    fn read_share<R>(
        &self,
        (order, batch_size, positions, share): (EpochOrder, usize, Range<u64>, Share),
        work: impl FnOnce(&mut Windows<'_>) -> R,
    ) -> R {
        let spare = std::mem::take(&mut *self.spare.lock().unwrap_or_else(PoisonError::into_inner));
        let mut windows = Windows::new(&self.set, self.host_cache(), order, (batch_size, positions, share), spare);
        let done = work(&mut windows);
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = windows.into_spare();
        done
    }

    /// Calls `each` with the batches of an epoch, from the batch with the index `first` on. Stops when `each` returns
    /// false. A batch is dense float32 frames, (B, T, P * H * W), and labels, (B,).
    ///
    /// T is `steps`: shorter samples are padded with zeros, longer ones are cut. No batch is made while `each` runs.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`], which names the chunk that could not be decoded; [`tonic_base::Error::Io`]; any
    /// error of `each`.
    pub fn dense_epoch<E: From<Error>>(
        &self,
        order: EpochOrder,
        batch_size: usize,
        first: u64,
        steps: usize,
        mut each: impl FnMut(&[f32], &[u32]) -> Result<bool, E>,
    ) -> Result<(), E> {
        let sample_len = steps * self.set.manifest().description.shape.cells() as usize;
        let positions = self.positions(batch_size, first..u64::MAX);
        self.read(order, batch_size, positions, |windows| {
            let (mut dense, mut labels) = (std::mem::take(windows.dense()), Vec::new());
            loop {
                labels.clear();
                let samples = windows.next_batch(|samples| {
                    let start = labels.len() * sample_len;
                    labels.extend(samples.iter().map(EpochSample::label));
                    let end = labels.len() * sample_len;
                    dense.resize(dense.len().max(end), 0.0);
                    let targets = dense[start..end].par_chunks_mut(sample_len.max(1)).zip(samples);
                    targets.try_for_each(|(dense, sample)| sample.unpack(|packed| packed.write_dense(dense)))
                })?;
                if samples == 0 || !each(&dense[..samples * sample_len], &labels)? {
                    break;
                }
            }
            *windows.dense() = dense;
            Ok(())
        })
    }

    /// Returns the augmentation of the samples of an epoch. `None` for a sequential epoch, or without augmentation.
    fn augmentation_of(&self, order: EpochOrder) -> Option<&Augmentation> {
        self.augmentation.as_ref().filter(|_| matches!(order, EpochOrder::Shuffled { .. }))
    }

    /// Returns the positions, in the epoch, of the samples of the batches with the indices `batches`.
    fn positions(&self, batch_size: usize, batches: Range<u64>) -> Range<u64> {
        let samples = self.samples(batch_size);
        let before = |batch: u64| batch.saturating_mul(batch_size as u64).min(samples);
        before(batches.start)..before(batches.end)
    }
}
