//! Cuts a long recording into samples: finds the range of events of each sample.
//!
//! One pass over the times, in blocks that fit in memory, finds where every sample begins and ends. After wraps of the
//! clock are undone, and also after events are sorted, the times are read once more. Only the times are used: other
//! data in the file, such as a millisecond index, can be wrong.

use crate::error::{BaseFault, Error, Result};
use crate::source::labels::Row;
use crate::source::options::Cut;
use crate::source::stream::EventStream;
use crate::source::times::{Clock, Wrap};
use crate::source::unlabelled::ask_unit;
use crate::source::vetting::{vet, vet_unwrapped};
use crate::time_unit::TimeUnit;
use tonic_base::and_more;
use tonic_shard::NO_LABEL;

/// Maximum number of samples that one recording is cut into.
const MAX_SAMPLES: u64 = 1 << 24;
/// Up to this number of samples, a recording can be cut into more samples than it has events. If it is cut into more
/// samples than this, it must have at least one event per sample. Otherwise, one corrupt time, far from all others,
/// would give very many empty samples.
const MAX_SPARSE_SAMPLES: u64 = 1 << 20;

/// Number of events at the end of a recording that are searched for its last valid time.
const LAST: u64 = 1024;

/// The samples that a recording is cut into.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// Range of events and start time of each sample. Empty if the whole recording is one sample, whose times were not
    /// read.
    pub spans: Vec<Span>,
    /// Class index of each sample.
    pub labels: Vec<u32>,
    /// For each sample, whether its events were out of order in the file. Empty if the events of the whole file are in
    /// order.
    pub reordered: Vec<bool>,
    /// Number of events that are in no sample.
    pub left_out: u64,
    /// The wraps of the clock that were undone. `None` if there were none.
    pub wrap: Option<Wrap>,
    /// Notes for the user about the recording's clock.
    pub clock: Vec<String>,
    /// Number of pieces that do not become samples, because their middle is outside every labelled interval.
    pub unlabelled: u64,
}

impl Pieces {
    /// Makes one sample from the whole recording. `class` is the index of its class.
    pub(crate) fn whole(class: u32) -> Pieces {
        Pieces { labels: vec![class], ..Pieces::default() }
    }

    /// Returns notes for the user about the clock, reordered events, unlabelled pieces and left-out events.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = self.clock.clone();
        if !self.reordered.is_empty() {
            notes.push("its times are out of order; it was sorted before it was cut, equal times kept in order".into());
        }
        if self.unlabelled > 0 {
            notes.push(format!(
                "{} pieces have their middle in no labelled interval; they are no samples",
                self.unlabelled
            ));
        }
        notes.extend(left_out(self.left_out));
        notes
    }
}

/// Returns the note for the user about events that are in no sample. `None` if there are no such events.
pub(crate) fn left_out(events: u64) -> Option<String> {
    (events > 0).then(|| format!("{events} events are in no sample"))
}

/// The range of events of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Index of the first event.
    pub start: u64,
    /// Index after the last event.
    pub end: u64,
    /// Time that becomes 0 in the sample, in microseconds. If `None`, the time of the sample's first event becomes 0.
    pub origin: Option<i64>,
}

/// Intervals of a recording that become samples: rows of a label table, each with the index of its class.
pub(crate) type Intervals<'a> = [(&'a Row, u32)];

/// Cuts a recording into samples, as `cut` and the `intervals` of a label table say. If the times of the recording are
/// out of order, its events are sorted first.
///
/// # Errors
/// Errors of [`EventStream::read`] and [`EventStream::sort`]; errors of [`vet`] for a clock with faults;
/// [`tonic_base::Error::Usage`] for too many samples, if the intervals contain no event, or if an interval begins after
/// the last event.
pub(crate) fn cut(stream: &mut EventStream, cut: Cut, intervals: &Intervals<'_>) -> Result<Pieces> {
    let most = MAX_SAMPLES.min(stream.len.max(MAX_SPARSE_SAMPLES));
    let mut bounds = Bounds::new(cut, most, intervals);
    let mut order = None;
    let mut clock = Clock::new(stream.time.unit);
    let mut in_order = scan(stream, &mut bounds, Some(&mut clock))?;
    let found = clock.finish();
    let mut notes = vet(stream, &found)?;
    let wrap = stream.time.wrap_to_undo(&found);
    if wrap.is_some() {
        stream.time.set_wrap(wrap.clone());
        bounds = Bounds::new(cut, most, intervals);
        let mut clock = Clock::new(stream.time.unit);
        in_order = scan(stream, &mut bounds, Some(&mut clock))?;
        notes.extend(vet_unwrapped(stream, &clock.finish())?);
    }
    if !in_order {
        order = Some(stream.sort()?);
        bounds = Bounds::new(cut, most, intervals);
        scan(stream, &mut bounds, None)?;
    }
    bounds.check(stream)?;
    let mut pieces = match (bounds, cut) {
        (Bounds::Even(starts, ends), Cut::Duration { length, .. }) => stepped(stream, starts, ends, length, intervals)?,
        (Bounds::Listed(bounds), _) => listed(stream, &bounds, intervals)?,
        (Bounds::None, Cut::Events { count, overlap }) => counted(stream, count, overlap)?,
        _ => Pieces { spans: vec![Span { start: 0, end: stream.len, origin: None }], ..Pieces::default() },
    };
    check_begun(stream, intervals)?;
    if pieces.labels.is_empty() {
        pieces.labels = vec![NO_LABEL; pieces.spans.len()];
    }
    pieces.left_out = stream.len - covered(&pieces.spans);
    (pieces.wrap, pieces.clock) = (wrap, notes);
    if let Some(order) = order {
        let reordered = |span: &Span| stream.was_in_order(&order, span.start..span.end).map(|in_order| !in_order);
        pieces.reordered = pieces.spans.iter().map(reordered).collect::<Result<_>>()?;
    }
    Ok(pieces)
}

/// Cuts a recording into samples that all have one class.
///
/// # Errors
/// Errors of [`cut`].
pub(crate) fn cut_one_class(stream: &mut EventStream, rule: Cut, class: u32) -> Result<Pieces> {
    if rule == Cut::Whole {
        return Ok(Pieces::whole(class));
    }
    let mut pieces = cut(stream, rule, &[])?;
    pieces.labels.fill(class);
    Ok(pieces)
}

/// The times at which samples begin and end. For each time, [`scan`] finds the first event at or after it.
enum Bounds {
    None,
    /// The start times and the end times of pieces that all have the same duration. The first piece starts at the time
    /// of the first event.
    Even(EvenTimes, EvenTimes),
    /// The start times and the end times of all intervals, together in one list, in microseconds and in ascending
    /// order. With each time is the index of the first event at or after it. The index is `None` until [`scan`] finds
    /// this event.
    Listed(Vec<(i64, Option<u64>)>),
}

/// Evenly spaced times, beginning `offset` microseconds after the time of the first event. `found` has an entry for
/// each of these times that is not after the last event: the index of the first event at or after it.
struct EvenTimes {
    origin: Option<i64>,
    offset: i64,
    stride: i64,
    /// The first of the evenly spaced times that no event has reached yet, in microseconds. `None` before the first
    /// event, or if the time overflows an `i64`.
    next: Option<i64>,
    found: Vec<u64>,
    most: u64,
    /// Time of the event that would have made `found` longer than the limit `most`. `None` if there is no such event.
    too_many: Option<i64>,
}

impl EvenTimes {
    fn new(offset: i64, stride: i64, most: u64) -> EvenTimes {
        EvenTimes { origin: None, offset, stride, next: None, found: Vec::new(), most, too_many: None }
    }

    /// Processes event `i`, which has the time `time`. If the event is the first one at or after some of the evenly
    /// spaced times, adds `i` to `found` once for each of these times. If `found` would become longer than `most`, adds
    /// nothing and returns `false`.
    fn see(&mut self, i: u64, time: i64) -> bool {
        if self.too_many.is_some() {
            return false;
        }
        if self.origin.is_none() {
            self.origin = Some(time);
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
    fn check(&self, stream: &EventStream) -> Result<()> {
        match self {
            Bounds::Even(starts, ends) => match starts.too_many.or(ends.too_many) {
                Some(time) => Err(too_many(stream, Some(time))),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn new(cut: Cut, most: u64, intervals: &Intervals<'_>) -> Bounds {
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

/// Reads the times of a recording, passes them to `clock`, and fills `bounds` as long as the times are in order.
/// Returns whether all times are in order. If there is no `clock`, stops at the first block of times that is out of
/// order.
fn scan(stream: &EventStream, bounds: &mut Bounds, mut clock: Option<&mut Clock>) -> Result<bool> {
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

/// Returns the error for too many pieces. If the recording is cut by duration, `time` is the time of the event at which
/// there were too many pieces. The error then suggests that this time may be wrong.
fn too_many(stream: &EventStream, time: Option<i64>) -> Error {
    let stray = time.map_or(String::new(), |time| format!(" (or one of its times is stray: {time} us?)"));
    let got = format!("more in {}: give longer ones{stray}", stream.path.display());
    let events = stream.len;
    let expected = match events {
        ..MAX_SPARSE_SAMPLES => format!("at most {MAX_SPARSE_SAMPLES} of a recording of {events} events"),
        _ => format!("at most {MAX_SAMPLES} of a recording, and no more than its {events} events"),
    };
    Error::usage("number of samples", expected, got)
}

/// Makes pieces of equal duration, `length` microseconds, that together contain every event. If there are intervals,
/// keeps only the pieces whose middle is in an interval.
fn stepped(
    stream: &EventStream,
    starts: EvenTimes,
    ends: EvenTimes,
    length: i64,
    intervals: &Intervals<'_>,
) -> Result<Pieces> {
    let Some(origin) = starts.origin else {
        return Ok(Pieces { spans: vec![Span { start: 0, end: stream.len, origin: None }], ..Pieces::default() });
    };
    // Stop at the first piece that contains the last event. Overlapping pieces after it contain no other events.
    let count = (ends.found.len() + 1).min(starts.found.len());
    let mut sorted: Vec<(i64, i64, u32)> =
        intervals.iter().filter_map(|(row, class)| row.interval.map(|(from, to)| (from, to, *class))).collect();
    sorted.sort_unstable();
    let mut pieces = Pieces::default();
    for (k, &start) in starts.found[..count].iter().enumerate() {
        let begin = origin.saturating_add(starts.stride.saturating_mul(k as i64));
        if !sorted.is_empty() {
            let middle = begin.saturating_add(length / 2);
            let begun = sorted.partition_point(|(from, ..)| *from <= middle);
            match sorted[..begun].iter().rev().find(|(_, to, _)| middle < *to) {
                Some((.., class)) => pieces.labels.push(*class),
                None => {
                    pieces.unlabelled += 1;
                    continue;
                }
            }
        }
        let end = ends.found.get(k).copied().unwrap_or(stream.len);
        pieces.spans.push(Span { start, end, origin: Some(begin) });
    }
    if pieces.spans.is_empty() { Err(nowhere(stream, intervals)) } else { Ok(pieces) }
}

/// Makes one sample from each interval.
fn listed(stream: &EventStream, bounds: &[(i64, Option<u64>)], intervals: &Intervals<'_>) -> Result<Pieces> {
    let place = |time: i64| {
        let at = bounds.binary_search_by_key(&time, |(time, _)| *time);
        at.ok().and_then(|at| bounds[at].1).unwrap_or(stream.len)
    };
    let mut pieces = Pieces::default();
    for (row, class) in intervals {
        let Some((from, to)) = row.interval else { continue };
        pieces.spans.push(Span { start: place(from), end: place(to), origin: Some(from) });
        pieces.labels.push(*class);
    }
    if stream.len > 0 && covered(&pieces.spans) == 0 { Err(nowhere(stream, intervals)) } else { Ok(pieces) }
}

/// Returns the error for intervals that select no event of the recording.
fn nowhere(stream: &EventStream, intervals: &Intervals<'_>) -> Error {
    let ((from, to), (first, last)) = match extents(stream, intervals) {
        Ok(extents) => extents,
        Err(error) => return error,
    };
    let offset = stream.time_offset.map_or(String::new(), |offset| {
        format!("; intervals are in the times of the events, without the file's t_offset of {offset} us")
    });
    let expected = format!("intervals of {}, which goes from {first} to {last} us{offset}", stream.path.display());
    let unit = ask_unit(TimeUnit::Microseconds.fitting(to as f64, last as f64));
    Error::usage("labels", expected, format!("{from} to {to} us: {unit}"))
}

/// Returns an error if an interval begins after the last event of the recording: its sample would have a class and no
/// events. The times of the recording must be in order.
fn check_begun(stream: &EventStream, intervals: &Intervals<'_>) -> Result<()> {
    let times =
        if intervals.is_empty() { None } else { Some(stream.times(stream.len.saturating_sub(LAST)..stream.len)?) };
    let Some(last) = times.and_then(|times| times.valid().next_back()) else { return Ok(()) };
    let after = |(row, _): &&(&Row, u32)| row.interval.is_some_and(|(from, _)| from > last);
    let Some((Row { interval: Some((from, to)), line, .. }, _)) = intervals.iter().find(after) else { return Ok(()) };
    let more = and_more(&format!("line {line}"), intervals.iter().filter(after).count() - 1);
    let advice = match TimeUnit::Microseconds.fitting(*to as f64, last as f64) {
        Some(unit) => ask_unit(Some(unit)),
        None => "take it out of the table, as there are no events in it".into(),
    };
    let expected = format!("intervals that begin before {} ends, at {last} us", stream.path.display());
    Err(Error::usage("labels", expected, format!("{from} to {to} us in {more}: {advice}")))
}

/// Returns the first start and the last end of `intervals`, then the first and the last time of the recording. All four
/// are in microseconds. The recording's times must be in order.
pub(crate) fn extents(stream: &EventStream, intervals: &Intervals<'_>) -> Result<((i64, i64), (i64, i64))> {
    let both = intervals.iter().filter_map(|(row, _)| row.interval);
    let intervals = both.fold((i64::MAX, i64::MIN), |(from, to), (start, end)| (from.min(start), to.max(end)));
    let time = |range| stream.times(range).map(|stamps| stamps.us.first().copied().unwrap_or(0));
    Ok((intervals, (time(0..stream.len.min(1))?, time(stream.len.saturating_sub(1)..stream.len)?)))
}

/// Makes pieces of `count` events each. The first `overlap` events of a piece are also the last events of the piece
/// before it. The last piece can be shorter.
fn counted(stream: &EventStream, count: u64, overlap: u64) -> Result<Pieces> {
    let stride = count - overlap;
    let pieces = stream.len.saturating_sub(overlap).div_ceil(stride).max(1);
    if pieces > MAX_SAMPLES {
        return Err(too_many(stream, None));
    }
    let span = |k: u64| Span { start: k * stride, end: stream.len.min(k * stride + count), origin: None };
    Ok(Pieces { spans: (0..pieces).map(span).collect(), ..Pieces::default() })
}

/// Returns the number of events that are in at least one of `spans`.
fn covered(spans: &[Span]) -> u64 {
    let mut sorted: Vec<(u64, u64)> = spans.iter().map(|span| (span.start, span.end)).collect();
    sorted.sort_unstable();
    let (mut sum, mut reached) = (0, 0);
    for (start, end) in sorted {
        sum += end.saturating_sub(start.max(reached));
        reached = reached.max(end);
    }
    sum
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
