//! A shard's file, mapped: the one place where memory mapping, and the `unsafe` that it takes, lives.
//!
//! The map pins pages and reads them ahead. What a long run needs of the file it copies ([`MappedFile::read`]): a file
//! that is cut short, or a disk that fails, is then an error, where a look through the map would end the process.

#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap};

use crate::error::{Error, Result};

/// A file mapped for reading.
#[derive(Debug)]
pub struct MappedFile {
    path: PathBuf,
    file: File,
    map: Mmap,
}

impl MappedFile {
    /// Maps all of `path`.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be opened or mapped.
    pub fn open(path: &Path) -> Result<MappedFile> {
        let file = File::open(path).map_err(Error::io(path, "open the shard"))?;
        // SAFETY: the mapping is private to reading and lives as long as the file handle beside it. A shard is never
        // changed in place by this program (it is replaced by a rename, which leaves mappings alone). If another
        // program overwrites it, readers see the new bytes, which their checksum refuses. If another program cuts it
        // short, reading the map past the end raises SIGBUS; `bytes` asks the system for the length first, which
        // leaves the moment between that and the read, and `read` leaves none.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path, "map the shard"))?;
        Ok(MappedFile { path: path.into(), file, map })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes when it was mapped.
    pub fn len(&self) -> u64 {
        self.map.len() as u64
    }

    /// All of its bytes, if the file still has them.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it was cut short after it was mapped.
    pub fn bytes(&self) -> Result<&[u8]> {
        let now = self.file.metadata().map_err(Error::io(&self.path, "ask for the length"))?.len();
        if now < self.map.len() as u64 {
            return Err(Error::corrupt(&self.path, "file length", format!("{} bytes", self.map.len()), now));
        }
        Ok(&self.map)
    }

    /// Copies a range of its bytes in place of what `out` had.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it was cut short after it was mapped, [`Error::Io`].
    pub fn read(&self, range: Range<u64>, out: &mut Vec<u8>) -> Result<()> {
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
            // A mapped file cannot be cut short there.
            out.extend_from_slice(&self.bytes()?[range.start as usize..range.end as usize]);
            Ok(())
        }
    }

    /// Reads the file's pages into memory and keeps them there.
    ///
    /// # Errors
    /// The system's, where a limit forbids it.
    pub fn pin(&self) -> std::io::Result<()> {
        self.map.lock()
    }

    /// Asks the system to read the file ahead. A refusal costs speed only, so it is not reported.
    pub fn read_ahead(&self) {
        let _ = self.map.advise(Advice::WillNeed);
    }
}

/// Bytes that this process may lock in memory (`ulimit -l`); `None` where there is no limit or it cannot be asked for.
pub fn lock_limit() -> Option<u64> {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    #[cfg(not(unix))]
    None
}
