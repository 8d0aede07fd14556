//! Decompresses large chunks piece by piece, so that the compressed bytes of a chunk are never in memory as a whole.

use std::io::Read;

use xxhash_rust::xxh3::Xxh3;

use crate::codec::ChunkName;
use crate::error::{Error, Result};
use crate::layout::ChunkRecord;
use crate::storage::ShardFile;

/// Number of compressed bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// Reads the compressed bytes of a chunk piece by piece, verifies their checksum, and decompresses them into `body`.
pub(crate) fn decompress(
    file: &dyn ShardFile,
    record: &ChunkRecord,
    name: ChunkName<'_>,
    body: &mut Vec<u8>,
) -> Result<()> {
    let mut stored =
        StoredReader { file, next: record.offset, record, hash: Xxh3::new(), piece: Vec::new(), at: 0, failed: None };
    let decoded = record.decoded_bytes as usize;
    body.reserve_exact(decoded + 1);
    let unpacked = zstd::Decoder::new(&mut stored).and_then(|zstd| zstd.take(decoded as u64 + 1).read_to_end(body));
    while stored.refill().is_ok_and(|more| more) {} // the checksum is of all bytes, whatever zstd has read
    if let Some(failed) = stored.failed {
        return Err(failed.with_place(&name.samples(record.samples)));
    }
    let checksum = stored.hash.digest();
    if checksum != record.checksum {
        return Err(name.checksum_differs(record, checksum));
    }
    match unpacked {
        Ok(n) if n == decoded => Ok(()),
        Ok(n) => Err(name.corrupt(record.samples, "decoded length", decoded, n)),
        Err(e) => Err(name.corrupt(record.samples, "zstd frame", format!("{decoded} decoded bytes"), e)),
    }
}

/// Returns whether a chunk has so many compressed bytes that it is read piece by piece.
pub(crate) fn is_large(record: &ChunkRecord) -> bool {
    record.stored_bytes > 8 * PIECE
}

/// Reads the compressed bytes of a chunk piece by piece, and computes their checksum.
struct StoredReader<'a> {
    file: &'a dyn ShardFile,
    record: &'a ChunkRecord,
    /// Where the next piece begins: its offset in the file, in bytes.
    next: u64,
    hash: Xxh3,
    piece: Vec<u8>,
    /// Number of bytes of `piece` that were passed on to the decompressor.
    at: usize,
    failed: Option<Error>,
}

impl StoredReader<'_> {
    /// Reads the next piece of the chunk into `piece`. Returns `false` if the chunk has no more bytes.
    fn refill(&mut self) -> std::io::Result<bool> {
        let end = self.record.offset + self.record.stored_bytes;
        let range = self.next..(self.next + PIECE).min(end);
        (self.next, self.at) = (range.end, 0);
        self.piece.clear();
        if range.is_empty() {
            return Ok(false);
        }
        self.file.read(range, &mut self.piece).map_err(|e| {
            self.failed = Some(e);
            std::io::ErrorKind::Other
        })?;
        self.hash.update(&self.piece);
        Ok(true)
    }
}

impl Read for StoredReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.piece.len() && !self.refill()? {
            return Ok(0);
        }
        let bytes = out.len().min(self.piece.len() - self.at);
        out[..bytes].copy_from_slice(&self.piece[self.at..self.at + bytes]);
        self.at += bytes;
        Ok(bytes)
    }
}
