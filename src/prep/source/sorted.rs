//! The events of a recording that is out of order, sorted by time in a temporary file.

use std::ops::Range;

use tonic_base::{Spill, interrupt};

use crate::disk_sort::DiskSort;
use crate::error::Result;
use crate::source::columns::{EventBlock, Stamps};
use crate::source::raw::Coordinates;
use crate::source::stored::StoredEvents;
use tonic_shard::KEPT;

/// Number of events that are sorted in memory at a time.
const PART: usize = 1 << 19;
/// Number of sorted events that are written to the temporary file at a time.
const PIECE: usize = 1 << 15;
/// Number of bytes that are sorted along with the time of an event: whether it has a time, its index in the
/// recording, x, y and p.
const REST: usize = 33;

/// Events in order of time, in a temporary file.
#[derive(Debug)]
pub(super) struct SortedEvents {
    events: StoredEvents,
    /// Index of each sorted event in the recording, 8 bytes each.
    order: Spill,
}

impl SortedEvents {
    /// Sorts the events of consecutive blocks, `events` in total. Events with equal times keep their order. An event
    /// without a time keeps its place after the event before it.
    ///
    /// # Errors
    /// Errors of `blocks`; [`tonic_base::Error::NoSpace`] and [`tonic_base::Error::Io`] for the temporary file.
    pub(super) fn new(events: u64, blocks: impl Iterator<Item = Result<EventBlock>>) -> Result<SortedEvents> {
        // Checks for disk space for twice the events, because the result is written while the sorted parts are still on
        // disk.
        let mut sort = DiskSort::<REST>::new(PART, 2 * events)?;
        let (mut has_y, mut has_p, mut index, mut before, mut early) = (false, false, 0_u64, None, Vec::new());
        for block in blocks {
            interrupt::check(KEPT)?;
            let block = block?;
            (has_y, has_p) = (block.y.is_some(), block.p.is_some());
            let places = block.t.places(before);
            let mut missing = block.t.missing.iter().peekable();
            let none_yet = before.is_none() && block.t.missing.len() == places.len();
            let at = |column: &Option<Coordinates>, i| column.as_ref().map_or(0, |column| column.get(i));
            for (i, &place) in places.iter().enumerate() {
                let mut rest = [0; REST];
                rest[0] = u8::from(missing.next_if(|missing| **missing == i).is_some());
                let numbers = [index as i64, block.x.get(i), at(&block.y, i), at(&block.p, i)];
                rest[1..].chunks_exact_mut(8).zip(numbers).for_each(|(to, n)| to.copy_from_slice(&n.to_le_bytes()));
                index += 1;
                if none_yet {
                    early.push(rest);
                    continue;
                }
                // Events without a time at the start of the recording are sorted as if they had the first known time.
                early.drain(..).try_for_each(|rest| sort.push((place, rest)))?;
                sort.push((place, rest))?;
            }
            before = if none_yet { None } else { places.last().copied().or(before) };
        }
        early.drain(..).try_for_each(|rest| sort.push((0, rest)))?;
        let mut piece = Piece::new(has_y, has_p);
        let (mut events, mut order) = (StoredEvents::like(&piece.block(), true)?, Spill::new(1)?);
        sort.finish(|(place, rest)| {
            piece.push(place, &rest);
            if piece.order.len() >= 8 * PIECE { piece.write(&mut events, &mut order) } else { Ok(()) }
        })?;
        piece.write(&mut events, &mut order)?;
        Ok(SortedEvents { events, order })
    }

    pub(super) fn read(&self, range: Range<u64>) -> Result<EventBlock> {
        self.events.read(range)
    }

    pub(super) fn times(&self, range: Range<u64>) -> Result<Stamps> {
        self.events.times(range)
    }

    /// Returns whether the events of a range of the sorted events have the same order in the recording.
    pub(super) fn was_in_order(&self, range: Range<u64>) -> Result<bool> {
        let mut last = -1;
        for start in range.clone().step_by(PIECE) {
            let mut bytes = vec![0; 8 * (range.end - start).min(PIECE as u64) as usize];
            self.order.read(0, 8 * start, &mut bytes)?;
            for index in bytes.chunks_exact(8).map(number) {
                if index <= last {
                    return Ok(false);
                }
                last = index;
            }
        }
        Ok(true)
    }
}

/// Sorted events that are not in the temporary file yet.
struct Piece {
    t: Stamps,
    columns: [Vec<i64>; 3],
    order: Vec<u8>,
    has: [bool; 2],
}

impl Piece {
    fn new(has_y: bool, has_p: bool) -> Piece {
        Piece { t: Stamps::default(), columns: [const { Vec::new() }; 3], order: Vec::new(), has: [has_y, has_p] }
    }

    fn push(&mut self, place: i64, rest: &[u8; REST]) {
        let missing = rest[0] != 0;
        if missing {
            self.t.missing.push(self.t.us.len());
        }
        self.t.us.push(if missing { 0 } else { place });
        self.order.extend_from_slice(&rest[1..9]);
        self.columns.iter_mut().zip(rest[9..].chunks_exact(8)).for_each(|(column, bytes)| column.push(number(bytes)));
    }

    /// Removes the events from the piece and returns them.
    fn block(&mut self) -> EventBlock {
        let [x, y, p] = std::mem::take(&mut self.columns).map(Coordinates::I64);
        let [has_y, has_p] = self.has;
        EventBlock { t: std::mem::take(&mut self.t), x, y: has_y.then_some(y), p: has_p.then_some(p) }
    }

    fn write(&mut self, events: &mut StoredEvents, order: &mut Spill) -> Result<()> {
        order.append(0, &std::mem::take(&mut self.order))?;
        events.append(&self.block())
    }
}

fn number(bytes: &[u8]) -> i64 {
    i64::from_le_bytes(bytes.try_into().unwrap_or_default())
}
