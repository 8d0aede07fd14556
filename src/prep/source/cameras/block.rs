//! A block of decoded events, on its way to where they go.

use crate::error::Result;
use crate::events::SensorSize;
use crate::source::stream::EventStore;
use crate::source::target::{Entries, Slices, Target};

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
        let (x, y, p) = (Entries::U16(&x[..n]), Entries::U16(&y[..n]), Entries::U8(&p[..n]));
        self.target.append(Slices { t: &t[..n], x, y: Some(y), p: Some(p) })?;
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
        Ok((self.target.into_store(), self.events))
    }
}
