//! Checks the time unit of recordings by comparing them with each other.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::source::detect::open_stream;
use crate::source::options::SourceOptions;
use crate::source::recording::Recording;
use crate::source::vetting::{COUNTED, TOO_SHORT, compare, lasts, vet_small};
use crate::time_unit::duration;

/// Maximum number of recordings that [`vet_together`] reads.
const PROBES: usize = 64;

/// Checks the time unit of a few of the recordings in `files`. `place` is the folder or the first file, for the error
/// message. Does nothing if one of these recordings has enough events to be checked alone.
///
/// # Errors
/// [`crate::Error::ImplausibleTimes`]; errors of opening a file.
pub(crate) fn vet_together(place: &Path, files: &[PathBuf], options: &SourceOptions) -> Result<()> {
    let probes = files.iter().step_by(files.len().div_ceil(PROBES).max(1));
    vet_small(place, probes.map(|file| open_stream(file, options)))
}

/// Two numbers are about equal if their base-10 logarithms differ by less than this.
const NEAR: f64 = 0.7;
/// Minimum number of recordings of the usual duration per recording of an unusual one. With fewer, [`odd_unit`] returns
/// no warning.
const USUAL_PER_ODD: usize = 2;

/// Returns a warning if a recording seems to have another time unit than the others: it has about as many events, but
/// its duration is about a thousand or a million times longer or shorter.
pub(crate) fn odd_unit<'a>(recordings: impl Iterator<Item = &'a Recording>) -> Option<String> {
    struct Read<'a>(&'a Recording, f64, f64);
    let read = recordings.filter_map(|recording| Some((recording, recording.lasts()?, recording.events().ok()?)));
    let read = read.filter(|(_, lasts, events)| *lasts > 0 && *events >= COUNTED);
    let all: Vec<Read<'_>> =
        read.map(|(recording, lasts, events)| Read(recording, lasts as f64, events as f64)).collect();
    let middle = |of: fn(&Read<'_>) -> f64| {
        let mut numbers: Vec<f64> = all.iter().map(of).collect();
        numbers.sort_unstable_by(f64::total_cmp);
        numbers.get(numbers.len() / 2).copied()
    };
    let (usual, events) = (middle(|read| read.1)?, middle(|read| read.2)?);
    let is_near = |a: f64, b: f64| (a / b).log10().abs() < NEAR;
    let (near, far): (Vec<_>, Vec<_>) = all.iter().partition(|read| is_near(read.1, usual));
    if near.len() < USUAL_PER_ODD * far.len() {
        return None;
    }
    far.into_iter().filter(|read| is_near(read.2, events)).find_map(|Read(recording, lasts, _)| {
        let assumed = recording.columns.unit?;
        let unit = assumed.fitting(*lasts, usual)?;
        let is_near = is_near(lasts * unit.microseconds() / assumed.microseconds(), usual);
        let (name, lasts, usual, others) = (&recording.name, duration(*lasts), duration(usual), near.len());
        is_near.then(|| {
            format!(
                "warning: {name}: {TOO_SHORT}: it lasts {lasts} in {assumed} (`time_unit`), and {others} others last \
                 about {usual}: either it is in {unit}, or {assumed} is wrong for the others; save all in one unit"
            )
        })
    })
}

/// Maximum number of other recordings that one recording is compared with.
const COMPARED: usize = 8;

/// Compares the recording of an [`Error::ImplausibleTimes`] with a few of the other recordings in `files`. If the
/// others fit the assumed unit, the error says that only this recording doesn't. Other errors are returned unchanged.
pub(crate) fn compare_files(error: Error, files: &[PathBuf], options: &SourceOptions) -> Error {
    let Error::ImplausibleTimes { path, .. } = &error else { return error };
    let lasts = |file: &PathBuf| lasts(&open_stream(file, options).ok()?).ok()?;
    let (own, others): (Vec<&PathBuf>, Vec<_>) = files.iter().partition(|file| *file == path);
    let Some(own) = own.first().and_then(|file| lasts(file)) else { return error };
    let probes = others.iter().step_by(others.len().div_ceil(COMPARED).max(1));
    let others = probes.filter_map(|file| lasts(file)).collect();
    compare(error, own, others)
}
