//! Errors of drawing pictures and of reading benchmark reports.

pub(crate) use tonic_base::BaseFault;
use tonic_base::Error as BaseError;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of drawing a picture or of reading a benchmark report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error that isn't about pictures, such as an I/O error or an invalid benchmark report.
    #[error("{0}")]
    Base(#[from] BaseError),
    /// A picture could not be drawn.
    #[error("cannot draw {what}: {reason}")]
    Plot {
        /// What was to be drawn: a kind of picture, such as "a raster", or the path of a PNG.
        what: String,
        /// Message of the library that draws or encodes the picture.
        reason: String,
    },
}
