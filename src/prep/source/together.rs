//! Judges the unit of several recordings together, if each has too few events to be judged alone.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::source::detect::open_stream;
use crate::source::options::SourceOptions;
use crate::source::times::vet_small;

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
