//! What this machine does: loading from each cache, alone, and training steps.

use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::config::{EngineChoice, fixed_steps};
use super::kernel::adam::{Adam, AdamConfig};
use super::loader::{Batch, CacheChoice, EpochOrder, Loader};
use super::snn::{Iaf, Network, Parameters, Shape};
use crate::error::{Error, Result};
use crate::progress::Verbosity;
use crate::shard::ShardSet;

/// Epochs measured of each way to load, after one that warms caches up.
const EPOCHS: u64 = 3;

/// What was measured. Rates are of full epochs, medians.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Samples a batch.
    pub batch_size: usize,
    /// Steps a sample.
    pub steps: usize,
    /// Map, check, decode, dense float32 (B, T, C).
    pub stream_batches_per_second: f64,
    /// Host cache, dense float32 (B, T, C).
    pub host_batches_per_second: f64,
    /// Memory of the host cache.
    pub host_bytes_per_sample: f64,
    /// One training step of the engine, on batches of the host cache.
    pub step_seconds: f64,
    /// The same, fastest.
    pub step_seconds_min: f64,
    /// Threads.
    pub threads: usize,
}

/// Measures loading and `steps` training steps on a set.
///
/// # Errors
/// Those of loading, and [`Error::Usage`] for a set without a sample.
pub fn bench(
    open: impl Fn() -> Result<ShardSet>,
    batch_size: usize,
    engine: EngineChoice,
    steps: usize,
) -> Result<Measured> {
    let host = Loader::new(open()?, CacheChoice::Host, Verbosity::Quiet)?;
    let stream = Loader::new(open()?, CacheChoice::Stream, Verbosity::Quiet)?;
    let manifest = host.set().manifest();
    let time_steps = fixed_steps(manifest);
    let host_bytes = host.cache().map_or(0, |cache| cache.bytes());

    let dense_rate = |loader: &Loader| -> Result<f64> {
        let mut rates = Vec::new();
        for epoch in 0..=EPOCHS {
            let started = Instant::now();
            loader.dense_epoch(EpochOrder::Shuffled { seed: 0, epoch }, batch_size, 0, time_steps, |dense, _| {
                std::hint::black_box(dense);
                Ok(true)
            })?;
            rates.push(loader.batches(batch_size) as f64 / started.elapsed().as_secs_f64());
        }
        rates.remove(0);
        Ok(median(rates))
    };
    let stream_batches_per_second = dense_rate(&stream)?;
    let host_batches_per_second = dense_rate(&host)?;
    let mut times = step_times(&host, batch_size, engine, steps, time_steps)?;
    times.sort_by(f64::total_cmp);
    Ok(Measured {
        batch_size,
        steps: time_steps,
        stream_batches_per_second,
        host_batches_per_second,
        host_bytes_per_sample: host_bytes as f64 / host.set().len().max(1) as f64,
        step_seconds_min: times.first().copied().unwrap_or(f64::NAN),
        step_seconds: median(times),
        threads: rayon::current_num_threads(),
    })
}

/// Seconds of each of `steps` training steps, after one that warms up.
fn step_times(
    loader: &Loader,
    batch_size: usize,
    choice: EngineChoice,
    steps: usize,
    time_steps: usize,
) -> Result<Vec<f64>> {
    let mut batches: Vec<Batch> = Vec::new();
    loader.epoch(EpochOrder::Shuffled { seed: 0, epoch: 0 }, batch_size, 0, |batch| {
        batches.push(batch.clone());
        Ok(batches.len() <= steps)
    })?;
    if batches.is_empty() {
        return Err(Error::usage("--data", "a set with samples", 0));
    }
    let description = &loader.set().manifest().description;
    let shape = Shape::reference(description.shape.cells() as usize, description.classes.len());
    let mut network = Network::new(shape.clone(), Iaf::default(), &mut ChaCha8Rng::seed_from_u64(0));
    let mut gradients = Parameters::zeros(shape);
    let mut adam = Adam::new(AdamConfig::default(), gradients.flat().len());
    let mut engine = choice.engine(&network);
    let mut times = Vec::with_capacity(steps);
    for i in 0..=steps {
        let batch = &batches[i % batches.len()];
        let started = Instant::now();
        engine.step(&network, &batch.samples(), &batch.labels, time_steps, &mut gradients)?;
        adam.update(network.parameters.flat_mut(), gradients.flat());
        if i > 0 {
            times.push(started.elapsed().as_secs_f64());
        }
    }
    Ok(times)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
