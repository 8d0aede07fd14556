//! A block of decoded events, and where it goes: into memory, into a temporary file, or nowhere if the events are only
//! counted.

use crate::error::Result;
use crate::events::{Events, SensorSize};
use crate::source::columns::{EventBlock, Stamps};
use crate::source::raw::Coordinates;
use crate::source::stored::StoredEvents;
use crate::source::stream::{EventStore, MAX_IN_MEMORY};

/// Number of events that fit in a block.
const SIZE: usize = 1 << 17;
/// Number of events for which a block has room at least, after each [`Decoded::settle`].
pub(crate) const ROOM: usize = SIZE / 2;

/// Columns of decoded events, of a fixed size: to add an event takes no allocation and no check.
pub(crate) struct Block {
    t: Box<[i64; SIZE]>,
    x: Box<[u16; SIZE]>,
    y: Box<[u16; SIZE]>,
    p: Box<[u8; SIZE]>,
    len: usize,
}

fn zeros<T: Clone + Default>() -> Box<[T; SIZE]> {
    vec![T::default(); SIZE].into_boxed_slice().try_into().unwrap_or_else(|_| unreachable!("the length is SIZE"))
}

impl Block {
    fn new() -> Block {
        Block { t: zeros(), x: zeros(), y: zeros(), p: zeros(), len: 0 }
    }

    /// Adds an event. At most [`ROOM`] events may be added between two calls of [`Decoded::settle`].
    #[inline(always)]
    pub(crate) fn push(&mut self, t: i64, x: u16, y: u16, p: u8) {
        debug_assert!(self.len < SIZE);
        let i = self.len % SIZE;
        (self.t[i], self.x[i], self.y[i], self.p[i]) = (t, x, y, p);
        self.len += 1;
    }

    /// Adds an event at `x + i` for each bit i of `bits`.
    #[inline(always)]
    pub(crate) fn push_vector(&mut self, t: i64, (x, y, p): (u16, u16, u8), mut bits: u32) {
        while bits != 0 {
            self.push(t, x.saturating_add(bits.trailing_zeros() as u16), y, p);
            bits &= bits - 1;
        }
    }
}

/// Where decoded events go.
pub(crate) enum Target {
    /// The events are counted.
    Count,
    /// The events are in memory.
    Memory(Events),
    /// The events are in a temporary file, because there are many.
    Disk(StoredEvents),
}

/// The events that a decoder has found in a file, and what else it has found.
pub(crate) struct Decoded {
    pub(crate) block: Block,
    /// Size of the sensor, if the file tells it.
    pub(crate) sensor: Option<SensorSize>,
    /// The part of the file that the events are in, if it has several: the topic of a bag.
    pub(crate) place: Option<String>,
    /// Notes for the user: what was found besides events and is not read.
    pub(crate) notes: Vec<String>,
    target: Target,
    events: u64,
}

impl Decoded {
    pub(crate) fn new(target: Target) -> Decoded {
        Decoded { block: Block::new(), sensor: None, place: None, notes: Vec::new(), target, events: 0 }
    }

    /// Number of events so far.
    pub(crate) fn events(&self) -> u64 {
        self.events + self.block.len as u64
    }

    /// Sets the size of the sensor, which has two polarities. A size that no sensor has is ignored.
    pub(crate) fn set_sensor(&mut self, width: u64, height: u64) {
        let size = |n: u64| u32::try_from(n).ok().filter(|n| (1..=65_536).contains(n));
        if let (Some(width), Some(height)) = (size(width), size(height)) {
            self.sensor = Some(SensorSize { width, height, polarities: 2 });
        }
    }

    /// Notes that the file has `n` of `what`, which are not read. Does nothing if `n` is 0.
    pub(crate) fn not_read(&mut self, n: u64, what: &str) {
        if n > 0 {
            self.notes.push(format!("{what} that are not read: {n}"));
        }
    }

    /// Makes sure that the block has room for [`ROOM`] more events.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`] for the temporary file.
    pub(crate) fn settle(&mut self) -> Result<()> {
        if self.block.len > SIZE - ROOM { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let n = self.block.len.min(SIZE);
        let Block { t, x, y, p, .. } = &self.block;
        match &mut self.target {
            Target::Count => {}
            Target::Memory(events) => {
                events.t.extend_from_slice(&t[..n]);
                events.x.extend_from_slice(&x[..n]);
                events.y.extend_from_slice(&y[..n]);
                events.p.extend_from_slice(&p[..n]);
                if events.len() as u64 > MAX_IN_MEMORY {
                    let events = columns(std::mem::take(events));
                    let mut stored = StoredEvents::like(&events, false)?;
                    stored.append(&events)?;
                    self.target = Target::Disk(stored);
                }
            }
            Target::Disk(stored) => {
                let block = Events { t: t[..n].into(), x: x[..n].into(), y: y[..n].into(), p: p[..n].into() };
                stored.append(&columns(block))?;
            }
        }
        self.events += n as u64;
        self.block.len = 0;
        Ok(())
    }

    /// Returns where the events are, and their number. If they were only counted, they are nowhere.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`] for the temporary file.
    pub(crate) fn finish(mut self) -> Result<(EventStore, u64)> {
        self.flush()?;
        let store = match self.target {
            Target::Count => EventStore::Memory(columns(Events::default())),
            Target::Memory(events) => EventStore::Memory(columns(events)),
            Target::Disk(stored) => EventStore::Stored(stored),
        };
        Ok((store, self.events))
    }
}

fn columns(events: Events) -> EventBlock {
    let Events { t, x, y, p } = events;
    let t = Stamps { us: t, missing: Vec::new() };
    EventBlock { t, x: Coordinates::U16(x), y: Some(Coordinates::U16(y)), p: Some(Coordinates::U8(p)) }
}
