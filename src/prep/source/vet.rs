//! Checks whether the times of a recording can be what its layout says, and whether its clock goes on.
//!
//! The ends of a recording are checked when it is opened, before anything is written. All of its times are checked
//! where they are read anyway: when it is cut into samples, or when the sample is read that has all of it.

use std::path::Path;

use crate::error::{Error, Result};
use crate::source::clock::{Break, BreakKind, Clock, Findings};
use crate::source::event_range::EventRange;
use crate::source::numbers::Fractions;
use crate::source::raw::Times;
use crate::source::stream::EventStream;
use crate::source::unit::{TimeUnit, duration};

/// With fewer events, a recording may last as long as it likes, and its clock may do what it likes.
const FEW: u64 = 100;
/// Shortest and longest plausible recording, in microseconds.
const SHORTEST: i64 = 1_000;
const LONGEST: i64 = 86_400_000_000;
/// A recording that is shorter may have fractions of seconds instead of its unit.
const SHORT: i64 = 10_000;
/// A recording of few events that is shorter has events within one tick.
const TICKS: i64 = 10;
/// Longest plausible sample of speech, in microseconds.
const SPEECH: i64 = 60_000_000;
/// With more gaps, it is not the clock that is wrong but the unit.
const MOST_GAPS: usize = 8;
/// Maximum number of ranges of events that an error suggests.
const SUGGESTED: usize = 3;
/// Number of samples of a dataset that are checked when it is opened.
const PROBES: u64 = 8;
/// Number of events that are searched for fractions of a unit.
const HEAD: u64 = 1024;

/// Checks the first and the last time of a recording. If they are odd, all times are read to say what is wrong.
///
/// # Errors
/// Those of [`vet`] and of reading.
pub(super) fn vet_ends(stream: &EventStream) -> Result<()> {
    if stream.time.assumed().is_none() || stream.len < 2 {
        return Ok(());
    }
    let head = stream.times(0..HEAD.min(stream.len))?;
    let tail = stream.times(stream.len.saturating_sub(HEAD)..stream.len)?;
    let (Some(first), Some(last)) = (head.valid().next(), tail.valid().next_back()) else { return Ok(()) };
    if (SHORT..=LONGEST).contains(&last.saturating_sub(first)) {
        return Ok(());
    }
    vet_all(stream)
}

/// Reads and checks all times of a recording.
///
/// # Errors
/// Those of [`vet`] and of reading.
pub(super) fn vet_all(stream: &EventStream) -> Result<()> {
    let mut clock = Clock::new(stream.time.unit);
    let mut before = None;
    for range in stream.strides() {
        let times = stream.times(range)?;
        let times = times.places(before);
        clock.see(&times);
        before = times.last().copied();
    }
    vet(stream, &clock.finish()).map(|_| ())
}

/// Checks what was found of all times of a recording. Returns notes for the user.
///
/// # Errors
/// [`Error::ImplausibleTimes`]; [`Error::ClockTrouble`].
pub(super) fn vet(stream: &EventStream, found: &Findings) -> Result<Vec<String>> {
    let (time, many) = (&stream.time, found.events >= FEW);
    if let (Some(unit), Some((low, high))) = (time.assumed(), found.extent) {
        vet_unit(stream, unit, found, high.saturating_sub(low))?;
    }
    let skipped = time.skipped;
    let describe = |found: &Break| found.describe(skipped);
    if let Some(first) = found.breaks.first().filter(|_| many && !time.as_is) {
        let more = found.breaks.len() - 1;
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        let (got, keep) = (describe(first) + &more, pieces(stream, found));
        return Err(Error::ClockTrouble { path: stream.path.clone(), wraps: false, got, keep });
    }
    let wrap = found.wrap.as_ref().map(|wrap| wrap.describe(skipped));
    if let Some(got) = wrap.clone().filter(|_| !time.unwrap && !time.as_is) {
        return Err(Error::ClockTrouble { path: stream.path.clone(), wraps: true, got, keep: Vec::new() });
    }
    let mut notes: Vec<String> = found.breaks.iter().map(|found| describe(found) + "; taken as it is").collect();
    notes.extend(wrap.map(|wrap| wrap + if time.unwrap { "; it was unwrapped" } else { "; taken as it is" }));
    notes.extend(found.jitter.map(|jitter| jitter.describe(skipped) + "; they were sorted"));
    Ok(notes)
}

/// Checks how long a recording lasts.
fn vet_unit(stream: &EventStream, unit: TimeUnit, found: &Findings, lasts: i64) -> Result<()> {
    let gaps: Vec<i64> = found.breaks.iter().filter(|found| found.kind == BreakKind::Gap).map(|gap| gap.by).collect();
    let silent = if gaps.len() > MOST_GAPS { 0 } else { gaps.iter().fold(0, |sum: i64, by| sum.saturating_add(*by)) };
    let (lasts, many, whole) = (lasts.saturating_sub(silent), found.events >= FEW, stream.time.left_out == 0);
    let refuse = |expected: String, lasts: f64, likely: Option<TimeUnit>| {
        Err(implausible(&stream.path, "times".into(), expected, (unit, likely), lasts, found.events))
    };
    if many && lasts > LONGEST {
        return refuse("a recording that lasts at most a day".into(), lasts as f64, None);
    }
    let short = whole && lasts < SHORT && (many || lasts < TICKS.max(found.events as i64 - 1));
    let fractions = if short { fractions(stream, unit)? } else { None };
    if let Some(Fractions { span, fine }) = fractions.filter(|fractions| fractions.span > 0.0) {
        let likely = fine.then_some(TimeUnit::Seconds);
        return refuse(format!("times in whole {unit}"), span * unit.microseconds(), likely);
    }
    if many && whole && lasts < SHORTEST {
        return refuse("a recording that lasts at least 1 ms".into(), lasts as f64, None);
    }
    Ok(())
}

/// The fractions of times in a unit in which cameras count whole ticks.
fn fractions(stream: &EventStream, unit: TimeUnit) -> Result<Option<Fractions>> {
    if !matches!(unit, TimeUnit::Microseconds | TimeUnit::Nanoseconds) || stream.is_in_memory() {
        return Ok(stream.time.fractions);
    }
    // As if they were seconds: in millionths of whatever they count.
    let head = stream.stored_times(0..HEAD.min(stream.len), TimeUnit::Seconds)?;
    let tail = stream.stored_times(stream.len.saturating_sub(HEAD)..stream.len, TimeUnit::Seconds)?;
    Ok(Fractions::of(head.valid().chain(tail.valid()).map(|time| time as f64 / 1e6)))
}

/// The ranges of events between resets and gaps, largest first.
fn pieces(stream: &EventStream, found: &Findings) -> Vec<EventRange> {
    let skipped = stream.time.skipped;
    let mut places: Vec<u64> = found.breaks.iter().flat_map(|found| [Some(found.at), found.until]).flatten().collect();
    places.extend([0, found.events]);
    places.sort_unstable();
    let mut pieces: Vec<(u64, u64)> = places.windows(2).map(|pair| (pair[0], pair[1])).collect();
    pieces.retain(|(start, end)| start < end);
    pieces.sort_by_key(|(start, end)| std::cmp::Reverse(end - start));
    pieces.truncate(SUGGESTED);
    let open = stream.time.left_out == skipped;
    let range = |(start, end)| EventRange {
        start: start + skipped,
        end: if end == found.events && open { None } else { Some(end + skipped) },
    };
    pieces.into_iter().map(range).collect()
}

/// Checks how long a row of speech lasts, whose times were taken to be in `unit`.
///
/// # Errors
/// [`Error::ImplausibleTimes`].
pub(super) fn vet_speech(
    path: &Path,
    sample: u64,
    times: &Times,
    row: std::ops::Range<usize>,
    unit: TimeUnit,
) -> Result<()> {
    let events = row.len() as u64;
    if events < FEW {
        return Ok(());
    }
    let (first, last) = (row.clone().find_map(|i| times.get(i)), row.clone().rev().find_map(|i| times.get(i)));
    let lasts = last.unwrap_or(0).saturating_sub(first.unwrap_or(0));
    let refuse = |expected: &str, lasts: i64| {
        Err(implausible(path, format!("sample {sample}: times"), expected.into(), (unit, None), lasts as f64, events))
    };
    if lasts > SPEECH {
        return refuse("speech of at most a minute", lasts);
    }
    if lasts < SHORTEST {
        // The times may be out of order, or not be times.
        let valid = || row.clone().filter_map(|i| times.get(i));
        let lasts = valid().max().unwrap_or(0).saturating_sub(valid().min().unwrap_or(0));
        if lasts < SHORTEST && valid().count() as u64 >= FEW && !times.are_one(row) {
            return refuse("speech of at least 1 ms", lasts);
        }
    }
    Ok(())
}

/// Reads a few samples of a dataset, spread over all, when it is opened.
///
/// # Errors
/// [`Error::ImplausibleTimes`]. Other errors wait until the sample is needed.
pub(super) fn probe<T>(samples: u64, read: impl Fn(std::ops::Range<u64>) -> Result<T>) -> Result<()> {
    for i in 0..samples.min(PROBES) {
        let sample = i * samples / samples.min(PROBES);
        if let Err(error @ Error::ImplausibleTimes { .. }) = read(sample..sample + 1) {
            return Err(error);
        }
    }
    Ok(())
}

/// The error for `events` events that last `lasts` microseconds if their times are in `unit`. Another unit may be likely.
pub(crate) fn implausible(
    path: &Path,
    place: String,
    expected: String,
    (unit, likely): (TimeUnit, Option<TimeUnit>),
    lasts: f64,
    events: u64,
) -> Error {
    let probable = unit.probable(lasts, events, likely);
    let instead = probable.map_or(String::new(), |(unit, lasts)| {
        format!("; in {unit} they would last {}, which is more probable", duration(lasts))
    });
    let got = format!("{events} events that last {} if their times are in {unit}{instead}", duration(lasts));
    Error::ImplausibleTimes {
        path: path.into(),
        place,
        expected,
        got,
        assumed: unit,
        probable: probable.map(|(unit, _)| unit),
    }
}
