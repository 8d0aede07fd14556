//! Free space on a disk.

use std::path::Path;

/// Returns the number of free bytes on the disk of `path`, or `None` if the system does not report it. If `path`
/// doesn't exist yet, the disk of the nearest existing folder above it counts.
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
