//! Cutting: which events of a long recording are which sample.
//!
//! One pass over the times, in pieces that fit memory, finds where every sample begins and ends. Nothing else that the
//! file says of itself is believed, such as an index of milliseconds.

use super::labels::Row;
use super::options::Cut;
use super::stream::Stream;
use crate::error::{Error, Result};
use crate::shard::codec::NO_LABEL;

/// The most samples that one recording is cut into.
const MAX_SAMPLES: u64 = 1 << 24;
/// The most samples of a recording that has fewer events than that: beyond, most would be empty, as where a time is
/// stray.
const MAX_SPARSE_SAMPLES: u64 = 1 << 20;

/// The samples of a recording.
#[derive(Debug, Default)]
pub struct Pieces {
    /// The first event of each, the one after its last, and the time at which it begins (that of its first event, if
    /// there is none here).
    pub spans: Vec<Span>,
    /// Their classes.
    pub labels: Vec<u32>,
    /// Those whose events had another order in the file; none listed where the file is in order.
    pub reordered: Vec<bool>,
    /// Events that are in no sample.
    pub left_out: u64,
    /// Pieces that are in no labelled interval, and so no samples.
    pub unlabelled: u64,
}

impl Pieces {
    /// What users should know of the cut.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.reordered.is_empty() {
            notes.push("its times are out of order; it was sorted before it was cut, equal times kept in order".into());
        }
        if self.unlabelled > 0 {
            notes.push(format!(
                "{} pieces have their middle in no labelled interval; they are no samples",
                self.unlabelled
            ));
        }
        if self.left_out > 0 {
            notes.push(format!("{} events are in no sample", self.left_out));
        }
        notes
    }
}

/// Events of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first event.
    pub start: u64,
    /// The one after its last.
    pub end: u64,
    /// The time that is its zero, in microseconds; its first event's, if there is none here.
    pub origin: Option<i64>,
}

/// Intervals of a recording with a class each.
pub type Intervals<'a> = [(&'a Row, u32)];

/// Cuts a recording, which is sorted in memory first if it is out of order.
///
/// # Errors
/// Those of reading; [`Error::WrongType`] for one that is out of order and too large; [`Error::Usage`] for too many
/// samples, or intervals that have no event.
pub fn cut(stream: &mut Stream, cut: Cut, intervals: &Intervals<'_>) -> Result<Pieces> {
    let most = MAX_SAMPLES.min(stream.len.max(MAX_SPARSE_SAMPLES));
    let mut bounds = Bounds::new(cut, most, intervals);
    let mut order = Vec::new();
    if !scan(stream, &mut bounds)? {
        order = stream.sort()?;
        bounds = Bounds::new(cut, most, intervals);
        scan(stream, &mut bounds)?;
    }
    let mut pieces = match (bounds, cut) {
        (Bounds::Steps(starts, ends), Cut::Duration { length, .. }) => {
            stepped(stream, starts, ends, length, intervals)?
        }
        (Bounds::Listed(bounds), _) => listed(stream, &bounds, intervals)?,
        (Bounds::None, Cut::Events { count, overlap }) => counted(stream, count, overlap)?,
        _ => Pieces { spans: vec![Span { start: 0, end: stream.len, origin: None }], ..Pieces::default() },
    };
    if pieces.labels.is_empty() {
        pieces.labels = vec![NO_LABEL; pieces.spans.len()];
    }
    pieces.left_out = stream.len - covered(&pieces.spans);
    if !order.is_empty() {
        let in_order = |span: &Span| order[span.start as usize..span.end as usize].is_sorted();
        pieces.reordered = pieces.spans.iter().map(|span| !in_order(span)).collect();
    }
    Ok(pieces)
}

/// Times whose first event is looked for.
enum Bounds {
    None,
    /// Beginnings and ends of pieces of one duration, from the first event on.
    Steps(Steps, Steps),
    /// Of intervals: times ascending, and for each the first event that is not before it, once that is known.
    Listed(Vec<(i64, Option<u64>)>),
}

/// Evenly spaced times from the first event on, and the first event that is not before each.
struct Steps {
    origin: Option<i64>,
    offset: i64,
    stride: i64,
    /// The next one that no event has reached; `None` beyond 64 bits.
    next: Option<i64>,
    found: Vec<u64>,
    most: u64,
}

impl Steps {
    fn new(offset: i64, stride: i64, most: u64) -> Steps {
        Steps { origin: None, offset, stride, next: None, found: Vec::new(), most }
    }

    /// Takes event `i`, at `time`. `false` where that makes too many.
    fn see(&mut self, i: u64, time: i64) -> bool {
        if self.origin.is_none() {
            self.origin = Some(time);
            self.next = time.checked_add(self.offset);
        }
        // Counted before they are listed: a stray time must not fill the memory first.
        let after = |next: i64| time.abs_diff(next) / self.stride.unsigned_abs();
        let due = self.next.filter(|&next| next <= time).map_or(0, |next| after(next).saturating_add(1));
        if due > self.most - self.found.len() as u64 {
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
    fn new(cut: Cut, most: u64, intervals: &Intervals<'_>) -> Bounds {
        match cut {
            Cut::Duration { length, overlap } => {
                let stride = length - overlap;
                Bounds::Steps(Steps::new(0, stride, most), Steps::new(length, stride, most))
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

/// Looks at every time of a recording; whether they are in order.
fn scan(stream: &Stream, bounds: &mut Bounds) -> Result<bool> {
    let (mut last, mut listed) = (None, 0);
    for range in stream.strides() {
        let stamps = stream.times(range.clone())?;
        let times = stamps.places(last);
        if !times.is_sorted() || times.first().is_some_and(|first| last.is_some_and(|last| *first < last)) {
            return Ok(false);
        }
        last = times.last().copied();
        match bounds {
            Bounds::None => {}
            Bounds::Steps(starts, ends) => {
                for (i, &time) in (range.start..).zip(&*times) {
                    if !(starts.see(i, time) && ends.see(i, time)) {
                        return Err(too_many(stream, Some(time)));
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
    Ok(true)
}

/// Too many pieces, by an event at `time` if they are of a duration.
fn too_many(stream: &Stream, time: Option<i64>) -> Error {
    let stray = time.map_or(String::new(), |time| format!(" (or one of its times is stray: {time} us?)"));
    let got = format!("more in {}: give longer ones{stray}", stream.path.display());
    let events = stream.len;
    let expected = match events {
        ..MAX_SPARSE_SAMPLES => format!("at most {MAX_SPARSE_SAMPLES} of a recording of {events} events"),
        _ => format!("at most {MAX_SAMPLES} of a recording, and no more than its {events} events"),
    };
    Error::usage("samples", expected, got)
}

/// Pieces of one duration, until every event is in one. With intervals, those whose middle is in one.
fn stepped(stream: &Stream, starts: Steps, ends: Steps, length: i64, intervals: &Intervals<'_>) -> Result<Pieces> {
    let Some(origin) = starts.origin else {
        return Ok(Pieces { spans: vec![Span { start: 0, end: stream.len, origin: None }], ..Pieces::default() });
    };
    // The piece in which the last event is: those after it, if they overlap, have nothing that it has not.
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

/// A sample for each interval.
fn listed(stream: &Stream, bounds: &[(i64, Option<u64>)], intervals: &Intervals<'_>) -> Result<Pieces> {
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

/// Intervals that have no event of the recording.
fn nowhere(stream: &Stream, intervals: &Intervals<'_>) -> Error {
    let both = intervals.iter().filter_map(|(row, _)| row.interval);
    let (from, to) = both.fold((i64::MAX, i64::MIN), |(from, to), (start, end)| (from.min(start), to.max(end)));
    let end = |range| stream.times(range).ok().and_then(|stamps| stamps.us.first().copied()).unwrap_or(0);
    let (first, last) = (end(0..stream.len.min(1)), end(stream.len.saturating_sub(1)..stream.len));
    let offset = stream.time_offset.map_or(String::new(), |offset| {
        format!("; intervals are in the times of the events, without the file's t_offset of {offset} us")
    });
    let expected = format!("intervals of {}, which goes from {first} to {last} us{offset}", stream.path.display());
    Error::usage("--labels", expected, format!("{from} to {to} us"))
}

/// Pieces of so many events; the last has what is left.
fn counted(stream: &Stream, count: u64, overlap: u64) -> Result<Pieces> {
    let stride = count - overlap;
    let pieces = stream.len.saturating_sub(overlap).div_ceil(stride).max(1);
    if pieces > MAX_SAMPLES {
        return Err(too_many(stream, None));
    }
    let span = |k: u64| Span { start: k * stride, end: stream.len.min(k * stride + count), origin: None };
    Ok(Pieces { spans: (0..pieces).map(span).collect(), ..Pieces::default() })
}

/// How many events are in at least one of these.
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
            let mut steps = Steps::new(0, stride, MAX_SAMPLES);
            assert!(steps.see(0, 0));
            assert!(!steps.see(1, last), "{last} in steps of {stride}");
            assert_eq!(steps.found, [0], "nothing was listed");
        }
        let mut steps = Steps::new(0, 1 << 39, MAX_SAMPLES);
        assert!(steps.see(0, 0) && steps.see(1, i64::MAX));
        assert_eq!(steps.found.len() as u64, MAX_SAMPLES);
    }
}
