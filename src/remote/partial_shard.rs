//! A shard's file on this machine that is filled from a server, chunk by chunk.

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::path::{Path, PathBuf};

use tonic_shard::{ChunkRecord, ShardEntry, ShardHead, aligned, chunk_checksum};

use crate::error::{BaseFault, Error, Result};
use crate::store::Store;

/// A chunk that arrives damaged is fetched at most this many times.
pub(crate) const TRIES: usize = 3;

/// A shard's file on this machine, with holes where nothing has arrived yet. Many threads can use it.
#[derive(Debug)]
pub(crate) struct PartialShard {
    file: File,
    path: PathBuf,
    /// Whether the file had no bytes when it was opened.
    pub is_new: bool,
}

impl PartialShard {
    /// Opens or creates the file at `path` for a shard of `bytes` bytes.
    pub(crate) fn open(path: PathBuf, bytes: u64) -> Result<PartialShard> {
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(Error::io(&path, "create the file"))?;
        let had = file.metadata().map_err(Error::io(&path, "create the file"))?.len();
        file.set_len(bytes).map_err(Error::io(&path, "write the shard"))?;
        Ok(PartialShard { file, path, is_new: had == 0 })
    }

    /// Returns the header and index of the shard `entry`: their bytes, and the result of `parse`. If the bytes in the
    /// file are not valid, fetches them from the server. `chunks` is the number of chunks in the shard.
    pub(crate) fn head<T>(
        &self,
        store: &Store,
        entry: &ShardEntry,
        chunks: usize,
        parse: impl Fn(&Path, &[u8]) -> Result<T>,
    ) -> Result<(Vec<u8>, T)> {
        let range = head_of(entry, chunks);
        let there = self.read(range.clone()).ok().and_then(|head| Some((parse(&self.path, &head).ok()?, head)));
        if let Some((parsed, head)) = there {
            return Ok((head, parsed));
        }
        let mut left = 1..TRIES;
        loop {
            let head = store.read_bytes(&entry.name, range.clone())?;
            match parse(&store.url(&entry.name), &head) {
                Err(_) if left.next().is_some() => {}
                parsed => return Ok((head, parsed?)),
            }
        }
    }

    pub(crate) fn read(&self, range: Range<u64>) -> std::io::Result<Vec<u8>> {
        read_at(&self.file, range)
    }

    /// Returns the stored bytes of a chunk and the padding after them. `None` if the chunk has not arrived or is
    /// damaged.
    pub(crate) fn chunk(&self, record: &ChunkRecord) -> Option<Vec<u8>> {
        self.read(bytes_of(record)).ok().filter(|bytes| is_whole(bytes, record))
    }

    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        write_at(&self.file, at, bytes).map_err(Error::io(&self.path, "write the shard"))
    }

    /// Waits until everything that was written is on the disk.
    pub(crate) fn write_to_disk(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io(&self.path, "write the shard"))
    }
}

/// Returns the byte range of the header and index in the shard `entry`, which has `chunks` chunks.
pub(crate) fn head_of(entry: &ShardEntry, chunks: usize) -> Range<u64> {
    0..ShardHead::bytes(chunks).min(entry.bytes)
}

/// Returns the byte range, in the shard, of a chunk and the padding after it.
pub(crate) fn bytes_of(record: &ChunkRecord) -> Range<u64> {
    record.offset..aligned(record.offset + record.stored_bytes)
}

/// Returns whether `bytes` begin with the stored bytes of the chunk.
pub(crate) fn is_whole(bytes: &[u8], record: &ChunkRecord) -> bool {
    bytes.get(..record.stored_bytes as usize).is_some_and(|stored| chunk_checksum(stored) == record.checksum)
}

fn read_at(file: &File, range: Range<u64>) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    #[cfg(unix)]
    std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, range.start)?;
    #[cfg(windows)]
    if std::os::windows::fs::FileExt::seek_read(file, &mut bytes, range.start)? < bytes.len() {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

fn write_at(file: &File, at: u64, bytes: &[u8]) -> std::io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, at);
    #[cfg(windows)]
    return match std::os::windows::fs::FileExt::seek_write(file, bytes, at)? {
        0 if !bytes.is_empty() => Err(std::io::ErrorKind::WriteZero.into()),
        written if written < bytes.len() => write_at(file, at + written as u64, &bytes[written..]),
        _ => Ok(()),
    };
}
