//! A ring buffer that prefetches batches to the GPU, for sets larger than GPU memory. It has slots in page-locked host
//! memory and the same number on the device. A thread unpacks each batch into a slot and queues its copy on a separate
//! stream, while training steps use earlier batches.

use crossbeam_channel::{Receiver, bounded};
use tonic_loader::{AHEAD, EpochOrder, Loader, Windows};

use crate::error::Result;
use crate::feed::staging::{Amount, Staged, Staging};
use crate::gpu::{Buffer, Device, Event, Pinned, Stream};
use crate::kernel::interface::{BatchSource, DrawOrder};
use crate::kernel::program::Form;

/// Number of slots: for the batches made ahead, the one being made, and the one in use.
const SLOTS: usize = AHEAD + 2;

/// Slots for batches that are being copied to the GPU. They are reused in the next epoch.
#[derive(Debug)]
pub struct Ring {
    device: Device,
    form: Form,
    copies: Stream,
    idle: Vec<Slot>,
}

/// A batch that is being copied to the GPU, with its memory on both sides.
#[derive(Debug)]
pub(crate) struct Slot {
    staging: Staging,
    staged: Staged,
    room: Amount,
    host_order: Pinned<DrawOrder>,
    order: Buffer<DrawOrder>,
    source: BatchSource,
    /// The batch is on the device.
    copied: Event,
    /// The kernels have finished reading the batch.
    used: Event,
}

impl Slot {
    /// Makes a slot without memory. The first batch allocates it.
    fn new(device: &Device, form: Form) -> Result<Slot> {
        let room = Amount::default();
        let staged = Staged::new(device, form, room)?;
        let order = device.buffer(1)?;
        Ok(Slot {
            staging: Staging::new(device, form, room)?,
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
    fn send(&mut self, ring: (&Device, Form, &Stream)) -> Result<()> {
        let (device, form, copies) = ring;
        if self.room != self.staging.room() {
            self.used.synchronize()?;
            self.room = self.staging.room();
            self.staged = Staged::new(device, form, self.room)?;
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
    /// A ring without slots: the first batches make them.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda).
    pub fn new(device: &Device, form: Form) -> Result<Ring> {
        Ok(Ring { device: device.clone(), form, copies: device.stream()?, idle: Vec::new() })
    }

    /// An unused slot: an idle or a new one while fewer than all were `made`, else the next that comes `back`. None if
    /// the consumer is gone.
    fn slot(&mut self, made: &mut usize, back: &Receiver<Slot>) -> Result<Option<Slot>> {
        let slot = match self.idle.pop() {
            Some(slot) => Some(slot),
            None if *made < SLOTS => Some(Slot::new(&self.device, self.form)?),
            None => return Ok(back.recv().ok()),
        };
        *made += 1;
        Ok(slot)
    }
}

/// Calls `each` with the batches of an epoch in slots of `ring`, from number `first` on, until it returns false. What
/// `each` queues on `stream` starts when its batch is on the device, and ends before the slot is used again.
///
/// # Errors
/// [`tonic_base::Error::Corrupt`] with the chunk that could not be decoded, [`Error::Kernel`](crate::Error::Kernel)
/// for a label that is no class, or what `each` returns.
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
        let samples = windows.next_batch(|places| slot.staging.push(places, classes, Amount::default()))?;
        if samples == 0 {
            ring.idle.push(slot);
            return Ok(None);
        }
        slot.send((&ring.device, ring.form, &ring.copies))?;
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
