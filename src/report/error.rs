//! Errors of drawing pictures and of reading benchmark reports.

pub(crate) use tonic_base::BaseFault;
use tonic_base::Error as BaseError;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of drawing a picture or of reading a benchmark report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error that isn't specific to pictures: from the operating system, or of a report that isn't valid.
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
}
