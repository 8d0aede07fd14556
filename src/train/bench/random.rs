//! Random frames made in memory: a training step at any size and density, without a set.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Poisson};
use rayon::prelude::*;

use super::step::{StepBench, StepMeasured, Task, Trainer};
use crate::error::{Error, Result};
use crate::frames::{Column, FrameShape, SparseFrames, Width, Widths};
use crate::train::kernel::program::Form;
use crate::train::loader::Batch;

/// Batches that are made, so that a step does not find its input in the processor's caches.
const BATCHES: usize = 4;
/// The most cells of a batch.
const MAX_CELLS: usize = 1 << 32;
/// Events in an occupied cell beyond the first, mean: SSC's have about 2 in all.
const MORE_EVENTS: f64 = 1.0;

/// What random frames are like.
#[derive(Clone, Copy, Debug)]
pub struct RandomFrames {
    /// Frames a sample, T.
    pub time_steps: usize,
    /// Cells of a frame.
    pub channels: u32,
    /// Classes, of which labels are drawn.
    pub classes: u32,
    /// Probability that a cell is occupied, 0 to 1.
    pub density: f64,
}

/// Times `bench.steps` training steps on random frames.
///
/// # Errors
/// [`Error::Usage`] for batches beyond any memory, [`Error::Kernel`].
pub fn bench_random(random: &RandomFrames, bench: &StepBench) -> Result<StepMeasured> {
    let cells = bench.batch_size.saturating_mul(random.time_steps).saturating_mul(random.channels as usize);
    if cells > MAX_CELLS {
        let what = "--batch-size times --time-steps times --channels";
        return Err(Error::usage(what, format!("at most {MAX_CELLS} cells a batch"), cells));
    }
    let batches: Vec<Batch> = (0..BATCHES).map(|i| random.batch(i as u64, bench.batch_size)).collect();
    let shape = FrameShape { polarities: 1, height: 1, width: random.channels };
    let task = Task {
        inputs: random.channels as usize,
        classes: random.classes as usize,
        time_steps: random.time_steps,
        longest: random.time_steps,
        batches: BATCHES as u64,
    };
    let backend = bench.backend(Form::of(shape, random.time_steps, [Width::U8]))?;
    Trainer::new(&task, bench, backend)?.measure(&batches, bench)
}

impl RandomFrames {
    /// Batch `number` of `samples` samples, the same each time.
    ///
    /// # Panics
    /// Never: a count has one byte, and so has the column at least.
    pub fn batch(&self, number: u64, samples: usize) -> Batch {
        let shape = FrameShape { polarities: 1, height: 1, width: self.channels };
        let mut batch = Batch::new(Widths::of(shape, Width::U8));
        let made: Vec<(SparseFrames, u32)> = (0..samples as u64)
            .into_par_iter()
            .map(|i| self.sample(ChaCha8Rng::seed_from_u64(number << 32 | i), batch.frames.widths()))
            .collect();
        for (frames, label) in &made {
            batch.frames.push_sample(frames.sample(0));
            batch.labels.push(*label);
        }
        batch
    }

    fn sample(&self, mut rng: ChaCha8Rng, widths: Widths) -> (SparseFrames, u32) {
        let mut cells = Vec::new();
        let sizes: Vec<u32> = (0..self.time_steps)
            .map(|_| {
                let before = cells.len();
                cells.extend((0..self.channels).filter(|_| rng.random::<f64>() < self.density));
                (cells.len() - before) as u32
            })
            .collect();
        let more = Poisson::new(MORE_EVENTS).expect("a mean above 0");
        let counts: Vec<u8> = cells.iter().map(|_| 1 + more.sample(&mut rng).min(254.0) as u8).collect();
        let mut frames = SparseFrames::new(widths);
        frames.push(&sizes, &cells, Column::U8(&counts)).expect("counts of one byte fit any column");
        (frames, rng.random_range(0..self.classes.max(1)))
    }
}
