//! Errors of reading and writing shard sets.

use std::path::{Path, PathBuf};

pub(crate) use tonic_base::BaseFault;
use tonic_base::Error as BaseError;

use crate::difference::differing_parts;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of reading or writing a shard set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error that isn't specific to sets, for example of the operating system.
    #[error("{0}")]
    Base(#[from] BaseError),
    /// The directory holds no shard set.
    #[error("{}: expected a shard set, got {got}", .path.display())]
    NotASet {
        /// Directory or URL that was opened.
        path: PathBuf,
        /// What was found instead of a shard set.
        got: String,
    },
    /// The set is unfinished, or shards are missing.
    #[error("{}: the set is incomplete: {missing}", .path.display())]
    Incomplete {
        /// Directory or URL of the set.
        path: PathBuf,
        /// What is missing.
        missing: String,
    },
    /// The file has a format version that this program doesn't know.
    #[error("{}: incompatible: expected format version {expected}, got {got}", .path.display())]
    Incompatible {
        /// Path or URL of the file, such as a shard, a manifest or a checkpoint.
        path: PathBuf,
        /// Version that this program reads.
        expected: String,
        /// Version that the file has.
        got: String,
    },
    /// Two things differ that must match, such as two sets, or a set and a model.
    #[error("{}: {field} differs from {}: expected {expected}, got {got}", .path.display(), .other.display())]
    Mismatch {
        /// What was refused, such as the directory or URL of a set, or the path of a card.
        path: PathBuf,
        /// What the refused thing was compared with, such as another set, a model or a lock file.
        other: PathBuf,
        /// Name of the first field that differs.
        field: String,
        /// Value of the field in `other`.
        expected: String,
        /// Value of the field in the refused thing.
        got: String,
    },
    /// A chunk exceeds a limit of the format.
    #[error("chunk {chunk}: expected at most {expected}, got {got}")]
    ChunkTooLarge {
        /// Index of the chunk in the set, from 0.
        chunk: u64,
        /// Maximum size that the format allows.
        expected: String,
        /// Size of the chunk.
        got: String,
    },
}

impl Error {
    /// Appends `words`, in parentheses, to the field `place` of a [`tonic_base::Error::Corrupt`] or to the field
    /// `missing` of an [`Error::Incomplete`].
    pub fn with_place(self, words: &str) -> Error {
        match self {
            Error::Base(BaseError::Corrupt { path, place, expected, got }) => {
                Error::corrupt(&path, format!("{place} ({words})"), expected, got)
            }
            Error::Incomplete { path, missing } => Error::Incomplete { path, missing: format!("{missing} ({words})") },
            other => other,
        }
    }

    /// Compares fields of the set at `path` with those of the set or model at `other`. Each field is (name, value in
    /// `other`, value in `path`).
    ///
    /// # Errors
    /// [`Error::Mismatch`] with the first field that differs.
    pub fn refuse_difference<const N: usize>(
        path: &Path,
        other: &Path,
        fields: [(&str, String, String); N],
    ) -> Result<()> {
        match fields.into_iter().find(|(_, expected, got)| expected != got) {
            None => Ok(()),
            Some((field, expected, got)) => {
                let (expected, got) = differing_parts(&expected, &got);
                Err(Error::mismatch(path, other, field, expected, got))
            }
        }
    }
}

/// Makes an [`Error::Mismatch`] in the error type of the calling crate.
pub trait ShardFault: From<Error> {
    /// Makes an [`Error::Mismatch`].
    fn mismatch(
        path: &Path,
        other: &Path,
        field: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        let (field, expected, got) = (field.into(), expected.into(), got.into());
        Error::Mismatch { path: path.into(), other: other.into(), field, expected, got }.into()
    }
}

impl<E: From<Error>> ShardFault for E {}
