//! What this machine does: training steps, and each way to keep a set, loading alone and with training.

mod gpu;
mod random;
mod step;
mod ways;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use gpu::GpuMeasured;
pub(super) use gpu::Inflation;
pub use random::{RandomFrames, bench_random};
pub use step::{StepBench, StepMeasured};
use step::{Task, Trainer};
use ways::Way;

use super::config::fixed_steps;
use super::eval::check_labelled;
use super::kernel::cuda::Device;
use super::kernel::program::Form;
use super::learner::longest_steps;
use super::loader::{Batch, CacheChoice, EpochOrder, Loader};
use crate::error::{Error, Result};
use crate::progress::Verbosity;
use crate::shard::ShardSet;
use crate::strategy::{Report, Strategy, Work, check_dense, median};

/// Batches of a set that training steps are timed on.
const STEP_BATCHES: usize = 16;

/// What was measured on a set. Rates are of whole epochs, medians; `None` is what this build or this machine has not.
#[derive(Clone, Debug, Serialize)]
pub struct SetMeasured {
    /// Map, check, decode, dense float32 (B, T, C).
    pub stream_batches_per_second: Option<f64>,
    /// Host cache, dense float32 (B, T, C).
    pub host_batches_per_second: Option<f64>,
    /// Memory of the host cache.
    pub host_bytes_per_sample: Option<f64>,
    /// Training from the shards.
    pub stream_train_batches_per_second: Option<f64>,
    /// Training from the host cache.
    pub host_train_batches_per_second: Option<f64>,
    /// Seconds of an epoch of training from the shards over those from the host cache, one right after the other.
    pub stream_epoch_over_host: Option<f64>,
    /// Training from the device cache.
    pub device_train_batches_per_second: Option<f64>,
    /// Seconds of an epoch of it, median.
    pub device_epoch_seconds: Option<f64>,
    /// The same, fastest.
    pub device_epoch_seconds_min: Option<f64>,
    /// The same, slowest.
    pub device_epoch_seconds_max: Option<f64>,
    /// Seconds of an epoch of training from the shards, median.
    pub stream_epoch_seconds: Option<f64>,
    /// The same, fastest.
    pub stream_epoch_seconds_min: Option<f64>,
    /// The same, slowest.
    pub stream_epoch_seconds_max: Option<f64>,
    /// What only a GPU does.
    #[serde(flatten)]
    pub gpu: Option<GpuMeasured>,
    /// Each way to keep the set, loading alone and with training.
    pub strategies: Vec<Strategy>,
    /// Samples of the set.
    pub samples: u64,
    /// A training step, on batches in memory.
    #[serde(flatten)]
    pub step: StepMeasured,
}

/// What is measured on a set.
#[derive(Clone, Debug)]
pub struct SetBench {
    /// The network, and how it is trained.
    pub step: StepBench,
    /// Epochs of each way and work, of which the median counts.
    pub epochs: u64,
    /// A report whose strategies are put before ours.
    pub beside: Option<PathBuf>,
    /// Progress.
    pub verbosity: Verbosity,
}

/// Measures training steps on a set, then whole epochs of each way to keep it, loading alone and with training.
///
/// # Errors
/// Those of loading; [`Error::Usage`] for a set without samples and labels, and for batches too large to be dense;
/// [`Error::Mismatch`] for a report of other frames or batches.
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
    let backend = step.backend(Form::of(shape, longest, [set.manifest().description.widths.counts]))?;
    let free = step.device.as_ref().map(Device::free_memory).transpose()?;
    let batches = samples.div_ceil(batch_size as u64);
    let task = Task { inputs: shape.cells() as usize, classes, time_steps, longest, batches };
    let mut trainer = Trainer::new(&task, step, backend.clone())?;
    let step = trainer.measure(&some_batches(set, batch_size)?, step)?;

    let program = backend.program().map(AsRef::as_ref);
    let mut ways = Way::open_all(&open, program, *verbosity)?;
    ways::measure(&mut ways, &mut trainer, (batch_size, *epochs), time_steps, *verbosity)?;
    let cache = ways.iter().find_map(|way| way.loader()?.device_cache());
    let gpu = match (program, cache, free) {
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

/// The strategies of a report, refused if they are of other frames or batches than the set's.
fn beside_set(path: &Path, set: &ShardSet, batch_size: usize) -> Result<Vec<Strategy>> {
    let report = Report::read(path)?;
    let description = &set.manifest().description;
    let (recipe, shape) = (&description.recipe, description.shape);
    let fields = [
        ("batch_size", batch_size.to_string(), report.batch_size.to_string()),
        ("recipe", recipe.clone(), report.recipe.unwrap_or_else(|| recipe.clone())),
        ("shape", shape.to_string(), report.shape.unwrap_or(shape).to_string()),
    ];
    Error::refuse_difference(path, set.dir(), fields)?;
    Ok(report.strategies)
}

/// The first batches of an epoch.
fn some_batches(set: ShardSet, batch_size: usize) -> Result<Vec<Batch>> {
    let mut batches = Vec::new();
    let stream = Loader::new(set, CacheChoice::Stream, None, Verbosity::Quiet)?;
    stream.epoch(EpochOrder::Shuffled { seed: 0, epoch: 0 }, batch_size, 0, |batch| {
        batches.push(batch.clone());
        Ok(batches.len() < STEP_BATCHES)
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
