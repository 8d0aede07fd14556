//! Checks the times of spoken samples. Each sample is a row of the file and has a clock of its own. The duration of a
//! row must be plausible for speech, and its clock must run without wraps, resets or gaps.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tonic_base::interrupt;

use crate::error::{Error, Result};
use crate::event_range::EventRange;
use crate::remedy::{ClockRemedy, RowEvents};
use crate::source::columns::Stamps;
use crate::source::notes::Kinds;
use crate::source::raw::Times;
use crate::source::times::{FEW, Findings, Scatter, Timeline};
use crate::source::vetting::trouble::judge;
use crate::source::vetting::vet::{
    COUNTED, SHORTEST, TOO_SHORT, compare, implausible, lasts_without_gaps, short_warning,
};

/// Duration of the longest plausible sample of speech, in microseconds.
const SPEECH: i64 = 60_000_000;
/// A row that is in order of time and lasts at most this many microseconds is accepted without a check of its clock.
const BRIEF: i64 = 2_000_000;
/// When a dataset is opened, this many of its samples are checked.
const PROBES: u64 = 8;
/// Maximum number of samples that an error lists.
const LISTED: usize = 1_000;

/// Where a sample is in the file: the paths of the two arrays with its times and its channels, and the index of its row
/// in both arrays. The index is `None` if the arrays have only this sample.
type RowPlace = ([String; 2], Option<u64>);

/// Checks the clocks of the rows of a file, and collects notes about them.
#[derive(Debug)]
pub(crate) struct RowClocks {
    path: PathBuf,
    pub time: Timeline,
    /// Notes about samples whose times were corrected, or accepted although their clock has a fault. The keys are the
    /// indices of the samples.
    found: Mutex<BTreeMap<u64, Vec<String>>>,
    /// Whether at least one of the samples checked so far lasts at least [`SHORTEST`].
    any_long: AtomicBool,
}

impl RowClocks {
    pub(crate) fn new(path: PathBuf, time: Timeline) -> RowClocks {
        RowClocks { path, time, found: Mutex::default(), any_long: AtomicBool::new(false) }
    }

    /// Checks the rows of consecutive samples. `first` is the index of the first of these samples, and `times` has
    /// the times of all of them. The row of sample `first + i` has the times from `offsets[i]` up to
    /// `offsets[i + 1]`. `arrays` returns where a sample is in the file. Returns the times, with wraps undone if the
    /// user asked for that.
    ///
    /// # Errors
    /// [`Error::ImplausibleTimes`]; [`Error::ClockTrouble`].
    pub(crate) fn vet(
        &self,
        first: u64,
        mut times: Times,
        offsets: &[usize],
        arrays: impl Fn(u64) -> RowPlace,
    ) -> Result<Times> {
        for (sample, row) in (first..).zip(offsets.windows(2).map(|row| row[0]..row[1])) {
            let ends = (row.clone().find_map(|i| times.get(i)), row.clone().rev().find_map(|i| times.get(i)));
            let lasts = ends.1.unwrap_or(0).saturating_sub(ends.0.unwrap_or(0));
            if lasts <= BRIEF && times.are_sorted(row.clone()) {
                match lasts < SHORTEST {
                    true => self.vet_brief(sample, &times, row)?,
                    false => self.any_long.store(true, Ordering::Relaxed),
                }
                continue;
            }
            let mut stamps = stamps(&times, row.clone());
            let found = self.find(sample, &stamps)?;
            self.vet_brief(sample, &times, row.clone())?;
            let mut notes = self.judge(sample, &self.time, &found, &stamps, &arrays)?;
            if let Some(wrap) = self.time.wrap_to_undo(&found) {
                wrap.unwrap(0, &mut stamps.us);
                // If the first time is late in the counter's period, the counter was running before the row began.
                // Then the times count from the first event.
                if let Some(start) = stamps.first(0..stamps.us.len()).filter(|&start| wrap.is_late(start)) {
                    stamps.us.iter_mut().for_each(|us| *us = us.saturating_sub(start));
                    notes.iter_mut().for_each(|note| *note += ", and its times count from its first event");
                }
                let found = self.find(sample, &stamps)?;
                notes.extend(self.judge(sample, &self.time.unwrapped(), &found, &stamps, &arrays)?);
                times = times.replaced(row, &stamps.us);
            }
            if !notes.is_empty() {
                self.note(sample, notes);
            }
        }
        Ok(times)
    }

    fn note(&self, sample: u64, notes: Vec<String>) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(sample, notes);
    }

    /// Finds the faults in the clock of a row. Returns an error if the unit is only assumed, and the row would last
    /// more than a minute in this unit.
    fn find(&self, sample: u64, stamps: &Stamps) -> Result<Findings> {
        let mut found = Findings::of(self.time.unit, &stamps.places(None));
        if found.events >= FEW {
            // Speech has no pause that is longer than the rest of the sample, so pauses are faults here.
            found.breaks.append(&mut found.pauses);
        }
        match lasts_without_gaps(&found).filter(|lasts| *lasts > SPEECH) {
            Some(lasts) => self.refuse(sample, "speech of at most a minute", lasts, found.events).map(|()| found),
            None => Ok(found),
        }
    }

    /// Returns notes on the findings about the times of a row, or an error. If faults divide the row into parts, the
    /// error suggests to remove all parts except the largest, because a part of a row cannot be converted alone.
    fn judge(
        &self,
        sample: u64,
        time: &Timeline,
        found: &Findings,
        stamps: &Stamps,
        arrays: impl Fn(u64) -> RowPlace,
    ) -> Result<Vec<String>> {
        judge((&self.path, &place_of(sample)), time, found, &|_| Ok(None)).map_err(|mut error| {
            if let Error::ClockTrouble { remedy, .. } = &mut error {
                let in_parts = matches!(remedy, ClockRemedy::Parts(_));
                let out = match remedy {
                    ClockRemedy::Parts(parts) => parts.first().map_or(Vec::new(), |part| part.others(found.events)),
                    ClockRemedy::TakeOut(events) => std::mem::take(events),
                    ClockRemedy::Keep { .. } => {
                        found.scatter.as_ref().map_or(Vec::new(), |scatter| outside(scatter, &stamps.places(None)))
                    }
                    _ => return error,
                };
                let (arrays, row) = arrays(sample);
                *remedy = ClockRemedy::OfRows { rows: vec![RowEvents { arrays, row, events: out, in_parts }], more: 0 };
            }
            error
        })
    }

    /// Checks that a row lasts at least a millisecond. If a shorter row has at least [`COUNTED`] events and the user
    /// gave the unit, the row gets a note. If a shorter row has at least [`FEW`] events and the unit is only assumed,
    /// that is an error. A row in which all events have the same stored time is accepted.
    fn vet_brief(&self, sample: u64, times: &Times, row: Range<usize>) -> Result<()> {
        let valid = || row.clone().filter_map(|i| times.get(i));
        let lasts = valid().max().unwrap_or(0).saturating_sub(valid().min().unwrap_or(0));
        let events = valid().count() as u64;
        if lasts >= SHORTEST {
            self.any_long.store(true, Ordering::Relaxed);
        } else if self.time.unit_given && events >= COUNTED && !times.are_one(row.clone()) {
            self.note(sample, vec![short_warning(self.time.unit, lasts)]);
        } else if events >= FEW && !times.are_one(row.clone()) {
            self.refuse(sample, "speech of at least 1 ms", lasts, row.len() as u64)?;
        }
        Ok(())
    }

    /// If an error is about the clock of one sample, extends the error to all samples of the file with the same kind
    /// of fault. One command can then correct them all. `vet` reads one sample and checks its clock. Other errors are
    /// returned unchanged.
    pub(crate) fn of_all_rows<T>(error: Error, samples: u64, vet: impl Fn(u64) -> Result<T>) -> Error {
        let Some(kind) = row_fault(&error).map(|(kind, _)| kind.to_owned()) else { return error };
        let errors = (0..samples).take_while(|_| !interrupt::requested()).filter_map(|sample| vet(sample).err());
        let mut errors = errors.filter(|error| row_fault(error).is_some_and(|(other, _)| other == kind));
        let mut first = errors.next().unwrap_or(error);
        if let Error::ClockTrouble { got, remedy: ClockRemedy::OfRows { rows, more }, .. } = &mut first {
            for error in errors {
                match row_fault(&error).filter(|_| rows.len() < LISTED) {
                    Some((_, row)) => rows.push(row.clone()),
                    None => *more += 1,
                }
            }
            match rows.len() as u64 + *more - 1 {
                0 => {}
                1 => got.push_str("; another sample has such a fault too"),
                others => *got += &format!("; {others} other samples have such a fault too"),
            }
        }
        first
    }

    /// Compares the sample of an [`Error::ImplausibleTimes`] with the other samples of the file. If only this sample
    /// seems to be in another unit, the error says so. `samples` is the number of samples, and `read` reads the times
    /// of one sample. Errors of other kinds are returned unchanged.
    pub(crate) fn compare_rows(&self, error: Error, samples: u64, read: impl Fn(u64) -> Result<Times>) -> Error {
        let Error::ImplausibleTimes { place, .. } = &error else { return error };
        let (mut own, mut others) = (0, Vec::new());
        for sample in (0..samples).take_while(|_| !interrupt::requested()) {
            let Ok(times) = read(sample) else { continue };
            let valid = || (0..times.len()).filter_map(|i| times.get(i));
            let Some((low, high)) = valid().min().zip(valid().max()) else { continue };
            match *place == place_of(sample) {
                true => own = high.saturating_sub(low),
                false => others.push(high.saturating_sub(low)),
            }
        }
        compare(error, own, others)
    }

    fn refuse(&self, sample: u64, expected: &str, lasts: i64, events: u64) -> Result<()> {
        let Some(unit) = self.time.assumed() else { return Ok(()) };
        Err(implausible(&self.path, place_of(sample), expected.into(), (unit, None), lasts as f64, events))
    }

    /// Returns notes for the user about the rows that were read. If several samples have the same kind of note,
    /// returns only the first of these notes, and says for how many samples it holds. If all rows are too short,
    /// leaves out the notes about their duration.
    pub(crate) fn notes(&self) -> Vec<String> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let any_long = self.any_long.load(Ordering::Relaxed);
        let mut kinds = Kinds::default();
        for (sample, note) in found.iter().flat_map(|(sample, notes)| notes.iter().map(move |note| (*sample, note))) {
            let kind = note.split(':').find(|kind| *kind != "warning").unwrap_or_default().trim_start();
            if kind != TOO_SHORT || any_long {
                kinds.add_as(kind.into(), &format!("sample {sample}"), note.clone());
            }
        }
        kinds.texts().collect()
    }
}

/// Returns how messages name the times of a sample.
fn place_of(sample: u64) -> String {
    format!("sample {sample}: times")
}

/// Returns the kind of the fault in a row, such as `a gap`, and the events that the error suggests to remove. Returns
/// `None` if the error is not about the clock of a row.
fn row_fault(error: &Error) -> Option<(&str, &RowEvents)> {
    match error {
        Error::ClockTrouble { got, remedy: ClockRemedy::OfRows { rows, .. }, .. } => {
            Some((got.split(':').next()?, rows.first()?))
        }
        _ => None,
    }
}

/// If the times of a row come from several clocks, returns the events that don't belong to the clock with the most
/// events. `times` are the times of all events of the row in microseconds.
fn outside(scatter: &Scatter, times: &[i64]) -> Vec<EventRange> {
    let Some(&(low, high, _)) = scatter.clocks.first() else { return Vec::new() };
    let mut ranges: Vec<EventRange> = Vec::new();
    for (i, _) in (0..).zip(times).filter(|(_, time)| !(low..=high).contains(*time)) {
        match ranges.last_mut().filter(|range| range.end == Some(i)) {
            Some(range) => range.end = Some(i + 1),
            None => ranges.push(EventRange { start: i, end: Some(i + 1) }),
        }
    }
    ranges
}

fn stamps(times: &Times, row: Range<usize>) -> Stamps {
    let missing = (0..row.len()).filter(|i| times.get(row.start + i).is_none()).collect();
    Stamps { us: row.map(|i| times.get(i).unwrap_or(0)).collect(), missing }
}

/// Reads a few samples, evenly spread over a dataset, so that bad times are found when the dataset is opened.
///
/// # Errors
/// [`Error::ImplausibleTimes`] and [`Error::ClockTrouble`]. Other errors are ignored here: they occur again when the
/// sample is read for conversion.
pub(crate) fn probe<T>(samples: u64, read: impl Fn(Range<u64>) -> Result<T>) -> Result<()> {
    for i in 0..samples.min(PROBES) {
        let sample = i * samples / samples.min(PROBES);
        if let Err(error @ (Error::ImplausibleTimes { .. } | Error::ClockTrouble { .. })) = read(sample..sample + 1) {
            return Err(error);
        }
    }
    Ok(())
}
