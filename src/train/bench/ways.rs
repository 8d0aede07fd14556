//! Each way to keep a set, in whole epochs: loading alone, and with training.
//!
//! The ways take turns, forwards and backwards, so that a machine that slows down slows all of them; and every epoch of
//! training begins with the same network, so that all of them do the same work.

use std::time::Instant;

use super::gpu::Inflation;
use super::step::Trainer;
use crate::error::{Error, Result};
use crate::progress::{Progress, Verbosity};
use crate::shard::ShardSet;
use crate::strategy::{Strategy, Work, median};
use crate::train::kernel::program::Program;
use crate::train::loader::{CacheChoice, EpochOrder, Loader};

/// The ways to keep a set.
const WAYS: [(CacheChoice, &str); 3] =
    [(CacheChoice::Stream, "stream"), (CacheChoice::Host, "host cache"), (CacheChoice::Device, "device cache")];

/// A way to keep a set, open or with the reason why not.
pub(super) struct Way {
    pub(super) choice: CacheChoice,
    name: &'static str,
    loader: std::result::Result<Loader, String>,
    /// Seconds of each epoch, by work.
    loading: Vec<f64>,
    training: Vec<f64>,
}

impl Way {
    /// Opens a set in all ways that this build and this machine have.
    ///
    /// # Errors
    /// Those of loading.
    pub(super) fn open_all(
        open: impl Fn() -> Result<ShardSet>,
        gpu: Option<&Program>,
        verbosity: Verbosity,
    ) -> Result<Vec<Way>> {
        let way = |(choice, name)| {
            let loader = match Loader::new(open()?, choice, gpu, verbosity) {
                Ok(loader) => Ok(loader),
                Err(Error::Unavailable { why, .. }) => Err(why),
                // A set larger than the memory.
                Err(refused @ Error::Usage { .. }) if choice != CacheChoice::Stream => Err(refused.to_string()),
                Err(error) => return Err(error),
            };
            Ok(Way { choice, name, loader, loading: Vec::new(), training: Vec::new() })
        };
        WAYS.into_iter().map(way).collect()
    }

    /// What it was measured to do, by work.
    pub(super) fn strategy(&self, work: Work, batch_size: usize) -> Strategy {
        let loader = match &self.loader {
            Ok(loader) => loader,
            Err(reason) => return Strategy::unavailable(self.name, work, reason),
        };
        let counted = (loader.batches(batch_size), loader.set().len());
        Strategy::measured(
            self.name,
            work,
            counted,
            median(&mut self.seconds(work).to_vec()),
            self.bytes_per_sample(loader),
        )
    }

    /// Its loader, if it is open.
    pub(super) fn loader(&self) -> Option<&Loader> {
        self.loader.as_ref().ok()
    }

    /// Seconds of each epoch, in the order in which they were measured.
    pub(super) fn seconds(&self, work: Work) -> &[f64] {
        match work {
            Work::Loading => &self.loading,
            Work::Training => &self.training,
        }
    }

    fn bytes_per_sample(&self, loader: &Loader) -> f64 {
        let stored = loader.set().manifest().stored_bytes();
        let host = loader.host_cache().map(|cache| cache.bytes());
        let cached = host.or(loader.device_cache().map(|cache| cache.bytes()));
        cached.map_or(stored as f64, |bytes| bytes as f64) / loader.set().len() as f64
    }

    fn epoch(&mut self, work: Work, epoch: u64, run: &mut Run<'_>) -> Result<()> {
        let Ok(loader) = &self.loader else { return Ok(()) };
        if work == Work::Training {
            run.trainer.restart()?;
        }
        let inflation = Inflation { steps: run.time_steps, batch_size: run.batch_size };
        let dense = match (work, loader.device_cache(), run.trainer.backend().program()) {
            (Work::Loading, Some(_), Some(program)) => {
                inflation.buffers(program, loader.set().manifest().description.shape.cells() as usize)?
            }
            _ => Vec::new(),
        };
        let started = Instant::now();
        let order = EpochOrder::Shuffled { seed: 0, epoch };
        match (work, loader.device_cache(), run.trainer.backend().program()) {
            (Work::Training, ..) => {
                let progress = &run.progress;
                run.trainer.epoch(loader, order, run.batch_size, || progress.add(1))
            }
            (Work::Loading, Some(cache), Some(program)) => {
                inflation.epoch(program, &dense, cache, loader, order, || run.progress.add(1))
            }
            (Work::Loading, ..) => loader.dense_epoch(order, run.batch_size, 0, run.time_steps, |dense, _| {
                std::hint::black_box(dense);
                run.progress.add(1);
                Ok(true)
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

/// What all epochs share.
struct Run<'a> {
    trainer: &'a mut Trainer,
    batch_size: usize,
    time_steps: usize,
    progress: Progress,
}

/// Times `epochs` epochs of each way and work, after one of loading, and on a GPU one of training, that warm up.
///
/// # Errors
/// Those of loading, [`Error::Kernel`].
pub(super) fn measure(
    ways: &mut [Way],
    trainer: &mut Trainer,
    (batch_size, epochs): (usize, u64),
    time_steps: usize,
    verbosity: Verbosity,
) -> Result<()> {
    let batches: u64 = ways.iter().flat_map(|way| &way.loader).map(|loader| loader.batches(batch_size)).sum();
    // On a GPU the first epoch loads the kernels and records the steps; on the CPU it is as long as any, and long.
    let warm_training = trainer.backend().program().is_some();
    let rounds = 2 * epochs + 1 + u64::from(warm_training);
    let progress = Progress::start(verbosity, "bench", batches * rounds, "batches");
    let mut run = Run { trainer, batch_size, time_steps, progress };
    for way in ways.iter_mut() {
        way.epoch(Work::Loading, 0, &mut run)?;
        way.loading.clear();
        if warm_training {
            way.epoch(Work::Training, 0, &mut run)?;
            way.training.clear();
        }
    }
    for epoch in 1..=epochs {
        for work in [Work::Loading, Work::Training] {
            if epoch % 2 == 1 {
                ways.iter_mut().try_for_each(|way| way.epoch(work, epoch, &mut run))?;
            } else {
                ways.iter_mut().rev().try_for_each(|way| way.epoch(work, epoch, &mut run))?;
            }
        }
    }
    run.progress.clear();
    Ok(())
}
