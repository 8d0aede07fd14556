//! Checks the times of a recording that is one large sample, in blocks that fit in memory. The findings are those about
//! the recording as a whole.

use std::ops::Range;

use crate::error::Result;
use crate::source::stream::{EventStore, EventStream};
use crate::source::times::clock::Wrap;
use crate::source::times::vet::{observe, vet, vet_unwrapped};

/// Number of events that are read at once from an HDF5 file, at least: its chunks are decompressed as a whole.
const HDF_BLOCK: u64 = 1 << 20;

/// What was found in a recording.
pub(crate) struct Vetted {
    /// Notes for the user.
    pub notes: Vec<String>,
    /// The wraps of the clock that have to be undone.
    pub wrap: Option<Wrap>,
    /// Whether the events that have a time are in order of time, with wraps undone.
    pub in_order: bool,
}

/// Reads and checks all times of a recording, at most `most` at once.
///
/// # Errors
/// Errors of [`vet`] and of [`EventStream::times`].
pub(crate) fn vet_in_blocks(stream: &EventStream, most: u64) -> Result<Vetted> {
    let observe = |wrap| observe(stream, blocks(0..stream.len, most, stream), first_time(stream, wrap, most)?, wrap);
    let (found, mut in_order) = observe(None)?;
    let mut notes = vet(stream, &found)?;
    let wrap = stream.time.wrap_to_undo(&found);
    if let Some(wrap) = &wrap {
        let (found, unwrapped_in_order) = observe(Some(wrap))?;
        notes.extend(vet_unwrapped(stream, &found)?);
        in_order = unwrapped_in_order;
    }
    Ok(Vetted { notes, wrap, in_order })
}

/// Returns the first valid time, which stands for the missing times before it. `None` if no time before it is missing.
fn first_time(stream: &EventStream, wrap: Option<&Wrap>, most: u64) -> Result<Option<i64>> {
    for range in blocks(0..stream.len, most, stream) {
        let first = range.start;
        let mut times = stream.times(range)?;
        if let Some(wrap) = wrap {
            wrap.unwrap(first, &mut times.us);
        }
        if let Some(time) = times.valid().next() {
            return Ok((first > 0).then_some(time));
        }
    }
    Ok(None)
}

/// Splits a range of events into blocks. If the events are in an HDF5 file, blocks of fewer than [`HDF_BLOCK`] events
/// are read only if the range has fewer.
pub(crate) fn blocks(range: Range<u64>, most: u64, stream: &EventStream) -> impl Iterator<Item = Range<u64>> + use<> {
    let most = if matches!(stream.columns, EventStore::Hdf5(_)) { most.max(HDF_BLOCK) } else { most };
    let count = (range.end - range.start).div_ceil(most);
    (0..count).map(move |i| range.start + i * most..range.end.min(range.start + (i + 1) * most))
}
