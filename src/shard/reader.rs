//! Opens a complete set for reading. Checks every shard against the manifest.

use crate::body::cells_fault;
use crate::chunk::Chunk;
use crate::codec::{Decoder, check_label};
use crate::directory::Directory;
use crate::error::{BaseFault, Error, Result};
use crate::layout::{ShardHead, ShardPlace};
use crate::manifest::{Manifest, identity_of};
use crate::mapped_file::lock_limit;
use crate::order::Order;
use crate::packed::PackedChunk;
use crate::shard::Shard;
use crate::storage::Storage;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tonic_base::{human_bytes, in_order};

/// A complete set, open for reading.
#[derive(Debug)]
pub struct ShardSet {
    dir: PathBuf,
    manifest: Manifest,
    shards: Vec<Shard>,
}

impl ShardSet {
    /// Opens the set in `dir`. Checks the manifest, and header and index of every shard, but not the chunks.
    ///
    /// # Errors
    /// Errors of [`Manifest::read`] and [`Shard::open`]; [`Error::Incomplete`] if a shard is missing.
    pub fn open(dir: &Path) -> Result<ShardSet> {
        ShardSet::open_in(&Directory(dir.into()))
    }

    /// Like [`ShardSet::open`], for a set that isn't in a local directory.
    ///
    /// # Errors
    /// Errors of [`ShardSet::open`]; other errors of `storage`, such as network errors.
    pub fn open_in(storage: &dyn Storage) -> Result<ShardSet> {
        let manifest = storage.manifest()?;
        let shards = open_shards(storage, &manifest).into_iter().collect::<Result<Vec<_>>>()?;
        ShardSet::of(storage.path(), manifest, shards)
    }

    /// Makes a set from its manifest and all its shards. Checks the number of samples.
    pub(crate) fn of(dir: &Path, manifest: Manifest, shards: Vec<Shard>) -> Result<ShardSet> {
        let samples: u64 = shards.iter().map(|shard| u64::from(shard.head().place.samples)).sum();
        if samples != manifest.description.samples {
            let expected = format!("{} samples", manifest.description.samples);
            return Err(Error::corrupt(&dir.join(crate::manifest::MANIFEST_FILE), "shards", expected, samples));
        }
        Ok(ShardSet { dir: dir.into(), manifest, shards })
    }

    /// Directory of the set. If the set isn't local, returns the name that errors use for it, such as a URL.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Manifest of the set.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Shards, in order.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// Identities (BLAKE3 hashes of the decoded bytes) of all chunks, in order.
    pub fn identities(&self) -> Vec<[u8; 32]> {
        self.shards.iter().flat_map(|s| s.head().chunks.iter().map(|c| c.identity)).collect()
    }

    /// Number of samples in the set.
    pub fn len(&self) -> u64 {
        self.manifest.description.samples
    }

    /// Whether the set has no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of chunks in the set.
    pub fn chunks(&self) -> u64 {
        self.manifest.description.chunks()
    }

    /// The shard that holds chunk `number` of the set, and the index of the chunk in that shard.
    ///
    /// # Panics
    /// If chunk `number` would be in a shard after the last shard of the set.
    pub fn locate(&self, number: u64) -> (&Shard, usize) {
        let per_shard = u64::from(self.manifest.description.shard_chunks);
        (&self.shards[(number / per_shard) as usize], (number % per_shard) as usize)
    }

    /// Reads, checks and decodes chunk `number`. Replaces the content of `chunk`.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`], which names shard, chunk and samples; [`tonic_base::Error::Io`].
    ///
    /// # Panics
    /// If `number` is not below [`ShardSet::chunks`].
    pub fn decode(&self, number: u64, decoder: &mut Decoder, chunk: &mut Chunk) -> Result<()> {
        let (shard, k) = self.locate(number);
        shard.decode(k, decoder, chunk)
    }

    /// Reads, checks and decompresses chunk `number`, but leaves cells and counts packed. Replaces the content of
    /// `packed`. Doesn't check whether cells are inside the frame.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`], which names shard, chunk and samples; [`tonic_base::Error::Io`].
    ///
    /// # Panics
    /// If `number` is not below [`ShardSet::chunks`].
    pub fn decode_packed(&self, number: u64, decoder: &mut Decoder, packed: &mut PackedChunk) -> Result<()> {
        let (shard, k) = self.locate(number);
        shard.decode_packed(k, decoder, packed)?;
        let classes = self.manifest.description.classes.len();
        let name = shard.name(k);
        (0..packed.len()).try_for_each(|i| check_label(name, packed.len(), i, packed.label(i), classes))
    }

    /// Checks that all cells of a packed chunk are inside the frame. `number` is the index of the chunk, for the
    /// error.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`], which names shard, chunk and samples.
    ///
    /// # Panics
    /// If a cell is outside the frame and `number` is not below [`ShardSet::chunks`].
    pub fn check_cells(&self, number: u64, packed: &PackedChunk) -> Result<()> {
        if packed.samples().all(|sample| sample.fits()) {
            return Ok(());
        }
        let (shard, k) = self.locate(number);
        Err(shard.name(k).fault(&shard.head().chunks[k], cells_fault(self.manifest.description.shape)))
    }

    /// Like [`ShardSet::decode_packed`], but also checks that all cells are inside the frame.
    ///
    /// # Errors
    /// Those of [`ShardSet::decode_packed`] and [`ShardSet::check_cells`].
    ///
    /// # Panics
    /// If `number` is not below [`ShardSet::chunks`].
    pub fn decode_checked(&self, number: u64, decoder: &mut Decoder, packed: &mut PackedChunk) -> Result<()> {
        self.decode_packed(number, decoder, packed)?;
        self.check_cells(number, packed)
    }

    /// An empty chunk for [`ShardSet::decode_packed`].
    pub fn empty_packed(&self) -> PackedChunk {
        PackedChunk::new(&self.manifest.description.layout())
    }

    /// An empty chunk for [`ShardSet::decode`].
    pub fn empty_chunk(&self) -> Chunk {
        Chunk::new(self.manifest.description.widths, self.manifest.description.extras.len())
    }

    /// Order of the samples in an epoch.
    pub fn order(&self, seed: u64, epoch: u64) -> Order {
        let description = &self.manifest.description;
        Order::new(self.manifest.set_id.0, description.samples, description.chunk_samples, seed, epoch)
    }

    /// Reads all shards into memory and locks them there (`mlock`). Returns the number of locked bytes.
    ///
    /// # Errors
    /// [`tonic_base::Error::Unavailable`] if the limit on locked memory is too low, and the message says how to
    /// raise it; or if the set is on a server.
    pub fn pin(&self) -> Result<u64> {
        let bytes = self.stored_bytes();
        let refused = |e| {
            let limit = lock_limit().map_or("unknown".into(), human_bytes);
            // The system locks whole pages of 4 KiB.
            let kib: u64 = self.manifest.shards.iter().map(|shard| shard.bytes.div_ceil(4096) * 4).sum();
            let (dir, size) = (self.dir.display(), human_bytes(bytes));
            let why = format!(
                "{dir} takes {size}, and the limit on locked memory is {limit}; raise it (ulimit -l {kib}, or the \
                 service's LimitMEMLOCK) or go without ({e})"
            );
            Error::unavailable("pin", why)
        };
        self.shards.iter().try_for_each(|s| s.file.pin().map_err(refused))?;
        Ok(bytes)
    }

    /// Asks the operating system to read all shards into memory, before the program needs them.
    pub fn read_ahead(&self) {
        self.shards.iter().for_each(|s| s.file.read_ahead());
    }

    /// Announces chunks that will be read soon, in the order of reading. Has no effect if
    /// [`ShardSet::is_fetched_ahead`] is false.
    ///
    /// # Panics
    /// If a number is not below [`ShardSet::chunks`].
    pub fn will_read(&self, chunks: impl IntoIterator<Item = u64>) {
        if self.is_fetched_ahead() {
            for number in chunks {
                let (shard, k) = self.locate(number);
                let record = &shard.head().chunks[k];
                shard.file.will_read(record.offset..record.offset + record.stored_bytes);
            }
        }
    }

    /// Whether chunks are fetched from a server before they are read, and then kept on this machine.
    pub fn is_fetched_ahead(&self) -> bool {
        self.shards.first().is_some_and(|shard| shard.file.is_fetched_ahead())
    }

    /// Size of all shards in bytes.
    pub fn stored_bytes(&self) -> u64 {
        self.manifest.stored_bytes()
    }
}

/// Reads samples by their index in the set. Keeps the last decoded chunk.
pub struct SampleReader<'a> {
    set: &'a ShardSet,
    decoder: Decoder,
    chunk: Chunk,
    number: Option<u64>,
}

impl<'a> SampleReader<'a> {
    /// Creates a reader for `set`.
    pub fn new(set: &'a ShardSet) -> SampleReader<'a> {
        SampleReader { set, decoder: Decoder::new(), chunk: set.empty_chunk(), number: None }
    }

    /// Reads, decodes and fully verifies chunk `number`.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`]; [`tonic_base::Error::Io`].
    ///
    /// # Panics
    /// If `number` is not below [`ShardSet::chunks`].
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

    /// Reads sample `number`. Returns its chunk, fully verified, and the index of the sample in the chunk.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`]; [`tonic_base::Error::Io`].
    ///
    /// # Panics
    /// If `number` is not below [`ShardSet::len`].
    pub fn sample(&mut self, number: u64) -> Result<(&Chunk, usize)> {
        let per_chunk = u64::from(self.set.manifest.description.chunk_samples);
        Ok((self.chunk(number / per_chunk)?, (number % per_chunk) as usize))
    }
}

/// Opens every shard in the manifest. Errors name the chunks and samples that are lost with a shard.
pub(crate) fn open_shards(storage: &dyn Storage, manifest: &Manifest) -> Vec<Result<Shard>> {
    let description = &manifest.description;
    let open = |i: usize| {
        let number = i as u64;
        let opened = storage.shard(&manifest.shards[i]).and_then(Shard::of).and_then(|shard| {
            check_listed(shard.path(), shard.head(), i, manifest)?;
            Ok(shard)
        });
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
    let mut shards = Vec::new();
    let opened = in_order(
        0..manifest.shards.len() as u64,
        storage.connections().min(manifest.shards.len()),
        "nothing was changed",
        || Ok(()),
        |(), number| Ok::<_, Error>(open(number as usize)),
        |shard| {
            shards.push(shard);
            Ok(())
        },
    );
    shards.extend(opened.err().map(Err));
    shards
}

/// Checks that a shard is the one that the manifest lists as shard `number`.
pub(crate) fn check_listed(path: &Path, head: &ShardHead, number: usize, manifest: &Manifest) -> Result<()> {
    let corrupt = |place: &str, expected: String, got: String| Err(Error::corrupt(path, place, expected, got));
    let (entry, layout) = (&manifest.shards[number], manifest.description.layout());
    let ShardHead { layout: found, place, chunks } = head;
    if *found != layout {
        return corrupt("header", format!("the manifest's layout, {layout:?}"), format!("{found:?}"));
    }
    let first_sample = manifest.shards[..number].iter().fold(0, |sum: u64, before| sum.saturating_add(before.samples));
    let expected = ShardPlace { number: number as u32, first_sample, samples: place.samples };
    if *place != expected || u64::from(place.samples) != entry.samples {
        let samples = entry.samples;
        return corrupt(
            "header",
            format!("{samples} samples from {first_sample}, shard {number}"),
            format!("{place:?}"),
        );
    }
    let (last, per_shard) = (number + 1 == manifest.shards.len(), manifest.description.shard_chunks as usize);
    if chunks.is_empty() || chunks.len() > per_shard || (!last && chunks.len() != per_shard) {
        return corrupt("header", format!("{per_shard} chunks"), chunks.len().to_string());
    }
    let identity = identity_of(chunks.iter().map(|c| &c.identity));
    if identity != entry.identity {
        return corrupt("identities of the chunks", entry.identity.to_string(), identity.to_string());
    }
    Ok(())
}
