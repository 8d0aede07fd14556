//! The stored (compressed) bytes of a chunk before they are written to a shard: in memory or in a temporary file.

use std::io::Write;
use std::sync::Arc;

use tonic_base::Spill;
use xxhash_rust::xxh3::Xxh3;

use crate::error::Result;

/// Number of bytes that are read from the temporary file, or written to it, at once.
const PIECE: usize = 1 << 20;

/// The stored bytes of a chunk: its columns, compressed with zstd.
#[derive(Clone, Debug)]
pub enum Stored {
    /// Bytes in memory.
    Memory(Vec<u8>),
    /// Bytes in a temporary file.
    Spilled(Arc<Spill>),
}

impl Stored {
    /// Number of bytes.
    pub fn len(&self) -> u64 {
        match self {
            Stored::Memory(bytes) => bytes.len() as u64,
            Stored::Spilled(spill) => spill.len(0),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `take` with all bytes, one piece after another.
    ///
    /// # Errors
    /// Errors of `take`; [`tonic_base::Error::Io`] if the temporary file cannot be read.
    pub fn read(&self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match self {
            Stored::Memory(bytes) => take(bytes),
            Stored::Spilled(spill) => spill.read_all(0, PIECE, take),
        }
    }
}

impl From<Vec<u8>> for Stored {
    fn from(bytes: Vec<u8>) -> Stored {
        Stored::Memory(bytes)
    }
}

/// Compressed bytes that are being written to a temporary file.
pub(crate) struct StoredDraft {
    spill: Spill,
    pending: Vec<u8>,
    checksum: Xxh3,
}

impl StoredDraft {
    pub(crate) fn new() -> Result<StoredDraft> {
        Ok(StoredDraft { spill: Spill::new(1)?, pending: Vec::with_capacity(PIECE), checksum: Xxh3::new() })
    }

    /// Returns the compressed bytes and their XXH3-64 checksum.
    pub(crate) fn finish(mut self) -> std::io::Result<(Stored, u64)> {
        self.flush()?;
        Ok((Stored::Spilled(Arc::new(self.spill)), self.checksum.digest()))
    }
}

impl Write for StoredDraft {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.checksum.update(&self.pending);
        let appended = self.spill.append(0, &self.pending);
        self.pending.clear();
        appended.map_err(|error| match error {
            tonic_base::Error::Io { source, .. } => source,
            other => std::io::Error::other(other),
        })
    }
}
