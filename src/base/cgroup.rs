//! Finds the folders in which Linux reports the limits of a process's control groups (cgroups).

use std::path::{Path, PathBuf};

/// Lists the folders that can belong to the control group `path` or to a group that contains it. `mounts` are the
/// folders below `root` in which control groups can be mounted.
pub(crate) fn groups_around(root: &Path, mounts: &[&str], path: &str) -> impl Iterator<Item = PathBuf> {
    let inner = Path::new(path.trim_start_matches('/'));
    mounts.iter().flat_map(move |mount| inner.ancestors().map(move |group| root.join(mount).join(group)))
}
