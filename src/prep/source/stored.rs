//! Events in a temporary file. They come from recordings that don't fit in memory and whose own file cannot be read
//! in ranges: the decoded events of a camera's file or of a text,
//! or events that were sorted.

use std::ops::Range;

use tonic_base::Spill;

use crate::error::Result;
use crate::source::columns::{EventBlock, Stamps};
use crate::source::raw::Coordinates;

/// Number of streams in the temporary file: times, x, y, p and flags. The flag of an event is 1 if its time is
/// missing.
const STREAMS: usize = 5;
const FLAGS: usize = 4;

/// Events in a temporary file, with one stream for each column.
#[derive(Debug)]
pub(super) struct StoredEvents {
    spill: Spill,
    /// Number of bytes per entry of x, y and p. 0 for a column that the recording lacks.
    widths: [usize; 3],
    /// Whether there is a flag for each event. If not, no time is missing.
    has_flags: bool,
}

/// Returns the number of bytes per entry of a column in the temporary file. 0 for `None`.
fn width(column: Option<&Coordinates>) -> usize {
    match column {
        None => 0,
        Some(Coordinates::U8(_)) => 1,
        Some(Coordinates::U16(_)) => 2,
        Some(Coordinates::I64(_)) => 8,
    }
}

impl StoredEvents {
    /// Creates an empty temporary file for events. The columns and their number types are those of `block`. If
    /// `may_miss` is true, events may lack a time.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    pub(super) fn like(block: &EventBlock, may_miss: bool) -> Result<StoredEvents> {
        let widths = [Some(&block.x), block.y.as_ref(), block.p.as_ref()].map(width);
        Ok(StoredEvents { spill: Spill::new(STREAMS)?, widths, has_flags: may_miss })
    }

    /// Appends events. Their columns must have the number types of the first block.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    pub(super) fn append(&mut self, block: &EventBlock) -> Result<()> {
        let columns = [Some(&block.x), block.y.as_ref(), block.p.as_ref()];
        debug_assert_eq!(columns.map(width), self.widths);
        self.spill.append(0, &bytes_of(&block.t.us, i64::to_le_bytes))?;
        for (i, column) in columns.into_iter().enumerate() {
            match column {
                None => {}
                Some(Coordinates::U8(column)) => self.spill.append(i + 1, column)?,
                Some(Coordinates::U16(column)) => self.spill.append(i + 1, &bytes_of(column, u16::to_le_bytes))?,
                Some(Coordinates::I64(column)) => self.spill.append(i + 1, &bytes_of(column, i64::to_le_bytes))?,
            }
        }
        if self.has_flags {
            let mut flags = vec![0; block.t.us.len()];
            block.t.missing.iter().for_each(|&i| flags[i] = 1);
            self.spill.append(FLAGS, &flags)?;
        }
        Ok(())
    }

    /// Reads a range of the events.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    pub(super) fn read(&self, range: Range<u64>) -> Result<EventBlock> {
        let column = |i: usize| -> Result<Option<Coordinates>> {
            let width = self.widths[i];
            Ok(coordinates(width, self.bytes(i + 1, width, &range)?))
        };
        let (x, y, p) = (column(0)?, column(1)?, column(2)?);
        Ok(EventBlock { t: self.times(range.clone())?, x: x.unwrap_or(Coordinates::U8(Vec::new())), y, p })
    }

    /// Reads the times of a range of the events.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    pub(super) fn times(&self, range: Range<u64>) -> Result<Stamps> {
        let us = numbers(&self.bytes(0, 8, &range)?, i64::from_le_bytes);
        let flags = if self.has_flags { self.bytes(FLAGS, 1, &range)? } else { Vec::new() };
        let missing = flags.iter().enumerate().filter(|(_, flag)| **flag != 0).map(|(i, _)| i).collect();
        Ok(Stamps { us, missing })
    }

    fn bytes(&self, stream: usize, width: usize, range: &Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = vec![0; (range.end - range.start) as usize * width];
        self.spill.read(stream, range.start * width as u64, &mut bytes)?;
        Ok(bytes)
    }
}

fn bytes_of<T: Copy, const N: usize>(numbers: &[T], to_bytes: fn(T) -> [u8; N]) -> Vec<u8> {
    let mut bytes = vec![0; numbers.len() * N];
    bytes.as_chunks_mut::<N>().0.iter_mut().zip(numbers).for_each(|(bytes, &number)| *bytes = to_bytes(number));
    bytes
}

/// Returns the column whose entries are stored in `bytes`, with `width` bytes each. `None` if `width` is 0.
pub(super) fn coordinates(width: usize, bytes: Vec<u8>) -> Option<Coordinates> {
    match width {
        0 => None,
        1 => Some(Coordinates::U8(bytes)),
        2 => Some(Coordinates::U16(numbers(&bytes, u16::from_le_bytes))),
        _ => Some(Coordinates::I64(numbers(&bytes, i64::from_le_bytes))),
    }
}

fn numbers<T, const N: usize>(bytes: &[u8], of_bytes: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&bytes| of_bytes(bytes)).collect()
}
