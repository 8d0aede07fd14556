//! Errors of drawing pictures and of reading benchmark reports.

pub(crate) use tonic_base::BaseFault;
use tonic_base::Error as BaseError;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a picture or a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Any other error: of the operating system, or a report that isn't valid.
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
