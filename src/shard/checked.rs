//! Chunks that are checked against everything that the format requires, with their entries still packed: for uses that
//! visit every entry once. A chunk takes its decoded bytes in memory, a quarter of what it takes unpacked.

use std::io::Read;

use xxhash_rust::xxh3::Xxh3;

use crate::body::cells_fault;
use crate::chunk::SampleTable;
use crate::codec::{ChunkName, Decoder, SampleFacts, check_samples};
use crate::error::{Error, Result};
use crate::frames::Width;
use crate::layout::{ChunkRecord, SetLayout};
use crate::manifest::Totals;
use crate::map::MappedFile;
use crate::packed::PackedChunk;
use crate::shard::Shard;

/// Stored bytes that are read at once from a large chunk.
const PIECE: u64 = 1 << 20;

/// A chunk that [`Shard::check`] has read and checked.
#[derive(Debug)]
pub struct CheckedChunk {
    /// The frames, with their entries packed.
    pub frames: PackedChunk,
    /// Labels, flags, ledgers and extra columns.
    pub table: SampleTable,
}

impl CheckedChunk {
    /// Creates an empty chunk to read into.
    pub fn new(layout: &SetLayout) -> CheckedChunk {
        CheckedChunk { frames: PackedChunk::new(layout), table: SampleTable::default() }
    }

    /// Sums and maxima over the samples. `classes` is the number of classes of the set.
    pub fn totals(&self, classes: usize) -> Totals {
        let mut totals = Totals::new(classes);
        for sample in self.frames.samples() {
            totals.add_frames(sample.frames() as u64, sample.entries() as u64, sample.max_count());
        }
        totals.add_table(&self.table);
        totals
    }
}

impl Shard {
    /// Reads chunk `k` of this shard into `chunk`, whose content is replaced, and checks everything that the format
    /// requires of it: its checksum, its identity, its columns, its ledgers, and the padding after it. `classes` is the
    /// number of classes of the set.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`]; [`tonic_base::Error::Io`].
    ///
    /// # Panics
    /// If the shard has no chunk `k`.
    pub fn check(&self, k: usize, classes: usize, decoder: &mut Decoder, chunk: &mut CheckedChunk) -> Result<()> {
        let (name, record) = (self.name(k), &self.head().chunks[k]);
        let CheckedChunk { frames, table } = chunk;
        self.decode_packed(k, decoder, frames)?;
        if !frames.samples().all(|sample| sample.fits()) {
            return Err(name.fault(record, cells_fault(self.head().layout.shape)));
        }
        name.check_identity(record, &frames.body)?;
        frames.read_table(table);
        let facts = frames.samples().map(|sample| match self.head().layout.widths.counts {
            Width::F32 => SampleFacts { events: None, odd: sample.values().find(|n| *n == 0.0 || !n.is_finite()) },
            _ => SampleFacts { events: Some(sample.events()), odd: None },
        });
        check_samples(name, table, facts, classes)?;
        self.check_padding(k)
    }
}

/// Decompresses the stored bytes of a chunk to `body`, piece by piece, so that they are not in memory as a whole.
pub(crate) fn decompress(
    map: &MappedFile,
    record: &ChunkRecord,
    name: ChunkName<'_>,
    body: &mut Vec<u8>,
) -> Result<()> {
    let mut stored =
        StoredReader { map, next: record.offset, record, hash: Xxh3::new(), piece: Vec::new(), at: 0, failed: None };
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

/// Whether the stored bytes of a chunk are so many that they are read piece by piece.
pub(crate) fn is_large(record: &ChunkRecord) -> bool {
    record.stored_bytes > 8 * PIECE
}

/// Reads and hashes the stored bytes of a chunk.
struct StoredReader<'a> {
    map: &'a MappedFile,
    record: &'a ChunkRecord,
    /// Offset in the file of the first byte that is not read yet.
    next: u64,
    hash: Xxh3,
    piece: Vec<u8>,
    /// Number of bytes of `piece` that are taken.
    at: usize,
    failed: Option<Error>,
}

impl StoredReader<'_> {
    /// Reads the next piece. Returns false at the end.
    fn refill(&mut self) -> std::io::Result<bool> {
        let end = self.record.offset + self.record.stored_bytes;
        let range = self.next..(self.next + PIECE).min(end);
        (self.next, self.at) = (range.end, 0);
        self.piece.clear();
        if range.is_empty() {
            return Ok(false);
        }
        self.map.read(range, &mut self.piece).map_err(|e| {
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
