//! A chunk as bytes: columns in, one zstd frame out, and back, trusting nothing on the way.

use std::path::Path;

use zstd::bulk::{Compressor, Decompressor};

use super::Ledger;
use super::body::{Fault, unpack_body, write_body};
use super::layout::{ChunkRecord, MAX_DECODED_BYTES, SetLayout, chunk_checksum};
use super::packed::PackedChunk;
use crate::error::{Error, Result};
use crate::frames::{SparseFrames, Width, Widths};

/// What the label column holds where a sample has no label.
pub const NO_LABEL: u32 = u32::MAX;
/// The flag of a sample whose times were out of order and were sorted.
pub const FLAG_SORTED: u8 = 1;
/// The flag of a sample without events, which was given one empty frame.
pub const FLAG_EMPTY: u8 = 2;
/// The flag of a sample whose windows overlap: its counts may add up to more than the events that were binned.
pub const FLAG_OVERLAP: u8 = 4;

/// What a chunk says of each of its samples, beside the frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleTable {
    /// Class of each sample, [`NO_LABEL`] where there is none.
    pub labels: Vec<u32>,
    /// [`FLAG_SORTED`], [`FLAG_EMPTY`] and [`FLAG_OVERLAP`].
    pub flags: Vec<u8>,
    /// Where each sample's events went.
    pub ledgers: Vec<Ledger>,
    /// Extra columns (the speaker, say), each with a number a sample.
    pub extras: Vec<Vec<i64>>,
}

/// A group of samples, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Their frames.
    pub frames: SparseFrames,
    /// All else.
    pub table: SampleTable,
}

impl Chunk {
    /// No samples, for columns of `widths` and so many extra columns.
    pub fn new(widths: Widths, extras: usize) -> Chunk {
        Chunk {
            frames: SparseFrames::new(widths),
            table: SampleTable { extras: vec![Vec::new(); extras], ..SampleTable::default() },
        }
    }

    /// How many samples.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

/// A chunk ready to be written.
#[derive(Clone, Debug)]
pub struct EncodedChunk {
    /// The zstd frame.
    pub stored: Vec<u8>,
    /// Its index record; the writer sets `offset`.
    pub record: ChunkRecord,
}

/// Encodes chunks; one a thread, because it keeps its compressor and buffers.
pub struct Encoder {
    compressor: Compressor<'static>,
    body: Vec<u8>,
}

impl Encoder {
    /// With a zstd level.
    ///
    /// # Errors
    /// [`Error::Usage`] for a level that zstd has not.
    pub fn new(level: i32) -> Result<Encoder> {
        let range = zstd::compression_level_range();
        let compressor = range
            .contains(&level)
            .then(|| Compressor::new(level).ok())
            .flatten()
            .ok_or_else(|| Error::usage("--level", format!("{} to {}", range.start(), range.end()), level))?;
        Ok(Encoder { compressor, body: Vec::new() })
    }

    /// Encodes chunk number `number` of the set (for the error's sake).
    ///
    /// # Errors
    /// [`Error::ChunkTooLarge`].
    pub fn encode(&mut self, number: u64, chunk: &Chunk) -> Result<EncodedChunk> {
        self.body.clear();
        write_body(chunk, &mut self.body);
        let too_large = |got: String| Error::ChunkTooLarge {
            chunk: number,
            expected: format!("{MAX_DECODED_BYTES} decoded bytes"),
            got,
        };
        let bytes = self.body.len().max(chunk.frames.column_bytes());
        if bytes > MAX_DECODED_BYTES as usize {
            return Err(too_large(bytes.to_string()));
        }
        let stored = self.compressor.compress(&self.body).map_err(|e| too_large(e.to_string()))?;
        let record = ChunkRecord {
            offset: 0,
            stored_bytes: stored.len() as u64,
            decoded_bytes: self.body.len() as u32,
            samples: chunk.len() as u32,
            checksum: chunk_checksum(&stored),
            identity: *blake3::hash(&self.body).as_bytes(),
        };
        Ok(EncodedChunk { stored, record })
    }
}

/// Where a stored chunk comes from, for its errors: "chunk 3 (samples 192 to 255)".
#[derive(Clone, Copy, Debug)]
pub struct ChunkName<'a> {
    /// The shard's file.
    pub shard: &'a Path,
    /// Its number in the set.
    pub number: u64,
    /// Its first sample in the set.
    pub first_sample: u64,
}

impl ChunkName<'_> {
    pub(super) fn corrupt(
        &self,
        samples: u32,
        place: &str,
        expected: impl std::fmt::Display,
        got: impl std::fmt::Display,
    ) -> Error {
        Error::corrupt(self.shard, format!("{}: {place}", self.samples(samples)), expected, got)
    }

    /// What it is called, being of so many samples.
    pub(super) fn samples(&self, samples: u32) -> String {
        let last = self.first_sample + u64::from(samples).saturating_sub(1);
        format!("chunk {} (samples {} to {last})", self.number, self.first_sample)
    }

    pub(super) fn fault(&self, record: &ChunkRecord, fault: Fault) -> Error {
        self.corrupt(record.samples, &fault.place, fault.expected, fault.got)
    }
}

/// Decodes chunks; one a thread, because it keeps its decompressor and buffers.
pub struct Decoder {
    decompressor: Decompressor<'static>,
    packed: Option<PackedChunk>,
    stored: Vec<u8>,
}

impl Decoder {
    /// A new one.
    ///
    /// # Panics
    /// If zstd cannot allocate a context.
    pub fn new() -> Decoder {
        let decompressor = Decompressor::new().expect("zstd allocates a decompression context");
        Decoder { decompressor, packed: None, stored: Vec::new() }
    }

    /// Lends out its buffer for stored bytes, so that reading a chunk allocates none.
    pub(super) fn with_stored<T>(&mut self, work: impl FnOnce(&mut Decoder, &mut Vec<u8>) -> T) -> T {
        let mut stored = std::mem::take(&mut self.stored);
        let done = work(self, &mut stored);
        self.stored = stored;
        done
    }

    /// Decodes `stored`, whose index record is `record`, in place of what `chunk` had.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for bytes that differ from their checksum, or that are no chunk of this layout.
    pub fn decode(
        &mut self,
        name: ChunkName<'_>,
        layout: &SetLayout,
        record: &ChunkRecord,
        stored: &[u8],
        chunk: &mut Chunk,
    ) -> Result<()> {
        self.decode_body(name, layout, record, stored, chunk).map(|_| ())
    }

    /// As [`Decoder::decode`], and holds the decoded bytes against the chunk's identity.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode_and_identify(
        &mut self,
        name: ChunkName<'_>,
        layout: &SetLayout,
        record: &ChunkRecord,
        stored: &[u8],
        chunk: &mut Chunk,
    ) -> Result<()> {
        let body = self.decode_body(name, layout, record, stored, chunk)?;
        let identity = blake3::hash(body);
        if *identity.as_bytes() != record.identity {
            let expected = blake3::Hash::from_bytes(record.identity);
            return Err(name.corrupt(record.samples, "identity", format!("blake3 {expected}"), identity));
        }
        Ok(())
    }

    /// Decodes as [`Decoder::decode`] does, but leaves the entries packed: their cells are checked when they are
    /// unpacked.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode_packed(
        &mut self,
        name: ChunkName<'_>,
        layout: &SetLayout,
        record: &ChunkRecord,
        stored: &[u8],
        packed: &mut PackedChunk,
    ) -> Result<()> {
        packed.clear();
        let checksum = chunk_checksum(stored);
        if checksum != record.checksum {
            let (expected, got) = (format!("xxh3 {:016x}", record.checksum), format!("{checksum:016x}"));
            return Err(name.corrupt(record.samples, "stored bytes", expected, got));
        }
        let decoded = record.decoded_bytes as usize;
        packed.body.reserve_exact(decoded);
        match self.decompressor.decompress_to_buffer(stored, &mut packed.body) {
            Ok(n) if n == decoded => packed.index(layout, record.samples).map_err(|fault| name.fault(record, fault)),
            Ok(n) => Err(name.corrupt(record.samples, "decoded length", decoded, n)),
            Err(e) => Err(name.corrupt(record.samples, "zstd frame", format!("{decoded} decoded bytes"), e)),
        }
    }

    fn decode_body(
        &mut self,
        name: ChunkName<'_>,
        layout: &SetLayout,
        record: &ChunkRecord,
        stored: &[u8],
        chunk: &mut Chunk,
    ) -> Result<&[u8]> {
        let mut packed = self.packed.take().unwrap_or_else(|| PackedChunk::new(layout));
        let decoded = self.decode_packed(name, layout, record, stored, &mut packed);
        let packed = self.packed.insert(packed);
        decoded?;
        unpack_body(packed, chunk).map_err(|fault| name.fault(record, fault))?;
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

/// What a whole chunk keeps beyond what decoding needs: no zero counts, no unknown flags, ledgers that balance and agree
/// with the frames, labels inside the classes.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn check_chunk(name: ChunkName<'_>, chunk: &Chunk, classes: usize) -> Result<()> {
    let samples = chunk.len() as u32;
    for (i, sample) in chunk.frames.samples().enumerate() {
        let number = name.first_sample + i as u64;
        let corrupt = |what: &str, expected: String, got: String| {
            Err(name.corrupt(samples, &format!("{what} of sample {number}"), expected, got))
        };
        let (ledger, label, flags) = (&chunk.table.ledgers[i], chunk.table.labels[i], chunk.table.flags[i]);
        if let Some(n) = sample.counts.values().find(|&n| n == 0.0 || !n.is_finite()) {
            return corrupt("counts", "finite numbers other than 0".into(), n.to_string());
        }
        if !ledger.balances() {
            let expected = format!("{} events accounted for", ledger.events_in);
            return corrupt("ledger", expected, format!("{:?}", ledger.accounted()));
        }
        let counted = sample.events();
        let (overlap, surface) = (flags & FLAG_OVERLAP != 0, sample.counts.width() == Width::F32);
        if !surface && (counted < ledger.binned || (counted > ledger.binned && !overlap)) {
            return corrupt("frames", format!("{} events", ledger.binned), counted.to_string());
        }
        check_label(name, chunk.len(), i, label, classes)?;
        if flags & !(FLAG_SORTED | FLAG_EMPTY | FLAG_OVERLAP) != 0 {
            return corrupt("flags", "bits 0 to 2".into(), format!("{flags:#010b}"));
        }
    }
    Ok(())
}

/// The label of a chunk's sample `i` is one of the set's classes, or none.
pub(super) fn check_label(name: ChunkName<'_>, samples: usize, i: usize, label: u32, classes: usize) -> Result<()> {
    if label == NO_LABEL || (label as usize) < classes {
        return Ok(());
    }
    let what = format!("label of sample {}", name.first_sample + i as u64);
    Err(name.corrupt(samples as u32, &what, format!("below {classes}"), label))
}
