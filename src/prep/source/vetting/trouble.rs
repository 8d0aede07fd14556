//! Decides which faults of a recording's clock are errors, and which remedy an error suggests. Other faults become
//! notes.

use std::path::Path;

use crate::error::{Error, Result};
use crate::event_range::EventRange;
use crate::remedy::{ClockRemedy, ClockTimes};
use crate::source::times::{Break, BreakKind, Disorder, Findings, Scatter, Timeline};
use crate::source::vetting::sorting::Sorting;
use crate::time_unit::duration;

/// An error can suggest to keep only the times of one clock. The suggested range begins this many microseconds before
/// these times, and ends this many after them.
const MARGIN: i64 = 500_000;

/// Checks the findings about the times of a recording or of one sample. `place` names the recording or the sample in
/// messages. Returns notes for the user. If wraps are to be undone, the only note is about the wraps.
///
/// `sorting` gets the indices of the events at which the times step back. It returns whether the events are sorted by
/// something other than time.
///
/// # Errors
/// [`Error::ClockTrouble`]; errors of `sorting`.
pub(crate) fn judge(
    (path, place): (&Path, &str),
    time: &Timeline,
    found: &Findings,
    sorting: &dyn Fn(&[u64]) -> Result<Option<Sorting>>,
) -> Result<Vec<String>> {
    let skipped = time.skipped;
    let wrap = found.wraps(time.unwrap);
    let resets = || found.breaks.iter().filter(|found| found.kind == BreakKind::Reset).map(|found| found.at);
    let starts: Vec<u64> = match (wrap, &found.scatter) {
        (Some(wrap), _) => wrap.starts().collect(),
        (None, Some(scatter)) => scatter.returns.clone(),
        (None, None) => resets().collect(),
    };
    let disorder = match found.disorder {
        Some(Disorder::Descending) => Some("its events are in descending order of time".into()),
        _ if starts.is_empty() => None,
        _ => match sorting(&starts)? {
            Some(Sorting::Packets) if wrap.is_none() => {
                let mut notes = judge((path, place), time, &found.without_resets(), &|_| Ok(None))?;
                notes.push("disorder: each packet has the events of one polarity first; they were sorted".into());
                return Ok(notes);
            }
            Some(Sorting::Whole(what)) => Some(what),
            _ => None,
        },
    };
    let disorder = disorder.or(match found.disorder {
        Some(Disorder::Sawtooth(steps)) if wrap.is_none() => Some(format!(
            "the times step back {steps} times by more than half of the recording and do not return, so it is sorted \
             by something else than time, or its clock starts again and again"
        )),
        Some(Disorder::Late) => found.jitter.map(|jitter| {
            let (events, largest) = (jitter.events, duration(jitter.largest as f64));
            format!("{events} events are out of order, by up to {largest}, before event {}", jitter.at + skipped)
        }),
        _ => None,
    });
    let stray = found.breaks.first().is_some_and(|found| found.kind != BreakKind::Reset);
    let doubt = found.doubt.as_ref().filter(|_| !stray && wrap.is_none());
    let refuse = |got: String, remedy| {
        let doubtful = doubt.map_or(String::new(), |wrap| format!(" ({})", wrap.doubt()));
        let (got, period) = (format!("a {got}{doubtful}"), doubt.map(|wrap| wrap.period_in(time.unit).into()));
        Err(Error::ClockTrouble { path: path.into(), place: place.into(), got, remedy, period })
    };
    if let Some(what) = disorder {
        let what = format!("disorder: {what}");
        return if time.as_is { Ok(vec![what + "; it was sorted"]) } else { refuse(what, ClockRemedy::Sort) };
    }
    if let Some(scatter) = &found.scatter {
        let what = scatter.describe(found.events, skipped);
        return if time.as_is { Ok(vec![what + "; taken as it is"]) } else { refuse(what, keep(time, scatter)) };
    }
    if let Some(wrap) = wrap {
        let certain = found.wrap.is_some();
        let what = if certain { wrap.describe(skipped) } else { wrap.describe_likely(skipped) };
        return match (time.unwrap, time.as_is) {
            (true, _) => Ok(vec![what + "; it was unwrapped"]),
            (_, true) => Ok(vec![what + "; taken as it is"]),
            _ => refuse(what, ClockRemedy::Unwrap),
        };
    }
    if let Some(first) = found.breaks.first().filter(|_| !time.as_is) {
        let more = found.breaks.len() - 1;
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        return refuse(first.describe(skipped) + &more, remedy(time, found));
    }
    let taken = found.breaks.iter().chain(&found.pauses).map(|found| found.describe(skipped) + "; taken as it is");
    let mut notes: Vec<String> = taken.collect();
    notes.extend(found.jitter.map(|jitter| match found.disorder {
        Some(_) => jitter.describe_disorder(found.events),
        None => jitter.describe(skipped) + "; they were sorted",
    }));
    Ok(notes)
}

/// Returns the remedy for a recording in which events of other clocks are everywhere: keep only the times of one clock.
fn keep(time: &Timeline, scatter: &Scatter) -> ClockRemedy {
    let stored = |us: i64| (us as f64 / time.unit.microseconds()).to_string();
    let times = |&(low, high, events): &(i64, i64, u64)| ClockTimes {
        from: stored(low.saturating_sub(MARGIN)),
        to: stored(high.saturating_add(MARGIN)),
        events,
        unit: time.unit,
    };
    ClockRemedy::Keep { clocks: scatter.clocks.iter().map(times).collect(), removed: scatter.others }
}

/// Returns the remedy for resets, gaps and stray times. If stray times are in the middle of the recording, all stray
/// times are removed. Otherwise, the parts between the faults are converted one by one.
fn remedy(time: &Timeline, found: &Findings) -> ClockRemedy {
    let inside = |stray: &&Break| stray.until.is_some_and(|until| stray.at > 0 && until < found.events);
    if !found.breaks.iter().any(|stray| inside(&stray)) {
        return ClockRemedy::Parts(pieces(time, found));
    }
    let stray = found.breaks.iter().filter_map(|stray| Some((stray.at + time.skipped, stray.until? + time.skipped)));
    ClockRemedy::TakeOut(stray.map(|(start, end)| EventRange { start, end: Some(end) }).collect())
}

/// Returns the ranges of events between resets, gaps and stray times, the largest range first.
fn pieces(time: &Timeline, found: &Findings) -> Vec<EventRange> {
    let skipped = time.skipped;
    let mut places: Vec<u64> = found.breaks.iter().flat_map(|found| [Some(found.at), found.until]).flatten().collect();
    places.extend([0, found.events]);
    places.sort_unstable();
    let stray = |start: &u64| found.breaks.iter().any(|found| found.until.is_some() && found.at == *start);
    let mut pieces: Vec<(u64, u64)> = places.windows(2).map(|pair| (pair[0], pair[1])).collect();
    pieces.retain(|(start, end)| start < end && !stray(start));
    pieces.sort_by_key(|(start, end)| std::cmp::Reverse(end - start));
    let open = time.left_out == skipped;
    let range = |(start, end)| EventRange {
        start: start + skipped,
        end: if end == found.events && open { None } else { Some(end + skipped) },
    };
    pieces.into_iter().map(range).collect()
}
