//! Benchmark of a set: training steps, then whole epochs of each way to keep it.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tonic_base::Verbosity;
use tonic_loader::{Batch, CacheChoice, EpochOrder, Loader};
use tonic_report::{Report, Strategy, Work, check_dense, median};
use tonic_shard::{Error as ShardError, FrameShape, ShardSet};

use crate::bench::gpu::{self, GpuMeasured};
use crate::bench::step::{StepBench, StepMeasured, Trainer};
use crate::bench::ways::{self, Way};
use crate::error::{Error, Result};
use crate::gpu::Device;
use crate::learner::{Room, check_labelled, fixed_steps, longest_steps};

/// Number of batches of a set that training steps are timed on.
const STEP_BATCHES: usize = 16;

/// Measurements of a set. Rates are medians over whole epochs. `None`: this build or machine cannot measure it.
#[derive(Clone, Debug, Serialize)]
pub struct SetMeasured {
    /// Loading from the shards: map, check, decode, dense float32 (B, T, C).
    pub stream_batches_per_second: Option<f64>,
    /// Loading from the host cache: dense float32 (B, T, C).
    pub host_batches_per_second: Option<f64>,
    /// Memory of the host cache.
    pub host_bytes_per_sample: Option<f64>,
    /// Training from the shards.
    pub stream_train_batches_per_second: Option<f64>,
    /// Training from the host cache.
    pub host_train_batches_per_second: Option<f64>,
    /// Ratio of the seconds of an epoch of training from the shards to one from the host cache right after it.
    pub stream_epoch_over_host: Option<f64>,
    /// Training from the device cache.
    pub device_train_batches_per_second: Option<f64>,
    /// Seconds of an epoch of training from the device cache, median.
    pub device_epoch_seconds: Option<f64>,
    /// Fastest epoch.
    pub device_epoch_seconds_min: Option<f64>,
    /// Slowest epoch.
    pub device_epoch_seconds_max: Option<f64>,
    /// Seconds of an epoch of training from the shards, median.
    pub stream_epoch_seconds: Option<f64>,
    /// Fastest epoch.
    pub stream_epoch_seconds_min: Option<f64>,
    /// Slowest epoch.
    pub stream_epoch_seconds_max: Option<f64>,
    /// Measurements of a GPU.
    #[serde(flatten)]
    pub gpu: Option<GpuMeasured>,
    /// Each way to keep the set, loading alone and with training.
    pub strategies: Vec<Strategy>,
    /// Number of samples of the set.
    pub samples: u64,
    /// Measurements of a training step on batches in memory.
    #[serde(flatten)]
    pub step: StepMeasured,
}

/// Options of a set's benchmark.
#[derive(Clone, Debug)]
pub struct SetBench {
    /// The network and its training.
    pub step: StepBench,
    /// Epochs of each way and work, of which the median is reported.
    pub epochs: u64,
    /// A report whose strategies are put before ours.
    pub beside: Option<PathBuf>,
    /// Whether progress is shown.
    pub verbosity: Verbosity,
}

/// Measures training steps on a set, then whole epochs of each way to keep it, loading alone and with training.
///
/// # Errors
/// Errors of loading; [`Usage`](tonic_base::Error::Usage) for a set without samples and labels, and for batches too
/// large to be dense; [`Mismatch`](tonic_shard::Error::Mismatch) for a report of other frames or batches.
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
    let program = step.backend.program(&[&set], longest)?;
    let free = step.backend.device.as_ref().map(Device::free_memory).transpose()?;
    let batches = samples.div_ceil(batch_size as u64);
    let room = Room { batch: batch_size, longest, batches, evaluated: 0 };
    let sizes = (shape.cells() as usize, classes);
    let mut trainer = Trainer::new(step, program.clone(), sizes, time_steps, room)?;
    let step = trainer.measure(&some_batches(set, batch_size)?, step)?;

    let mut ways = Way::open_all(&open, program.as_deref(), *verbosity)?;
    ways::measure(&mut ways, &mut trainer, (batch_size, *epochs), time_steps, *verbosity)?;
    let cache = ways.iter().find_map(|way| way.feed()?.device_cache());
    let gpu = match (&program, cache, free) {
        (Some(program), Some(cache), Some(free)) => {
            Some(gpu::measure(program, cache, &open()?, (batch_size, time_steps), free)?)
        }
        _ => None,
    };
    let strategy = |way: &Way, work| way.strategy(work, batch_size);
    let of = |choice, work| ways.iter().find(|way| way.choice == choice).map(|way| strategy(way, work));
    let rate = |choice, work| of(choice, work).and_then(|strategy| strategy.batches_per_second);
    for work in [Work::Loading, Work::Training] {
        strategies.extend(ways.iter().map(|way| strategy(way, work)));
    }
    let [device_epoch, stream_epoch] = [CacheChoice::Device, CacheChoice::Stream].map(|choice| epoch_of(&ways, choice));
    Ok(SetMeasured {
        stream_batches_per_second: rate(CacheChoice::Stream, Work::Loading),
        host_batches_per_second: rate(CacheChoice::Host, Work::Loading),
        host_bytes_per_sample: of(CacheChoice::Host, Work::Loading).and_then(|strategy| strategy.bytes_per_sample),
        stream_train_batches_per_second: rate(CacheChoice::Stream, Work::Training),
        host_train_batches_per_second: rate(CacheChoice::Host, Work::Training),
        stream_epoch_over_host: stream_over_host(&ways),
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

/// Reads the strategies of a report, and refuses one of other frames or batches than the set's.
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

/// Loads the first batches of an epoch.
fn some_batches(set: ShardSet, batch_size: usize) -> Result<Vec<Batch>> {
    let mut batches = Vec::new();
    let stream = Loader::new(set, CacheChoice::Stream, Verbosity::Quiet)?;
    stream.epoch(EpochOrder::Shuffled { seed: 0, epoch: 0 }, batch_size, 0, |batch| {
        batches.push(batch.clone());
        Ok::<_, Error>(batches.len() < STEP_BATCHES)
    })?;
    Ok(batches)
}

/// Seconds of an epoch of training: median, fastest, slowest.
fn epoch_of(ways: &[Way], choice: CacheChoice) -> Option<[f64; 3]> {
    let mut seconds = ways.iter().find(|way| way.choice == choice)?.seconds(Work::Training).to_vec();
    let median = median(&mut seconds);
    Some([median, *seconds.first()?, *seconds.last()?])
}

/// The median of the rounds' ratios: in a round, one epoch follows the other.
fn stream_over_host(ways: &[Way]) -> Option<f64> {
    let seconds = |choice| ways.iter().find(|way| way.choice == choice).map(|way| way.seconds(Work::Training));
    let (stream, host) = (seconds(CacheChoice::Stream)?, seconds(CacheChoice::Host)?);
    let mut ratios: Vec<f64> = stream.iter().zip(host).map(|(stream, host)| stream / host).collect();
    (!ratios.is_empty()).then(|| median(&mut ratios))
}
