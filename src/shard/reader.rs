//! A complete set, open for reading: every shard mapped, its head checked against the manifest.

use std::path::{Path, PathBuf};

use super::codec::{Chunk, ChunkName, Decoder};
use super::layout::{ChunkRecord, SetLayout, ShardHead, ShardPlace};
use super::manifest::{Manifest, ShardEntry, identity_of};
use super::map::MappedFile;
use super::order::Order;
use crate::error::{Error, Result};

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
        let head = ShardHead::read(path, map.bytes()?)?;
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

    /// The stored bytes of its chunk `k`, not checked.
    fn stored(&self, record: &ChunkRecord) -> Result<&[u8]> {
        // The head was read against the file's length: every record lies inside.
        let range = record.offset as usize..(record.offset + record.stored_bytes) as usize;
        Ok(&self.map.bytes()?[range])
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
        decoder.decode(self.name(k), &self.head.layout, record, self.stored(record)?, chunk)
    }

    /// As [`Shard::decode`], and checks everything else that the format promises of a chunk.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode_and_verify(&self, k: usize, classes: usize, decoder: &mut Decoder, chunk: &mut Chunk) -> Result<()> {
        let record = &self.head.chunks[k];
        let name = self.name(k);
        decoder.decode_and_identify(name, &self.head.layout, record, self.stored(record)?, chunk)?;
        super::codec::check_chunk(name, chunk, classes)?;
        let bytes = self.map.bytes()?;
        let end = (record.offset + record.stored_bytes) as usize;
        let next = self.head.chunks.get(k + 1).map_or(bytes.len(), |next| next.offset as usize);
        if bytes[end..next].iter().any(|&b| b != 0) {
            let place = format!("padding after chunk {}", name.number);
            return Err(Error::corrupt(name.shard, place, "zeros", "something else"));
        }
        Ok(())
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
        let layout = manifest.description.layout();
        let mut shards = Vec::with_capacity(manifest.shards.len());
        let mut first_sample = 0;
        for (i, entry) in manifest.shards.iter().enumerate() {
            let shard = open_listed(dir, entry)?;
            check_listed(&shard, entry, &layout, i as u32, first_sample, &manifest)?;
            first_sample += u64::from(shard.head.place.samples);
            shards.push(shard);
        }
        if first_sample != manifest.description.samples {
            let expected = format!("{} samples", manifest.description.samples);
            return Err(Error::corrupt(&dir.join(super::manifest::FILE_NAME), "shards", expected, first_sample));
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

    /// An empty chunk of this set's layout, to decode into.
    pub fn empty_chunk(&self) -> Chunk {
        Chunk::new(self.manifest.description.widths, self.manifest.description.extras.len())
    }

    /// An epoch's order.
    pub fn order(&self, seed: u64, epoch: u64) -> Order {
        let description = &self.manifest.description;
        Order::new(self.manifest.set_id.0, description.samples, description.chunk_samples, seed, epoch)
    }

    /// Keeps all shards' pages in memory.
    ///
    /// # Errors
    /// [`Error::Io`] where a limit forbids it.
    pub fn pin(&self) -> Result<()> {
        self.shards.iter().try_for_each(|s| s.map.pin())
    }

    /// Asks the system to read all shards ahead.
    pub fn read_ahead(&self) {
        self.shards.iter().for_each(|s| s.map.read_ahead());
    }

    /// Bytes of the shards on disk.
    pub fn stored_bytes(&self) -> u64 {
        self.manifest.shards.iter().map(|s| s.bytes).sum()
    }
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
