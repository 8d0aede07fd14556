//! Constructors of the errors that many modules return.

use std::fmt::Display;
use std::path::Path;

use crate::error::Error;

impl Error {
    pub(crate) fn not_a_recording(path: &Path, expected: impl Into<String>, got: impl Into<String>) -> Error {
        Error::NotARecording { path: path.into(), expected: expected.into(), got: got.into() }
    }

    pub(crate) fn wrong_type(path: &Path, dataset: &str, expected: impl Into<String>, got: impl Display) -> Error {
        let (path, dataset, expected, got) = (path.into(), dataset.into(), expected.into(), got.to_string());
        Error::WrongType { path, dataset, expected, got, mapped: true }
    }

    pub(crate) fn damaged(path: &Path, place: impl Into<String>, reason: impl Display) -> Error {
        Error::DamagedRecording { path: path.into(), place: place.into(), reason: reason.to_string() }
    }

    pub(crate) fn bad_sample(
        path: &Path,
        sample: u64,
        what: impl Into<String>,
        expected: impl Into<String>,
        got: impl Display,
    ) -> Error {
        let (what, expected, got) = (what.into(), expected.into(), got.to_string());
        Error::BadSample { path: path.into(), sample, what, expected, got }
    }
}
