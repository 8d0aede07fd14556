//! Benchmark of a set: training steps, and then whole epochs from each cache.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tonic_base::Verbosity;
use tonic_loader::{Batch, CacheChoice, EpochOrder, Loader, fixed_steps};
use tonic_report::{Report, Strategy, Work, check_dense, median};
use tonic_shard::{Error as ShardError, FrameShape, ShardSet};

use crate::bench::caches::{self, MeasuredCache};
use crate::bench::gpu::{self, GpuMeasured};
use crate::bench::step::{StepBench, StepMeasured, Trainer};
use crate::error::{Error, Result};
use crate::gpu::Device;
use crate::learner::{Room, check_labelled, longest_steps};

/// Maximum number of different batches for timing training steps.
const STEP_BATCHES: usize = 16;

/// Measurements of a set. Rates are medians over whole epochs. Fields are `None` if this build or machine cannot
/// measure them.
#[derive(Clone, Debug, Serialize)]
pub struct SetMeasured {
    /// Speed of loading dense float32 batches, (batch, time steps, P * H * W), from the shards, in batches per second,
    /// without training.
    pub stream_batches_per_second: Option<f64>,
    /// Speed of loading dense float32 batches, (batch, time steps, P * H * W), from the host cache, in batches per
    /// second, without training.
    pub host_batches_per_second: Option<f64>,
    /// Size of the host cache per sample, in bytes.
    pub host_bytes_per_sample: Option<f64>,
    /// Batches per second of training from the shards.
    pub stream_train_batches_per_second: Option<f64>,
    /// Batches per second of training from the host cache.
    pub host_train_batches_per_second: Option<f64>,
    /// Time of a training epoch from the shards, divided by the time from the host cache. Median over the rounds.
    pub stream_epoch_over_host: Option<f64>,
    /// Batches per second of training from the device cache.
    pub device_train_batches_per_second: Option<f64>,
    /// Median time of an epoch of training from the device cache, in seconds.
    pub device_epoch_seconds: Option<f64>,
    /// Time of the fastest epoch of training from the device cache, in seconds.
    pub device_epoch_seconds_min: Option<f64>,
    /// Time of the slowest epoch of training from the device cache, in seconds.
    pub device_epoch_seconds_max: Option<f64>,
    /// Median time of an epoch of training from the shards, in seconds.
    pub stream_epoch_seconds: Option<f64>,
    /// Time of the fastest epoch of training from the shards, in seconds.
    pub stream_epoch_seconds_min: Option<f64>,
    /// Time of the slowest epoch of training from the shards, in seconds.
    pub stream_epoch_seconds_max: Option<f64>,
    /// Measurements of the GPU. `None` on the CPU, or if the set doesn't fit into the GPU's memory.
    #[serde(flatten)]
    pub gpu: Option<GpuMeasured>,
    /// Rows of the table of loading strategies: first those of the report [`SetBench::beside`], then loading from each
    /// cache, then training from each cache.
    pub strategies: Vec<Strategy>,
    /// Number of samples of the set.
    pub samples: u64,
    /// Measurements of training steps on batches in memory, without loading.
    #[serde(flatten)]
    pub step: StepMeasured,
}

/// Options of [`bench_set`].
#[derive(Clone, Debug)]
pub struct SetBench {
    /// Options of the benchmark of training steps: network, batch size and device.
    pub step: StepBench,
    /// Number of timed epochs of loading, and of training, for each cache.
    pub epochs: u64,
    /// Path of a report of `tonic-prep bench --json`, whose rows are added to [`SetMeasured::strategies`].
    pub beside: Option<PathBuf>,
    /// Whether the benchmark shows its progress.
    pub verbosity: Verbosity,
}

/// Measures training steps on a set, and then whole epochs from each cache. `open` must open the same set at each
/// call.
///
/// # Errors
/// The errors of `open` and of reading the set; [`Error::Unlabelled`] if the set has no samples, or a sample without a
/// label; [`Usage`](tonic_base::Error::Usage) if dense batches would be too large;
/// [`Mismatch`](tonic_shard::Error::Mismatch) if the report [`SetBench::beside`] has another recipe, frame shape or
/// batch size.
pub fn bench_set(open: impl Fn() -> Result<ShardSet>, bench: &SetBench) -> Result<SetMeasured> {
    let SetBench { step, epochs, beside, verbosity } = bench;
    let set = open()?;
    let mut strategies = match beside {
        Some(path) => beside_set(path, &set, step.batch_size)?,
        None => Vec::new(),
    };
    check_labelled(&set)?;
    let (samples, time_steps) = (set.len(), fixed_steps(set.manifest()));
    let (shape, classes) = (set.manifest().description.shape, set.manifest().description.classes.len());
    let batch_size = step.batch_size;
    check_dense(samples.min(batch_size as u64), time_steps as u64, shape.cells(), 1)?;
    let longest = longest_steps(time_steps, &[&set]);
    let program = step.backend.program(&[&set], longest, None)?;
    let free = step.backend.device.as_ref().map(Device::free_memory).transpose()?;
    let batches = samples.div_ceil(batch_size as u64);
    let room = Room { batch: batch_size, longest, batches, evaluated: 0 };
    let sizes = (shape.cells() as usize, classes);
    let mut trainer = Trainer::new(step, program.clone(), sizes, time_steps, room)?;
    let step = trainer.measure(&some_batches(set, batch_size)?, step)?;

    let mut caches = MeasuredCache::open_all(&open, program.as_deref(), *verbosity)?;
    caches::measure(&mut caches, &mut trainer, (batch_size, *epochs), time_steps, *verbosity)?;
    let cache = caches.iter().find_map(|cache| cache.feed()?.device_cache());
    let gpu = match (&program, cache, free) {
        (Some(program), Some(cache), Some(free)) => {
            Some(gpu::measure(program, cache, &open()?, (batch_size, time_steps), free)?)
        }
        _ => None,
    };
    let strategy = |cache: &MeasuredCache, work| cache.strategy(work, batch_size);
    let of = |choice, work| caches.iter().find(|cache| cache.choice == choice).map(|cache| strategy(cache, work));
    let rate = |choice, work| of(choice, work).and_then(|strategy| strategy.batches_per_second);
    for work in [Work::Loading, Work::Training] {
        strategies.extend(caches.iter().map(|cache| strategy(cache, work)));
    }
    let [device_epoch, stream_epoch] =
        [CacheChoice::Device, CacheChoice::Stream].map(|choice| epoch_of(&caches, choice));
    Ok(SetMeasured {
        stream_batches_per_second: rate(CacheChoice::Stream, Work::Loading),
        host_batches_per_second: rate(CacheChoice::Host, Work::Loading),
        host_bytes_per_sample: of(CacheChoice::Host, Work::Loading).and_then(|strategy| strategy.bytes_per_sample),
        stream_train_batches_per_second: rate(CacheChoice::Stream, Work::Training),
        host_train_batches_per_second: rate(CacheChoice::Host, Work::Training),
        stream_epoch_over_host: stream_over_host(&caches),
        device_train_batches_per_second: rate(CacheChoice::Device, Work::Training),
        device_epoch_seconds: device_epoch.map(|epoch| epoch[0]),
        device_epoch_seconds_min: device_epoch.map(|epoch| epoch[1]),
        device_epoch_seconds_max: device_epoch.map(|epoch| epoch[2]),
        stream_epoch_seconds: stream_epoch.map(|epoch| epoch[0]),
        stream_epoch_seconds_min: stream_epoch.map(|epoch| epoch[1]),
        stream_epoch_seconds_max: stream_epoch.map(|epoch| epoch[2]),
        gpu,
        strategies,
        samples,
        step,
    })
}

/// Reads the rows of the report at `path`, which must have the recipe, frame shape and batch size of this benchmark.
fn beside_set(path: &Path, set: &ShardSet, batch_size: usize) -> Result<Vec<Strategy>> {
    let report = Report::<FrameShape>::read(path)?;
    let description = &set.manifest().description;
    let (recipe, shape) = (&description.recipe, description.shape);
    let fields = [
        ("batch_size", batch_size.to_string(), report.batch_size.to_string()),
        ("recipe", recipe.clone(), report.recipe.unwrap_or_else(|| recipe.clone())),
        ("shape", shape.to_string(), report.shape.unwrap_or(shape).to_string()),
    ];
    ShardError::refuse_difference(path, set.dir(), fields)?;
    Ok(report.strategies)
}

fn some_batches(set: ShardSet, batch_size: usize) -> Result<Vec<Batch>> {
    let mut batches = Vec::new();
    let stream = Loader::new(set, CacheChoice::Stream, Verbosity::Quiet)?;
    stream.epoch(EpochOrder::Shuffled { seed: 0, epoch: 0 }, batch_size, 0, |batch| {
        batches.push(batch.clone());
        Ok::<_, Error>(batches.len() < STEP_BATCHES)
    })?;
    Ok(batches)
}

/// Returns the time of a training epoch in seconds, as `[median, fastest, slowest]`.
fn epoch_of(caches: &[MeasuredCache], choice: CacheChoice) -> Option<[f64; 3]> {
    let mut seconds = caches.iter().find(|cache| cache.choice == choice)?.seconds(Work::Training).to_vec();
    let median = median(&mut seconds);
    Some([median, *seconds.first()?, *seconds.last()?])
}

/// Returns [`SetMeasured::stream_epoch_over_host`].
fn stream_over_host(caches: &[MeasuredCache]) -> Option<f64> {
    let seconds =
        |choice| caches.iter().find(|cache| cache.choice == choice).map(|cache| cache.seconds(Work::Training));
    let (stream, host) = (seconds(CacheChoice::Stream)?, seconds(CacheChoice::Host)?);
    let mut ratios: Vec<f64> = stream.iter().zip(host).map(|(stream, host)| stream / host).collect();
    (!ratios.is_empty()).then(|| median(&mut ratios))
}
