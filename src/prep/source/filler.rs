//! Finds equal events in a row at the start or at the end of a sample. They are probably filler, such as the zeros of
//! an array that was allocated for more events.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tonic_base::and_more;

use crate::event_range::EventRange;
use crate::source::notes::note_on;
use crate::source::raw::{Coordinates, RawSamples};

/// Minimum number of equal events in a row for a warning to the user.
const MANY: usize = 20;

/// The equal events that were found while the samples of a recording were read.
#[derive(Debug, Default)]
pub(super) struct Filler {
    /// Number of the file's events before the first event that is used.
    skipped: u64,
    /// Text about the equal events of each sample that has many of them. The keys are the indices of the samples.
    found: Mutex<BTreeMap<u64, String>>,
}

impl Filler {
    /// Starts the search in a recording. `events` is the range of events that is used, or `None` for all events.
    pub(super) fn new(events: Option<EventRange>) -> Filler {
        Filler { skipped: events.map_or(0, |events| events.start), found: Mutex::default() }
    }

    /// Searches samples for many equal events in a row. The first sample of `raw` has the index `first` in the
    /// recording.
    pub(super) fn look(&self, first: u64, raw: &RawSamples) {
        for (i, sample) in (0..raw.samples()).zip(first..) {
            self.look_at_block(sample, raw, i, (0, raw.count(i)));
        }
    }

    /// Searches a block of the sample with index `sample` in the recording for equal events.
    ///
    /// - `raw` has the events of the block as its sample `i`.
    /// - `before` is the number of events of the sample that come before the block.
    /// - `all` is the number of all events of the sample.
    pub(super) fn look_at_block(&self, sample: u64, raw: &RawSamples, i: usize, (before, all): (u64, u64)) {
        let (start, end) = (raw.offsets[i], raw.offsets[i + 1]);
        let at = |column: &Option<Coordinates>, i| column.as_ref().map(|column| column.get(i));
        let event = |i: usize| (raw.times.get(i), raw.x.get(i), at(&raw.y, i), at(&raw.p, i));
        let equal = |i: usize, to: usize| event(i) == event(to);
        let head = (start..end).take_while(|&i| before == 0 && equal(i, start)).count();
        let is_end = before + (end - start) as u64 == all;
        let tail = (start..end).rev().take_while(|&i| is_end && equal(i, end - 1)).count();
        let (which, count, i) = if head >= tail { ("first", head, start) } else { ("last", tail, end - 1) };
        if count < MANY || count as u64 == all {
            return;
        }
        let used = match which {
            "first" => EventRange { start: self.skipped + count as u64, end: None },
            _ => EventRange { start: self.skipped, end: Some(self.skipped + all - count as u64) },
        };
        let place = at(&raw.y, i).map_or(format!("channel {}", raw.x.get(i)), |y| format!("({}, {y})", raw.x.get(i)));
        let what = format!("its {which} {count} events are equal, all at {place} and at one time: perhaps filler");
        let what = format!("{what}; of one recording that is one sample, `events {used}` leaves them out");
        self.found.lock().unwrap_or_else(PoisonError::into_inner).entry(sample).or_insert(what);
    }

    /// Returns a warning about the samples that have equal events, if there are any.
    pub(super) fn note(&self) -> Option<String> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let (sample, what) = found.first_key_value()?;
        let name = and_more(&format!("sample {sample}"), found.len() - 1);
        Some(format!("warning: equal events: {}", note_on(&name, what)))
    }
}
