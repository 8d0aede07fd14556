//! The device cache: a whole set's columns in the GPU's memory, once. Batches are drawn there, by the order that holds
//! everywhere, and the host has nothing to do with them.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::EpochOrder;
use super::staging::{Amount, Stage, Staged, Staging};
use crate::error::Result;
use crate::frames::{SparseFrames, Widths};
use crate::progress::Progress;
use crate::shard::codec::Decoder;
use crate::shard::{PackedChunk, ShardSet};
use crate::train::kernel::cuda::{Buffer, Device, Pinned, Stream};
use crate::train::kernel::interface::{Order, Permutation, Source};
use crate::train::kernel::program::Form;

/// Samples that are decoded together, about, while those before are copied.
const GROUP_SAMPLES: u64 = 2048;

/// A set in device memory.
#[derive(Debug)]
pub struct DeviceCache {
    staged: Staged,
    order: Buffer<Order>,
    within: Buffer<Permutation>,
    /// Where those two come from, epoch by epoch.
    host: Mutex<HostOrder>,
    source: Source,
}

#[derive(Debug)]
struct HostOrder {
    order: Pinned<Order>,
    within: Pinned<Permutation>,
}

/// A sample of a chunk that was checked.
struct Checked<'a> {
    chunk: &'a PackedChunk,
    inside: usize,
    widths: Widths,
}

impl Stage for Checked<'_> {
    fn amount(&self) -> Amount {
        let sample = self.chunk.sample(self.inside);
        Amount { samples: 1, frames: sample.frames(), entries: sample.entries() }
    }

    fn widths(&self) -> Widths {
        self.widths
    }

    fn label(&self) -> u32 {
        self.chunk.label(self.inside)
    }

    fn append_to(&self, frames: &mut SparseFrames) -> Result<()> {
        self.chunk.sample(self.inside).unpack(frames);
        Ok(())
    }
}

/// The bytes that a set's device cache takes, by its manifest.
pub fn device_bytes(set: &ShardSet, form: Form) -> u64 {
    let Amount { samples, frames, entries } = amount_of(set);
    form.bytes(samples as u64, frames as u64, entries as u64)
}

fn amount_of(set: &ShardSet) -> Amount {
    let totals = &set.manifest().totals;
    Amount { samples: set.len() as usize, frames: totals.frames as usize, entries: totals.entries as usize }
}

impl DeviceCache {
    /// Checks, decodes and copies all of `set`, on all threads, the copies beside the decoding.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::error::Error::Corrupt), [`Error::Kernel`](crate::error::Error::Kernel) for a label that is
    /// no class, [`Error::DeviceMemory`](crate::error::Error::DeviceMemory).
    pub fn load(set: &ShardSet, device: &Device, form: Form, progress: &Progress) -> Result<DeviceCache> {
        let amount = amount_of(set);
        let staged = Staged::new(device, form, amount)?;
        let stream = device.stream()?;
        let description = &set.manifest().description;
        let (classes, widths) = (description.classes.len(), description.widths);
        let group = (GROUP_SAMPLES / u64::from(description.chunk_samples)).max(1);
        let none = Amount::default();
        let mut slots = [Staging::new(device, form, none)?, Staging::new(device, form, none)?];
        let mut chunks: Vec<PackedChunk> = Vec::new();
        let mut base = Amount::default();
        for (g, first) in (0..set.chunks()).step_by(group as usize).enumerate() {
            let numbers = first..(first + group).min(set.chunks());
            chunks.resize_with((numbers.end - first) as usize, || set.empty_packed());
            chunks.par_iter_mut().enumerate().try_for_each_init(Decoder::new, |decoder, (i, chunk)| {
                let number = first + i as u64;
                set.decode_packed(number, decoder, chunk)?;
                set.check_cells(number, chunk)
            })?;
            let samples: Vec<Checked<'_>> = chunks
                .iter()
                .flat_map(|chunk| (0..chunk.len()).map(move |inside| Checked { chunk, inside, widths }))
                .collect();
            let staging = &mut slots[g % 2];
            staging.clear();
            staging.push(&samples, classes, base)?;
            check_room(set, base.plus(staging.used()), amount)?;
            staging.upload(&stream, &staged, base)?;
            base = base.plus(staging.used());
            progress.add(samples.len() as u64);
        }
        stream.synchronize()?;
        let order = device.buffer(1)?;
        let windows = set.order(0, 0).windows() as usize;
        let source = Source::new(staged.columns(), order.address());
        let host = Mutex::new(HostOrder { order: device.pinned(1)?, within: device.pinned(windows)? });
        Ok(DeviceCache { within: device.buffer(windows)?, staged, order, host, source })
    }

    /// Where its batches are drawn from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Bytes of device memory.
    pub fn bytes(&self) -> usize {
        self.staged.bytes() + self.order.bytes() + self.within.bytes()
    }

    /// Sets the order of the epoch to come, up to position `end`, once the stream has come so far.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn begin_epoch(&self, stream: &Stream, set: &ShardSet, order: EpochOrder, end: u64) -> Result<()> {
        let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        let HostOrder { order: whole, within } = &mut *host;
        whole.as_mut_slice()?[0] = match order {
            EpochOrder::Sequential => Order { streamed: 0, ..Order::sequential(end) },
            EpochOrder::Shuffled { seed, epoch } => {
                let parts = set.order(seed, epoch).parts();
                for (to, from) in within.as_mut_slice()?.iter_mut().zip(&parts.within) {
                    *to = from.into();
                }
                stream.upload(&self.within, 0, within, 0..self.within.len())?;
                Order::shuffled(&parts, self.within.address(), end)
            }
        };
        stream.upload(&self.order, 0, whole, 0..1)
    }
}

/// A manifest that claims less than its shards have is damaged.
fn check_room(set: &ShardSet, got: Amount, room: Amount) -> Result<()> {
    if got.fits(room) {
        return Ok(());
    }
    let words =
        |amount: Amount| format!("{} samples, {} frames, {} entries", amount.samples, amount.frames, amount.entries);
    let path = set.dir().join(crate::shard::manifest::FILE_NAME);
    Err(crate::error::Error::corrupt(&path, "totals", format!("{} at least", words(got)), words(room)))
}
