//! Decompresses parts of a file, up to a limit.

use std::io::BufRead;

/// Maximum number of bytes of a part of a file that is read as a whole, compressed and not: a packet, a chunk, a record.
pub(super) const MAX_BYTES: u64 = 1 << 28;

/// Appends the rest of a reader to `bytes`. Fails if they become more than `most`.
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
