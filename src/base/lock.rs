//! An advisory lock on a directory, so that only one process writes to it.

use crate::error::BaseFault;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::interrupt;

const LOCK_FILE: &str = ".lock";

/// A lock on a directory, held until this value is dropped or the process ends.
///
/// On a file system without locks, [`DirLock::take`] always succeeds.
#[derive(Debug)]
pub struct DirLock {
    path: PathBuf,
    /// The locked file. It stays open, because closing it releases the lock.
    _file: File,
}

impl DirLock {
    /// Locks an existing directory.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process holds the lock; [`Error::Io`].
    pub fn take(dir: &Path) -> Result<DirLock> {
        let path = dir.join(LOCK_FILE);
        loop {
            let file = File::create(&path).map_err(Error::io(&path, "create the lock"))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(Error::Busy { path: dir.into() }),
                Err(TryLockError::Error(e)) if has_no_locks(&e) => {}
                // On a network file system, a file that another writer has removed gives this error.
                Err(TryLockError::Error(e)) if e.kind() == ErrorKind::StaleNetworkFileHandle => continue,
                Err(TryLockError::Error(e)) => return Err(Error::io(&path, "take the lock")(e)),
            }
            // A writer that ended between `create` and `try_lock` has removed this file. A lock on a removed file keeps
            // nobody out, so try again.
            if is_at(&file, &path) {
                return Ok(DirLock { path, _file: file });
            }
        }
    }

    /// Like [`DirLock::take`], but waits for at most `patience` while another process holds the lock. `saved` is the
    /// text of [`Error::Interrupted`].
    ///
    /// # Errors
    /// [`Error::Busy`] if another process still holds the lock after this time; [`Error::Interrupted`] if a signal asks
    /// the program to stop; [`Error::Io`].
    pub fn take_within(dir: &Path, patience: Duration, saved: &str) -> Result<DirLock> {
        const PAUSE: Duration = Duration::from_millis(10);
        let start = Instant::now();
        loop {
            match DirLock::take(dir) {
                Err(Error::Busy { .. }) if start.elapsed() < patience => interrupt::check(saved)?,
                taken => return taken,
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn has_no_locks(error: &std::io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let errno = Errno::from_io_error(error);
        errno.is_some_and(|errno| [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP].contains(&errno))
    }
    #[cfg(not(unix))]
    {
        error.kind() == ErrorKind::Unsupported
    }
}

/// Whether the open file `file` is still the file at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
        file.metadata().map(id).ok().is_some_and(|open| std::fs::metadata(path).map(id).ok() == Some(open))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists() // here the system refuses to remove an open file
    }
}
