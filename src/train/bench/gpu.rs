//! What only a GPU does, timed by its own clock: steps on batches that are there, dense batches from the device cache, and
//! the way of a set to it.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::progress::{Progress, Verbosity};
use crate::shard::ShardSet;
use crate::strategy::median;
use crate::train::kernel::KernelError;
use crate::train::kernel::adam::{Adam, AdamConfig};
use crate::train::kernel::cuda::{Buffer, Stream};
use crate::train::kernel::interface::{InflateArgs, Order, Source};
use crate::train::kernel::program::{INFLATE_BYTES, Program};
use crate::train::loader::device::DeviceCache;
use crate::train::loader::staging::{Amount, Stage, Staged, Staging};
use crate::train::loader::{Batch, EpochOrder, Loader};
use crate::train::snn::Network;
use crate::train::snn::device::{DeviceNetwork, Extent};

/// Steps between two events at most: one alone would take the time of a launch along, which matters beside short ones.
const TOGETHER: usize = 8;
/// Seconds after which the steps between two events are enough.
const ROUND_SECONDS: f64 = 0.02;
/// Seconds that all steps may take, but for the least that there have to be.
const STEPS_SECONDS: f64 = 10.0;
const LEAST_ROUNDS: usize = 5;
/// Batches that are inflated between two events, and how often.
const INFLATED: usize = 256;
const INFLATE_ROUNDS: usize = 15;
/// How often a set is brought to the device.
const PROMOTIONS: usize = 3;
/// Dense batches that take turns, so that what is written is not still in the caches.
const DENSE_BATCHES: usize = 8;

/// What was measured on a set.
#[derive(Clone, Debug, Serialize)]
pub struct GpuMeasured {
    /// Dense float32 batches from the device cache.
    pub inflate: Inflated,
    /// The set's way to the device, its shards read before; none where it is too large to be there twice.
    pub promote: Option<Promoted>,
    /// Bytes of device memory.
    pub device_memory: DeviceMemory,
}

/// How fast batches are made dense.
#[derive(Clone, Debug, Serialize)]
pub struct Inflated {
    /// Of the median.
    pub batches_per_second: f64,
    /// A batch, median.
    pub microseconds_median: f64,
    /// The same, fastest.
    pub microseconds_min: f64,
    /// The same, slowest.
    pub microseconds_max: f64,
}

/// How fast a set came to the device.
#[derive(Clone, Debug, Serialize)]
pub struct Promoted {
    /// Reading, checking, decoding and copying, median.
    pub seconds: f64,
    /// The same, fastest.
    pub seconds_min: f64,
    /// The same, slowest.
    pub seconds_max: f64,
    /// Bytes there.
    pub bytes: usize,
    /// The same, of a sample.
    pub bytes_per_sample: f64,
}

/// Where device memory goes.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceMemory {
    /// The device cache's.
    pub cache_bytes: usize,
    /// All that training takes besides: network, activations, batches on their way.
    pub beyond_cache_bytes: u64,
    /// What the driver, the kernels and other processes had before.
    pub context_bytes: u64,
}

/// Dense batches of a set in device memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inflation {
    pub(crate) steps: usize,
    pub(crate) batch_size: usize,
}

impl Inflation {
    /// Queues the batch at `position` of the epoch into `dense`.
    pub(crate) fn launch(
        &self,
        program: &Program,
        stream: &Stream,
        source: Source,
        cells: usize,
        position: u64,
        dense: &Buffer<f32>,
    ) -> Result<()> {
        let room = INFLATE_BYTES / size_of::<f32>();
        let block_cells = cells.min(room);
        let block_frames =
            (room / block_cells).clamp(1, self.steps.max(1)).min(if block_cells < cells { 1 } else { 32 });
        let blocks = self.steps.div_ceil(block_frames) * cells.div_ceil(block_cells);
        let args = InflateArgs {
            order: source.order,
            columns: source.columns,
            dense: dense.address(),
            position,
            steps: self.steps as u32,
            cells: cells as u32,
            block_frames: block_frames as u32,
            block_cells: block_cells as u32,
        };
        let bytes = block_frames * block_cells * size_of::<f32>();
        program.inflate.launch_sized(stream, [self.batch_size * blocks, 1], bytes, &args)
    }

    /// Buffers that take turns.
    pub(super) fn buffers(&self, program: &Program, cells: usize) -> Result<Vec<Buffer<f32>>> {
        let len = self.batch_size * self.steps * cells;
        (0..DENSE_BATCHES).map(|_| program.device().buffer(len)).collect()
    }

    /// Makes all batches of an epoch dense, and waits for them.
    pub(super) fn epoch(
        &self,
        program: &Program,
        dense: &[Buffer<f32>],
        cache: &DeviceCache,
        loader: &Loader,
        order: EpochOrder,
        each: impl Fn(),
    ) -> Result<()> {
        let (set, stream) = (loader.set(), program.device().stream()?);
        let cells = set.manifest().description.shape.cells() as usize;
        cache.begin_epoch(&stream, set, order, loader.samples(self.batch_size))?;
        for (batch, dense) in (0..loader.batches(self.batch_size)).zip(dense.iter().cycle()) {
            self.launch(program, &stream, cache.source(), cells, batch * self.batch_size as u64, dense)?;
            each();
        }
        stream.synchronize()
    }
}

/// What training steps on batches that are on the device take.
pub(super) struct StepTimes {
    /// Seconds of a step, by the device's clock.
    pub(super) seconds: Vec<f64>,
    /// The loss of the last.
    pub(super) last_loss: f64,
    /// The device's free memory meanwhile.
    pub(super) free: u64,
}

/// Times about so many rounds of training steps, fewer where they are long, after some that warm up.
pub(super) fn step_times(
    program: &Arc<Program>,
    network: &Network,
    batches: &[&Batch],
    time_steps: usize,
    rounds: usize,
) -> Result<StepTimes> {
    let device = program.device();
    let stream = device.urgent_stream()?;
    let size = batches.iter().map(|batch| batch.len()).max().unwrap_or(0);
    let total = (rounds + 1) * (TOGETHER + 1) + 2 * batches.len();
    let longest = batches.iter().map(|batch| batch.longest()).max().unwrap_or(0).max(time_steps);
    let extent = Extent { batch: size, longest, trained: true, kept: 0, batches: total as u64 };
    let mut on_device = DeviceNetwork::new(program.clone(), network, extent)?;
    let adam = Adam::new(AdamConfig::default(), network.parameters.flat().len());
    on_device.load(&stream, network, Some(&adam))?;
    on_device.begin(&stream, 0, 0)?;
    let mut graphs = Vec::new();
    let mut kept = Vec::new();
    for batch in batches {
        let samples: Vec<_> = batch.frames.samples().zip(batch.labels.iter().copied()).collect();
        let amount = samples.iter().map(Stage::amount).fold(Amount::default(), Amount::plus);
        let mut staging = Staging::new(device, program.form(), amount)?;
        let staged = Staged::new(device, program.form(), amount)?;
        staging.push(&samples, network.shape().classes, Amount::default())?;
        staging.upload(&stream, &staged, Amount::default())?;
        let order = device.buffer_from(&[Order::sequential(samples.len() as u64)])?;
        let source = Source::new(staged.columns(), order.address());
        on_device.step(&stream, source, Some(time_steps))?; // has the driver load the kernels
        graphs.push(stream.capture(&[], || on_device.step(&stream, source, Some(time_steps)))?);
        kept.push((staged, order));
    }
    graphs.iter().try_for_each(|graph| stream.replay(graph))?; // a first replay takes longer
    let mut queued = 2 * batches.len();
    let (begin, end) = (device.event(true)?, device.event(true)?);
    let mut time = |round: usize, together: usize| -> Result<f64> {
        // On a stream that works already, so that the first launch is not waited for.
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
    // Where a loss was no number, steps do nothing, and that fast.
    let (state, outcomes) = (on_device.state()?, on_device.outcomes(size)?);
    let last_loss = outcomes.iter().map(|outcome| outcome.loss).sum::<f64>() / outcomes.len() as f64;
    if state.stopped != 0 || state.batches as usize != queued || !last_loss.is_finite() {
        return Err(KernelError::NonFiniteLoss { loss: last_loss }.into());
    }
    Ok(StepTimes { seconds, last_loss, free })
}

/// Measures inflation and promotion of a set that is on the device; `free` of its memory there was before all.
pub(super) fn measure(
    program: &Program,
    cache: &DeviceCache,
    set: &ShardSet,
    (batch_size, steps): (usize, usize),
    free: u64,
) -> Result<GpuMeasured> {
    let device = program.device();
    let taken = free.saturating_sub(device.free_memory()?);
    let device_memory = DeviceMemory {
        cache_bytes: cache.bytes(),
        beyond_cache_bytes: taken.saturating_sub(cache.bytes() as u64),
        context_bytes: device.total_memory().saturating_sub(free),
    };
    let inflate = measure_inflation(program, cache, set, Inflation { steps, batch_size })?;
    Ok(GpuMeasured { inflate, promote: measure_promotion(program, set)?, device_memory })
}

/// Loads a set whose shards were read a moment ago; none where it does not fit there twice.
fn measure_promotion(program: &Program, set: &ShardSet) -> Result<Option<Promoted>> {
    let mut times = Vec::new();
    let mut bytes = 0;
    for _ in 0..PROMOTIONS {
        let started = Instant::now();
        let silent = Progress::start(Verbosity::Quiet, "", 0, "");
        match DeviceCache::load(set, program.device(), program.form(), &silent) {
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
    let batches = (set.len() / inflation.batch_size as u64).max(1);
    let work = |from: usize, count: usize| {
        (from..from + count).try_for_each(|i| {
            let position = i as u64 % batches * inflation.batch_size as u64;
            inflation.launch(program, &stream, cache.source(), cells, position, &dense[i % DENSE_BATCHES])
        })
    };
    work(0, 1)?; // has the driver load the kernel
    let graph = stream.capture(&[], || work(0, INFLATED))?;
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
