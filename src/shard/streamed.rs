//! Decompresses large chunks without all compressed bytes in memory.

use std::io::Read;

use xxhash_rust::xxh3::Xxh3;

use crate::codec::ChunkName;
use crate::error::{Error, Result};
use crate::layout::ChunkRecord;
use crate::storage::ShardFile;

/// Number of compressed bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// Decompresses a chunk into `body` and verifies the checksum of the compressed bytes.
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
    while stored.refill().is_ok_and(|more| more) {} // the checksum also covers bytes that zstd has not read
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

/// Whether the compressed chunk is so large that it is read in pieces.
pub(crate) fn is_large(record: &ChunkRecord) -> bool {
    record.stored_bytes > 8 * PIECE
}

/// Reads the compressed bytes of a chunk in pieces of [`PIECE`] bytes, and computes their checksum.
struct StoredReader<'a> {
    file: &'a dyn ShardFile,
    record: &'a ChunkRecord,
    /// Offset, in the file, of the bytes that are read next.
    next: u64,
    hash: Xxh3,
    piece: Vec<u8>,
    /// Number of bytes of `piece` that the decompressor has taken.
    at: usize,
    failed: Option<Error>,
}

impl StoredReader<'_> {
    /// Reads the next [`PIECE`] bytes of the chunk, or fewer at its end. Returns `false` after the end of the chunk.
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
