//! Collects decoded events in blocks, and appends the blocks to memory or disk.

use std::cell::Cell;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use tonic_base::Error as BaseError;

use crate::error::{Error, Result};
use crate::events::SensorSize;
use crate::source::columns::{EventBlock, Stamps};
use crate::source::huge_pages::zeros;
use crate::source::raw::Coordinates;
use crate::source::stream::EventStore;
use crate::source::target::{Entries, Slices, Target};

/// Number of events that fit in a block. With 13 bytes each, they stay in the L2 cache.
const SIZE: usize = 1 << 15;
/// After each [`Decoded::settle`], a block has space for at least this many more events.
pub(crate) const ROOM: usize = SIZE / 8;

/// From this number of events on, a separate thread appends the blocks.
const MANY: u64 = 1 << 17;
/// Maximum number of events for which memory is allocated at once, before they are read.
const MOST: u64 = 1 << 30;
/// Number of blocks that can wait for the thread that appends them.
const BLOCKS: usize = 6;
/// How many times a thread that waits for a block yields to other threads before it sleeps. To wake a thread takes
/// longer than to decode a block.
const YIELDS: u32 = 1_000;
const LOST: BaseError = BaseError::WorkerLost { doing: "store the events of a recording" };

/// Columns of decoded events. Their size is fixed, so adding an event needs no allocation and no bounds check.
pub(crate) struct Block {
    t: Box<[i64; SIZE]>,
    x: Box<[u16; SIZE]>,
    y: Box<[u16; SIZE]>,
    p: Box<[u8; SIZE]>,
    len: usize,
}

fn block_of_zeros<T: Clone + Default>() -> Box<[T; SIZE]> {
    vec![T::default(); SIZE].into_boxed_slice().try_into().unwrap_or_else(|_| unreachable!("the length is SIZE"))
}

thread_local! {
    /// A block that the thread's previous decoder has left for the next one. Making a new block takes as long as
    /// decoding a small file.
    static SPARE: Cell<Option<Block>> = const { Cell::new(None) };
}

impl Block {
    fn new() -> Block {
        let (t, x, y, p) = (block_of_zeros(), block_of_zeros(), block_of_zeros(), block_of_zeros());
        Block { t, x, y, p, len: 0 }
    }

    fn spare() -> Block {
        SPARE.take().map_or_else(Block::new, |block| Block { len: 0, ..block })
    }

    fn slices(&self) -> Slices<'_> {
        let n = self.len.min(SIZE);
        let (x, y, p) = (Entries::U16(&self.x[..n]), Entries::U16(&self.y[..n]), Entries::U8(&self.p[..n]));
        Slices { t: &self.t[..n], x, y: Some(y), p: Some(p) }
    }

    /// Returns the free part of the block. At most [`ROOM`] events may be added between two calls of
    /// [`Decoded::settle`].
    #[inline(always)]
    pub(crate) fn room(&mut self) -> Room<'_> {
        let Block { t, x, y, p, len } = self;
        Room { t, x, y, p, len: *len, of_block: len }
    }

    /// Adds `n` events, at most [`ROOM`], and returns their columns t, x, y and p, which the caller fills.
    #[inline(always)]
    pub(crate) fn add(&mut self, n: usize) -> (&mut [i64], &mut [u16], &mut [u16], &mut [u8]) {
        let new = self.len..self.len + n;
        self.len += n;
        (&mut self.t[new.clone()], &mut self.x[new.clone()], &mut self.y[new.clone()], &mut self.p[new])
    }
}

/// Columns for all events of a file.
pub(crate) struct AllColumns {
    pub(crate) t: Vec<i64>,
    pub(crate) x: Vec<u16>,
    pub(crate) y: Vec<u16>,
    pub(crate) p: Vec<u8>,
}

/// The free part of a block, to which a decoder adds single events. It is a local variable of the decoder's loop, so
/// its length stays in a register. The block's own length would be stored after each event and loaded before the next
/// one.
pub(crate) struct Room<'b> {
    t: &'b mut [i64; SIZE],
    x: &'b mut [u16; SIZE],
    y: &'b mut [u16; SIZE],
    p: &'b mut [u8; SIZE],
    len: usize,
    /// The length of the block, which is set when the room is dropped.
    of_block: &'b mut usize,
}

impl Room<'_> {
    #[inline(always)]
    pub(crate) fn push(&mut self, t: i64, x: u16, y: u16, p: u8) {
        debug_assert!(self.len < SIZE);
        let i = self.len % SIZE;
        (self.t[i], self.x[i], self.y[i], self.p[i]) = (t, x, y, p);
        self.len += 1;
    }

    /// Adds an event if `is_event` is true, without a branch that the processor could mispredict.
    #[inline(always)]
    pub(crate) fn push_if(&mut self, is_event: bool, t: i64, x: u16, y: u16, p: u8) {
        self.push(t, x, y, p);
        self.len -= usize::from(!is_event);
    }

    /// Adds an event at `x + i` for each bit i that is 1 in `bits`.
    #[inline(always)]
    pub(crate) fn push_vector(&mut self, t: i64, (x, y, p): (u16, u16, u8), mut bits: u32) {
        while bits != 0 {
            self.push(t, x.saturating_add(bits.trailing_zeros() as u16), y, p);
            bits &= bits - 1;
        }
    }
}

impl Drop for Room<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        *self.of_block = self.len;
    }
}

/// Appends blocks to a target in a thread of its own, while the decoder continues.
struct Appender {
    /// `None` once the last block is sent.
    full: Option<SyncSender<Block>>,
    empty: Receiver<Block>,
    /// `None` once the thread was joined.
    thread: Option<JoinHandle<Result<Target>>>,
}

impl Appender {
    fn start(target: Target) -> Appender {
        let ((full, blocks), (back, empty)) = (sync_channel::<Block>(BLOCKS), sync_channel(BLOCKS));
        (0..BLOCKS).for_each(|_| back.send(Block::new()).unwrap_or_else(|_| unreachable!("it has room for them")));
        let thread = std::thread::spawn(move || {
            let mut target = target;
            while let Some(mut block) = wait(&blocks) {
                target.append(block.slices())?;
                block.len = 0;
                // This cannot fail: the receiver is dropped only after this thread was joined.
                let _ = back.send(block);
            }
            Ok(target)
        });
        Appender { full: Some(full), empty, thread: Some(thread) }
    }

    /// Sends the block to the thread, and replaces it with an empty one.
    fn append(&mut self, block: &mut Block) -> Result<()> {
        let Some(empty) = wait(&self.empty) else { return Err(self.failure()) };
        let full = std::mem::replace(block, empty);
        let is_sent = self.full.as_ref().is_some_and(|blocks| blocks.send(full).is_ok());
        if is_sent { Ok(()) } else { Err(self.failure()) }
    }

    /// Returns why the thread has ended.
    fn failure(&mut self) -> Error {
        self.end().err().unwrap_or_else(|| LOST.into())
    }

    /// Waits until all blocks are appended.
    fn end(&mut self) -> Result<Target> {
        self.full = None;
        self.thread.take().ok_or(LOST)?.join().map_err(|_| LOST)?
    }
}

/// Waits for a block. `None` if no more blocks arrive.
fn wait(blocks: &Receiver<Block>) -> Option<Block> {
    for _ in 0..YIELDS {
        match blocks.try_recv() {
            Err(TryRecvError::Empty) => std::thread::yield_now(),
            received => return received.ok(),
        }
    }
    blocks.recv().ok()
}

impl Drop for Appender {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// The thread that appends a decoder's blocks to the target.
enum Sink {
    /// The decoder's own thread.
    Here(Target),
    /// Another thread, because there are many events.
    There(Appender),
}

/// The result of decoding a file: events, size of the sensor, and notes for the user.
pub(crate) struct Decoded {
    pub(crate) block: Block,
    /// Size of the sensor, if the file gives it.
    pub(crate) sensor: Option<SensorSize>,
    /// Topic of the events, if the file is a ROS bag. `None` for other files.
    pub(crate) place: Option<String>,
    /// Notes for the user: what was found besides events and is not read.
    pub(crate) notes: Vec<String>,
    sink: Sink,
    events: u64,
}

impl Decoded {
    pub(crate) fn new(target: Target) -> Decoded {
        Decoded {
            block: Block::spare(),
            sensor: None,
            place: None,
            notes: Vec::new(),
            sink: Sink::Here(target),
            events: 0,
        }
    }

    /// Returns columns of zeros for all events of a file, of which `count` returns the number. They must belong into
    /// memory, and be so many that blocks would be appended by another thread: otherwise, returns `None`. The caller
    /// fills the columns, and calls [`Decoded::set_columns`].
    pub(crate) fn all_columns(&self, count: impl FnOnce() -> u64) -> Option<AllColumns> {
        let Sink::Here(Target::Memory(None, most)) = self.sink else { return None };
        let n = count();
        let len = usize::try_from(n).ok().filter(|_| self.events() == 0 && n <= most && (MANY..=MOST).contains(&n))?;
        Some(AllColumns { t: zeros(len), x: zeros(len), y: zeros(len), p: zeros(len) })
    }

    /// Stores the columns from [`Decoded::all_columns`].
    pub(crate) fn set_columns(&mut self, AllColumns { t, x, y, p }: AllColumns) {
        debug_assert!(self.events() == 0);
        if let Sink::Here(Target::Memory(block @ None, _)) = &mut self.sink {
            self.events = t.len() as u64;
            let (x, y, p) = (Coordinates::U16(x), Some(Coordinates::U16(y)), Some(Coordinates::U8(p)));
            *block = Some(EventBlock { t: Stamps { us: t, missing: Vec::new() }, x, y, p });
        }
    }

    /// Returns whether the events are only counted.
    pub(crate) fn only_counts(&self) -> bool {
        matches!(self.sink, Sink::Here(Target::Count))
    }

    /// Counts events that the decoder doesn't decode. They must be [only counted](Decoded::only_counts).
    pub(crate) fn count(&mut self, events: usize) {
        debug_assert!(self.only_counts());
        self.events += events as u64;
    }

    /// Number of events so far.
    pub(crate) fn events(&self) -> u64 {
        self.events + self.block.len as u64
    }

    /// Sets the size of a sensor with two polarities. Ignores implausible sizes.
    pub(crate) fn set_sensor(&mut self, width: u64, height: u64) {
        self.sensor = SensorSize::plausible(width, height, 2).or(self.sensor);
    }

    /// Adds a note for the user that `n` items of the file are not read. `what` names these items. Does nothing if `n`
    /// is 0.
    pub(crate) fn not_read(&mut self, n: u64, what: &str) {
        if n > 0 {
            self.notes.push(format!("{what} that are not read: {n}"));
        }
    }

    /// Makes sure that the block has space for [`ROOM`] more events.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`] for the temporary file.
    ///
    /// # Panics
    /// If the block overflowed, because more than [`ROOM`] events were added since the previous call.
    pub(crate) fn settle(&mut self) -> Result<()> {
        assert!(self.block.len <= SIZE, "{} events in a block of {SIZE}", self.block.len);
        if self.block.len > SIZE - ROOM { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if self.block.len == 0 {
            return Ok(());
        }
        self.events += self.block.len as u64;
        match &mut self.sink {
            Sink::Here(target) => {
                target.append(self.block.slices())?;
                self.block.len = 0;
                if self.events >= MANY && !matches!(target, Target::Count) {
                    let target = std::mem::replace(target, Target::Count);
                    self.sink = Sink::There(Appender::start(target));
                }
            }
            Sink::There(appender) => appender.append(&mut self.block)?,
        }
        Ok(())
    }

    /// Returns the store with the events, and their number. If the events were only counted, the store is empty.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`] for the temporary file.
    pub(crate) fn finish(mut self) -> Result<(EventStore, u64)> {
        self.settle()?;
        self.flush()?;
        SPARE.set(Some(self.block));
        let target = match self.sink {
            Sink::Here(target) => target,
            Sink::There(mut appender) => appender.end()?,
        };
        Ok((target.into_store(), self.events))
    }
}
