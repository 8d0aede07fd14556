//! Free space on a disk.

use std::path::Path;

use crate::error::{Error, Result};
use crate::progress::human_bytes;

/// Returns the free bytes on the disk of `path`, which need not exist yet. `None` if the system doesn't report it.
pub fn free_space(path: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let absolute = std::path::absolute(path).ok()?;
        let there = absolute.ancestors().find(|path| path.exists())?;
        let disk = rustix::fs::statvfs(there).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// Checks that an output of `needed` bytes fits on the disk of `path`. `there` is the number of bytes that the output
/// already takes on the disk. These bytes need no free space. If the free space is unknown, returns no error.
///
/// # Errors
/// [`Error::NoSpace`].
pub fn check_space(path: &Path, needed: u64, there: u64) -> Result<()> {
    match free_space(path) {
        Some(free) if needed > free.saturating_add(there) => {
            Err(Error::NoSpace { path: path.into(), needed: human_bytes(needed), free: human_bytes(free) })
        }
        _ => Ok(()),
    }
}
