//! Measures training input without a shard set: every epoch reads the recordings and makes all frames again.

use std::time::Instant;
use tonic_base::{Progress, in_order};

use ndarray::Array5;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::convert::{ChunkFailure, ChunkMaker, Conversion, Job};
use crate::error::{BaseFault, Error, Result};
use crate::source::Layout;
use tonic_report::{Strategy, Work, check_dense, median, table};
use tonic_shard::{FrameShape, SetDescription, Width};

/// Number of timed passes for each number of threads. The median duration of these passes is reported.
const ROUNDS: u64 = 3;
/// Minimum number of batches per thread in a timed pass.
const BATCHES_A_THREAD: u64 = 2;

/// Speed of training input without a shard set: the result of [`bench()`].
#[derive(Clone, Debug)]
pub struct NaiveMeasured {
    /// Measured speeds: one entry for one thread and, if `threads` is above 1, one entry for all threads.
    pub strategies: Vec<Strategy>,
    /// Samples per batch.
    pub batch_size: usize,
    /// Number of samples. A sample that is used several times counts once.
    pub samples: u64,
    /// Number of frames of the longest sample. All samples are padded to this number of frames.
    pub steps: u64,
    /// Number of threads in the measurement with all threads.
    pub threads: usize,
    /// The shape of a frame.
    pub shape: FrameShape,
    /// The recipe, as TOML.
    pub recipe: String,
    /// Layout of the first recording.
    pub layout: Layout,
    /// Total number of events in all samples, including events that a transform emits.
    pub events: u64,
    /// Total number of nonzero cells in all frames.
    pub entries: u64,
}

/// Measures how fast the samples of a conversion are read and framed into dense float32 batches (B, T, P, H, W).
///
/// # Errors
/// Errors of opening, reading and framing; [`tonic_base::Error::Usage`] if there are no samples, or if a dense batch
/// would be too large.
pub fn bench(conversion: &Conversion, batch_size: usize) -> Result<NaiveMeasured> {
    let job = Job::open(conversion)?;
    let samples = job.inputs.samples();
    if samples == 0 {
        return Err(Error::usage("recordings", "samples to measure on", "none"));
    }
    let naive = Naive::new(&job, batch_size);
    let all = conversion.threads;
    let mut ways: Vec<(usize, Vec<f64>)> = vec![(1, Vec::new())];
    if all > 1 {
        ways.push((all, Vec::new()));
    }
    let made = |threads: usize| naive.batches().max(BATCHES_A_THREAD * threads as u64);
    let timed: u64 = ways.iter().map(|(threads, _)| made(*threads)).sum();
    let progress = Progress::start(conversion.verbosity, "bench", naive.batches() + timed * ROUNDS, "batches");

    let warm = naive.pass(all, naive.batches(), None, &progress)?;
    let shape = naive.description.shape;
    check_dense(samples.min(batch_size as u64), warm.longest, shape.cells(), all)?;
    let mut counted = vec![0; ways.len()];
    for _ in 0..ROUNDS {
        for ((threads, seconds), samples) in ways.iter_mut().zip(&mut counted) {
            let started = Instant::now();
            *samples = naive.pass(*threads, made(*threads), Some(warm.longest), &progress)?.samples;
            seconds.push(started.elapsed().as_secs_f64());
        }
    }
    progress.clear();
    let bytes = job.inputs.bytes()? as f64 / samples as f64;
    let strategies = ways.iter_mut().zip(counted).map(|((threads, seconds), samples)| {
        let name = format!("{}, {threads} thread{}", kind(job.inputs.layout), if *threads == 1 { "" } else { "s" });
        Strategy::measured(&name, Work::Loading, (made(*threads), samples), median(seconds), bytes)
    });
    Ok(NaiveMeasured {
        strategies: strategies.collect(),
        batch_size,
        samples,
        steps: warm.longest,
        threads: all,
        shape,
        recipe: naive.description.recipe.clone(),
        layout: job.inputs.layout,
        events: warm.events,
        entries: warm.entries,
    })
}

impl NaiveMeasured {
    /// Returns the result as one JSON object.
    pub fn json(&self) -> Value {
        json!({
            "strategies": self.strategies, "batch_size": self.batch_size, "samples": self.samples, "steps": self.steps,
            "threads": self.threads, "shape": self.shape, "recipe": self.recipe, "layout": self.layout.name(),
            "events": self.events, "entries": self.entries,
        })
    }

    /// Returns the result as text for people.
    pub fn text(&self) -> String {
        let NaiveMeasured { samples, steps, shape, batch_size, .. } = self;
        format!(
            "{}\n{samples} samples of up to {steps} frames of {shape}, {:.0} events and {:.0} occupied cells each, \
             in batches of {batch_size}\n(nothing is trained: what a step takes comes on top, see tonic-train bench)",
            table(&self.strategies),
            self.each(self.events),
            self.each(self.entries),
        )
    }

    fn each(&self, total: u64) -> f64 {
        total as f64 / self.samples as f64
    }
}

/// Name of the measurement in reports, without the number of threads.
fn kind(layout: Layout) -> &'static str {
    match layout {
        Layout::Npy | Layout::Npz => "naive NumPy",
        Layout::Mat => "naive MATLAB",
        layout if layout.is_of_camera() => "naive decoding",
        _ => "naive HDF5",
    }
}

/// The benchmark: the conversion that it measures, and the shuffled order of the samples.
struct Naive<'a> {
    job: &'a Job<'a>,
    description: SetDescription,
    order: Vec<u64>,
    batch_size: usize,
}

/// Objects and buffers that one thread uses for all its batches.
struct Worker<'a> {
    maker: ChunkMaker<'a>,
    /// The current batch as dense frames, (B, T, P, H, W).
    dense: Array5<f32>,
}

/// Totals of a batch or of a timed pass. `longest` is the number of frames of the longest sample.
#[derive(Clone, Copy, Debug, Default)]
struct Made {
    samples: u64,
    longest: u64,
    events: u64,
    entries: u64,
}

impl<'a> Naive<'a> {
    fn new(job: &'a Job<'a>, batch_size: usize) -> Naive<'a> {
        let mut order: Vec<u64> = (0..job.inputs.samples()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
        // Every count fits in 32 bits.
        let counts = if job.recipe.frames.values() == Width::F32 { Width::F32 } else { Width::U32 };
        Naive { job, description: job.describe(Vec::new(), counts), order, batch_size }
    }

    fn batches(&self) -> u64 {
        self.order.len().div_ceil(self.batch_size) as u64
    }

    /// Makes `batches` batches on `threads` threads. If `steps` is given, also makes them dense, padded to `steps`
    /// frames.
    fn pass(&self, threads: usize, batches: u64, steps: Option<u64>, progress: &Progress) -> Result<Made> {
        let mut all = Made::default();
        in_order(
            0..batches,
            threads,
            "nothing",
            || Ok(Worker { maker: self.job.maker(&self.description)?, dense: Array5::default([0; 5]) }),
            |worker, number| self.batch(worker, number % self.batches(), steps),
            |made| {
                all.samples += made.samples;
                all.longest = all.longest.max(made.longest);
                all.events += made.events;
                all.entries += made.entries;
                progress.add(1);
                Ok::<(), ChunkFailure>(())
            },
        )
        .map_err(|failure| match failure {
            ChunkFailure::Error(error) => error,
            ChunkFailure::TooNarrow(count) => Error::usage("a count", "32 bits at most", count),
        })?;
        Ok(all)
    }

    fn batch(&self, worker: &mut Worker<'_>, number: u64, steps: Option<u64>) -> Result<Made, ChunkFailure> {
        let first = number as usize * self.batch_size;
        let order = &self.order[first..self.order.len().min(first + self.batch_size)];
        let shape = self.description.shape;
        let [polarities, height, width] = shape.dims();
        let dims = [order.len(), steps.unwrap_or(0) as usize, polarities, height, width];
        if worker.dense.shape() == dims {
            worker.dense.fill(0.0);
        } else {
            worker.dense = Array5::zeros(dims);
        }
        let mut made = Made { samples: order.len() as u64, ..Made::default() };
        for (&sample, mut dense) in order.iter().zip(worker.dense.outer_iter_mut()) {
            let chunk = worker.maker.frame_samples(sample..sample + 1)?;
            let frames = chunk.frames.sample(0);
            made.longest = made.longest.max(frames.frames() as u64);
            made.events += chunk.table.ledgers.iter().map(|ledger| ledger.events_in).sum::<u64>();
            made.entries += frames.entries() as u64;
            frames.write_dense(shape, dense.as_slice_mut().expect("a sample of an array in standard layout"));
        }
        std::hint::black_box(&worker.dense);
        Ok(made)
    }
}
