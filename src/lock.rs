//! One writer at a time: an advisory lock on a directory, by a file in it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

const FILE_NAME: &str = ".lock";

/// A directory, locked until this is dropped. The system gives the lock of a killed process back.
#[derive(Debug)]
pub struct DirLock {
    path: PathBuf,
    /// Held, not read: the lock goes when the file is closed.
    _file: File,
}

impl DirLock {
    /// Locks a directory that is there.
    ///
    /// # Errors
    /// [`Error::Busy`] where another process has the lock, [`Error::Io`].
    pub fn take(dir: &Path) -> Result<DirLock> {
        let path = dir.join(FILE_NAME);
        loop {
            let file = File::create(&path).map_err(Error::io(&path, "create the lock"))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(Error::Busy { path: dir.into() }),
                Err(TryLockError::Error(e)) => return Err(Error::io(&path, "take the lock")(e)),
            }
            // A writer that ended in between has removed this very file: a lock on it would turn nobody away.
            if is_at(&file, &path) {
                return Ok(DirLock { path, _file: file });
            }
        }
    }
}

impl Drop for DirLock {
    /// Takes the lock's file away; what a kill leaves is taken over.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether an open file is the one that has this name now.
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
        path.exists() // an open file cannot be removed there
    }
}
