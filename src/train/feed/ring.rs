//! A ring buffer that prefetches batches to the GPU, for sets larger than GPU memory.
//!
//! While the GPU trains on one slot of the ring, a thread fills other slots and queues their copies to the GPU.

use crossbeam_channel::{Receiver, bounded};
use tonic_loader::{AHEAD, EpochOrder, EpochSample, Loader, Windows};

use crate::error::Result;
use crate::feed::device_cache::device_bytes;
use crate::feed::staging::{Labels, Sizes, Staged, Staging};
use crate::gpu::{Buffer, Device, Event, Pinned, Stream};
use crate::kernel::batch_source::BatchSource;
use crate::kernel::interface::DrawOrder;
use crate::kernel::program::ColumnTypes;

/// Number of slots of the ring: `AHEAD` filled slots, one that a thread is filling, and one that training reads.
const SLOTS: usize = AHEAD + 2;
/// Maximum number of batches in a slot of the ring.
const SLOT_BATCHES: u64 = 4;
/// Approximate maximum size of the batches in a slot, in bytes. A slot has at least one batch.
const SLOT_BYTES: u64 = 16 << 20;

/// A ring buffer of batches for the GPU.
#[derive(Debug)]
pub struct Ring {
    device: Device,
    column_types: ColumnTypes,
    copies: Stream,
    idle: Vec<Slot>,
    /// Size of the largest slot so far. New slots get this size.
    largest: Sizes,
    /// Whether samples may have no label.
    unlabelled: bool,
}

/// A slot of the ring: memory on the host and on the GPU for a few batches.
#[derive(Debug)]
pub(crate) struct Slot {
    staging: Staging,
    staged: Staged,
    room: Sizes,
    host_order: Pinned<DrawOrder>,
    order: Buffer<DrawOrder>,
    source: BatchSource,
    /// CUDA event that the GPU reaches after the copy to the GPU.
    copied: Event,
    /// CUDA event that the GPU reaches after the kernels that read the slot.
    used: Event,
}

impl Slot {
    fn new(device: &Device, column_types: ColumnTypes, room: Sizes) -> Result<Slot> {
        let staged = Staged::new(device, column_types, room)?;
        let order = device.buffer(1)?;
        Ok(Slot {
            staging: Staging::new(device, column_types, room)?,
            room,
            host_order: device.pinned(1)?,
            source: BatchSource::new(staged.columns(), order.address()),
            copied: device.event(false)?,
            used: device.event(false)?,
            staged,
            order,
        })
    }

    /// Queues the copy to the GPU. `first` is the index of the slot's first sample in the order of the epoch, whose key
    /// is `epoch_key`.
    fn send(&mut self, ring: (&Device, ColumnTypes, &Stream), first: u64, epoch_key: u64) -> Result<()> {
        let (device, column_types, copies) = ring;
        if self.room != self.staging.room() {
            self.used.synchronize()?;
            self.room = self.staging.room();
            self.staged = Staged::new(device, column_types, self.room)?;
            self.source = BatchSource::new(self.staged.columns(), self.order.address());
        }
        let samples = self.staging.used().samples as u64;
        self.host_order.as_mut_slice()?[0] = DrawOrder::sequential(first, samples, epoch_key);
        copies.wait(&self.used)?;
        self.staging.upload(copies, &self.staged, Sizes::default())?;
        copies.upload(&self.order, 0, &self.host_order, 0..1)?;
        copies.record(&self.copied)
    }
}

impl Ring {
    /// Makes a ring without slots.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda) if the GPU's driver returns an error.
    pub fn new(device: &Device, column_types: ColumnTypes) -> Result<Ring> {
        Ok(Ring {
            device: device.clone(),
            column_types,
            copies: device.stream()?,
            idle: Vec::new(),
            largest: Sizes::default(),
            unlabelled: false,
        })
    }

    /// Allows samples without a label. Use this only for forward passes.
    pub(crate) fn allow_unlabelled(&mut self) {
        self.unlabelled = true;
    }

    /// Returns a slot for the next batches, after waiting for one if necessary. Returns `None` if training has ended.
    fn slot(&mut self, made: &mut usize, back: &Receiver<Slot>) -> Result<Option<Slot>> {
        let slot = match self.idle.pop() {
            Some(slot) => Some(slot),
            None if *made < SLOTS => Some(Slot::new(&self.device, self.column_types, self.largest)?),
            None => return Ok(back.recv().ok()),
        };
        *made += 1;
        Ok(slot)
    }
}

/// Does the work of `Feed::on_gpu` for a set that is not in the device cache.
pub(super) fn staged_epoch(
    loader: &Loader,
    ring: &mut Ring,
    stream: &Stream,
    (order, batch_size, first): (EpochOrder, usize, u64),
    mut each: impl FnMut(BatchSource) -> Result<bool>,
) -> Result<()> {
    let set = loader.set();
    let labels = Labels { classes: set.manifest().description.classes.len(), optional: ring.unlabelled };
    let sample_bytes = device_bytes(set, ring.column_types) / set.len().max(1);
    let batch_bytes = sample_bytes.saturating_mul(batch_size as u64);
    let together = (SLOT_BYTES / batch_bytes.max(1)).clamp(1, SLOT_BATCHES) as usize;
    let (back, used) = bounded(SLOTS);
    let mut made = 0;
    let mut position = first.saturating_mul(batch_size as u64);
    let make = |windows: &mut Windows<'_>| -> Result<Option<(Slot, usize)>> {
        let Some(mut slot) = ring.slot(&mut made, &used)? else { return Ok(None) };
        slot.staging.clear();
        let push = |samples: &[EpochSample<'_>]| match loader.augmented(order, samples)? {
            Some(changed) => {
                let indices = samples.iter().map(EpochSample::index);
                let changed = changed.frames.samples().zip(&changed.labels).zip(indices);
                let changed: Vec<_> = changed.map(|((frames, &label), index)| (frames, label, index)).collect();
                slot.staging.push(&changed, labels, Sizes::default())
            }
            None => slot.staging.push(samples, labels, Sizes::default()),
        };
        let samples = windows.next_batches(together, push)?;
        if samples == 0 {
            ring.idle.push(slot);
            return Ok(None);
        }
        slot.send((&ring.device, ring.column_types, &ring.copies), position, order.epoch_key())?;
        position += samples as u64;
        ring.largest = ring.largest.at_least(slot.room);
        Ok(Some((slot, samples.div_ceil(batch_size))))
    };
    let ended = loader.prefetch(order, batch_size, first, make, |(slot, batches)| {
        stream.wait(&slot.copied)?;
        let mut more = true;
        for _ in 0..batches {
            more = more && each(slot.source)?;
        }
        stream.record(&slot.used)?;
        let _ = back.send(slot); // there is room for all slots
        Ok(more)
    });
    ring.idle.extend(used.try_iter());
    ended
}
