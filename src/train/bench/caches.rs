//! Measures the times of whole epochs from each cache of a set (stream, host, device), with and without training.
//!
//! Each round measures one epoch from every cache. Every second round reverses the order of the caches, so that a
//! machine that becomes slower affects all caches equally.

use std::time::Instant;

use tonic_base::{Error as BaseError, Progress, Verbosity};
use tonic_loader::{CacheChoice, EpochOrder};
use tonic_report::{Strategy, Work, median};
use tonic_shard::ShardSet;

use crate::bench::step::Trainer;
use crate::error::{Error, Result};
use crate::feed::{Feed, Inflation};
use crate::kernel::program::Program;

const CACHES: [(CacheChoice, &str); 3] =
    [(CacheChoice::Stream, "stream"), (CacheChoice::Host, "host cache"), (CacheChoice::Device, "device cache")];

/// A set opened with one cache, and the measured times of its epochs.
pub(super) struct MeasuredCache {
    pub(super) choice: CacheChoice,
    name: &'static str,
    /// The opened set, or the reason why this machine cannot use the cache.
    feed: Result<Feed, String>,
    /// Time of each epoch of loading without training, in seconds.
    loading: Vec<f64>,
    /// Time of each epoch of loading with training, in seconds.
    training: Vec<f64>,
}

impl MeasuredCache {
    /// Opens the set once with each cache.
    pub(super) fn open_all(
        open: impl Fn() -> Result<ShardSet>,
        gpu: Option<&Program>,
        verbosity: Verbosity,
    ) -> Result<Vec<MeasuredCache>> {
        let cache = |(choice, name)| {
            let feed = match Feed::new(open()?, choice, gpu, verbosity) {
                Ok(feed) => Ok(feed),
                Err(Error::Base(BaseError::Unavailable { why, .. })) => Err(why),
                // The set is larger than the memory.
                Err(refused @ Error::Base(BaseError::Usage { .. })) if choice != CacheChoice::Stream => {
                    Err(refused.to_string())
                }
                Err(error) => return Err(error),
            };
            Ok(MeasuredCache { choice, name, feed, loading: Vec::new(), training: Vec::new() })
        };
        CACHES.into_iter().map(cache).collect()
    }

    /// Returns the row of the report for this cache and for `work`.
    pub(super) fn strategy(&self, work: Work, batch_size: usize) -> Strategy {
        let feed = match &self.feed {
            Ok(feed) => feed,
            Err(reason) => return Strategy::unavailable(self.name, work, reason),
        };
        let counted = (feed.loader().batches(batch_size), feed.loader().set().len());
        Strategy::measured(
            self.name,
            work,
            counted,
            median(&mut self.seconds(work).to_vec()),
            MeasuredCache::bytes_per_sample(feed),
        )
    }

    /// Returns the opened set, or `None` if this machine cannot use the cache.
    pub(super) fn feed(&self) -> Option<&Feed> {
        self.feed.as_ref().ok()
    }

    pub(super) fn seconds(&self, work: Work) -> &[f64] {
        match work {
            Work::Loading => &self.loading,
            Work::Training => &self.training,
        }
    }

    fn bytes_per_sample(feed: &Feed) -> f64 {
        let loader = feed.loader();
        let stored = loader.set().manifest().stored_bytes();
        let host = loader.host_cache().map(|cache| cache.bytes());
        let cached = host.or(feed.device_cache().map(|cache| cache.bytes()));
        cached.map_or(stored as f64, |bytes| bytes as f64) / loader.set().len() as f64
    }

    fn epoch(&mut self, work: Work, epoch: u64, shared: &mut Shared<'_>) -> Result<()> {
        let Ok(feed) = &self.feed else { return Ok(()) };
        let loader = feed.loader();
        if work == Work::Training {
            shared.trainer.restart()?;
        }
        let inflation = Inflation { steps: shared.time_steps, batch_size: shared.batch_size };
        let dense = match (work, feed.device_cache(), shared.trainer.program()) {
            (Work::Loading, Some(_), Some(program)) => {
                inflation.buffers(program, loader.set().manifest().description.shape.cells() as usize)?
            }
            _ => Vec::new(),
        };
        let started = Instant::now();
        let order = EpochOrder::Shuffled { seed: 0, epoch };
        match (work, feed.device_cache(), shared.trainer.program()) {
            (Work::Training, ..) => {
                let progress = &shared.progress;
                shared.trainer.epoch(feed, order, shared.batch_size, || progress.add(1))
            }
            (Work::Loading, Some(cache), Some(program)) => {
                inflation.epoch(program, &dense, cache, loader, order, || shared.progress.add(1))
            }
            (Work::Loading, ..) => loader.dense_epoch(order, shared.batch_size, 0, shared.time_steps, |dense, _| {
                std::hint::black_box(dense);
                shared.progress.add(1);
                Ok::<_, Error>(true)
            }),
        }?;
        let seconds = started.elapsed().as_secs_f64();
        match work {
            Work::Loading => self.loading.push(seconds),
            Work::Training => self.training.push(seconds),
        }
        Ok(())
    }
}

struct Shared<'a> {
    trainer: &'a mut Trainer,
    batch_size: usize,
    time_steps: usize,
    progress: Progress,
}

/// Measures the times of `epochs` epochs of loading and `epochs` epochs of training for each cache, after a warm-up.
pub(super) fn measure(
    caches: &mut [MeasuredCache],
    trainer: &mut Trainer,
    (batch_size, epochs): (usize, u64),
    time_steps: usize,
    verbosity: Verbosity,
) -> Result<()> {
    let batches: u64 = caches.iter().flat_map(|cache| &cache.feed).map(|feed| feed.loader().batches(batch_size)).sum();
    // On a GPU the first epoch loads the kernels and records the steps; on the CPU it takes as long as any other.
    let warm_training = trainer.program().is_some();
    let rounds = 2 * epochs + 1 + u64::from(warm_training);
    let progress = Progress::start(verbosity, "bench", batches * rounds, "batches");
    let mut shared = Shared { trainer, batch_size, time_steps, progress };
    for cache in caches.iter_mut() {
        cache.epoch(Work::Loading, 0, &mut shared)?;
        cache.loading.clear();
        if warm_training {
            cache.epoch(Work::Training, 0, &mut shared)?;
            cache.training.clear();
        }
    }
    for epoch in 1..=epochs {
        for work in [Work::Loading, Work::Training] {
            if epoch % 2 == 1 {
                caches.iter_mut().try_for_each(|cache| cache.epoch(work, epoch, &mut shared))?;
            } else {
                caches.iter_mut().rev().try_for_each(|cache| cache.epoch(work, epoch, &mut shared))?;
            }
        }
    }
    shared.progress.clear();
    Ok(())
}
