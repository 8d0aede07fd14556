//! Random frames, for benchmarks and for the self-check of a GPU.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Poisson};
use rayon::prelude::*;
use tonic_loader::{Batch, EpochOrder};
use tonic_shard::{Column, FrameShape, SparseFrames, Width, Widths};

/// Mean number of additional events in a cell that has events. The value is that of Spiking Speech Commands.
const MORE_EVENTS: f64 = 1.0;

/// Sizes and density of random frames.
#[derive(Clone, Copy, Debug)]
pub struct RandomFrames {
    /// Number of frames per sample.
    pub time_steps: usize,
    /// Number of cells in a frame.
    pub channels: u32,
    /// Number of classes, from which labels are drawn at random.
    pub classes: u32,
    /// Probability that a cell of a frame has events, from 0 to 1.
    pub density: f64,
}

impl RandomFrames {
    /// Makes a batch of `samples` samples. `number` is the random seed.
    ///
    /// # Panics
    /// Never, because the counts fit into one byte.
    pub fn batch(&self, number: u64, samples: usize) -> Batch {
        let shape = FrameShape { polarities: 1, height: 1, width: self.channels };
        let mut batch = Batch::new(Widths::of(shape, Width::U8));
        let made: Vec<(SparseFrames, u32)> = (0..samples as u64)
            .into_par_iter()
            .map(|i| self.sample(ChaCha8Rng::seed_from_u64(number << 32 | i), batch.frames.widths()))
            .collect();
        for (i, (frames, label)) in (0..).zip(&made) {
            batch.frames.push_sample(frames.sample(0));
            batch.labels.push(*label);
            batch.keys.push(EpochOrder::Shuffled { seed: number, epoch: 0 }.key(i));
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
