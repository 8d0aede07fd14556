//! A complete set, open for reading: every shard mapped, its head checked against the manifest.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::codec::{Chunk, ChunkName, Decoder, EncodedChunk, check_label};
use super::layout::{HEADER_BYTES, SetLayout, ShardHead, ShardPlace, aligned};
use super::manifest::{Manifest, ShardEntry, identity_of};
use super::map::{MappedFile, lock_limit};
use super::order::Order;
use super::packed::PackedChunk;
use crate::error::{Error, Result};
use crate::progress::human_bytes;

/// A shard, mapped, with its head read.
#[derive(Debug)]
pub struct Shard {
    map: MappedFile,
    head: ShardHead,
}

impl Shard {
    /// Maps a shard and checks its head; its chunks are checked when they are read.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Incompatible`], [`Error::Corrupt`].
    pub fn open(path: &Path) -> Result<Shard> {
        let map = MappedFile::open(path)?;
        let (len, mut head) = (map.len(), Vec::new());
        map.read(0..len.min(HEADER_BYTES as u64), &mut head)?;
        let bytes = ShardHead::bytes(ShardHead::chunks_said(&head)).min(len);
        map.read(0..bytes, &mut head)?;
        let head = ShardHead::read_of(path, &head, len)?;
        Ok(Shard { map, head })
    }

    /// Header and index.
    pub fn head(&self) -> &ShardHead {
        &self.head
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.map.path()
    }

    /// Reads the stored bytes of its chunk `k`, not checked, in place of what `stored` had.
    fn read_stored(&self, k: usize, stored: &mut Vec<u8>) -> Result<()> {
        let record = &self.head.chunks[k];
        self.read_of(k, record.offset..record.offset + record.stored_bytes, stored)
    }

    /// Reads a part of the file that belongs to chunk `k`. The head was read against the file's length: every record
    /// lies inside.
    fn read_of(&self, k: usize, range: Range<u64>, out: &mut Vec<u8>) -> Result<()> {
        let say = |fault: Error| fault.with_place(&self.name(k).samples(self.head.chunks[k].samples));
        self.map.read(range, out).map_err(say)
    }

    /// The number of its chunk `k` in the set.
    pub fn chunk_number(&self, k: usize) -> u64 {
        self.name(k).number
    }

    fn name(&self, k: usize) -> ChunkName<'_> {
        let per_chunk = u64::from(self.head.layout.chunk_samples);
        let first_sample = self.head.place.first_sample + k as u64 * per_chunk;
        ChunkName { shard: self.map.path(), number: first_sample / per_chunk, first_sample }
    }

    /// Checks and decodes its chunk `k`.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    ///
    /// # Panics
    /// If there are not so many.
    pub fn decode(&self, k: usize, decoder: &mut Decoder, chunk: &mut Chunk) -> Result<()> {
        let record = &self.head.chunks[k];
        decoder.with_stored(|decoder, stored| {
            self.read_stored(k, stored)?;
            decoder.decode(self.name(k), &self.head.layout, record, stored, chunk)
        })
    }

    /// As [`Shard::decode`], but the entries stay packed, and their cells unchecked.
    fn decode_packed(&self, k: usize, decoder: &mut Decoder, packed: &mut PackedChunk) -> Result<()> {
        let record = &self.head.chunks[k];
        decoder.with_stored(|decoder, stored| {
            self.read_stored(k, stored)?;
            decoder.decode_packed(self.name(k), &self.head.layout, record, stored, packed)
        })
    }

    /// Its chunk `k` as it is stored, not checked: after [`Shard::decode_and_verify`], to be written to another set.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the file was cut short under the open set.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn encoded(&self, k: usize) -> Result<EncodedChunk> {
        let mut stored = Vec::new();
        self.read_stored(k, &mut stored)?;
        Ok(EncodedChunk { stored, record: self.head.chunks[k] })
    }

    /// As [`Shard::decode`], and checks everything else that the format promises of a chunk.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode_and_verify(&self, k: usize, classes: usize, decoder: &mut Decoder, chunk: &mut Chunk) -> Result<()> {
        let record = &self.head.chunks[k];
        let name = self.name(k);
        decoder.with_stored(|decoder, stored| {
            self.read_stored(k, stored)?;
            decoder.decode_and_identify(name, &self.head.layout, record, stored, chunk)?;
            super::codec::check_chunk(name, chunk, classes)?;
            let end = record.offset + record.stored_bytes;
            self.read_of(k, end..aligned(end), stored)?; // the next chunk, or the end of the file, is there
            if stored.iter().any(|&b| b != 0) {
                return Err(name.corrupt(record.samples, "padding after it", "zeros", "something else"));
            }
            Ok(())
        })
    }
}

/// A complete set.
#[derive(Debug)]
pub struct ShardSet {
    dir: PathBuf,
    manifest: Manifest,
    shards: Vec<Shard>,
}

impl ShardSet {
    /// Opens a set.
    ///
    /// # Errors
    /// [`Error::NotASet`], [`Error::Incomplete`], [`Error::Incompatible`], [`Error::Corrupt`], [`Error::Io`].
    pub fn open(dir: &Path) -> Result<ShardSet> {
        let manifest = Manifest::read(dir)?;
        let shards = open_shards(dir, &manifest).into_iter().collect::<Result<Vec<_>>>()?;
        ShardSet::of(dir, manifest, shards)
    }

    /// The set of a manifest and all the shards that it lists.
    pub(super) fn of(dir: &Path, manifest: Manifest, shards: Vec<Shard>) -> Result<ShardSet> {
        let samples: u64 = shards.iter().map(|shard| u64::from(shard.head.place.samples)).sum();
        if samples != manifest.description.samples {
            let expected = format!("{} samples", manifest.description.samples);
            return Err(Error::corrupt(&dir.join(super::manifest::FILE_NAME), "shards", expected, samples));
        }
        Ok(ShardSet { dir: dir.into(), manifest, shards })
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its shards.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The identities of all chunks, in order.
    pub fn identities(&self) -> Vec<[u8; 32]> {
        self.shards.iter().flat_map(|s| s.head.chunks.iter().map(|c| c.identity)).collect()
    }

    /// How many samples.
    pub fn len(&self) -> u64 {
        self.manifest.description.samples
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many chunks.
    pub fn chunks(&self) -> u64 {
        self.manifest.description.chunks()
    }

    /// The shard that holds chunk `number`, and the chunk's place in it.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn locate(&self, number: u64) -> (&Shard, usize) {
        let per_shard = u64::from(self.manifest.description.shard_chunks);
        (&self.shards[(number / per_shard) as usize], (number % per_shard) as usize)
    }

    /// Checks and decodes chunk `number` in place of what `chunk` had.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with shard, chunk and samples.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn decode(&self, number: u64, decoder: &mut Decoder, chunk: &mut Chunk) -> Result<()> {
        let (shard, k) = self.locate(number);
        shard.decode(k, decoder, chunk)
    }

    /// Checks and decodes chunk `number` in place of what `packed` had, its labels too. Its entries stay packed, and their
    /// cells are checked when they are unpacked, or by [`ShardSet::check_cells`].
    ///
    /// # Errors
    /// [`Error::Corrupt`] with shard, chunk and samples.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn decode_packed(&self, number: u64, decoder: &mut Decoder, packed: &mut PackedChunk) -> Result<()> {
        let (shard, k) = self.locate(number);
        shard.decode_packed(k, decoder, packed)?;
        let classes = self.manifest.description.classes.len();
        let name = shard.name(k);
        (0..packed.len()).try_for_each(|i| check_label(name, packed.len(), i, packed.label(i), classes))
    }

    /// Checks that the cells of chunk `number`, packed, are inside the frame.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with shard, chunk and samples.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn check_cells(&self, number: u64, packed: &PackedChunk) -> Result<()> {
        if packed.samples().all(|sample| sample.fits()) {
            return Ok(());
        }
        let (shard, k) = self.locate(number);
        Err(shard.name(k).fault(&shard.head.chunks[k], packed.cells_fault()))
    }

    /// An empty chunk of this set's layout, to decode into packed.
    pub fn empty_packed(&self) -> PackedChunk {
        PackedChunk::new(&self.manifest.description.layout())
    }

    /// An empty chunk of this set's layout, to decode into.
    pub fn empty_chunk(&self) -> Chunk {
        Chunk::new(self.manifest.description.widths, self.manifest.description.extras.len())
    }

    /// An epoch's order.
    pub fn order(&self, seed: u64, epoch: u64) -> Order {
        let description = &self.manifest.description;
        Order::new(self.manifest.set_id.0, description.samples, description.chunk_samples, seed, epoch)
    }

    /// Reads all shards' pages into memory and keeps them there; how many bytes those are.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where a limit forbids it, with the limit and how to raise it.
    pub fn pin(&self) -> Result<u64> {
        let bytes = self.stored_bytes();
        let refused = |e| {
            let limit = lock_limit().map_or("unknown".into(), human_bytes);
            // Whole pages of each shard.
            let kib: u64 = self.manifest.shards.iter().map(|shard| shard.bytes.div_ceil(4096) * 4).sum();
            let (dir, size) = (self.dir.display(), human_bytes(bytes));
            let why = format!(
                "{dir} takes {size}, and the limit on locked memory is {limit}; raise it (ulimit -l {kib}, or the \
                 service's LimitMEMLOCK) or go without ({e})"
            );
            Error::Unavailable { what: "--pin".into(), why }
        };
        self.shards.iter().try_for_each(|s| s.map.pin().map_err(refused))?;
        Ok(bytes)
    }

    /// Asks the system to read all shards ahead.
    pub fn read_ahead(&self) {
        self.shards.iter().for_each(|s| s.map.read_ahead());
    }

    /// Bytes of the shards on disk.
    pub fn stored_bytes(&self) -> u64 {
        self.manifest.stored_bytes()
    }
}

/// Reads samples by number, and decodes a chunk once for all of its that are asked for in a row.
pub struct SampleReader<'a> {
    set: &'a ShardSet,
    decoder: Decoder,
    chunk: Chunk,
    number: Option<u64>,
}

impl<'a> SampleReader<'a> {
    /// Of a set.
    pub fn new(set: &'a ShardSet) -> SampleReader<'a> {
        SampleReader { set, decoder: Decoder::new(), chunk: set.empty_chunk(), number: None }
    }

    /// Chunk `number`, verified.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    ///
    /// # Panics
    /// If there are not so many.
    pub fn chunk(&mut self, number: u64) -> Result<&Chunk> {
        if self.number != Some(number) {
            self.number = None;
            let (shard, k) = self.set.locate(number);
            let classes = self.set.manifest.description.classes.len();
            shard.decode_and_verify(k, classes, &mut self.decoder, &mut self.chunk)?;
            self.number = Some(number);
        }
        Ok(&self.chunk)
    }

    /// Sample `number`: its chunk, verified, and its place in that.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    ///
    /// # Panics
    /// If there are not so many.
    pub fn sample(&mut self, number: u64) -> Result<(&Chunk, usize)> {
        let per_chunk = u64::from(self.set.manifest.description.chunk_samples);
        Ok((self.chunk(number / per_chunk)?, (number % per_chunk) as usize))
    }
}

/// Opens every shard that a set's manifest lists: for each the shard, or what is wrong with it, which chunks and
/// samples that takes away included.
pub fn open_shards(dir: &Path, manifest: &Manifest) -> Vec<Result<Shard>> {
    let description = &manifest.description;
    let layout = description.layout();
    let mut first_sample = 0;
    let open = |(i, entry): (usize, &ShardEntry)| {
        let number = i as u64;
        let opened = open_listed(dir, entry).and_then(|shard| {
            check_listed(&shard, entry, &layout, i as u32, first_sample, manifest)?;
            Ok(shard)
        });
        first_sample = first_sample.saturating_add(entry.samples);
        let per_shard = u64::from(description.shard_chunks);
        let chunks = number * per_shard..((number + 1) * per_shard).min(description.chunks());
        opened.map_err(|fault| {
            let say = |name: &str, range: Range<u64>| match range.end.saturating_sub(1) {
                last if last <= range.start => format!("{name} {}", range.start),
                last => format!("{name}s {} to {last}", range.start),
            };
            let samples = description.samples_of(chunks.clone());
            fault.with_place(&format!("{}, {}", say("chunk", chunks), say("sample", samples)))
        })
    };
    manifest.shards.iter().enumerate().map(open).collect()
}

fn open_listed(dir: &Path, entry: &ShardEntry) -> Result<Shard> {
    let path = dir.join(&entry.name);
    match std::fs::metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let missing = format!("the manifest names {}, which is not there", entry.name);
            Err(Error::Incomplete { path: dir.into(), missing })
        }
        Ok(meta) if meta.len() != entry.bytes => {
            Err(Error::corrupt(&path, "file length", format!("{} bytes", entry.bytes), meta.len()))
        }
        _ => Shard::open(&path),
    }
}

/// A shard that is whole may still be another set's, or another shard of this set under a wrong name.
fn check_listed(
    shard: &Shard,
    entry: &ShardEntry,
    layout: &SetLayout,
    number: u32,
    first_sample: u64,
    manifest: &Manifest,
) -> Result<()> {
    let corrupt = |place: &str, expected: String, got: String| Err(Error::corrupt(shard.path(), place, expected, got));
    let ShardHead { layout: found, place, chunks } = &shard.head;
    if found != layout {
        return corrupt("header", format!("the manifest's layout, {layout:?}"), format!("{found:?}"));
    }
    let expected = ShardPlace { number, first_sample, samples: place.samples };
    if *place != expected || u64::from(place.samples) != entry.samples {
        let samples = entry.samples;
        return corrupt(
            "header",
            format!("{samples} samples from {first_sample}, shard {number}"),
            format!("{place:?}"),
        );
    }
    let (last, per_shard) = (number as usize + 1 == manifest.shards.len(), manifest.description.shard_chunks as usize);
    if chunks.is_empty() || chunks.len() > per_shard || (!last && chunks.len() != per_shard) {
        return corrupt("header", format!("{per_shard} chunks"), chunks.len().to_string());
    }
    let identity = identity_of(chunks.iter().map(|c| &c.identity));
    if identity != entry.identity {
        return corrupt("identities of the chunks", entry.identity.to_string(), identity.to_string());
    }
    Ok(())
}
