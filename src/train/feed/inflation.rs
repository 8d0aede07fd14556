//! Inflation: a kernel writes batches from the device cache as dense float32 frames in GPU memory.

use tonic_loader::{EpochOrder, Loader};

use crate::error::Result;
use crate::feed::device_cache::DeviceCache;
use crate::gpu::{Buffer, Stream};
use crate::kernel::batch_source::BatchSource;
use crate::kernel::interface::InflateArgs;
use crate::kernel::program::{INFLATE_BYTES, INFLATE_FRAMES, INFLATE_HEAD, MAX_GRID_Y, Program};

/// Number of batches that one kernel launch writes.
pub(crate) const LAUNCH_BATCHES: usize = 4;
/// Number of dense buffers that are written in turn. With several, a buffer is no longer in the GPU's L2 cache when it
/// is written again.
const BUFFERS: usize = 2;

/// Sizes of dense batches, (batch_size, steps, P * H * W).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inflation {
    pub(crate) steps: usize,
    pub(crate) batch_size: usize,
}

impl Inflation {
    /// Queues the kernel that fills `dense` with batches. `position` is the index of their first sample in the order
    /// of the epoch.
    pub(crate) fn launch(
        &self,
        program: &Program,
        stream: &Stream,
        source: BatchSource,
        cells: usize,
        position: u64,
        dense: &Buffer<f32>,
    ) -> Result<()> {
        let room = INFLATE_BYTES / size_of::<f32>();
        let block_cells = cells.min(room);
        let max_frames = if block_cells < cells { 1 } else { INFLATE_FRAMES };
        let block_frames = (room / block_cells).clamp(1, self.steps.max(1)).min(max_frames);
        let blocks = self.steps.div_ceil(block_frames) * cells.div_ceil(block_cells);
        let mut args = InflateArgs {
            order: source.order,
            columns: source.columns,
            dense: dense.address(),
            position,
            steps: self.steps as u32,
            cells: cells as u32,
            block_frames: block_frames as u32,
            block_cells: block_cells as u32,
            first_block: 0,
        };
        let bytes = INFLATE_HEAD + (block_frames * block_cells * size_of::<f32>()).next_multiple_of(16);
        let samples = dense.len() / (self.steps * cells).max(1);
        for first_block in (0..blocks).step_by(MAX_GRID_Y) {
            args.first_block = first_block as u32;
            program.inflate.launch_sized(stream, [samples, MAX_GRID_Y.min(blocks - first_block)], bytes, &args)?;
        }
        Ok(())
    }

    /// Allocates buffers for [`LAUNCH_BATCHES`] dense batches each.
    pub(crate) fn buffers(&self, program: &Program, cells: usize) -> Result<Vec<Buffer<f32>>> {
        let len = LAUNCH_BATCHES * self.batch_size * self.steps * cells;
        (0..BUFFERS).map(|_| program.device().buffer(len)).collect()
    }

    /// Writes all batches of an epoch to the buffers `dense` in turn, and waits for the GPU. Calls `each` once per
    /// batch.
    pub(crate) fn epoch(
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
        let batches = loader.batches(self.batch_size);
        for (first, dense) in (0..batches).step_by(LAUNCH_BATCHES).zip(dense.iter().cycle()) {
            self.launch(program, &stream, cache.source(), cells, first * self.batch_size as u64, dense)?;
            (first..batches.min(first + LAUNCH_BATCHES as u64)).for_each(|_| each());
        }
        stream.synchronize()
    }
}
