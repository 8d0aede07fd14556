//! Reads parts of a file from many threads, each through a small buffer.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{BaseFault, Error, Result};

/// Maximum number of bytes of the file that a window holds.
const WINDOW: usize = 256 << 10;
/// Minimum number of bytes that are read at once, except at the end of the file. It is small, so that a skipped row
/// costs little: only its header is read.
const LEAST: u64 = 64;
/// Maximum gap in bytes between two ranges of the file that are read together.
const GAP: u64 = 512;

/// A file that many threads can read at any offset.
#[derive(Debug)]
pub(super) struct SharedFile {
    path: PathBuf,
    #[cfg(unix)]
    file: File,
    #[cfg(not(unix))]
    file: std::sync::Mutex<File>,
    len: u64,
}

impl SharedFile {
    pub(super) fn open(path: &Path) -> Result<SharedFile> {
        let file = File::open(path).map_err(Error::io(path, "open the recording"))?;
        let len = file.metadata().map_err(Error::io(path, "open the recording"))?.len();
        #[cfg(not(unix))]
        let file = std::sync::Mutex::new(file);
        Ok(SharedFile { path: path.into(), file, len })
    }

    /// Returns the length that the file had when it was opened, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `bytes` with the bytes of the file from offset `at`.
    pub(super) fn read(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        self.read_exactly(at, bytes).map_err(Error::io(&self.path, "read the recording"))
    }

    #[cfg(unix)]
    fn read_exactly(&self, at: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, bytes, at)
    }

    #[cfg(not(unix))]
    fn read_exactly(&self, at: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(bytes)
    }
}

/// A buffer that holds one byte range of a file and moves forward through the file.
pub(super) struct FileWindow<'a> {
    file: &'a SharedFile,
    bytes: Vec<u8>,
    /// The byte range of the file that `bytes` holds.
    holds: Range<u64>,
    /// Planned end of the next read: an offset in the file, in bytes.
    until: u64,
}

impl<'a> FileWindow<'a> {
    pub(super) fn new(file: &'a SharedFile) -> FileWindow<'a> {
        FileWindow { file, bytes: vec![0; WINDOW], holds: 0..0, until: 0 }
    }

    /// Plans the next read. It covers the first of the given byte ranges of the file, and the following ranges as long
    /// as the gaps between them are small. Does nothing if the window holds the first range already.
    pub(super) fn plan(&mut self, mut extents: impl Iterator<Item = Range<u64>>) {
        let Some(first) = extents.next() else { return };
        if self.holds.start <= first.start && first.end <= self.holds.end {
            return;
        }
        let full = first.start.saturating_add(WINDOW as u64);
        let near = |end: u64, next: Range<u64>| {
            if next.start <= end.saturating_add(GAP) && next.end <= full { Ok(next.end) } else { Err(end) }
        };
        self.until = extents.try_fold(first.end, near).unwrap_or_else(|end| end);
    }

    /// Returns the `len` bytes at offset `at` of the file. `len` is at most [`WINDOW`], and the file must contain the
    /// range.
    pub(super) fn get(&mut self, at: u64, len: usize) -> Result<&[u8]> {
        if at < self.holds.start || self.holds.end < at + len as u64 {
            let least = at + LEAST.max(len as u64);
            let end = self.until.clamp(least, at + WINDOW as u64).min(self.file.len);
            self.holds = 0..0;
            self.file.read(at, &mut self.bytes[..(end - at) as usize])?;
            self.holds = at..end;
        }
        let first = (at - self.holds.start) as usize;
        Ok(&self.bytes[first..first + len])
    }

    /// Reads the `size` bytes at offset `at` of the file in pieces of whole elements. An element has `element` bytes.
    /// Calls `piece` with the index of the first element of each piece, and with its bytes.
    pub(super) fn copy(
        &mut self,
        at: u64,
        size: u64,
        element: usize,
        mut piece: impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        let mut done = 0;
        while done < size {
            // For a row larger than the window: first use the bytes in the window, then read a window at a time.
            let here = self.holds.end.saturating_sub(at + done) as usize / element * element;
            let len = if here == 0 { WINDOW } else { here }.min((size - done) as usize);
            piece(done as usize / element, self.get(at + done, len)?);
            done += len as u64;
        }
        Ok(())
    }
}
