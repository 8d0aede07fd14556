//! Encodes and decodes chunks. An encoded chunk is the bytes of its columns, compressed with zstd.

use crate::body::{BodyFault, write_body};
use crate::chunk::{Chunk, FLAG_EMPTY, FLAG_OVERLAP, FLAG_SORTED, NO_LABEL, SampleTable};
use crate::error::{BaseFault, Error, Result};
use crate::frames::Width;
use crate::large::LargeChunk;
use crate::layout::{ChunkRecord, MAX_DECODED_BYTES, SetLayout, chunk_checksum, max_bytes};
use crate::packed::PackedChunk;
use crate::stored::{Stored, StoredDraft};
use std::io::Write;
use std::path::Path;

use tonic_base::Error as BaseError;

use zstd::bulk::{Compressor, Decompressor};

/// A chunk that is ready to be written to a shard.
#[derive(Clone, Debug)]
pub struct EncodedChunk {
    /// The chunk, compressed with zstd.
    pub stored: Stored,
    /// Index record of the chunk. Its `offset` is 0 until the chunk is written to a shard.
    pub record: ChunkRecord,
}

/// Encodes chunks. Reuses its compressor and its buffer.
pub struct Encoder {
    level: i32,
    compressor: Compressor<'static>,
    body: Vec<u8>,
}

impl Encoder {
    /// Creates an encoder that compresses with zstd at this level.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] if zstd doesn't have that level.
    pub fn new(level: i32) -> Result<Encoder> {
        let range = zstd::compression_level_range();
        let compressor = range
            .contains(&level)
            .then(|| Compressor::new(level).ok())
            .flatten()
            .ok_or_else(|| Error::usage("level", format!("{} to {}", range.start(), range.end()), level))?;
        Ok(Encoder { level, compressor, body: Vec::new() })
    }

    /// Encodes a chunk. `number` is the index of the chunk in the set, for errors.
    ///
    /// # Errors
    /// [`Error::ChunkTooLarge`].
    pub fn encode(&mut self, number: u64, chunk: &Chunk) -> Result<EncodedChunk> {
        self.body.clear();
        write_body(chunk, &mut self.body);
        let bytes = self.body.len().max(chunk.frames.column_bytes()) as u64;
        if bytes > MAX_DECODED_BYTES.into() {
            return Err(too_large(number, MAX_DECODED_BYTES.into(), bytes));
        }
        self.encode_body(number, chunk.len() as u32)
    }

    /// Encodes a chunk whose frames are in a temporary file. The decoded chunk is the same as with [`Encoder::encode`].
    ///
    /// # Errors
    /// [`Error::ChunkTooLarge`]; [`tonic_base::Error::Io`] for the temporary file.
    pub fn encode_large(&mut self, number: u64, chunk: &LargeChunk) -> Result<EncodedChunk> {
        let (samples, bytes) = (chunk.len() as u32, chunk.body_bytes().max(chunk.column_bytes()));
        if bytes <= MAX_DECODED_BYTES.into() {
            self.body.clear();
            self.body.reserve_exact(chunk.body_bytes() as usize);
            chunk.read_body(|bytes| {
                self.body.extend_from_slice(bytes);
                Ok(())
            })?;
            let encoded = self.encode_body(number, samples);
            self.body = Vec::new();
            return encoded;
        }
        let decoded = u32::try_from(chunk.body_bytes()).ok().filter(|_| samples == 1);
        let most = if samples == 1 { u32::MAX } else { MAX_DECODED_BYTES };
        let decoded_bytes = decoded.ok_or_else(|| too_large(number, most.into(), bytes))?;
        let (mut identity, stored) = (blake3::Hasher::new(), StoredDraft::new()?);
        let failed =
            |e: std::io::Error| BaseError::Io { path: std::env::temp_dir(), action: "compress a chunk", source: e };
        let mut compressor = zstd::Encoder::new(stored, self.level).map_err(failed)?;
        compressor.set_pledged_src_size(Some(decoded_bytes.into())).map_err(failed)?;
        chunk.read_body(|bytes| {
            identity.update(bytes);
            Ok(compressor.write_all(bytes).map_err(failed)?)
        })?;
        let (stored, checksum) = compressor.finish().and_then(StoredDraft::finish).map_err(failed)?;
        let (stored_bytes, identity) = (stored.len(), *identity.finalize().as_bytes());
        if bytes > max_bytes(samples, stored_bytes) {
            return Err(too_large(number, max_bytes(samples, stored_bytes), bytes));
        }
        let record = ChunkRecord { offset: 0, stored_bytes, decoded_bytes, samples, checksum, identity };
        Ok(EncodedChunk { stored, record })
    }

    fn encode_body(&mut self, number: u64, samples: u32) -> Result<EncodedChunk> {
        let stored = self.compressor.compress(&self.body);
        let stored = stored.map_err(|_| too_large(number, MAX_DECODED_BYTES.into(), self.body.len() as u64))?;
        let record = ChunkRecord {
            offset: 0,
            stored_bytes: stored.len() as u64,
            decoded_bytes: self.body.len() as u32,
            samples,
            checksum: chunk_checksum(&stored),
            identity: *blake3::hash(&self.body).as_bytes(),
        };
        Ok(EncodedChunk { stored: stored.into(), record })
    }
}

fn too_large(chunk: u64, most: u64, got: u64) -> Error {
    Error::ChunkTooLarge { chunk, expected: format!("{most} decoded bytes"), got: got.to_string() }
}

/// Names a chunk in error messages: "chunk 3 (samples 192 to 255)".
#[derive(Clone, Copy, Debug)]
pub struct ChunkName<'a> {
    /// Path of the shard.
    pub shard: &'a Path,
    /// Index of the chunk in the set, from 0.
    pub number: u64,
    /// Index, in the set, of the chunk's first sample.
    pub first_sample: u64,
}

impl ChunkName<'_> {
    pub(crate) fn corrupt(
        &self,
        samples: u32,
        place: &str,
        expected: impl std::fmt::Display,
        got: impl std::fmt::Display,
    ) -> Error {
        Error::corrupt(self.shard, format!("{}: {place}", self.samples(samples)), expected, got)
    }

    /// Text for error messages, such as "chunk 3 (samples 192 to 255)". `samples` is the chunk's number of samples.
    pub(crate) fn samples(&self, samples: u32) -> String {
        let last = self.first_sample + u64::from(samples).saturating_sub(1);
        format!("chunk {} (samples {} to {last})", self.number, self.first_sample)
    }

    pub(crate) fn checksum_differs(&self, record: &ChunkRecord, checksum: u64) -> Error {
        let (expected, got) = (format!("xxh3 {:016x}", record.checksum), format!("{checksum:016x}"));
        self.corrupt(record.samples, "stored bytes", expected, got)
    }

    pub(crate) fn check_identity(&self, record: &ChunkRecord, body: &[u8]) -> Result<()> {
        let identity = blake3::hash(body);
        if *identity.as_bytes() == record.identity {
            return Ok(());
        }
        let expected = blake3::Hash::from_bytes(record.identity);
        Err(self.corrupt(record.samples, "identity", format!("blake3 {expected}"), identity))
    }

    pub(crate) fn index(&self, packed: &mut PackedChunk, layout: &SetLayout, record: &ChunkRecord) -> Result<()> {
        let most = max_bytes(record.samples, record.stored_bytes);
        packed.index(layout, record.samples, most).map_err(|fault| self.fault(record, fault))
    }

    pub(crate) fn fault(&self, record: &ChunkRecord, fault: BodyFault) -> Error {
        self.corrupt(record.samples, &fault.place, fault.expected, fault.got)
    }
}

/// The stored (compressed) bytes of a chunk, and what is needed to decode them.
#[derive(Clone, Copy, Debug)]
pub struct StoredChunk<'a> {
    /// Name of the chunk in error messages.
    pub name: ChunkName<'a>,
    /// Layout of the set that the chunk belongs to.
    pub layout: &'a SetLayout,
    /// Index record of the chunk.
    pub record: &'a ChunkRecord,
    /// The stored bytes, not yet checked.
    pub bytes: &'a [u8],
}

/// Decodes chunks. Reuses its decompressor and its buffers.
pub struct Decoder {
    decompressor: Decompressor<'static>,
    packed: Option<PackedChunk>,
    stored: Vec<u8>,
}

impl Decoder {
    /// Creates a decoder.
    ///
    /// # Panics
    /// If zstd cannot allocate memory for its state.
    pub fn new() -> Decoder {
        let decompressor = Decompressor::new().expect("zstd allocates a decompression context");
        Decoder { decompressor, packed: None, stored: Vec::new() }
    }

    /// Calls `work` with this decoder and with its buffer for compressed bytes.
    pub(crate) fn with_stored<T>(&mut self, work: impl FnOnce(&mut Decoder, &mut Vec<u8>) -> T) -> T {
        let mut stored = std::mem::take(&mut self.stored);
        let done = work(self, &mut stored);
        self.stored = stored;
        done
    }

    /// Checks a stored chunk and decodes it. Replaces the content of `chunk`.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`] if the bytes don't match their checksum, or aren't a chunk of the set's layout.
    pub fn decode(&mut self, stored: StoredChunk<'_>, chunk: &mut Chunk) -> Result<()> {
        self.decode_body(stored, chunk).map(|_| ())
    }

    /// Like [`Decoder::decode`], but also compares the BLAKE3 hash of the decoded bytes with the chunk's identity.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`].
    pub fn decode_and_identify(&mut self, stored: StoredChunk<'_>, chunk: &mut Chunk) -> Result<()> {
        let body = self.decode_body(stored, chunk)?;
        stored.name.check_identity(stored.record, body)
    }

    /// Like [`Decoder::decode`], but leaves cells and counts packed, and does not check whether cells are inside the
    /// frame.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`].
    pub fn decode_packed(&mut self, stored: StoredChunk<'_>, packed: &mut PackedChunk) -> Result<()> {
        let StoredChunk { name, layout, record, bytes } = stored;
        packed.clear();
        let checksum = chunk_checksum(bytes);
        if checksum != record.checksum {
            return Err(name.checksum_differs(record, checksum));
        }
        let decoded = record.decoded_bytes as usize;
        packed.body.reserve_exact(decoded);
        match self.decompressor.decompress_to_buffer(bytes, &mut packed.body) {
            Ok(n) if n == decoded => name.index(packed, layout, record),
            Ok(n) => Err(name.corrupt(record.samples, "decoded length", decoded, n)),
            Err(e) => Err(name.corrupt(record.samples, "zstd frame", format!("{decoded} decoded bytes"), e)),
        }
    }

    /// Decodes `stored` into `chunk` and returns the decoded bytes.
    fn decode_body(&mut self, stored: StoredChunk<'_>, chunk: &mut Chunk) -> Result<&[u8]> {
        let mut packed = self.packed.take().unwrap_or_else(|| PackedChunk::new(stored.layout));
        let decoded = self.decode_packed(stored, &mut packed);
        let packed = self.packed.insert(packed);
        decoded?;
        packed.unpack(chunk).map_err(|fault| stored.name.fault(stored.record, fault))?;
        Ok(&packed.body)
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

/// Checks the values in a chunk. [`Decoder::decode`] doesn't check these rules:
///
/// - Counts are finite and not zero.
/// - Flags are known.
/// - The fields of each ledger add up to `events_in`, and `binned` agrees with the counts in the frames.
/// - Labels are [`NO_LABEL`] or below `classes`, the number of classes.
///
/// # Errors
/// [`tonic_base::Error::Corrupt`].
pub fn check_chunk(name: ChunkName<'_>, chunk: &Chunk, classes: usize) -> Result<()> {
    let facts = chunk.frames.samples().map(|sample| SampleFacts {
        events: (sample.counts.width() != Width::F32).then(|| sample.events()),
        odd: sample.counts.values().find(|&n| n == 0.0 || !n.is_finite()),
    });
    check_samples(name, &chunk.table, facts, classes)
}

/// Facts about the frames of a sample, for [`check_samples`].
pub(crate) struct SampleFacts {
    /// Sum of the counts. `None` for float32 frames.
    pub(crate) events: Option<u64>,
    /// The first count or float32 value that is 0 or not finite. `None` if all are finite and not 0.
    pub(crate) odd: Option<f64>,
}

/// Like [`check_chunk`], but takes facts about the frames instead of the frames.
pub(crate) fn check_samples(
    name: ChunkName<'_>,
    table: &SampleTable,
    facts: impl Iterator<Item = SampleFacts>,
    classes: usize,
) -> Result<()> {
    let samples = table.labels.len();
    for (i, SampleFacts { events, odd }) in facts.enumerate() {
        let number = name.first_sample + i as u64;
        let corrupt = |what: &str, expected: String, got: String| {
            Err(name.corrupt(samples as u32, &format!("{what} of sample {number}"), expected, got))
        };
        let (ledger, label, flags) = (&table.ledgers[i], table.labels[i], table.flags[i]);
        if let Some(n) = odd {
            return corrupt("counts", "finite numbers other than 0".into(), n.to_string());
        }
        if !ledger.balances() {
            let expected = format!("{} events accounted for", ledger.events_in);
            return corrupt("ledger", expected, format!("{:?}", ledger.accounted()));
        }
        let overlap = flags & FLAG_OVERLAP != 0;
        if let Some(counted) = events
            && (counted < ledger.binned || (counted > ledger.binned && !overlap))
        {
            return corrupt("frames", format!("{} events", ledger.binned), counted.to_string());
        }
        check_label(name, samples, i, label, classes)?;
        if flags & !(FLAG_SORTED | FLAG_EMPTY | FLAG_OVERLAP) != 0 {
            return corrupt("flags", "bits 0 to 2".into(), format!("{flags:#010b}"));
        }
    }
    Ok(())
}

/// Checks that `label` is [`NO_LABEL`] or below `classes`. The other arguments are for the error: `i` is the index of
/// the sample in the chunk, and `samples` is the chunk's number of samples.
pub(crate) fn check_label(name: ChunkName<'_>, samples: usize, i: usize, label: u32, classes: usize) -> Result<()> {
    if label == NO_LABEL || (label as usize) < classes {
        return Ok(());
    }
    let what = format!("label of sample {}", name.first_sample + i as u64);
    Err(name.corrupt(samples as u32, &what, format!("below {classes}"), label))
}
