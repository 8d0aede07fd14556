//! Cuts a long recording into samples: finds the range of events of each sample.

use crate::error::{BaseFault, Error, Result};
use crate::source::labels::Row;
use crate::source::options::Cut;
use crate::source::samples::bounds::{Bounds, EvenTimes, Intervals, MAX_SAMPLES, scan, too_many};
use crate::source::stream::EventStream;
use crate::source::times::{Clock, Wrap};
use crate::source::unlabelled::ask_unit;
use crate::source::vetting::{lasts_without_gaps, vet, vet_unwrapped};
use crate::time_unit::TimeUnit;
use tonic_base::and_more;
use tonic_shard::NO_LABEL;

/// Number of events at the end of a recording that are read to find its last valid time.
const LAST: u64 = 1024;

/// The samples that a recording is cut into.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// Range of events and start time of each sample. Empty if the whole recording is one sample.
    pub spans: Vec<Span>,
    /// Class index of each sample.
    pub labels: Vec<u32>,
    /// For each sample, whether its events were out of order in the file. Empty if all events of the file are in order.
    pub reordered: Vec<bool>,
    /// Number of events that are in no sample.
    pub left_out: u64,
    /// The wraps of the clock that were undone. `None` if the clock had no wraps.
    pub wrap: Option<Wrap>,
    /// Notes for the user about the recording's clock.
    pub clock: Vec<String>,
    /// How many microseconds the recording lasts, without its gaps. `None` if its times were not read.
    pub lasts: Option<i64>,
    /// Number of pieces that did not become samples, because their middle is outside every labelled interval.
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

/// Returns the note for the user about `events` events that are in no sample. `None` for 0.
pub(crate) fn left_out(events: u64) -> Option<String> {
    (events > 0).then(|| format!("{events} events are in no sample"))
}

/// The events of one sample: a range of the recording's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Index of the first event.
    pub start: u64,
    /// Index after the last event.
    pub end: u64,
    /// Time that becomes 0 in the sample, in microseconds. If `None`, the time of the sample's first event becomes 0.
    pub zero: Option<i64>,
}

/// Cuts a recording into samples by the rule `cut` and the `intervals` of a label table. Sorts the events first if they
/// are out of order.
///
/// # Errors
/// [`tonic_base::Error::Usage`] for too many samples, if the intervals contain no event, or if an interval begins after
/// the last event; errors of [`vet`] for a clock with faults.
pub(crate) fn cut(stream: &mut EventStream, cut: Cut, intervals: &Intervals<'_>) -> Result<Pieces> {
    let mut bounds = Bounds::new(stream, cut, intervals);
    let mut order = None;
    let mut clock = Clock::new(stream.time.unit);
    let mut in_order = scan(stream, &mut bounds, Some(&mut clock))?;
    let found = clock.finish();
    let mut notes = vet(stream, &found)?;
    let wrap = stream.time.wrap_to_undo(&found);
    if wrap.is_some() {
        stream.time.set_wrap(wrap.clone());
        bounds = Bounds::new(stream, cut, intervals);
        let mut clock = Clock::new(stream.time.unit);
        in_order = scan(stream, &mut bounds, Some(&mut clock))?;
        notes.extend(vet_unwrapped(stream, &clock.finish())?);
    }
    if !in_order {
        order = Some(stream.sort()?);
        bounds = Bounds::new(stream, cut, intervals);
        scan(stream, &mut bounds, None)?;
    }
    bounds.check(stream)?;
    let mut pieces = match (bounds, cut) {
        (Bounds::Even(starts, ends), Cut::Duration { length, .. }) => stepped(stream, starts, ends, length, intervals)?,
        (Bounds::Listed(bounds), _) => listed(stream, &bounds, intervals)?,
        (Bounds::None, Cut::Events { count, overlap }) => counted(stream, count, overlap)?,
        _ => Pieces { spans: vec![Span { start: 0, end: stream.len, zero: None }], ..Pieces::default() },
    };
    check_begun(stream, intervals)?;
    if pieces.labels.is_empty() {
        pieces.labels = vec![NO_LABEL; pieces.spans.len()];
    }
    pieces.left_out = stream.len - covered(&pieces.spans);
    (pieces.wrap, pieces.clock, pieces.lasts) = (wrap, notes, lasts_without_gaps(&found));
    if let Some(order) = order {
        let reordered = |span: &Span| stream.was_in_order(&order, span.start..span.end).map(|in_order| !in_order);
        pieces.reordered = pieces.spans.iter().map(reordered).collect::<Result<_>>()?;
    }
    Ok(pieces)
}

/// Cuts a recording into samples of a single class.
pub(crate) fn cut_one_class(stream: &mut EventStream, rule: Cut, class: u32) -> Result<Pieces> {
    if rule == Cut::Whole {
        return Ok(Pieces::whole(class));
    }
    let mut pieces = cut(stream, rule, &[])?;
    pieces.labels.fill(class);
    Ok(pieces)
}

/// Cuts the recording into pieces of `length` microseconds. With `intervals`, keeps only pieces whose middle is in an
/// interval.
fn stepped(
    stream: &EventStream,
    starts: EvenTimes,
    ends: EvenTimes,
    length: i64,
    intervals: &Intervals<'_>,
) -> Result<Pieces> {
    let Some(first) = starts.first else {
        return Ok(Pieces { spans: vec![Span { start: 0, end: stream.len, zero: None }], ..Pieces::default() });
    };
    // Stop at the first piece that contains the last event. Overlapping pieces after it contain no other events.
    let count = (ends.found.len() + 1).min(starts.found.len());
    let mut sorted: Vec<(i64, i64, u32)> =
        intervals.iter().filter_map(|(row, class)| row.interval.map(|(from, to)| (from, to, *class))).collect();
    sorted.sort_unstable();
    let mut pieces = Pieces::default();
    for (k, &start) in starts.found[..count].iter().enumerate() {
        let begin = first.saturating_add(starts.stride.saturating_mul(k as i64));
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
        pieces.spans.push(Span { start, end, zero: Some(begin) });
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
        pieces.spans.push(Span { start: place(from), end: place(to), zero: Some(from) });
        pieces.labels.push(*class);
    }
    if stream.len > 0 && covered(&pieces.spans) == 0 { Err(nowhere(stream, intervals)) } else { Ok(pieces) }
}

/// Returns the error for intervals in which the recording has no event.
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

/// Returns an error if an interval begins after the last event. The times of the recording must be in order.
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

/// Returns the first start and the last end of `intervals`, and the first and the last time of the recording, in
/// microseconds. The times of the recording must be in order.
pub(crate) fn extents(stream: &EventStream, intervals: &Intervals<'_>) -> Result<((i64, i64), (i64, i64))> {
    let both = intervals.iter().filter_map(|(row, _)| row.interval);
    let intervals = both.fold((i64::MAX, i64::MIN), |(from, to), (start, end)| (from.min(start), to.max(end)));
    let time = |range| stream.times(range).map(|stamps| stamps.us.first().copied().unwrap_or(0));
    Ok((intervals, (time(0..stream.len.min(1))?, time(stream.len.saturating_sub(1)..stream.len)?)))
}

/// Cuts the recording into pieces of `count` events. Consecutive pieces share `overlap` events; the last piece can be
/// shorter.
fn counted(stream: &EventStream, count: u64, overlap: u64) -> Result<Pieces> {
    let stride = count - overlap;
    let pieces = stream.len.saturating_sub(overlap).div_ceil(stride).max(1);
    if pieces > MAX_SAMPLES {
        return Err(too_many(stream, None));
    }
    let span = |k: u64| Span { start: k * stride, end: stream.len.min(k * stride + count), zero: None };
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
