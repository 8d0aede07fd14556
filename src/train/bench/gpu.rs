//! Benchmarks of a GPU: training steps on batches in GPU memory, writing dense batches from the device cache, and
//! loading a set into GPU memory.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use tonic_base::{Progress, Verbosity};
use tonic_loader::{Batch, EpochOrder};
use tonic_report::median;
use tonic_shard::ShardSet;

use crate::engine::{Extent, GpuNetwork};
use crate::error::{Error, KernelError, Result};
use crate::feed::{DeviceCache, Inflation, LAUNCH_BATCHES, StagedBatch};
use crate::kernel::program::Program;
use crate::learner::TrainState;

/// Maximum number of training steps that are timed together. A single step can take less time than its launch.
const TOGETHER: usize = 8;
/// Time in seconds that a round of training steps should take.
const ROUND_SECONDS: f64 = 0.02;
/// Maximum time of all rounds of training steps together, in seconds.
const STEPS_SECONDS: f64 = 10.0;
/// Minimum number of rounds of training steps, even if they take longer than [`STEPS_SECONDS`].
const LEAST_ROUNDS: usize = 5;
/// Number of dense batches that the GPU writes in each timed round.
const INFLATED: usize = 256;
const INFLATE_ROUNDS: usize = 15;
/// Number of times that the benchmark loads a set into GPU memory.
const PROMOTIONS: usize = 3;

/// Measurements of a set on a GPU.
#[derive(Clone, Debug, Serialize)]
pub struct GpuMeasured {
    /// Speed of writing dense float32 batches from the device cache.
    pub inflate: Inflated,
    /// Speed of loading the set into GPU memory, from shards in the page cache. `None` if the GPU has no room for a
    /// second copy of the set.
    pub promote: Option<Promoted>,
    /// GPU memory that the device cache, training and everything else use.
    pub device_memory: DeviceMemory,
}

/// Speed of writing dense float32 batches from the device cache.
#[derive(Clone, Debug, Serialize)]
pub struct Inflated {
    /// Batches per second, computed from the median time per batch.
    pub batches_per_second: f64,
    /// Median time per batch over all rounds, in microseconds.
    pub microseconds_median: f64,
    /// Time per batch in the fastest round, in microseconds.
    pub microseconds_min: f64,
    /// Time per batch in the slowest round, in microseconds.
    pub microseconds_max: f64,
}

/// Speed of loading a set into GPU memory.
#[derive(Clone, Debug, Serialize)]
pub struct Promoted {
    /// Median time of a load (reading, checking, decoding and copying the set), in seconds.
    pub seconds: f64,
    /// Time of the fastest load, in seconds.
    pub seconds_min: f64,
    /// Time of the slowest load, in seconds.
    pub seconds_max: f64,
    /// GPU memory that the set takes, in bytes.
    pub bytes: usize,
    /// GPU memory per sample, in bytes.
    pub bytes_per_sample: f64,
}

/// GPU memory that the device cache, training and everything else use.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceMemory {
    /// Size of the device cache in bytes.
    pub cache_bytes: usize,
    /// Additional GPU memory that training takes, in bytes: network, activations, and batches that are being copied.
    pub beyond_cache_bytes: u64,
    /// GPU memory in bytes that the driver, the kernels and other processes used before the benchmark.
    pub context_bytes: u64,
}

pub(super) struct StepTimes {
    /// Time per step in each round, in seconds, measured with CUDA events.
    pub(super) seconds: Vec<f64>,
    pub(super) last_loss: f64,
    /// Free GPU memory in bytes, while the network and all batches are in GPU memory.
    pub(super) free: u64,
}

/// Measures the times of training steps in at most `rounds` rounds. Pads samples to `time_steps` time steps.
pub(super) fn step_times(
    program: &Arc<Program>,
    initial: &TrainState,
    batches: &[&Batch],
    time_steps: usize,
    rounds: usize,
) -> Result<StepTimes> {
    let device = program.device();
    let stream = device.urgent_stream()?;
    let size = batches.iter().map(|batch| batch.len()).max().unwrap_or(0);
    let total = (rounds + 1) * (TOGETHER + 1) + 2 * batches.len();
    let longest = batches.iter().map(|batch| batch.longest()).max().unwrap_or(0).max(time_steps);
    let extent = Extent { batch: size, longest, trains: true, kept: 0, batches: total as u64 };
    let mut on_device = GpuNetwork::new(program.clone(), &initial.network, extent)?;
    on_device.load(&stream, &initial.network, Some(&initial.optimiser))?;
    on_device.begin(&stream, 0, 0)?;
    let mut graphs = Vec::new();
    let mut kept = Vec::new();
    for batch in batches {
        let classes = initial.network.shape().classes;
        let staged = StagedBatch::new(&stream, program.column_types(), batch, classes)?;
        let source = staged.source();
        on_device.step(&stream, source, Some(time_steps))?; // the driver loads the kernels now
        graphs.push(stream.capture(|| on_device.step(&stream, source, Some(time_steps)))?);
        kept.push(staged);
    }
    graphs.iter().try_for_each(|graph| stream.replay(graph))?; // a first replay takes longer
    let mut queued = 2 * batches.len();
    let (begin, end) = (device.event(true)?, device.event(true)?);
    let mut time = |round: usize, together: usize| -> Result<f64> {
        // This replay is not timed. It keeps the stream busy, so that the first timed launch adds no waiting time.
        stream.replay(&graphs[round % graphs.len()])?;
        stream.record(&begin)?;
        graphs.iter().cycle().skip(round).take(together).try_for_each(|graph| stream.replay(graph))?;
        stream.record(&end)?;
        end.synchronize()?;
        queued += together + 1;
        Ok(f64::from(end.elapsed_ms(&begin)?) / 1e3 / together as f64)
    };
    let first = time(0, 1)?.max(1e-9);
    let together = ((ROUND_SECONDS / first) as usize).clamp(1, TOGETHER);
    let affordable = (STEPS_SECONDS / (first * (together + 1) as f64)) as usize;
    let rounds = rounds.min(affordable).max(rounds.min(LEAST_ROUNDS));
    let seconds = (1..=rounds).map(|round| time(round, together)).collect::<Result<Vec<f64>>>()?;
    let free = device.free_memory()?;
    // After a loss or a potential that isn't finite, steps do nothing. Such fast steps must not count.
    on_device.check_potentials()?;
    let (state, predictions) = (on_device.state()?, on_device.predictions(size)?);
    let last_loss = predictions.iter().map(|prediction| prediction.loss).sum::<f64>() / predictions.len() as f64;
    if state.stopped != 0 || state.batches as usize != queued || !last_loss.is_finite() {
        return Err(KernelError::NonFiniteLoss { loss: last_loss }.into());
    }
    Ok(StepTimes { seconds, last_loss, free })
}

/// Measures the speed of writing dense batches and of loading a set, and the used GPU memory. `free` is the free GPU
/// memory in bytes before the benchmark.
pub(super) fn measure(
    program: &Program,
    cache: &DeviceCache,
    set: &ShardSet,
    (batch_size, time_steps): (usize, usize),
    free: u64,
) -> Result<GpuMeasured> {
    let device = program.device();
    let taken = free.saturating_sub(device.free_memory()?);
    let device_memory = DeviceMemory {
        cache_bytes: cache.bytes(),
        beyond_cache_bytes: taken.saturating_sub(cache.bytes() as u64),
        context_bytes: device.total_memory().saturating_sub(free),
    };
    let inflate = measure_inflation(program, cache, set, Inflation { steps: time_steps, batch_size })?;
    Ok(GpuMeasured { inflate, promote: measure_promotion(program, set)?, device_memory })
}

/// Measures the speed of loading `set` into GPU memory. Returns `None` if the GPU has no room for a second copy.
fn measure_promotion(program: &Program, set: &ShardSet) -> Result<Option<Promoted>> {
    let mut times = Vec::new();
    let mut bytes = 0;
    for _ in 0..PROMOTIONS {
        let started = Instant::now();
        let silent = Progress::start(Verbosity::Quiet, "", 0, "");
        match DeviceCache::load(set, program.device(), program.column_types(), &silent) {
            Ok(cache) => {
                times.push(started.elapsed().as_secs_f64());
                bytes = cache.bytes();
            }
            Err(Error::DeviceMemory { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let seconds = median(&mut times);
    Ok(Some(Promoted {
        seconds,
        seconds_min: times[0],
        seconds_max: times[times.len() - 1],
        bytes,
        bytes_per_sample: bytes as f64 / set.len() as f64,
    }))
}

fn measure_inflation(program: &Program, cache: &DeviceCache, set: &ShardSet, inflation: Inflation) -> Result<Inflated> {
    let device = program.device();
    let stream = device.stream()?;
    let cells = set.manifest().description.shape.cells() as usize;
    let dense = inflation.buffers(program, cells)?;
    cache.begin_epoch(&stream, set, EpochOrder::Shuffled { seed: 0, epoch: 0 }, set.len())?;
    let batches = set.len() / inflation.batch_size as u64;
    let batches = (batches - batches % LAUNCH_BATCHES as u64).max(1); // only full launches
    let work = |from: usize, count: usize| {
        let launches = (from..from + count).step_by(LAUNCH_BATCHES);
        launches.zip(dense.iter().cycle()).try_for_each(|(first, dense)| {
            let position = first as u64 % batches * inflation.batch_size as u64;
            inflation.launch(program, &stream, cache.source(), cells, position, dense)
        })
    };
    work(0, 1)?; // the driver loads the kernel now
    let graph = stream.capture(|| work(0, INFLATED))?;
    let (begin, end) = (device.event(true)?, device.event(true)?);
    let mut times = Vec::with_capacity(INFLATE_ROUNDS);
    for round in 0..=INFLATE_ROUNDS {
        stream.record(&begin)?;
        stream.replay(&graph)?;
        stream.record(&end)?;
        end.synchronize()?;
        if round > 0 {
            times.push(f64::from(end.elapsed_ms(&begin)?) * 1e3 / INFLATED as f64);
        }
    }
    let microseconds = median(&mut times);
    Ok(Inflated {
        batches_per_second: 1e6 / microseconds,
        microseconds_median: microseconds,
        microseconds_min: times[0],
        microseconds_max: times[times.len() - 1],
    })
}
