//! Checks the times of a recording that is one large sample, in blocks that fit in memory.

use std::ops::Range;

use crate::error::Result;
use crate::source::stream::{EventStore, EventStream};
use crate::source::times::Wrap;
use crate::source::vetting::vet::{lasts_without_gaps, observe, vet, vet_unwrapped};

/// Minimum number of events that are read at once from an HDF5 file. Its compressed chunks are always read as a
/// whole, so smaller blocks would decode them more than once.
const HDF_BLOCK: u64 = 1 << 20;

/// The result of checking all times of a recording.
pub(crate) struct Vetted {
    pub notes: Vec<String>,
    /// Duration of the recording in microseconds, without its gaps. `None` if there are no events.
    pub lasts: Option<i64>,
    /// The wraps of the clock, if the user asked to undo them.
    pub wrap: Option<Wrap>,
    /// Whether the events are in order of time, after wraps are undone. Ignores events without a time.
    pub in_order: bool,
}

/// Reads and checks all times of a recording in blocks of about `most` events (see [`blocks`]).
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
    Ok(Vetted { notes, lasts: lasts_without_gaps(&found), wrap, in_order })
}

/// Returns the first valid time of the recording, which replaces the missing times at the start. `None` if the first
/// block has a valid time.
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

/// Splits a range of events into blocks of `most` events. For an HDF5 file, the blocks have at least [`HDF_BLOCK`]
/// events. The last block can be shorter.
pub(crate) fn blocks(range: Range<u64>, most: u64, stream: &EventStream) -> impl Iterator<Item = Range<u64>> + use<> {
    let most = if matches!(stream.columns, EventStore::Hdf5(_)) { most.max(HDF_BLOCK) } else { most };
    let count = (range.end - range.start).div_ceil(most);
    (0..count).map(move |i| range.start + i * most..range.end.min(range.start + (i + 1) * most))
}
