//! Judges the unit of several recordings together: of recordings with too few events to be judged alone, and of one
//! recording that may have another unit than the others.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::source::detect::open_stream;
use crate::source::options::SourceOptions;
use crate::source::times::{compare, lasts, vet_small};

/// Maximum number of recordings whose times are read.
const PROBES: usize = 64;

/// Checks the unit of a few of the recordings in `files`, evenly spread over the list. `place` is the folder or the
/// first file, for the error message. If one of the recordings has enough events to be checked alone, no error is
/// returned.
///
/// # Errors
/// [`crate::Error::ImplausibleTimes`]; errors of opening a file.
pub(crate) fn vet_together(place: &Path, files: &[PathBuf], options: &SourceOptions) -> Result<()> {
    let probes = files.iter().step_by(files.len().div_ceil(PROBES).max(1));
    vet_small(place, probes.map(|file| open_stream(file, options)))
}

/// Maximum number of recordings with which one is compared.
const COMPARED: usize = 8;

/// Compares the recording of an [`Error::ImplausibleTimes`] with a few of the other recordings in `files`. If only this
/// recording doesn't fit the assumed unit, the error says so. Other errors are returned unchanged.
pub(crate) fn compare_files(error: Error, files: &[PathBuf], options: &SourceOptions) -> Error {
    let Error::ImplausibleTimes { path, .. } = &error else { return error };
    let lasts = |file: &PathBuf| lasts(&open_stream(file, options).ok()?).ok()?;
    let (own, others): (Vec<&PathBuf>, Vec<_>) = files.iter().partition(|file| *file == path);
    let Some(own) = own.first().and_then(|file| lasts(file)) else { return error };
    let probes = others.iter().step_by(others.len().div_ceil(COMPARED).max(1));
    let others = probes.filter_map(|file| lasts(file)).collect();
    compare(error, own, others)
}
