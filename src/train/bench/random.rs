//! Benchmark of training steps on random frames of any size and density, without a set.

use tonic_loader::Batch;
use tonic_shard::{FrameShape, Width};

use crate::bench::step::{StepBench, StepMeasured, Trainer};
use crate::error::{BaseFault, Error, Result};
use crate::feed::RandomFrames;
use crate::kernel::program::ColumnTypes;
use crate::learner::{Room, check_frames};

/// Number of random batches that the steps use in turn. With several, a batch is usually no longer in the processor's
/// caches when it is used again.
const BATCHES: usize = 4;
/// Maximum of samples * time steps * channels in a batch.
const MAX_CELLS: usize = 1 << 32;

/// Measures the times of training steps on random frames, without a set.
///
/// # Errors
/// [`Usage`](tonic_base::Error::Usage) if samples * time steps * channels of a batch exceed 2^32, or if the network or
/// the batches don't fit in the free memory; the errors of
/// [`Backend::program`](crate::learner::Backend::program); [`Error::Kernel`], [`Error::Cuda`], [`Error::DeviceMemory`].
pub fn bench_random(random: &RandomFrames, bench: &StepBench) -> Result<StepMeasured> {
    let cells = bench.batch_size.saturating_mul(random.time_steps).saturating_mul(random.channels as usize);
    if cells > MAX_CELLS {
        let what = "batch_size times steps times channels";
        return Err(Error::usage(what, format!("at most {MAX_CELLS} cells a batch"), cells));
    }
    let rows = BATCHES as u64 * (bench.batch_size * random.time_steps) as u64;
    check_frames((rows as f64 * f64::from(random.channels) * random.density) as u64, rows)?;
    let shape = FrameShape { polarities: 1, height: 1, width: random.channels };
    let sizes = (random.channels as usize, random.classes as usize);
    let room = Room { batch: bench.batch_size, longest: random.time_steps, batches: BATCHES as u64, evaluated: 0 };
    let program = bench.backend.program_of(ColumnTypes::of(shape, random.time_steps, [Width::U8]))?;
    let mut trainer = Trainer::new(bench, program, sizes, random.time_steps, room)?;
    let batches: Vec<Batch> = (0..BATCHES).map(|i| random.batch(i as u64, bench.batch_size)).collect();
    trainer.measure(&batches, bench)
}
