//! Finds the cause of an error of libhdf5, and makes the error for a dataset or group that libhdf5 cannot read.

use std::path::Path;

use crate::error::Error;

/// Returns the last part of the text of a libhdf5 error, which gives the cause.
pub(crate) fn last_words(error: &hdf5::Error) -> String {
    let text = error.to_string();
    text.rsplit(": ").next().unwrap_or(&text).to_string()
}

/// Makes the error for a dataset or group that libhdf5 cannot read.
pub(crate) fn damaged(path: &Path, name: &str, error: &hdf5::Error) -> Error {
    Error::DamagedRecording { path: path.into(), place: name.into(), reason: last_words(error) }
}
