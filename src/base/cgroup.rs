//! Finds the folders in which Linux reports the limits of a process's control groups (cgroups).

use std::path::{Path, PathBuf};

/// Returns the folders of the control group `path` and of each group that contains it. Each group has one folder below
/// every folder of `mounts`. In a container, some of these folders can be missing.
pub(crate) fn groups_around(root: &Path, mounts: &[&str], path: &str) -> impl Iterator<Item = PathBuf> {
    let inner = Path::new(path.trim_start_matches('/'));
    mounts.iter().flat_map(move |mount| inner.ancestors().map(move |group| root.join(mount).join(group)))
}
