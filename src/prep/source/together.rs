//! Judges the unit of several recordings together, for recordings with too few events to judge them one by one.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::source::detect::open_stream;
use crate::source::options::SourceOptions;
use crate::source::times::vet_small;

/// Maximum number of recordings whose times are read.
const PROBES: usize = 64;

/// Checks the unit of small recordings by a few of them, evenly spread over `files`. `place` is the folder or the first
/// file, for the error message. Accepts recordings of which one has enough events to be checked by itself.
///
/// # Errors
/// [`crate::Error::ImplausibleTimes`]; errors of opening a file.
pub(crate) fn vet_together(place: &Path, files: &[PathBuf], options: &SourceOptions) -> Result<()> {
    let probes = files.iter().step_by(files.len().div_ceil(PROBES).max(1));
    vet_small(place, probes.map(|file| open_stream(file, options)))
}
