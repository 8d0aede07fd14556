//! Header and index of a shard: the structs, and their bytes. FORMAT.md, "Shard", specifies the bytes.

use crate::error::{BaseFault, Error, Result};
use crate::frames::{FrameShape, Width, Widths};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

/// The first eight bytes of a shard. As in PNG, they include line ends. So they show if a program has transferred the
/// file as text and changed its line ends.
pub(crate) const MAGIC: [u8; 8] = *b"\x89TNC\r\n\x1a\n";
/// Format version that this program writes and reads.
pub(crate) const VERSION: u16 = 2;
/// Size of the header in bytes.
pub const HEADER_BYTES: usize = 128;
/// Size of an index record in bytes.
pub const RECORD_BYTES: usize = 64;
/// Alignment of columns and chunks in bytes.
pub(crate) const ALIGNMENT: usize = 64;
/// Maximum size in bytes of a decoded chunk of several samples. For a chunk of one sample, see [`max_bytes`].
pub(crate) const MAX_DECODED_BYTES: u32 = 1 << 28;
/// Maximum ratio of decoded to stored bytes, for a chunk of one large sample. Without this limit, a small damaged
/// file could make a reader allocate any amount of memory.
const MAX_RATIO: u64 = 256;
/// Maximum number of samples in a chunk.
pub const MAX_CHUNK_SAMPLES: u32 = 1 << 20;

/// Rounds `bytes` up to a multiple of 64, the alignment of columns and chunks.
pub fn aligned(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGNMENT as u64)
}

/// Returns the maximum size in bytes of a decoded chunk. The limit also applies to the chunk's unpacked columns.
/// `samples` is the number of samples in the chunk, and `stored` is its compressed size in bytes.
pub(crate) fn max_bytes(samples: u32, stored: u64) -> u64 {
    let usual = u64::from(MAX_DECODED_BYTES);
    if samples == 1 { usual.max(stored.saturating_mul(MAX_RATIO)) } else { usual }
}

/// Header fields that are the same in all shards of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetLayout {
    /// Shape of a frame.
    pub shape: FrameShape,
    /// Widths of the columns of the set's frames.
    pub widths: Widths,
    /// Number of samples per chunk, S. The last chunk of the set can have fewer.
    pub chunk_samples: u32,
    /// Number of extra columns, E.
    pub extras: u8,
    /// Hash of frame shape, recipe, class names and names of extra columns.
    pub recipe_id: [u8; 32],
}

/// Position of a shard in its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardPlace {
    /// Index of the shard in the set, from 0.
    pub number: u32,
    /// Index, in the set, of the shard's first sample.
    pub first_sample: u64,
    /// Number of samples in the shard.
    pub samples: u32,
}

/// Index record of a chunk: position, sizes and hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRecord {
    /// Offset of the chunk in the file, in bytes.
    pub offset: u64,
    /// Compressed size of the chunk in bytes, without padding.
    pub stored_bytes: u64,
    /// Decoded size of the chunk in bytes.
    pub decoded_bytes: u32,
    /// Number of samples in the chunk.
    pub samples: u32,
    /// XXH3-64 of the chunk's stored (compressed) bytes.
    pub checksum: u64,
    /// BLAKE3 of the chunk's decoded (uncompressed) bytes.
    pub identity: [u8; 32],
}

/// Header and index of a shard: everything except its chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardHead {
    /// Header fields that are the same in all shards of the set.
    pub layout: SetLayout,
    /// Position of the shard in its set.
    pub place: ShardPlace,
    /// Index records of the chunks, in order.
    pub chunks: Vec<ChunkRecord>,
}

impl ShardHead {
    /// Size in bytes of the header and of an index with `chunks` records.
    pub fn bytes(chunks: usize) -> u64 {
        (HEADER_BYTES + chunks * RECORD_BYTES) as u64
    }

    /// Length of the shard's file in bytes, computed from the index record of the last chunk.
    pub fn file_bytes(&self) -> u64 {
        self.chunks.last().map_or(ShardHead::bytes(0), |c| aligned(c.offset + c.stored_bytes))
    }

    /// Returns the bytes of header and index.
    ///
    /// ```
    /// # use tonic_shard::*;
    /// # let shape = FrameShape { polarities: 1, height: 1, width: 100 };
    /// # let widths = Widths::of(shape, Width::U8);
    /// # let layout = SetLayout { shape, widths, chunk_samples: 64, extras: 0, recipe_id: [7; 32] };
    /// # let head = ShardHead { layout, place: ShardPlace { number: 0, first_sample: 0, samples: 0 }, chunks: vec![] };
    /// let bytes = head.to_bytes();
    /// assert_eq!(&bytes[..12], b"\x89TNC\r\n\x1a\n\x02\x00\x00\x00"); // magic, version 2, zero
    /// assert_eq!(&bytes[16..24], &128_u64.to_le_bytes()); // length of a file without chunks
    /// // shape (1, 1, 100), then widths u8, u8, u8, then no extra columns
    /// assert_eq!(&bytes[44..60], b"\x01\0\0\0\x01\0\0\0\x64\0\0\0\x01\x01\x01\0");
    /// ```
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ShardHead::bytes(self.chunks.len()) as usize);
        let SetLayout { shape, widths, chunk_samples, extras, recipe_id } = self.layout;
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.place.number.to_le_bytes());
        out.extend_from_slice(&self.file_bytes().to_le_bytes());
        out.extend_from_slice(&self.place.first_sample.to_le_bytes());
        for n in [self.place.samples, self.chunks.len() as u32, chunk_samples] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        for n in [shape.polarities, shape.height, shape.width] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        out.extend([widths.frame_sizes, widths.cells, widths.counts].map(Width::code));
        out.push(extras);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&recipe_id);
        out.extend_from_slice(&[0; 32]); // 24 reserved, 8 for the checksum
        debug_assert_eq!(out.len(), HEADER_BYTES);
        for chunk in &self.chunks {
            out.extend_from_slice(&chunk.offset.to_le_bytes());
            out.extend_from_slice(&chunk.stored_bytes.to_le_bytes());
            out.extend_from_slice(&chunk.decoded_bytes.to_le_bytes());
            out.extend_from_slice(&chunk.samples.to_le_bytes());
            out.extend_from_slice(&chunk.checksum.to_le_bytes());
            out.extend_from_slice(&chunk.identity);
        }
        let checksum = head_checksum(&out);
        out[120..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads the number of chunks from the header at the start of `file`. Doesn't check the header. 0 if `file` is too
    /// short.
    pub(super) fn chunks_said(file: &[u8]) -> usize {
        file.first_chunk().map_or(0, |header: &[u8; HEADER_BYTES]| u32::from_le_bytes(field(header, 36)) as usize)
    }

    /// Reads and checks header and index. `file` is the start of the shard, with at least header and index. `len` is
    /// the length of the whole shard in bytes. Errors name the shard by `path`.
    ///
    /// # Errors
    /// [`Error::Incompatible`] for another format version; [`tonic_base::Error::Corrupt`] for any other violation of
    /// the format.
    pub fn parse(path: &Path, file: &[u8], len: u64) -> Result<ShardHead> {
        let corrupt = |place: &str, expected: String, got: String| Error::corrupt(path, place, expected, got);
        let header: &[u8; HEADER_BYTES] = file
            .first_chunk()
            .ok_or_else(|| corrupt("header", format!("{HEADER_BYTES} bytes"), format!("a file of {len} bytes")))?;
        let magic: [u8; 8] = field(header, 0);
        if magic != MAGIC {
            return Err(corrupt("magic number", format!("{MAGIC:02x?}"), format!("{magic:02x?}")));
        }
        let version = u16::from_le_bytes(field(header, 8));
        if version != VERSION {
            let (expected, got) = (VERSION.to_string(), version.to_string());
            return Err(Error::Incompatible { path: path.into(), expected, got });
        }
        let file_bytes = u64::from_le_bytes(field(header, 16));
        if file_bytes != len {
            return Err(corrupt("file length", format!("{file_bytes} bytes"), format!("{len} bytes")));
        }
        let u32_at = |at| u32::from_le_bytes(field(header, at));
        let chunk_count = u32_at(36) as usize;
        let head = file.get(..ShardHead::bytes(chunk_count) as usize).ok_or_else(|| {
            corrupt("index", format!("{chunk_count} records of {RECORD_BYTES} bytes"), "the end of the file".into())
        })?;
        let stored = u64::from_le_bytes(field(header, 120));
        let computed = head_checksum(head);
        if stored != computed {
            return Err(corrupt("header and index", format!("xxh3 {stored:016x}"), format!("{computed:016x}")));
        }
        let reserved = [&header[10..12], &header[60..64], &header[96..120]];
        if reserved.iter().any(|bytes| bytes.iter().any(|&b| b != 0)) {
            return Err(corrupt("reserved bytes of the header", "zeros".into(), "something else".into()));
        }

        let shape = FrameShape { polarities: u32_at(44), height: u32_at(48), width: u32_at(52) };
        if !shape.is_valid() {
            return Err(corrupt("shape of a frame", "1 to 2^32 - 1 cells".into(), shape.to_string()));
        }
        let width = |at: usize| {
            Width::from_code(header[at])
                .ok_or_else(|| corrupt("width of a column", "1, 2, 4 or 20".into(), header[at].to_string()))
        };
        let widths = Widths { frame_sizes: width(56)?, cells: width(57)?, counts: width(58)? };
        if widths != Widths::of(shape, widths.counts) {
            return Err(corrupt(
                "widths of the columns",
                format!("{:?}", Widths::of(shape, widths.counts)),
                format!("{widths:?}"),
            ));
        }
        let layout =
            SetLayout { shape, widths, chunk_samples: u32_at(40), extras: header[59], recipe_id: field(header, 64) };
        let first_sample = u64::from_le_bytes(field(header, 24));
        let place = ShardPlace { number: u32_at(12), first_sample, samples: u32_at(32) };
        if !(1..=MAX_CHUNK_SAMPLES).contains(&layout.chunk_samples) {
            let expected = format!("1 to {MAX_CHUNK_SAMPLES}");
            return Err(corrupt("samples a chunk", expected, layout.chunk_samples.to_string()));
        }

        let (records, _) = head[HEADER_BYTES..].as_chunks::<RECORD_BYTES>();
        let chunks: Vec<ChunkRecord> = records.iter().map(read_record).collect();
        let shard = ShardHead { layout, place, chunks };
        shard.check_no_holes(path, file_bytes)?;
        Ok(shard)
    }

    /// Checks that the chunks fill the file without gaps, and that their numbers of samples agree with the header.
    fn check_no_holes(&self, path: &Path, file_bytes: u64) -> Result<()> {
        let (mut expected_offset, mut samples) = (ShardHead::bytes(self.chunks.len()), 0_u64);
        for (k, chunk) in self.chunks.iter().enumerate() {
            let place = || format!("index record of chunk {k} of the shard");
            if chunk.offset != expected_offset {
                return Err(Error::corrupt(path, place(), format!("offset {expected_offset}"), chunk.offset));
            }
            let last = k + 1 == self.chunks.len();
            let full = self.layout.chunk_samples;
            if chunk.samples == 0 || chunk.samples > full || (!last && chunk.samples != full) {
                return Err(Error::corrupt(path, place(), format!("{full} samples"), chunk.samples));
            }
            let most = max_bytes(chunk.samples, chunk.stored_bytes);
            if u64::from(chunk.decoded_bytes) > most {
                let expected = format!("at most {most} decoded bytes");
                return Err(Error::corrupt(path, place(), expected, chunk.decoded_bytes));
            }
            samples += u64::from(chunk.samples);
            expected_offset = chunk
                .offset
                .checked_add(chunk.stored_bytes)
                .filter(|&end| end <= file_bytes)
                .map(aligned)
                .ok_or_else(|| Error::corrupt(path, place(), "an end inside the file", chunk.stored_bytes))?;
        }
        if expected_offset != file_bytes {
            return Err(Error::corrupt(path, "end of the last chunk", file_bytes, expected_offset));
        }
        if samples != u64::from(self.place.samples) {
            let expected = format!("{} samples", self.place.samples);
            return Err(Error::corrupt(path, "index", expected, format!("{samples} in its chunks")));
        }
        Ok(())
    }
}

/// XXH3-64 of header and index, without the bytes that store this checksum.
fn head_checksum(head: &[u8]) -> u64 {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    hash.update(&head[..120]);
    hash.update(&head[HEADER_BYTES..]);
    hash.digest()
}

/// XXH3-64 of a chunk's stored (compressed) bytes.
pub fn chunk_checksum(stored: &[u8]) -> u64 {
    xxh3_64(stored)
}

pub(super) fn read_record(bytes: &[u8; RECORD_BYTES]) -> ChunkRecord {
    ChunkRecord {
        offset: u64::from_le_bytes(field(bytes, 0)),
        stored_bytes: u64::from_le_bytes(field(bytes, 8)),
        decoded_bytes: u32::from_le_bytes(field(bytes, 16)),
        samples: u32::from_le_bytes(field(bytes, 20)),
        checksum: u64::from_le_bytes(field(bytes, 24)),
        identity: field(bytes, 32),
    }
}

fn field<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|i| record[at + i])
}
