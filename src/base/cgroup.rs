//! Finds the folders in which Linux reports the limits of the control groups (cgroups) that a process is in.

use std::path::{Path, PathBuf};

/// Returns the folder of the control group `path` and of each group around it, below each of `mounts`. In a container,
/// `path` may be that of the host, and only the top is mounted: the folder of the mount is always the last one.
pub(crate) fn groups_around(root: &Path, mounts: &[&str], path: &str) -> impl Iterator<Item = PathBuf> {
    let inner = Path::new(path.trim_start_matches('/'));
    mounts.iter().flat_map(move |mount| inner.ancestors().map(move |group| root.join(mount).join(group)))
}
