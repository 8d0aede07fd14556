//! The device cache: a whole set in GPU memory. Kernels draw batches from it without work on the host.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use tonic_base::{Progress, interrupt};
use tonic_loader::EpochOrder;
use tonic_shard::{Decoder, PackedChunk, ShardSet, SparseFrames, Widths};

use crate::error::{BaseFault, Result};
use crate::feed::staging::{Labels, Sizes, Stage, Staged, Staging};
use crate::gpu::{Buffer, Device, Pinned, Stream};
use crate::kernel::batch_source::BatchSource;
use crate::kernel::interface::{DrawOrder, DrawPermutation};
use crate::kernel::program::ColumnTypes;

/// Approximate number of samples that are decoded together.
const GROUP_SAMPLES: u64 = 2048;

#[derive(Debug)]
pub(crate) struct DeviceCache {
    staged: Staged,
    order: Buffer<DrawOrder>,
    window_permutations: Buffer<DrawPermutation>,
    /// Host memory for copying the order of an epoch to the GPU.
    host: Mutex<HostOrder>,
    source: BatchSource,
}

#[derive(Debug)]
struct HostOrder {
    order: Pinned<DrawOrder>,
    window_permutations: Pinned<DrawPermutation>,
}

/// A sample of a decoded chunk, after a check of its cells.
struct CheckedSample<'a> {
    chunk: &'a PackedChunk,
    inside: usize,
    widths: Widths,
    /// Index of the sample in the set.
    index: u64,
}

impl Stage for CheckedSample<'_> {
    fn sizes(&self) -> Sizes {
        let sample = self.chunk.sample(self.inside);
        Sizes { samples: 1, frames: sample.frames(), entries: sample.entries() }
    }

    fn widths(&self) -> Widths {
        self.widths
    }

    fn label(&self) -> u32 {
        self.chunk.label(self.inside)
    }

    fn key(&self) -> u64 {
        self.index
    }

    fn append_to(&self, frames: &mut SparseFrames) -> Result<()> {
        self.chunk.sample(self.inside).unpack(frames);
        Ok(())
    }
}

/// Returns the size in bytes that a device cache of `set` would have.
pub(crate) fn device_bytes(set: &ShardSet, column_types: ColumnTypes) -> u64 {
    let Sizes { samples, frames, entries } = sizes_of(set);
    column_types.bytes(samples as u64, frames as u64, entries as u64)
}

fn sizes_of(set: &ShardSet) -> Sizes {
    let totals = &set.manifest().totals;
    Sizes { samples: set.len() as usize, frames: totals.frames as usize, entries: totals.entries as usize }
}

impl DeviceCache {
    /// Checks and decodes all samples of `set` on all threads, and copies them to the GPU.
    pub(crate) fn load(
        set: &ShardSet,
        device: &Device,
        column_types: ColumnTypes,
        progress: &Progress,
    ) -> Result<DeviceCache> {
        let sizes = sizes_of(set);
        let staged = Staged::new(device, column_types, sizes)?;
        let stream = device.stream()?;
        let description = &set.manifest().description;
        let (classes, widths) = (description.classes.len(), description.widths);
        let group = (GROUP_SAMPLES / u64::from(description.chunk_samples)).max(1);
        let none = Sizes::default();
        let mut slots = [Staging::new(device, column_types, none)?, Staging::new(device, column_types, none)?];
        let mut chunks: Vec<PackedChunk> = Vec::new();
        let mut base = Sizes::default();
        set.will_read(0..set.chunks());
        for (g, first) in (0..set.chunks()).step_by(group as usize).enumerate() {
            let numbers = first..(first + group).min(set.chunks());
            chunks.resize_with((numbers.end - first) as usize, || set.empty_packed());
            interrupt::check("the set was not loaded")?;
            chunks.par_iter_mut().enumerate().try_for_each_init(Decoder::new, |decoder, (i, chunk)| {
                set.decode_checked(first + i as u64, decoder, chunk)
            })?;
            let samples: Vec<CheckedSample<'_>> = chunks
                .iter()
                .flat_map(|chunk| (0..chunk.len()).map(move |inside| (chunk, inside)))
                .zip(base.samples as u64..)
                .map(|((chunk, inside), index)| CheckedSample { chunk, inside, widths, index })
                .collect();
            let staging = &mut slots[g % 2];
            staging.clear();
            staging.push(&samples, Labels { classes, optional: false }, base)?;
            check_room(set, base.plus(staging.used()), sizes)?;
            staging.upload(&stream, &staged, base)?;
            base = base.plus(staging.used());
            progress.add(samples.len() as u64);
        }
        stream.synchronize()?;
        let order = device.buffer(1)?;
        let windows = set.order(0, 0).windows() as usize;
        let source = BatchSource::new(staged.columns(), order.address());
        let host = Mutex::new(HostOrder { order: device.pinned(1)?, window_permutations: device.pinned(windows)? });
        Ok(DeviceCache { window_permutations: device.buffer(windows)?, staged, order, host, source })
    }

    /// Returns the addresses of the samples and of the epoch's order in GPU memory.
    pub(crate) fn source(&self) -> BatchSource {
        self.source
    }

    pub(crate) fn bytes(&self) -> usize {
        self.staged.bytes() + self.order.bytes() + self.window_permutations.bytes()
    }

    /// Queues a copy of an epoch's order to the GPU. The epoch will draw only the first `end` samples of the order.
    pub(crate) fn begin_epoch(&self, stream: &Stream, set: &ShardSet, order: EpochOrder, end: u64) -> Result<()> {
        let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        let HostOrder { order: whole, window_permutations } = &mut *host;
        let key = order.epoch_key();
        whole.as_mut_slice()?[0] = match order {
            EpochOrder::Sequential => DrawOrder::sequential(0, end, key),
            EpochOrder::Shuffled { seed, epoch } => {
                let parts = set.order(seed, epoch).parts();
                for (to, from) in window_permutations.as_mut_slice()?.iter_mut().zip(&parts.window_permutations) {
                    *to = from.into();
                }
                stream.upload(&self.window_permutations, 0, window_permutations, 0..self.window_permutations.len())?;
                DrawOrder::shuffled(&parts, self.window_permutations.address(), end, key)
            }
        };
        stream.upload(&self.order, 0, whole, 0..1)
    }
}

/// Returns an error if the sizes read so far (`got`) exceed the sizes in the manifest (`room`).
fn check_room(set: &ShardSet, got: Sizes, room: Sizes) -> Result<()> {
    if got.fits(room) {
        return Ok(());
    }
    let words = |sizes: Sizes| format!("{} samples, {} frames, {} entries", sizes.samples, sizes.frames, sizes.entries);
    let path = set.dir().join(tonic_shard::MANIFEST_FILE);
    Err(crate::Error::corrupt(&path, "totals", format!("{} at least", words(got)), words(room)))
}
