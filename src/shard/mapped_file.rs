//! A memory-mapped shard file. All `unsafe` code for memory mapping is here.
//!
//! On Unix, the mapping is only for locking the file in memory and for reading it ahead. [`MappedFile::read`] doesn't
//! use the mapping there: if another program has cut the file short, an access through the mapping would kill the
//! process.

#![allow(unsafe_code)]

use crate::error::{BaseFault, Error, Result};
use crate::storage::ShardFile;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap};

#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    file: File,
    map: Mmap,
}

impl MappedFile {
    pub(crate) fn open(path: &Path) -> Result<MappedFile> {
        let file = File::open(path).map_err(Error::io(path, "open the shard"))?;
        // SAFETY: the mapping is read-only and lives as long as the file handle next to it. This program never changes
        // a shard in place: a new file replaces the shard by a rename, which leaves mappings intact. If another program
        // overwrites the file, readers see new bytes that fail the checksum. If another program cuts the file short,
        // reading the mapping beyond the new end raises SIGBUS. `bytes` checks the length first, so only a cut between
        // that check and the access can do this. `read` doesn't use the mapping.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path, "map the shard"))?;
        Ok(MappedFile { path: path.into(), file, map })
    }

    /// Returns all bytes of the file, through the mapping. It is an error if the file has become shorter.
    pub(crate) fn bytes(&self) -> Result<&[u8]> {
        let now = self.file.metadata().map_err(Error::io(&self.path, "ask for the length"))?.len();
        if now < self.map.len() as u64 {
            return Err(Error::corrupt(&self.path, "file length", format!("{} bytes", self.map.len()), now));
        }
        Ok(&self.map)
    }
}

impl ShardFile for MappedFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size(&self) -> u64 {
        self.map.len() as u64
    }

    fn read(&self, range: Range<u64>, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        #[cfg(unix)]
        {
            use std::os::unix::fs::FileExt;
            out.resize((range.end - range.start) as usize, 0);
            self.file.read_exact_at(out, range.start).map_err(|e| match self.bytes() {
                Err(cut_short) => cut_short,
                Ok(_) => Error::io(&self.path, "read the shard")(e),
            })
        }
        #[cfg(not(unix))]
        {
            // Outside Unix the system refuses to cut a mapped file short.
            out.extend_from_slice(&self.bytes()?[range.start as usize..range.end as usize]);
            Ok(())
        }
    }

    fn pin(&self) -> std::io::Result<()> {
        self.map.lock()
    }

    fn read_ahead(&self) {
        // Without reading ahead, later reads are only slower.
        let _ = self.map.advise(Advice::WillNeed);
    }
}

/// Maximum number of bytes that this process can lock in memory (`ulimit -l`). `None` if unlimited or unknown.
pub(crate) fn lock_limit() -> Option<u64> {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    #[cfg(not(unix))]
    None
}
