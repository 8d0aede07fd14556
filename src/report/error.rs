//! Errors of drawing pictures and of reading benchmark reports.

use std::path::{Path, PathBuf};

pub(crate) use tonic_base::BaseFault;
use tonic_base::Error as BaseError;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a picture or a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Any other error, such as I/O.
    #[error("{0}")]
    Base(#[from] BaseError),
    /// A picture could not be drawn.
    #[error("cannot draw {what}: {reason}")]
    Plot {
        /// Picture that was being drawn.
        what: String,
        /// Message of the drawing library.
        reason: String,
    },
    /// A file that is not a valid benchmark report.
    #[error("{}: corrupt: {place}: expected {expected}, got {got}", .path.display())]
    Corrupt {
        /// Report file.
        path: PathBuf,
        /// Field that isn't valid.
        place: String,
        /// Values that are valid.
        expected: String,
        /// Value that was found.
        got: String,
    },
}

impl Error {
    pub(crate) fn corrupt(
        path: &Path,
        place: impl Into<String>,
        expected: impl std::fmt::Display,
        got: impl std::fmt::Display,
    ) -> Error {
        Error::Corrupt { path: path.into(), place: place.into(), expected: expected.to_string(), got: got.to_string() }
    }
}
