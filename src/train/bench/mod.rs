//! What this machine does: training steps, and each way to load a set, alone and with training.

mod random;
mod step;

use std::time::Instant;

use serde::Serialize;

pub use random::{RandomFrames, bench_random};
use step::Trainer;
pub use step::{StepBench, StepMeasured};

use super::config::fixed_steps;
use super::eval::check_labelled;
use super::loader::{Batch, CacheChoice, EpochOrder, Loader};
use crate::error::Result;
use crate::progress::Verbosity;
use crate::shard::ShardSet;

/// Epochs measured of each way to load, after one that warms caches up.
const EPOCHS: u64 = 3;
/// Batches of a set that training steps are timed on.
const STEP_BATCHES: usize = 16;

/// What was measured. Rates are of full epochs, medians.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Map, check, decode, dense float32 (B, T, C).
    pub stream_batches_per_second: f64,
    /// Host cache, dense float32 (B, T, C).
    pub host_batches_per_second: f64,
    /// Memory of the host cache.
    pub host_bytes_per_sample: f64,
    /// A training step, on batches of the host cache.
    #[serde(flatten)]
    pub step: StepMeasured,
}

/// Measures loading and training steps on a set.
///
/// # Errors
/// Those of loading, and [`crate::error::Error::Usage`] for a set without samples and labels.
pub fn bench(open: impl Fn() -> Result<ShardSet>, bench: &StepBench) -> Result<Measured> {
    let batch_size = bench.batch_size;
    let host = Loader::new(open()?, CacheChoice::Host, Verbosity::Quiet)?;
    let stream = Loader::new(open()?, CacheChoice::Stream, Verbosity::Quiet)?;
    check_labelled(host.set())?;
    let manifest = host.set().manifest();
    let description = &manifest.description;
    let time_steps = fixed_steps(manifest);
    let host_bytes = host.cache().map_or(0, |cache| cache.bytes());

    let dense_rate = |loader: &Loader| -> Result<f64> {
        let mut dense = Vec::new();
        let mut rates = Vec::new();
        for epoch in 0..=EPOCHS {
            let started = Instant::now();
            loader.epoch(EpochOrder::Shuffled { seed: 0, epoch }, batch_size, 0, |batch| {
                batch.write_dense(description.shape, time_steps, &mut dense);
                std::hint::black_box(&dense);
                Ok(true)
            })?;
            rates.push(loader.batches(batch_size) as f64 / started.elapsed().as_secs_f64());
        }
        Ok(median(&mut rates[1..]))
    };
    let stream_batches_per_second = dense_rate(&stream)?;
    let host_batches_per_second = dense_rate(&host)?;
    let mut batches: Vec<Batch> = Vec::new();
    host.epoch(EpochOrder::Shuffled { seed: 0, epoch: 0 }, batch_size, 0, |batch| {
        batches.push(batch);
        Ok(batches.len() < STEP_BATCHES)
    })?;
    let mut trainer = Trainer::new(description.shape.cells() as usize, description.classes.len(), time_steps, bench);
    Ok(Measured {
        stream_batches_per_second,
        host_batches_per_second,
        host_bytes_per_sample: host_bytes as f64 / host.set().len() as f64,
        step: trainer.measure(&batches, bench)?,
    })
}

/// The middle value, or the upper of the two.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
