//! Finds the folders in which Linux reports the limits of a process's control groups (cgroups).

use std::path::{Path, PathBuf};

/// Lists the folders in which the system can report the limits of the control group `path` and of the groups that
/// contain it. `mounts` are the folders below `root` in which control groups can be mounted.
pub(crate) fn groups_around(root: &Path, mounts: &[&str], path: &str) -> impl Iterator<Item = PathBuf> {
    let inner = Path::new(path.trim_start_matches('/'));
    mounts.iter().flat_map(move |mount| inner.ancestors().map(move |group| root.join(mount).join(group)))
}
