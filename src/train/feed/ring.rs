//! A ring buffer that prefetches batches to the GPU, for sets larger than GPU memory. A slot of the ring has
//! page-locked memory on the host and memory on the device, both for one batch. While the GPU trains on earlier
//! batches, a thread unpacks the next batch into a slot and queues its copy to the device on a separate stream.

use crossbeam_channel::{Receiver, bounded};
use tonic_loader::{AHEAD, EpochOrder, Loader, Windows};

use crate::error::Result;
use crate::feed::staging::{Amount, Staged, Staging};
use crate::gpu::{Buffer, Device, Event, Pinned, Stream};
use crate::kernel::batch_source::BatchSource;
use crate::kernel::interface::DrawOrder;
use crate::kernel::program::ColumnTypes;

/// Number of slots of the ring: `AHEAD` slots for batches that are ready, one for the batch that the thread is
/// unpacking now, and one for the batch that training uses now.
const SLOTS: usize = AHEAD + 2;

/// A ring buffer of batches that are copied to the GPU. After an epoch, it keeps the slots for the next epoch.
#[derive(Debug)]
pub struct Ring {
    device: Device,
    column_types: ColumnTypes,
    copies: Stream,
    idle: Vec<Slot>,
}

/// Memory on the host and on the device for one batch.
#[derive(Debug)]
pub(crate) struct Slot {
    staging: Staging,
    staged: Staged,
    room: Amount,
    host_order: Pinned<DrawOrder>,
    order: Buffer<DrawOrder>,
    source: BatchSource,
    /// CUDA event that is recorded after the copy of the batch to the device.
    copied: Event,
    /// CUDA event that is recorded after the kernels that read the batch.
    used: Event,
}

impl Slot {
    /// Makes a slot without memory for samples. The first batch in this slot allocates the memory.
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

    /// Queues the copy of the batch in this slot to the device. The copy starts when the kernels that read the previous
    /// batch of this slot have ended.
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
    /// Makes a ring without slots. The first epoch makes the slots.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda).
    pub fn new(device: &Device, column_types: ColumnTypes) -> Result<Ring> {
        Ok(Ring { device: device.clone(), column_types, copies: device.stream()?, idle: Vec::new() })
    }

    /// Returns a slot for the next batch, or `None` if the training thread has ended the epoch. The first [`SLOTS`]
    /// batches of an epoch get an idle slot or a new slot. Each later batch waits for a slot that the training thread
    /// has used and gives back through `back`. `made` counts the idle and new slots that the epoch has got.
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

/// Copies the batches of an epoch to the GPU, from the batch with index `first` on. Calls `each` for every batch until
/// `each` returns false. The work that `each` queues on `stream` starts when the batch is on the device. The memory of
/// the batch is used again after that work has ended.
///
/// # Errors
/// [`tonic_base::Error::Corrupt`] if a chunk cannot be decoded, [`Error::Kernel`](crate::Error::Kernel) if a label is
/// not below the number of classes, or the error of `each`.
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
