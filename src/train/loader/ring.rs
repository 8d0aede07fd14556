//! Pinned streaming, for sets larger than the GPU's memory: a ring of batches in page-locked memory and as many on the
//! device. A thread unpacks each into its slot and queues the copy on a stream of its own, while steps use those before.

use crossbeam_channel::{Receiver, bounded};

use super::ahead::{AHEAD, ahead};
use super::staging::{Amount, Staged, Staging};
use super::{EpochOrder, Loader};
use crate::error::Result;
use crate::train::kernel::cuda::{Buffer, Device, Event, Pinned, Stream};
use crate::train::kernel::interface::{Order, Source};
use crate::train::kernel::program::Form;

/// Batches that are on their way: those made ahead, the one in the making, and the one in use.
const SLOTS: usize = AHEAD + 2;

/// Slots for batches on their way, used again from epoch to epoch.
#[derive(Debug)]
pub struct Ring {
    device: Device,
    form: Form,
    copies: Stream,
    idle: Vec<Slot>,
}

/// A batch on its way.
#[derive(Debug)]
pub struct Slot {
    staging: Staging,
    staged: Staged,
    room: Amount,
    host_order: Pinned<Order>,
    order: Buffer<Order>,
    source: Source,
    /// It is on the device.
    copied: Event,
    /// It is no longer read.
    used: Event,
}

impl Slot {
    /// Without room, which the first batch makes.
    fn new(device: &Device, form: Form) -> Result<Slot> {
        let room = Amount::default();
        let staged = Staged::new(device, form, room)?;
        let order = device.buffer(1)?;
        Ok(Slot {
            staging: Staging::new(device, form, room)?,
            room,
            host_order: device.pinned(1)?,
            source: Source::new(staged.columns(), order.address()),
            copied: device.event(false)?,
            used: device.event(false)?,
            staged,
            order,
        })
    }

    /// Where its batch is drawn from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Has `steps` wait until the batch is there.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn begin(&self, steps: &Stream) -> Result<()> {
        steps.wait(&self.copied)
    }

    /// The work given to `steps` so far is the last that reads it.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn end(&self, steps: &Stream) -> Result<()> {
        steps.record(&self.used)
    }

    /// Queues its copy to the device, after what has read the batch before.
    fn send(&mut self, ring: (&Device, Form, &Stream)) -> Result<()> {
        let (device, form, copies) = ring;
        if self.room != self.staging.room() {
            self.used.synchronize()?;
            self.room = self.staging.room();
            self.staged = Staged::new(device, form, self.room)?;
            self.source = Source::new(self.staged.columns(), self.order.address());
        }
        self.host_order.as_mut_slice()?[0] = Order::sequential(self.staging.used().samples as u64);
        copies.wait(&self.used)?;
        self.staging.upload(copies, &self.staged, Amount::default())?;
        copies.upload(&self.order, 0, &self.host_order, 0..1)?;
        copies.record(&self.copied)
    }
}

impl Ring {
    /// A ring without slots, which come with the first batches.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn new(device: &Device, form: Form) -> Result<Ring> {
        Ok(Ring { device: device.clone(), form, copies: device.stream()?, idle: Vec::new() })
    }

    /// A slot that nobody uses, the `made`-th at first; none where those that do have gone.
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

impl Loader {
    /// Calls `each` with the batches of an epoch as slots of a ring, from number `first` on, until it returns false.
    /// `each` has the work that reads a slot wait for it ([`Slot::begin`]) and says when it ends ([`Slot::end`]).
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::error::Error::Corrupt) with the chunk that could not be decoded,
    /// [`Error::Kernel`](crate::error::Error::Kernel) for a label that is no class, or what `each` returns.
    pub fn staged_epoch(
        &self,
        ring: &mut Ring,
        order: EpochOrder,
        batch_size: usize,
        first: u64,
        mut each: impl FnMut(&Slot) -> Result<bool>,
    ) -> Result<()> {
        let classes = self.set.manifest().description.classes.len();
        let (back, used) = bounded(SLOTS);
        let (mut windows, mut made) = (self.windows(order, batch_size, first), 0);
        let mut next_slot = || -> Result<Option<Slot>> {
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
        let ended = ahead(
            || next_slot().transpose(),
            |slot| {
                let more = each(&slot)?;
                let _ = back.send(slot); // there is room for all slots
                Ok(more)
            },
        );
        ring.idle.extend(used.try_iter());
        self.keep(windows);
        ended
    }
}
