//! The events of a recording that is out of order, sorted by time in a temporary file.

use std::ops::Range;

use tonic_base::{Spill, interrupt};

use crate::disk_sort::DiskSort;
use crate::error::Result;
use crate::source::columns::{EventBlock, Stamps};
use crate::source::raw::Coordinates;
use tonic_shard::KEPT;

/// Number of events that are sorted in memory at a time.
const PART: usize = 1 << 19;
/// Number of bytes that are read from the temporary file, or written to it, at a time.
const PIECE: usize = 1 << 20;
/// Number of bytes after the time of an event in the temporary file: whether the event has a time, its index in the
/// recording, x, y and p.
const REST: usize = 33;
/// Number of bytes of an event in the temporary file.
const BYTES: u64 = 8 + REST as u64;

/// Events in order of time, in a temporary file.
#[derive(Debug)]
pub(super) struct SortedEvents {
    spill: Spill,
    has_y: bool,
    has_p: bool,
}

impl SortedEvents {
    /// Sorts the events of consecutive blocks, `events` in total. Events with equal times keep their order. An event
    /// without a time stays behind the event before it.
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
        let (mut spill, mut bytes) = (Spill::new(1)?, Vec::with_capacity(PIECE + BYTES as usize));
        sort.finish(|(place, rest)| {
            bytes.extend_from_slice(&place.to_le_bytes());
            bytes.extend_from_slice(&rest);
            if bytes.len() >= PIECE {
                spill.append(0, &bytes)?;
                bytes.clear();
            }
            Ok(())
        })?;
        spill.append(0, &bytes)?;
        Ok(SortedEvents { spill, has_y, has_p })
    }

    pub(super) fn read(&self, range: Range<u64>) -> Result<EventBlock> {
        let n = (range.end - range.start) as usize;
        let (mut t, mut columns) = (Stamps::default(), [const { Vec::new() }; 3]);
        t.us.reserve_exact(n);
        columns.iter_mut().for_each(|column| column.reserve_exact(n));
        self.each(range, |i, place, rest| {
            let missing = rest[0] != 0;
            if missing {
                t.missing.push(i);
            }
            t.us.push(if missing { 0 } else { place });
            columns.iter_mut().zip(rest[9..].chunks_exact(8)).for_each(|(column, bytes)| column.push(number(bytes)));
        })?;
        let [x, y, p] = columns.map(Coordinates::I64);
        Ok(EventBlock { t, x, y: self.has_y.then_some(y), p: self.has_p.then_some(p) })
    }

    pub(super) fn times(&self, range: Range<u64>) -> Result<Stamps> {
        self.read(range).map(|block| block.t)
    }

    /// Returns whether a range of the sorted events had the same order in the recording.
    pub(super) fn was_in_order(&self, range: Range<u64>) -> Result<bool> {
        let (mut last, mut in_order) = (-1, true);
        self.each(range, |_, _, rest| {
            let index = number(&rest[1..9]);
            in_order &= index > last;
            last = index;
        })?;
        Ok(in_order)
    }

    /// Calls `take` with the index in the range, the time and the other bytes of each event.
    fn each(&self, range: Range<u64>, mut take: impl FnMut(usize, i64, &[u8])) -> Result<()> {
        let most = PIECE as u64 / BYTES;
        let mut bytes = Vec::new();
        for start in range.clone().step_by(most as usize) {
            let end = range.end.min(start + most);
            bytes.resize(((end - start) * BYTES) as usize, 0);
            self.spill.read(0, start * BYTES, &mut bytes)?;
            for (i, event) in bytes.chunks_exact(BYTES as usize).enumerate() {
                take((start - range.start) as usize + i, number(&event[..8]), &event[8..]);
            }
        }
        Ok(())
    }
}

fn number(bytes: &[u8]) -> i64 {
    i64::from_le_bytes(bytes.try_into().unwrap_or_default())
}
