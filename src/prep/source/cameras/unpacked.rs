//! Decompresses parts of a file, up to a limit.

use std::io::BufRead;

/// Maximum number of bytes of a packet, chunk or record. It applies both before and after decompression.
pub(super) const MAX_BYTES: u64 = 1 << 28;

/// Appends the rest of a reader to `bytes`. Fails if `bytes` would have more than `most` bytes.
pub(super) fn collect(reader: &mut impl BufRead, bytes: &mut Vec<u8>, most: u64) -> std::io::Result<()> {
    loop {
        let piece = reader.fill_buf()?;
        let len = piece.len();
        if len == 0 {
            return Ok(());
        }
        if (bytes.len() + len) as u64 > most {
            return Err(std::io::Error::other(format!("more than {most} bytes")));
        }
        bytes.extend_from_slice(piece);
        reader.consume(len);
    }
}
