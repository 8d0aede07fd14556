//! Errors of the tools for sets.

use std::path::PathBuf;

pub(crate) use tonic_base::BaseFault;
use tonic_base::Error as BaseError;
use tonic_prep::Error as PrepError;
use tonic_report::Error as ReportError;
use tonic_shard::Error as ShardError;
use tonic_shard::Part;
pub(crate) use tonic_shard::ShardFault;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a tool for sets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the operating system, or a request that cannot be carried out.
    #[error("{0}")]
    Base(#[from] BaseError),
    /// A set is damaged, incomplete or doesn't match another set.
    #[error("{0}")]
    Shard(#[from] ShardError),
    /// A recording cannot be read or converted, or a recipe is invalid.
    #[error("{0}")]
    Prep(#[from] PrepError),
    /// A picture cannot be drawn.
    #[error("{0}")]
    Report(#[from] ReportError),
    /// The sets to merge are parts of one set, and some parts are missing.
    #[error("{}: the set is incomplete: {missing}", .path.display())]
    MissingParts {
        /// Directory for the merged set.
        path: PathBuf,
        /// Text that says which parts are missing.
        missing: String,
        /// The missing part with the lowest number.
        part: Part,
        /// Numbers and directories of the given parts, in ascending order of the numbers.
        given: Vec<(u32, PathBuf)>,
        /// The command that made one of the given parts, from [`tonic_shard::Manifest::command`].
        command: Vec<String>,
    },
}
