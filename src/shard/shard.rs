//! An open shard: reads and decodes its chunks one by one.

use std::ops::Range;
use std::path::Path;

use tonic_base::Error as BaseError;

use crate::chunk::Chunk;
use crate::codec::{ChunkName, Decoder, EncodedChunk, StoredChunk, check_chunk};
use crate::error::{Error, Result};
use crate::layout::{HEADER_BYTES, ShardHead, aligned};
use crate::mapped_file::MappedFile;
use crate::packed::PackedChunk;
use crate::storage::ShardFile;
use crate::streamed::{decompress, is_large};

/// Maximum number of times that a chunk is fetched from a server. It is fetched again if it arrives damaged.
const TRIES: usize = 3;

/// An open shard whose header and index have been checked.
#[derive(Debug)]
pub struct Shard {
    pub(crate) file: Box<dyn ShardFile>,
    head: ShardHead,
}

impl Shard {
    /// Maps the file, and checks header and index but not the chunks.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`] if the file cannot be read; [`Error::Incompatible`] for another format version;
    /// [`tonic_base::Error::Corrupt`] if header or index are damaged.
    pub fn open(path: &Path) -> Result<Shard> {
        Shard::of(Box::new(MappedFile::open(path)?))
    }

    /// Checks header and index of a shard file.
    pub(crate) fn of(file: Box<dyn ShardFile>) -> Result<Shard> {
        let (len, mut head) = (file.size(), Vec::new());
        let mut left = 1..TRIES;
        loop {
            file.read(0..len.min(HEADER_BYTES as u64), &mut head)?;
            let bytes = ShardHead::bytes(ShardHead::chunks_said(&head)).min(len);
            file.read(0..bytes, &mut head)?;
            match ShardHead::parse(file.path(), &head, len) {
                Err(_) if left.next().is_some() && file.forget(0..bytes) => {}
                head => return Ok(Shard { head: head?, file }),
            }
        }
    }

    /// Header and index.
    pub fn head(&self) -> &ShardHead {
        &self.head
    }

    /// Path of the file. If the shard is not on this machine, its URL.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Reads the compressed bytes of chunk `k` of this shard, without a check. Replaces the content of `bytes`.
    fn read_stored<'a>(&'a self, k: usize, bytes: &'a mut Vec<u8>) -> Result<StoredChunk<'a>> {
        let record = &self.head.chunks[k];
        self.read_of(k, record.offset..record.offset + record.stored_bytes, bytes)?;
        Ok(StoredChunk { name: self.name(k), layout: &self.head.layout, record, bytes })
    }

    /// Reads the bytes at `range` of the file into `out`. Errors name chunk `k` of this shard.
    fn read_of(&self, k: usize, range: Range<u64>, out: &mut Vec<u8>) -> Result<()> {
        let say = |fault: Error| fault.with_place(&self.name(k).samples(self.head.chunks[k].samples));
        self.file.read(range, out).map_err(say)
    }

    /// Index, in the set, of chunk `k` of this shard.
    pub fn chunk_number(&self, k: usize) -> u64 {
        self.name(k).number
    }

    pub(crate) fn name(&self, k: usize) -> ChunkName<'_> {
        let per_chunk = u64::from(self.head.layout.chunk_samples);
        let first_sample = self.head.place.first_sample + k as u64 * per_chunk;
        ChunkName { shard: self.file.path(), number: first_sample / per_chunk, first_sample }
    }

    /// Reads, checks and decodes chunk `k` of this shard. Replaces the content of `chunk`.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`]; [`tonic_base::Error::Io`].
    ///
    /// # Panics
    /// If the shard has no chunk `k`.
    pub fn decode(&self, k: usize, decoder: &mut Decoder, chunk: &mut Chunk) -> Result<()> {
        self.again(k, || decoder.with_stored(|decoder, bytes| decoder.decode(self.read_stored(k, bytes)?, chunk)))
    }

    /// Calls `read`, which reads chunk `k`. If the chunk is damaged and comes from a server, prints a message and
    /// calls `read` again.
    fn again(&self, k: usize, mut read: impl FnMut() -> Result<()>) -> Result<()> {
        let record = &self.head.chunks[k];
        let mut left = 1..TRIES;
        loop {
            match read() {
                Err(Error::Base(BaseError::Corrupt { .. }))
                    if left.next().is_some()
                        && self.file.forget(record.offset..aligned(record.offset + record.stored_bytes)) =>
                {
                    let url = self.file.path().display();
                    eprintln!("{url}: chunk {k} of the shard arrived damaged; it is fetched again");
                }
                done => return done,
            }
        }
    }

    /// Like [`Shard::decode`], but leaves cells and counts packed. Doesn't check whether cells are inside the frame.
    pub(crate) fn decode_packed(&self, k: usize, decoder: &mut Decoder, packed: &mut PackedChunk) -> Result<()> {
        self.again(k, || {
            let (name, record) = (self.name(k), &self.head.chunks[k]);
            if !is_large(record) {
                return decoder
                    .with_stored(|decoder, bytes| decoder.decode_packed(self.read_stored(k, bytes)?, packed));
            }
            packed.clear();
            decompress(&*self.file, record, name, &mut packed.body)?;
            name.index(packed, &self.head.layout, record)
        })
    }

    /// Returns the stored bytes and the index record of chunk `k`, to copy them to another set. Doesn't check the
    /// bytes: call [`Shard::decode_and_verify`] first.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`] if the file has been cut short since it was opened; [`tonic_base::Error::Io`].
    ///
    /// # Panics
    /// If the shard has no chunk `k`.
    pub fn encoded(&self, k: usize) -> Result<EncodedChunk> {
        let mut stored = Vec::new();
        self.read_stored(k, &mut stored)?;
        Ok(EncodedChunk { stored: stored.into(), record: self.head.chunks[k] })
    }

    /// Like [`Shard::decode`], but also checks:
    ///
    /// - the chunk's identity
    /// - the padding after the chunk
    /// - everything that [`check_chunk`](crate::codec::check_chunk) checks
    ///
    /// `classes` is the number of classes of the set.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`]; [`tonic_base::Error::Io`].
    ///
    /// # Panics
    /// If the shard has no chunk `k`.
    pub fn decode_and_verify(&self, k: usize, classes: usize, decoder: &mut Decoder, chunk: &mut Chunk) -> Result<()> {
        self.again(k, || {
            decoder.with_stored(|decoder, bytes| decoder.decode_and_identify(self.read_stored(k, bytes)?, chunk))
        })?;
        check_chunk(self.name(k), chunk, classes)?;
        self.check_padding(k)
    }

    /// Checks that only zeros follow chunk `k`, up to the next chunk or the end of the file.
    pub(crate) fn check_padding(&self, k: usize) -> Result<()> {
        let (record, mut bytes) = (&self.head.chunks[k], Vec::new());
        let end = record.offset + record.stored_bytes;
        self.read_of(k, end..aligned(end), &mut bytes)?;
        match bytes.iter().all(|&b| b == 0) {
            true => Ok(()),
            false => Err(self.name(k).corrupt(record.samples, "padding after it", "zeros", "something else")),
        }
    }
}
