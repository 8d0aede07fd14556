//! How much packed data may unpack to.

use std::io::{Error, ErrorKind};

/// A file unpacks to at most this many times its size, or to [`SMALL`] bytes. Recordings stay far below; archives that
/// are made to fill disks are above.
pub(super) const MOST_RATIO: u64 = 500;
pub(super) const SMALL: u64 = 64 << 20;

/// Makes the error for data that unpacks to more than `most` bytes.
pub(super) fn too_large(most: u64) -> Error {
    let text = format!("it unpacks to more than {most} bytes, {MOST_RATIO} times its size");
    Error::new(ErrorKind::InvalidData, text)
}
