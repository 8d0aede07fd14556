//! Recovers chunks from a damaged shard. A chunk is recovered only if its hashes match.

use std::ops::Range;
use std::path::Path;

use crate::chunk::Chunk;
use crate::codec::{ChunkName, Decoder, EncodedChunk, StoredChunk, check_chunk};
use crate::description::SetDescription;
use crate::error::{Error, Result};
use crate::layout::{ChunkRecord, HEADER_BYTES, RECORD_BYTES, SetLayout, ShardHead, max_bytes, read_record};
use crate::manifest::ShardEntry;
use crate::mapped_file::MappedFile;
use crate::storage::{ShardFile, Storage};

/// A shard file that can be damaged or missing, and its chunks' index records, which can be wrong.
#[derive(Debug)]
pub struct Salvage {
    file: Option<Box<dyn ShardFile>>,
    records: Vec<ChunkRecord>,
}

impl Salvage {
    /// Opens the file at `path`, which should be a shard of `chunks` chunks. What cannot be read counts as missing.
    pub fn open(path: &Path, chunks: usize) -> Salvage {
        let file = MappedFile::open(path).ok().map(|file| Box::new(file) as Box<dyn ShardFile>);
        Salvage::of(file, chunks).unwrap_or(Salvage { file: None, records: Vec::new() })
    }

    /// Opens the shard `entry` of the set in `storage`. The shard should have `chunks` chunks. Damaged bytes count as
    /// missing.
    ///
    /// # Errors
    /// Errors of `storage`, such as network errors.
    pub fn open_in(storage: &dyn Storage, entry: &ShardEntry, chunks: usize) -> Result<Salvage> {
        Salvage::of(unless_damaged(storage.shard(entry))?, chunks)
    }

    fn of(file: Option<Box<dyn ShardFile>>, chunks: usize) -> Result<Salvage> {
        let mut salvage = Salvage { file, records: Vec::new() };
        let size = salvage.file.as_ref().map_or(0, |file| file.size());
        let whole = size.saturating_sub(HEADER_BYTES as u64) / RECORD_BYTES as u64;
        let end = HEADER_BYTES as u64 + whole.min(chunks as u64) * RECORD_BYTES as u64;
        let index = salvage.read(HEADER_BYTES as u64..end)?.unwrap_or_default();
        salvage.records = index.as_chunks::<RECORD_BYTES>().0.iter().map(read_record).collect();
        Ok(salvage)
    }

    /// Index record of chunk `k` of the shard, not checked. `None` if the file is too short.
    pub fn record(&self, k: usize) -> Option<ChunkRecord> {
        self.records.get(k).copied()
    }

    /// The stored bytes that `record` points to, unchecked; `None` if they aren't in the file.
    ///
    /// # Errors
    /// Errors of [`ShardFile::read`], but no error if the file is damaged or missing.
    pub fn stored(&self, record: &ChunkRecord) -> Result<Option<Vec<u8>>> {
        self.read(record.offset..record.offset.saturating_add(record.stored_bytes))
    }

    /// Reads a range of the file; `None` if the file doesn't have the whole range.
    fn read(&self, range: Range<u64>) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.file.as_ref().filter(|file| range.end <= file.size()) else { return Ok(None) };
        let mut bytes = Vec::new();
        unless_damaged(file.read(range, &mut bytes).map(|()| bytes))
    }
}

/// Returns `None` in place of an error about a damaged or missing file.
fn unless_damaged<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(Error::Incomplete { .. } | Error::Base(tonic_base::Error::Corrupt { .. })) => Ok(None),
        result => result.map(Some),
    }
}

/// Checks whether stored bytes from a damaged shard are an undamaged chunk of the set.
pub struct Prover<'a> {
    description: &'a SetDescription,
    layout: SetLayout,
    decoder: Decoder,
    chunk: Chunk,
}

impl<'a> Prover<'a> {
    /// Creates a prover for the set with this description.
    pub fn new(description: &'a SetDescription) -> Prover<'a> {
        let chunk = Chunk::new(description.widths, description.extras.len());
        Prover { description, layout: description.layout(), decoder: Decoder::new(), chunk }
    }

    /// Returns chunk `number` if `stored` holds this chunk. Sizes and checksum must be those of `record`. The identity
    /// (BLAKE3 hash of the decoded bytes) must be `expected`, or by default the one in `record`.
    pub fn prove(
        &mut self,
        number: u64,
        record: &ChunkRecord,
        stored: &[u8],
        expected: Option<[u8; 32]>,
    ) -> Option<EncodedChunk> {
        let samples = self.description.samples_of(number..number + 1);
        let samples_are = (samples.end - samples.start) as u32;
        let record = ChunkRecord { samples: samples_are, identity: expected.unwrap_or(record.identity), ..*record };
        let most = max_bytes(samples_are, record.stored_bytes);
        if u64::from(record.decoded_bytes) > most || record.stored_bytes != stored.len() as u64 {
            return None;
        }
        let name = ChunkName { shard: Path::new(""), number, first_sample: samples.start };
        let candidate = StoredChunk { name, layout: &self.layout, record: &record, bytes: stored };
        self.decoder.decode_and_identify(candidate, &mut self.chunk).ok()?;
        check_chunk(name, &self.chunk, self.description.classes.len()).ok()?;
        Some(EncodedChunk { stored: stored.to_vec().into(), record })
    }

    /// Content of the chunk that [`Prover::prove`] returned last.
    pub fn chunk(&self) -> &Chunk {
        &self.chunk
    }
}

/// Makes a placeholder of zeros for the lost chunk `number`, so that the samples after it keep their indices. The
/// placeholder cannot be decoded. `known` is the lost chunk's index record, and `identity` its identity.
pub fn hole(number: u64, description: &SetDescription, known: Option<ChunkRecord>, identity: [u8; 32]) -> EncodedChunk {
    let samples = description.samples_of(number..number + 1);
    let samples = (samples.end - samples.start) as u32;
    let most = |r: &ChunkRecord| u64::from(r.decoded_bytes) + u64::from(r.decoded_bytes) / 128 + 1024;
    let plausible =
        |r: &ChunkRecord| u64::from(r.decoded_bytes) <= max_bytes(samples, r.stored_bytes) && r.stored_bytes <= most(r);
    let nothing = ChunkRecord { offset: 0, stored_bytes: 0, decoded_bytes: 0, samples, checksum: 0, identity };
    let record = ChunkRecord { samples, identity, ..known.filter(plausible).unwrap_or(nothing) };
    EncodedChunk { stored: vec![0; record.stored_bytes as usize].into(), record }
}

/// Number of chunks in shard `number` of the described set.
pub fn shard_chunks(description: &SetDescription, number: u64) -> usize {
    description.shard_place(number).samples.div_ceil(description.chunk_samples) as usize
}

/// Whether `head` is the header and index of shard `number` of the described set.
pub fn belongs(head: &ShardHead, description: &SetDescription, number: u64) -> bool {
    head.layout == description.layout()
        && head.place == description.shard_place(number)
        && head.chunks.len() == shard_chunks(description, number)
}
