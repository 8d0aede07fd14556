//! Recovers chunks from a damaged shard. A chunk is recovered only if its hashes match.

use std::path::Path;

use crate::chunk::Chunk;
use crate::codec::{ChunkName, Decoder, EncodedChunk, StoredChunk, check_chunk};
use crate::description::SetDescription;
use crate::layout::{ChunkRecord, HEADER_BYTES, RECORD_BYTES, SetLayout, ShardHead, max_bytes, read_record};
use crate::mapped_file::MappedFile;

/// A shard file that can be damaged or missing. Also holds its index records, which can be wrong.
#[derive(Debug)]
pub struct Salvage {
    map: Option<MappedFile>,
    records: Vec<ChunkRecord>,
}

impl Salvage {
    /// Opens the file at `path`, which should be a shard of `chunks` chunks. This never fails: what cannot be read
    /// counts as missing.
    pub fn open(path: &Path, chunks: usize) -> Salvage {
        let map = MappedFile::open(path).ok();
        let bytes = map.as_ref().and_then(|map| map.bytes().ok()).unwrap_or_default();
        let index = bytes.get(HEADER_BYTES..).unwrap_or_default();
        let records = index.as_chunks::<RECORD_BYTES>().0.iter().take(chunks).map(read_record).collect();
        Salvage { map, records }
    }

    /// Index record of chunk `k` of the shard, not checked. `None` if the file is too short.
    pub fn record(&self, k: usize) -> Option<ChunkRecord> {
        self.records.get(k).copied()
    }

    /// The stored bytes that `record` points to, not checked. `None` if the file doesn't have them all.
    pub fn stored(&self, record: &ChunkRecord) -> Option<&[u8]> {
        let bytes = self.map.as_ref()?.bytes().ok()?;
        let end = record.offset.checked_add(record.stored_bytes)?;
        bytes.get(usize::try_from(record.offset).ok()?..usize::try_from(end).ok()?)
    }
}

/// Checks whether stored bytes from a damaged shard are a certain chunk of a set. Reuses its decoder and buffer for all
/// chunks.
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

    /// Returns chunk `number` if `stored` holds this chunk, else `None`. Sizes and checksum must be those of `record`.
    /// The identity must be `expected` or, if that is `None`, the identity in `record`.
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

/// Makes a placeholder of zeros for chunk `number`, which is lost. All other samples then keep their indices in the
/// set. Decoding the placeholder is an error. `known` is the lost chunk's index record, if it could be read.
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
