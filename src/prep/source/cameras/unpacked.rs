//! Decompresses parts of a file, up to a limit.

use std::io::BufRead;

/// Maximum number of bytes of a part of a file that is read as a whole, compressed and not: a packet, a chunk, a record.
pub(super) const MAX_BYTES: u64 = 1 << 28;

/// Appends the rest of a reader to `bytes`. Fails if they become more than [`MAX_BYTES`].
pub(super) fn collect(reader: &mut impl BufRead, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let piece = reader.fill_buf()?;
        let len = piece.len();
        if len == 0 {
            return Ok(());
        }
        if (bytes.len() + len) as u64 > MAX_BYTES {
            return Err(std::io::Error::other(format!("more than {MAX_BYTES} bytes")));
        }
        bytes.extend_from_slice(piece);
        reader.consume(len);
    }
}
