//! A shard that is being written to a temporary file, which gets the name of the shard at the end.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tonic_base::Draft;

use crate::codec::EncodedChunk;
use crate::description::{SetDescription, shard_name};
use crate::error::{BaseFault, Error, Result};
use crate::layout::{ALIGNMENT, ChunkRecord, ShardHead, aligned};
use crate::manifest::{ShardEntry, identity_of};

pub(crate) fn shard_entry(number: u64, head: &ShardHead) -> ShardEntry {
    ShardEntry {
        name: shard_name(number),
        bytes: head.file_bytes(),
        samples: head.place.samples.into(),
        identity: identity_of(head.chunks.iter().map(|c| &c.identity)),
    }
}

/// A shard that is being written. It is a temporary file until it is published.
#[derive(Debug)]
pub struct ShardDraft {
    draft: Draft,
    path: PathBuf,
    head: ShardHead,
    chunks: usize,
    end: u64,
}

impl ShardDraft {
    /// Creates a temporary file for shard `number` of the described set.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`] if the file cannot be created.
    pub fn create(dir: &Path, description: &SetDescription, number: u64) -> Result<ShardDraft> {
        let path = dir.join(shard_name(number));
        let place = description.shard_place(number);
        let chunks = place.samples.div_ceil(description.chunk_samples) as usize;
        let mut draft = Draft::create(&path)?;
        let end = ShardHead::bytes(chunks);
        draft.file.seek(SeekFrom::Start(end)).map_err(Error::io(&path, "write the shard"))?;
        let head = ShardHead { layout: description.layout(), place, chunks: Vec::with_capacity(chunks) };
        Ok(ShardDraft { draft, path, head, chunks, end })
    }

    /// Appends the next chunk of the shard.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`] if the file cannot be written.
    pub fn append(&mut self, encoded: &EncodedChunk) -> Result<()> {
        self.head.chunks.push(ChunkRecord { offset: self.end, ..encoded.record });
        let unpadded = self.end + encoded.record.stored_bytes;
        self.end = aligned(unpadded);
        let padding = [0; ALIGNMENT];
        let ShardDraft { draft, path, end, .. } = self;
        let mut write = |bytes: &[u8]| draft.file.write_all(bytes).map_err(Error::io(&*path, "write the shard"));
        encoded.stored.read(&mut write)?;
        write(&padding[..(*end - unpadded) as usize])
    }

    pub(crate) fn is_full(&self) -> bool {
        self.head.chunks.len() == self.chunks
    }

    /// Returns the manifest's record of this shard. All chunks must have been appended.
    pub fn entry(&self) -> ShardEntry {
        shard_entry(self.head.place.number.into(), &self.head)
    }

    /// Writes header and index, and gives the temporary file the name of the shard. Replaces an existing file.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`]. An existing file is then unchanged. There is one exception: if only the sync of the
    /// directory fails, the file has already been replaced.
    pub fn publish(mut self) -> Result<ShardEntry> {
        self.write_head()?;
        let entry = self.entry();
        self.draft.publish()?;
        Ok(entry)
    }

    /// Like [`ShardDraft::publish`], but calls `check` first, and keeps an existing shard with the same bytes.
    pub(crate) fn publish_new(mut self, check: impl Fn() -> Result<()>) -> Result<ShardEntry> {
        self.write_head()?;
        let entry = self.entry();
        check()?;
        if !self.draft.publish_new()? && !same_bytes(&self.path, self.draft.path())? {
            check()?;
            self.draft.publish()?;
        }
        Ok(entry)
    }

    fn write_head(&mut self) -> Result<()> {
        let head = self.head.to_bytes();
        let write = Error::io(&self.path, "write the shard's head");
        self.draft.file.seek(SeekFrom::Start(0)).and_then(|_| self.draft.file.write_all(&head)).map_err(write)
    }
}

fn same_bytes(a: &Path, b: &Path) -> Result<bool> {
    const PIECE: u64 = 1 << 20;
    let open = |path: &Path| File::open(path).map_err(Error::io(path, "read the shard"));
    let (mut files, mut pieces) = ([open(a)?, open(b)?], [Vec::new(), Vec::new()]);
    loop {
        for ((file, piece), path) in files.iter_mut().zip(&mut pieces).zip([a, b]) {
            piece.clear();
            file.take(PIECE).read_to_end(piece).map_err(Error::io(path, "read the shard"))?;
        }
        if pieces[0] != pieces[1] || pieces[0].is_empty() {
            return Ok(pieces[0] == pieces[1]);
        }
    }
}
