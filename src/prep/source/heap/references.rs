//! Finds and decodes the heap references of a dataset of variable-length rows.

use std::io::Read;
use std::ops::Range;
use std::path::Path;

use flate2::read::ZlibDecoder;
use hdf5::Dataset;
use hdf5::dataset::{ChunkInfo, Layout as StorageLayout};
use hdf5::filters::Filter;

use crate::error::{Error, Result};
use crate::reason::Absence;
use crate::source::heap::window::SharedFile;

/// Maximum unpacked size in bytes of a compressed chunk of heap references. If a chunk is larger, libhdf5 reads the
/// rows.
const LARGEST_PACKED: u64 = 64 << 20;
const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";

/// The sizes of addresses and lengths in an HDF5 file, and the offset from which addresses are counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Superblock {
    /// Offset of the superblock in the file, in bytes. Addresses in the file are relative to it.
    pub(super) base: u64,
    /// Number of bytes in which the file stores an address.
    offsets: usize,
    /// Number of bytes in which the file stores a length.
    lengths: usize,
}

impl Superblock {
    /// Looks for the superblock at the offsets 0, 512, 1024, 2048 and so on. `None` if there is no superblock of a
    /// known version with known sizes.
    pub(super) fn find(file: &SharedFile) -> Result<Option<Superblock>> {
        let mut base = 0;
        let mut head = [0; 16];
        while base + head.len() as u64 <= file.len() {
            file.read(base, &mut head)?;
            if head.starts_with(SIGNATURE) {
                let (offsets, lengths) = match head[8] {
                    0 | 1 => (head[13], head[14]),
                    2 | 3 => (head[9], head[10]),
                    _ => return Ok(None),
                };
                let known = [2, 4, 8].contains(&offsets) && [2, 4, 8].contains(&lengths);
                return Ok(known.then_some(Superblock { base, offsets: offsets.into(), lengths: lengths.into() }));
            }
            base = (base * 2).max(512);
        }
        Ok(None)
    }

    /// Decodes the length at the start of `bytes`.
    pub(super) fn length(self, bytes: &[u8]) -> u64 {
        little(&bytes[..self.lengths])
    }

    /// Returns the size of a reference to a row in the heap, in bytes.
    fn reference(self) -> usize {
        4 + self.offsets + 4
    }
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// A reference to one row in the heap. It has three numbers:
///
/// - the number of elements of the row
/// - the address of the row's heap collection, or 0 for an empty row
/// - the number of the row's object in this collection
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    pub(super) length: u32,
    pub(super) address: u64,
    pub(super) object: u32,
}

/// For each row of a dataset, a reference to its elements in the heap.
#[derive(Debug)]
pub(super) enum References {
    /// Uncompressed references in the file. Each chunk has the references of `piece_rows` rows. `pieces` has the offset
    /// of each chunk in the file.
    InFile { piece_rows: u64, pieces: Vec<u64> },
    /// The unpacked bytes of references that are compressed in the file.
    InMemory(Vec<u8>),
}

impl References {
    /// Finds the heap references of a dataset in the file. `None` if only libhdf5 can read them.
    pub(super) fn find(
        path: &Path,
        name: &str,
        dataset: &Dataset,
        file: &SharedFile,
        superblock: Superblock,
    ) -> Result<Option<References>> {
        let (Ok(settings), &[rows]) = (dataset.dcpl(), &dataset.shape()[..]) else { return Ok(None) };
        let (rows, size) = (rows as u64, superblock.reference() as u64);
        let outside = |at: u64, bytes: u64| at.checked_add(bytes).is_none_or(|end| end > file.len());
        let beyond = |first: u64, at: u64| {
            let reason = format!("expected references within the file's {} bytes, got some at {at}", file.len());
            Error::damaged(path, format!("{name}, from sample {first}"), reason)
        };
        match (dataset.layout(), dataset.chunk().as_deref()) {
            (StorageLayout::Contiguous, _) => match dataset.offset() {
                Some(at) if outside(at, rows.saturating_mul(size)) => Err(beyond(0, at)),
                Some(at) => Ok(Some(References::InFile { piece_rows: rows.max(1), pieces: vec![at] })),
                None => Ok(None),
            },
            (StorageLayout::Chunked, Some(&[piece_rows])) => {
                let piece_rows = piece_rows as u64;
                let mut chunks = vec![None; rows.div_ceil(piece_rows) as usize];
                let visited = dataset.chunks_visit(|chunk| {
                    let number = chunk.offset.first().map_or(usize::MAX, |first| (first / piece_rows) as usize);
                    if let Some(slot) = chunks.get_mut(number) {
                        *slot = Some(ChunkInfo::from(chunk));
                    }
                    0
                });
                if visited.is_err() {
                    return Ok(None);
                }
                let never_written = |chunk: usize| {
                    let first = chunk as u64 * piece_rows;
                    let what = format!("samples {first} to {} were never written", rows.min(first + piece_rows) - 1);
                    let (dataset, absence) = (name.into(), Absence::NeverWritten);
                    Error::MissingData { path: path.into(), dataset, what, absence }
                };
                let chunks = chunks.into_iter().enumerate().map(|(i, chunk)| chunk.ok_or_else(|| never_written(i)));
                let chunks = chunks.collect::<Result<Vec<ChunkInfo>>>()?;
                for (chunk, i) in chunks.iter().zip(0..) {
                    if outside(chunk.addr, chunk.size) {
                        return Err(beyond(i * piece_rows, chunk.addr));
                    }
                }
                let filters = settings.filters();
                let piece_bytes = piece_rows.saturating_mul(size);
                if !filters.is_empty() {
                    if piece_bytes > LARGEST_PACKED {
                        return Ok(None);
                    }
                    return unpack_all(file, &filters, &chunks, piece_bytes, rows * size, superblock.reference());
                }
                let whole = chunks.iter().all(|chunk| chunk.size == piece_bytes);
                let pieces = chunks.iter().map(|chunk| chunk.addr).collect();
                Ok(whole.then_some(References::InFile { piece_rows, pieces }))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn read(
        &self,
        file: &SharedFile,
        superblock: Superblock,
        rows: Range<u64>,
    ) -> Result<impl Iterator<Item = Reference> + use<>> {
        let size = superblock.reference();
        let mut bytes = vec![0; (rows.end - rows.start) as usize * size];
        match self {
            References::InMemory(all) => {
                bytes.copy_from_slice(&all[rows.start as usize * size..rows.end as usize * size])
            }
            References::InFile { piece_rows, pieces } => {
                let mut row = rows.start;
                while row < rows.end {
                    let end = rows.end.min((row / piece_rows + 1) * piece_rows);
                    let at = pieces[(row / piece_rows) as usize];
                    let to = (row - rows.start) as usize * size..(end - rows.start) as usize * size;
                    file.read(at + row % piece_rows * size as u64, &mut bytes[to])?;
                    row = end;
                }
            }
        }
        Ok((0..bytes.len() / size).map(move |i| {
            let (length, rest) = bytes[i * size..][..size].split_at(4);
            let (address, object) = rest.split_at(superblock.offsets);
            Reference { length: little(length) as u32, address: little(address), object: little(object) as u32 }
        }))
    }
}

/// Reads and unpacks all chunks of compressed references. Returns `None` if a filter is unknown or fails.
///
/// - `chunk_bytes` is the size of an unpacked chunk.
/// - `bytes` is the size of all references together.
/// - `size` is the size of one reference.
fn unpack_all(
    file: &SharedFile,
    filters: &[Filter],
    chunks: &[ChunkInfo],
    chunk_bytes: u64,
    bytes: u64,
    size: usize,
) -> Result<Option<References>> {
    let mut all = Vec::new();
    for chunk in chunks {
        let mut unpacked = vec![0; chunk.size as usize];
        file.read(chunk.addr, &mut unpacked)?;
        let applied = filters.iter().enumerate().filter(|(i, _)| chunk.filter_mask >> i & 1 == 0);
        for (_, filter) in applied.rev() {
            unpacked = match filter {
                Filter::Deflate(_) => {
                    let mut inflated = Vec::new();
                    match ZlibDecoder::new(&unpacked[..]).take(chunk_bytes + 1).read_to_end(&mut inflated) {
                        Ok(_) => inflated,
                        Err(_) => return Ok(None),
                    }
                }
                Filter::Shuffle => unshuffled(&unpacked, size),
                _ => return Ok(None),
            };
        }
        if unpacked.len() as u64 != chunk_bytes {
            return Ok(None);
        }
        unpacked.resize(chunk_bytes.min(bytes - all.len() as u64) as usize, 0);
        all.append(&mut unpacked);
    }
    Ok(Some(References::InMemory(all)))
}

/// Undoes HDF5's shuffle filter, which stores the first bytes of all elements, then their second bytes, and so on. An
/// element has `size` bytes.
fn unshuffled(bytes: &[u8], size: usize) -> Vec<u8> {
    let n = bytes.len() / size;
    let mut out = Vec::with_capacity(bytes.len());
    out.extend((0..n * size).map(|i| bytes[i % size * n + i / size]));
    out.extend_from_slice(&bytes[n * size..]);
    out
}
