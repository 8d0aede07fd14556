//! A ring buffer that prefetches batches to the GPU, for sets larger than GPU memory. A slot has page-locked
//! memory on the host and memory on the device. A thread unpacks each batch into a slot and queues its copy on a
//! separate stream, while training steps use earlier batches.

use crossbeam_channel::{Receiver, bounded};
use tonic_loader::{AHEAD, EpochOrder, Loader, Windows};

use crate::error::Result;
use crate::feed::staging::{Amount, Staged, Staging};
use crate::gpu::{Buffer, Device, Event, Pinned, Stream};
use crate::kernel::batch_source::BatchSource;
use crate::kernel::interface::DrawOrder;
use crate::kernel::program::ColumnTypes;

/// Number of slots: for the batches made ahead, the one being made, and the one in use.
const SLOTS: usize = AHEAD + 2;

/// The slots of a ring, and the stream that copies batches. Slots are reused in the next epoch.
#[derive(Debug)]
pub struct Ring {
    device: Device,
    column_types: ColumnTypes,
    copies: Stream,
    idle: Vec<Slot>,
}

/// A batch with its memory on the host and on the device.
#[derive(Debug)]
pub(crate) struct Slot {
    staging: Staging,
    staged: Staged,
    room: Amount,
    host_order: Pinned<DrawOrder>,
    order: Buffer<DrawOrder>,
    source: BatchSource,
    /// CUDA event: the batch has been copied to the device.
    copied: Event,
    /// CUDA event: the kernels have finished reading the batch.
    used: Event,
}

impl Slot {
    /// Makes a slot without memory. The first batch allocates it.
    fn new(device: &Device, column_types: ColumnTypes) -> Result<Slot> {
        let room = Amount::default();
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

    /// Queues the batch's copy to the device, after the work that reads the slot's earlier batch.
    fn send(&mut self, ring: (&Device, ColumnTypes, &Stream)) -> Result<()> {
        let (device, column_types, copies) = ring;
        if self.room != self.staging.room() {
            self.used.synchronize()?;
            self.room = self.staging.room();
            self.staged = Staged::new(device, column_types, self.room)?;
            self.source = BatchSource::new(self.staged.columns(), self.order.address());
        }
        self.host_order.as_mut_slice()?[0] = DrawOrder::sequential(self.staging.used().samples as u64);
        copies.wait(&self.used)?;
        self.staging.upload(copies, &self.staged, Amount::default())?;
        copies.upload(&self.order, 0, &self.host_order, 0..1)?;
        copies.record(&self.copied)
    }
}

impl Ring {
    /// Makes a ring without slots. The first batches allocate them.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda).
    pub fn new(device: &Device, column_types: ColumnTypes) -> Result<Ring> {
        Ok(Ring { device: device.clone(), column_types, copies: device.stream()?, idle: Vec::new() })
    }

    /// Returns a slot for the next batch: while fewer than [`SLOTS`] are in use, an idle or a new slot; then the next
    /// that the consumer sends `back`. `made` counts the slots in use. Returns `None` if the consumer has ended.
    fn slot(&mut self, made: &mut usize, back: &Receiver<Slot>) -> Result<Option<Slot>> {
        let slot = match self.idle.pop() {
            Some(slot) => Some(slot),
            None if *made < SLOTS => Some(Slot::new(&self.device, self.column_types)?),
            None => return Ok(back.recv().ok()),
        };
        *made += 1;
        Ok(slot)
    }
}

/// Calls `each` with the batches of an epoch in slots of `ring`, from batch number `first` on, until `each` returns
/// false. The work that `each` queues on `stream` starts when its batch is on the device, and ends before the slot is
/// used again.
///
/// # Errors
/// [`tonic_base::Error::Corrupt`] with the chunk that could not be decoded, [`Error::Kernel`](crate::Error::Kernel)
/// for a label that is not a class, or the error of `each`.
pub(super) fn staged_epoch(
    loader: &Loader,
    ring: &mut Ring,
    stream: &Stream,
    (order, batch_size, first): (EpochOrder, usize, u64),
    mut each: impl FnMut(BatchSource) -> Result<bool>,
) -> Result<()> {
    let classes = loader.set().manifest().description.classes.len();
    let (back, used) = bounded(SLOTS);
    let mut made = 0;
    let make = |windows: &mut Windows<'_>| -> Result<Option<Slot>> {
        let Some(mut slot) = ring.slot(&mut made, &used)? else { return Ok(None) };
        slot.staging.clear();
        let samples = windows.next_batch(|samples| slot.staging.push(samples, classes, Amount::default()))?;
        if samples == 0 {
            ring.idle.push(slot);
            return Ok(None);
        }
        slot.send((&ring.device, ring.column_types, &ring.copies))?;
        Ok(Some(slot))
    };
    let ended = loader.prefetch(order, batch_size, first, make, |slot| {
        stream.wait(&slot.copied)?;
        let more = each(slot.source)?;
        stream.record(&slot.used)?;
        let _ = back.send(slot); // there is room for all slots
        Ok(more)
    });
    ring.idle.extend(used.try_iter());
    ended
}
