//! Finds where samples begin and end in a recording. Only the times are used: other data in the file, such as a
//! millisecond index, can be wrong.

use crate::error::{BaseFault, Error, Result};
use crate::source::labels::Row;
use crate::source::options::Cut;
use crate::source::stream::EventStream;
use crate::source::times::Clock;

/// Maximum number of samples that one recording is cut into.
pub(super) const MAX_SAMPLES: u64 = 1 << 24;
/// A recording may be cut into more samples than this only if it has at least as many events as samples. Otherwise, one
/// corrupt time would give very many empty samples.
const MAX_SPARSE_SAMPLES: u64 = 1 << 20;

/// Intervals of a recording that become samples: rows of a label table, each with the index of its class.
pub(crate) type Intervals<'a> = [(&'a Row, u32)];

/// The times at which samples begin and end. For each time, [`scan`] finds the first event at or after it.
pub(super) enum Bounds {
    None,
    /// Start times and end times of pieces of equal duration. The first piece starts at the first event.
    Even(EvenTimes, EvenTimes),
    /// Start and end times of all intervals in one ascending list, in microseconds. Each has the index of the first
    /// event at or after it, or `None` before [`scan`] finds this event.
    Listed(Vec<(i64, Option<u64>)>),
}

/// Evenly spaced times. The first one is `offset` microseconds after the first event. For each time, `found` has the
/// index of the first event at or after it. Times after the last event have no entry.
pub(super) struct EvenTimes {
    /// Time of the first event.
    pub(super) first: Option<i64>,
    offset: i64,
    pub(super) stride: i64,
    /// The next of these times, in microseconds: no event has reached it yet. `None` before the first event and on
    /// overflow.
    next: Option<i64>,
    pub(super) found: Vec<u64>,
    most: u64,
    /// Time of the event that would have given `found` more than `most` entries. `None` if there was no such event.
    too_many: Option<i64>,
}

impl EvenTimes {
    fn new(offset: i64, stride: i64, most: u64) -> EvenTimes {
        EvenTimes { first: None, offset, stride, next: None, found: Vec::new(), most, too_many: None }
    }

    /// Processes event `i`, whose time is `time`. Adds `i` to `found` for each of the evenly spaced times that this
    /// event is the first to reach. Returns `false` if `found` would have more than `most` entries.
    fn see(&mut self, i: u64, time: i64) -> bool {
        if self.too_many.is_some() {
            return false;
        }
        if self.first.is_none() {
            self.first = Some(time);
            self.next = time.checked_add(self.offset);
        }
        // Count before pushing, so that one corrupt time cannot fill the memory.
        let after = |next: i64| time.abs_diff(next) / self.stride.unsigned_abs();
        let due = self.next.filter(|&next| next <= time).map_or(0, |next| after(next).saturating_add(1));
        if due > self.most - self.found.len() as u64 {
            self.too_many = Some(time);
            return false;
        }
        while let Some(next) = self.next.filter(|&next| next <= time) {
            self.found.push(i);
            self.next = next.checked_add(self.stride);
        }
        true
    }
}

impl Bounds {
    /// Returns an error if there are more pieces than allowed.
    pub(super) fn check(&self, stream: &EventStream) -> Result<()> {
        match self {
            Bounds::Even(starts, ends) => match starts.too_many.or(ends.too_many) {
                Some(time) => Err(too_many(stream, Some(time))),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    pub(super) fn new(stream: &EventStream, cut: Cut, intervals: &Intervals<'_>) -> Bounds {
        let most = MAX_SAMPLES.min(stream.len.max(MAX_SPARSE_SAMPLES));
        match cut {
            Cut::Duration { length, overlap } => {
                let stride = length - overlap;
                Bounds::Even(EvenTimes::new(0, stride, most), EvenTimes::new(length, stride, most))
            }
            Cut::Events { .. } => Bounds::None,
            Cut::Whole => {
                let both = intervals.iter().filter_map(|(row, _)| row.interval);
                let mut times: Vec<i64> = both.flat_map(|(start, end)| [start, end]).collect();
                times.sort_unstable();
                times.dedup();
                Bounds::Listed(times.into_iter().map(|time| (time, None)).collect())
            }
        }
    }
}

/// Fills `bounds` and `clock` from the times of a recording. Returns whether all times are in order. Without a
/// `clock`, stops at the first block of times that are out of order.
pub(super) fn scan(stream: &EventStream, bounds: &mut Bounds, mut clock: Option<&mut Clock>) -> Result<bool> {
    let (mut last, mut listed, mut in_order) = (None, 0, true);
    for range in stream.strides() {
        let stamps = stream.times(range.clone())?;
        let times = stamps.places(last);
        in_order &= times.is_sorted() && times.first().is_none_or(|first| last.is_none_or(|last| *first >= last));
        last = times.last().copied();
        match &mut clock {
            Some(clock) => {
                clock.miss(&stamps.missing);
                clock.see(&times);
            }
            None if !in_order => return Ok(false),
            None => {}
        }
        if !in_order {
            continue;
        }
        match bounds {
            Bounds::None => {}
            Bounds::Even(starts, ends) => {
                for (i, &time) in (range.start..).zip(&*times) {
                    if !(starts.see(i, time) && ends.see(i, time)) {
                        break;
                    }
                }
            }
            Bounds::Listed(bounds) => {
                while let Some((time, place)) = bounds.get_mut(listed) {
                    let before = times.partition_point(|t| t < time);
                    if before == times.len() {
                        break;
                    }
                    *place = Some(range.start + before as u64);
                    listed += 1;
                }
            }
        }
    }
    Ok(in_order)
}

/// Returns the error for too many pieces. `time` is the time of the event at which there were too many, or `None` if
/// the recording is cut by number of events.
pub(super) fn too_many(stream: &EventStream, time: Option<i64>) -> Error {
    let stray = time.map_or(String::new(), |time| format!(" (or one of its times is stray: {time} us?)"));
    let got = format!("more in {}: give longer ones{stray}", stream.path.display());
    let events = stream.len;
    let expected = match events {
        ..MAX_SPARSE_SAMPLES => format!("at most {MAX_SPARSE_SAMPLES} of a recording of {events} events"),
        _ => format!("at most {MAX_SAMPLES} of a recording, and no more than its {events} events"),
    };
    Error::usage("number of samples", expected, got)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_pieces_are_refused_before_they_are_listed() {
        for (last, stride) in [(1 << 40, 1000), (i64::MAX, 1), (i64::MAX, 1 << 38)] {
            let mut steps = EvenTimes::new(0, stride, MAX_SAMPLES);
            assert!(steps.see(0, 0));
            assert!(!steps.see(1, last), "{last} in steps of {stride}");
            assert_eq!(steps.found, [0], "nothing was listed");
        }
        let mut steps = EvenTimes::new(0, 1 << 39, MAX_SAMPLES);
        assert!(steps.see(0, 0) && steps.see(1, i64::MAX));
        assert_eq!(steps.found.len() as u64, MAX_SAMPLES);
    }
}
