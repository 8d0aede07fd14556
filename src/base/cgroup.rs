//! Finds the folders in which Linux reports the limits of a process's control groups (cgroups).

use std::path::{Path, PathBuf};

/// Lists the possible folders of the control group `path` and of the groups around it, in the `mounts` below `root`.
pub(crate) fn groups_around(root: &Path, mounts: &[&str], path: &str) -> impl Iterator<Item = PathBuf> {
    let inner = Path::new(path.trim_start_matches('/'));
    mounts.iter().flat_map(move |mount| inner.ancestors().map(move |group| root.join(mount).join(group)))
}
