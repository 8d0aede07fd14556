//! Checks whether the times of a recording are plausible in the assumed unit, and whether its clock runs without
//! wraps, resets or gaps.
//!
//! The first and the last time are checked when a recording is opened. All times are checked when they are read. If
//! the recording is one sample with few events, all times are checked when it is opened.

use std::ops::Range;
use std::path::Path;

use tonic_base::interrupt;
use tonic_shard::KEPT;

use crate::error::{Error, Result};
use crate::source::columns::{Fractions, Numbers, Role};
use crate::source::stream::EventStream;
use crate::source::times::{Break, BreakKind, Clock, FEW, Findings, Wrap};
use crate::source::vetting::sorting::sorting;
use crate::source::vetting::trouble::judge;
use crate::time_unit::{TimeUnit, YEAR, duration};

/// Duration of the shortest plausible recording, in microseconds.
pub(crate) const SHORTEST: i64 = 1_000;
/// Duration of the longest plausible recording, in microseconds.
const LONGEST: i64 = 86_400_000_000;
/// If all times are later than this, in microseconds, the assumed unit is wrong: clocks count from their start, from
/// 1970 or, at the earliest, from 1601.
const LATEST: i64 = 1_000 * YEAR as i64;
/// Minimum duration in microseconds of a recording whose times have fractions. The times of a shorter one are probably
/// in seconds.
const SHORT: i64 = 10_000;
/// Minimum duration in microseconds of a recording if at least the share [`MANY_FRACTIONS`] of its times has fractions.
/// The times of a shorter one are probably in milliseconds.
const BRIEF: i64 = 50_000;
/// The user is warned about the unit if at least the share [`MANY_FRACTIONS`] of the times of a recording has
/// fractions, and the recording lasts less than this many microseconds.
const MOMENT: i64 = 1_000_000;
/// If at least this share of the times has fractions, the times do not come from a clock that counts microseconds.
const MANY_FRACTIONS: f64 = 0.25;
/// A recording with fewer than [`FEW`] events is searched for times with fractions only if it lasts less than this many
/// microseconds, or less than 1 us per event.
const TICKS: i64 = 10;
/// If a recording has more gaps than this, they come from a wrong unit, and are not subtracted from its duration.
const MOST_GAPS: usize = 8;
/// The user is warned about an implausible duration only if the recording or sample has at least this many events.
pub(crate) const COUNTED: u64 = 10;
/// Text in every warning about a duration that is implausible in its time unit. If all recordings or samples have this
/// warning, callers can drop it: such durations are usual in this set.
pub(crate) const TOO_SHORT: &str = "times in another unit";
/// Times in float16 or float32 are multiples of a step. The user is warned if this step is longer than this many
/// microseconds.
const COARSE: f64 = 100.0;
/// Number of events that are read at the start of a recording, and also at its end, to find its duration and the share
/// of times that have fractions.
const HEAD: u64 = 1024;

/// Checks the first and the last time of a recording. If the time between them is implausible, checks all times.
///
/// # Errors
/// Errors of [`vet`] and of [`EventStream::times`].
pub(crate) fn vet_ends(stream: &EventStream) -> Result<()> {
    if stream.time.assumed().is_none() || stream.len < 2 {
        return Ok(());
    }
    match ends(stream)? {
        Some((first, last)) if !(BRIEF..=LONGEST).contains(&last.saturating_sub(first)) => vet_all(stream),
        Some((first, _)) if first > LATEST => vet_all(stream),
        _ => Ok(()),
    }
}

/// Returns the last time of a recording minus its first time, in microseconds. `None` if no event near its ends has a
/// time.
pub(crate) fn lasts(stream: &EventStream) -> Result<Option<i64>> {
    Ok(ends(stream)?.map(|(first, last)| last.saturating_sub(first)))
}

/// Returns the first and the last time of a recording, in microseconds. `None` if no event near its ends has a time.
fn ends(stream: &EventStream) -> Result<Option<(i64, i64)>> {
    let head = stream.times(0..HEAD.min(stream.len))?;
    let tail = stream.times(stream.len.saturating_sub(HEAD)..stream.len)?;
    Ok(head.valid().next().zip(tail.valid().next_back()))
}

/// Sets `alone` in an [`Error::ImplausibleTimes`] if only its recording or sample seems to be in another unit. If the
/// assumed unit is right, this one lasts `lasts` microseconds, and the others last `others` microseconds.
pub(crate) fn compare(mut error: Error, lasts: i64, mut others: Vec<i64>) -> Error {
    others.sort_unstable();
    let usual = others.get(others.len() / 2).copied().filter(|usual| (SHORTEST..=LONGEST).contains(usual));
    if let (Error::ImplausibleTimes { got, assumed, probable, alone, .. }, Some(usual)) = (&mut error, usual)
        && let Some(unit) = assumed.fitting(lasts.max(1) as f64, usual as f64)
        && !*alone
    {
        (*probable, *alone) = (Some(unit), true);
        *got +=
            &format!("; others last {} in {assumed}, so this one alone seems to be in {unit}", duration(usual as f64));
    }
    error
}

/// Checks the average duration of recordings that have too few events to be checked one by one. `path` is their folder
/// or the first file. Does nothing if one of them has enough events to be checked alone.
///
/// # Errors
/// [`Error::ImplausibleTimes`]; errors of [`EventStream::times`] and of `streams`.
pub(crate) fn vet_small(path: &Path, streams: impl Iterator<Item = Result<EventStream>>) -> Result<()> {
    let (mut events, mut lasts, mut count, mut of_clock, mut assumed) = (0, 0_i64, 0, 0, None);
    for stream in streams {
        let stream = stream?;
        let Some(unit) = stream.time.assumed().filter(|_| stream.len < FEW) else { return Ok(()) };
        let times = stream.times(0..stream.len)?;
        let extent = times.valid().min().zip(times.valid().max()).filter(|(low, high)| low < high);
        if let Some((low, high)) = extent {
            (events, lasts, count) = (events + stream.len, lasts.saturating_add(high.saturating_sub(low)), count + 1);
            let fractions = fractions(&stream, unit)?.filter(|found| found.share >= MANY_FRACTIONS);
            of_clock += i64::from(fractions.is_some() && unit == TimeUnit::Microseconds);
        }
        assumed = Some(unit);
    }
    let Some(unit) = assumed.filter(|_| count > 1 && events >= FEW) else { return Ok(()) };
    let (least, expected) = match 2 * of_clock > count {
        true => (SHORT, "times in whole us"),
        false => (SHORTEST, "recordings that last 1 ms to a day on average"),
    };
    if (least..=LONGEST).contains(&(lasts / count)) {
        return Ok(());
    }
    let place = format!("times of {count} files");
    Err(implausible(path, place, expected.into(), (unit, None), lasts as f64, events))
}

/// Reads and checks all times of a recording.
///
/// # Errors
/// Errors of [`vet`] and of [`EventStream::times`].
pub(crate) fn vet_all(stream: &EventStream) -> Result<()> {
    let (found, _) = observe(stream, stream.strides(), None, None)?;
    vet(stream, &found)?;
    if let Some(wrap) = stream.time.wrap_to_undo(&found) {
        vet_unwrapped(stream, &observe(stream, stream.strides(), None, Some(&wrap))?.0)?;
    }
    Ok(())
}

/// Reads all times of a recording in the given blocks. Undoes the wraps in `wrap`. Returns the findings about the
/// clock, and whether the times are in order. If times are missing at the start, `before` replaces them.
pub(crate) fn observe(
    stream: &EventStream,
    blocks: impl Iterator<Item = Range<u64>>,
    mut before: Option<i64>,
    wrap: Option<&Wrap>,
) -> Result<(Findings, bool)> {
    let (mut clock, mut in_order) = (Clock::new(stream.time.unit), true);
    for range in blocks {
        interrupt::check(KEPT)?;
        let first = range.start;
        let mut times = stream.times(range)?;
        clock.miss(&times.missing);
        if let Some(wrap) = wrap {
            wrap.unwrap(first, &mut times.us);
        }
        let times = times.places(before);
        in_order &= times.is_sorted() && (first == 0 || times.first().copied() >= before);
        clock.see(&times);
        before = times.last().copied();
    }
    Ok((clock.finish(), in_order))
}

/// Checks the findings about all times of a recording. Returns notes for the user. If there are wraps to undo, the
/// caller must undo them and check the times again with [`vet_unwrapped`].
///
/// # Errors
/// [`Error::ImplausibleTimes`]; [`Error::ClockTrouble`]; [`Error::BadSample`] if no event has a time.
pub(crate) fn vet(stream: &EventStream, found: &Findings) -> Result<Vec<String>> {
    if found.missing.is_some_and(|(_, count)| count == found.events) && !stream.time.as_is {
        let first = stream.stored(Role::T, 0..1)?.and_then(|t| t.floats().first().copied());
        let first = first.map_or(String::new(), |first| format!("; the first is {first:?} {}", stream.time.unit));
        let got = format!("NaN, NaT or numbers beyond 64 bits in all {} events{first}", found.events);
        return Err(Error::bad_sample(&stream.path, 0, "times", "numbers", got));
    }
    let doubt = stream.time.assumed().map(|unit| vet_unit(stream, unit, found)).transpose()?.flatten();
    let mut notes = judge((&stream.path, "times"), &stream.time, found, &|starts| sorting(stream, starts))?;
    notes.extend(doubt);
    notes.extend(coarse(stream, found));
    notes.extend(odd_length(stream, found));
    notes.extend(found.missing.map(|(at, count)| {
        let (of, at) = (found.events, at + stream.time.skipped);
        format!("{count} of {of} events have no time (NaN, NaT or beyond 64 bits), the first is event {at}")
    }));
    Ok(notes)
}

/// Returns a warning if times in float16 or float32 are too coarse. They are multiples of a step, which must be at
/// most a thousandth of the recording's duration, and at most [`COARSE`].
fn coarse(stream: &EventStream, found: &Findings) -> Option<String> {
    let kind = &stream.taken.fields[Role::T as usize].as_ref()?.kind;
    let bits = if kind.contains("float16") { 10 } else { 23 };
    let (low, high) = found.extent.filter(|_| kind.contains("float16") || kind.contains("float32"))?;
    let unit = stream.time.unit;
    let largest = low.unsigned_abs().max(high.unsigned_abs()).max(1) as f64 / unit.microseconds();
    let step = largest.log2().floor().exp2() / f64::from(1 << bits) * unit.microseconds();
    let lasts = high.saturating_sub(low) as f64;
    (found.events > 1 && step >= 1.0 && (step > lasts / 1e3 || step > COARSE)).then(|| {
        format!(
            "warning: coarse times: as {kind} they are multiples of {}, and the recording lasts {}: save them as \
             float64, or subtract the first time before they are saved as {kind}",
            duration(step),
            duration(lasts)
        )
    })
}

/// Returns a warning with the text [`TOO_SHORT`] if a recording lasts less than a millisecond or more than a day in the
/// unit that the user gave.
fn odd_length(stream: &EventStream, found: &Findings) -> Option<String> {
    let (low, high) = found.extent.filter(|_| stream.time.unit_given && stream.time.left_out == 0)?;
    let (lasts, unit) = (high.saturating_sub(low), stream.time.unit);
    match found.events >= COUNTED {
        true if lasts < SHORTEST => Some(short_warning(unit, lasts)),
        true if lasts > LONGEST => Some(odd_warning(unit, lasts, "don't last that long")),
        _ => None,
    }
}

/// Returns the warning about a recording or sample that lasts only `lasts` microseconds in `unit`.
pub(crate) fn short_warning(unit: TimeUnit, lasts: i64) -> String {
    odd_warning(unit, lasts, "last longer")
}

fn odd_warning(unit: TimeUnit, lasts: i64, others: &str) -> String {
    let lasts = duration(lasts as f64);
    format!(
        "warning: {TOO_SHORT}: it lasts {lasts} in {unit} (`time_unit`), and others {others}; is it in another unit?"
    )
}

/// Checks the findings about times whose wraps were undone. Returns notes for the user.
///
/// # Errors
/// [`Error::ClockTrouble`].
pub(crate) fn vet_unwrapped(stream: &EventStream, found: &Findings) -> Result<Vec<String>> {
    judge((&stream.path, "times without wraps"), &stream.time.unwrapped(), found, &|_| Ok(None))
}

/// Returns an error if the unit must be wrong, because the recording's times or its duration are implausible in this
/// unit. Returns a warning for the user if another unit is about as probable.
fn vet_unit(stream: &EventStream, unit: TimeUnit, found: &Findings) -> Result<Option<String>> {
    let Some(lasts) = lasts_without_gaps(found) else { return Ok(None) };
    let (many, whole) = (found.events >= FEW, stream.time.left_out == 0);
    let refuse = |expected: String, lasts: f64, likely: Option<TimeUnit>| {
        Err(implausible(&stream.path, "times".into(), expected, (unit, likely), lasts, found.events))
    };
    if many && lasts > LONGEST {
        return refuse("a recording that lasts at most a day".into(), lasts as f64, None);
    }
    if let Some((low, _)) = found.extent.filter(|(low, _)| *low > LATEST) {
        let likely = unit.since_1970(low as f64);
        let since = likely.map_or(String::new(), |likely| format!(" (in {likely}, they are since 1970)"));
        let expected = format!("times of at most 1000 years{since}");
        return refuse(expected, lasts as f64, likely);
    }
    // If gaps or stray times were subtracted, or events were left out, a short duration doesn't show a wrong unit.
    let whole = whole && found.breaks.is_empty() && found.scatter.is_none();
    let short = lasts < SHORT && (many || lasts < TICKS.max(found.events as i64 - 1));
    let fractions = if whole && (many || short) { fractions(stream, unit)? } else { None };
    let of_clock = fractions.filter(|found| found.share >= MANY_FRACTIONS && unit == TimeUnit::Microseconds);
    let brief = short || (of_clock.is_some() && lasts < BRIEF);
    if let Some(Fractions { span, fine, .. }) = fractions.filter(|fractions| brief && fractions.span > 0.0) {
        let lasts = span * unit.microseconds();
        let likely = (fine && short && TimeUnit::lasts_plausibly(span * 1e6)).then_some(TimeUnit::Seconds);
        return refuse(format!("times in whole {unit}"), lasts, likely);
    }
    if many && whole && lasts < SHORTEST {
        return refuse("a recording that lasts at least 1 ms".into(), lasts as f64, None);
    }
    let other = match of_clock.filter(|_| many && whole) {
        Some(_) if lasts < MOMENT => unit.probable(lasts as f64, found.events),
        Some(_) => unit.rival(lasts as f64, found.events),
        None => None,
    };
    Ok(of_clock.zip(other).map(|(Fractions { share, .. }, (other, instead))| {
        let (share, lasts, instead) = (share * 100.0, duration(lasts as f64), duration(instead));
        format!(
            "warning: fractions of {unit}: {share:.0}% of its times are not whole, and it lasts {lasts}; in {other} it \
             would last {instead}: `time_unit {other}` or `time_unit {unit}` says which it is"
        )
    }))
}

/// Returns the duration of the recording in microseconds, without its gaps and stray events. `None` if there are no
/// events.
///
/// - With several clocks, returns the duration of the clock with the most events.
/// - With wraps, subtracts nothing. With more than [`MOST_GAPS`] gaps and stray events, doesn't subtract them.
/// - With wraps or resets, returns at most the sum of all steps ahead.
pub(crate) fn lasts_without_gaps(found: &Findings) -> Option<i64> {
    let (low, high) = found.extent?;
    if let Some((low, high, _)) = found.scatter.as_ref().and_then(|scatter| scatter.clocks.first()) {
        return Some(high.saturating_sub(*low));
    }
    let breaks = found.breaks.iter().filter(|_| found.wrap.is_none());
    let (resets, gaps): (Vec<&Break>, Vec<_>) = breaks.partition(|found| found.kind == BreakKind::Reset);
    let most = if gaps.len() > MOST_GAPS { &[] } else { &gaps[..] };
    let lasts =
        high.saturating_sub(low).saturating_sub(most.iter().fold(0, |sum: i64, gap| sum.saturating_add(gap.by)));
    Some(if resets.is_empty() && found.wrap.is_none() { lasts } else { lasts.min(found.progress) })
}

/// Returns how many of the first and the last times have fractions. For a decoded recording, returns the fractions that
/// the decoder found. For other recordings, returns `None` unless `unit` is microseconds or nanoseconds.
fn fractions(stream: &EventStream, unit: TimeUnit) -> Result<Option<Fractions>> {
    if !matches!(unit, TimeUnit::Microseconds | TimeUnit::Nanoseconds) || stream.is_in_memory() {
        return Ok(stream.time.fractions);
    }
    let tail = stream.len.saturating_sub(HEAD).max(HEAD.min(stream.len));
    let mut times = Vec::new();
    for range in [0..HEAD.min(stream.len), tail..stream.len] {
        match stream.stored(Role::T, range)? {
            Some(Numbers::F64(floats)) => times.extend(floats),
            _ => return Ok(stream.time.fractions),
        }
    }
    Ok(Numbers::F64(times).fractions())
}

/// Returns the error for `events` events with an implausible duration: they last `lasts` microseconds if the times
/// are in `unit`. The error suggests the unit `certain` or, if it is `None`, the most probable unit.
pub(crate) fn implausible(
    path: &Path,
    place: String,
    expected: String,
    (unit, certain): (TimeUnit, Option<TimeUnit>),
    lasts: f64,
    events: u64,
) -> Error {
    let certain = certain.map(|certain| (certain, lasts * certain.microseconds() / unit.microseconds()));
    let probable = certain.or_else(|| unit.probable(lasts, events));
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
        alone: false,
    }
}
