//! The option `--lock`: makes training and evaluation refuse sets that are not in a lock file.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use clap::Args;
use tonic_sets::LockFile;
use tonic_shard::{Result, ShardSet};

use crate::set_place::open_set;

/// The lock file of this process, and its path. Empty if the user has not given one.
static LOCK: OnceLock<(PathBuf, LockFile)> = OnceLock::new();

#[derive(Args)]
pub(crate) struct LockArgs {
    /// Refuse sets that are not in this file, which `tonic-prep lock` writes
    #[arg(long, value_name = "SET.toml")]
    lock: Option<PathBuf>,
}

impl LockArgs {
    /// If the user has given a lock file, makes [`open_locked`] refuse sets that are not in this file.
    pub(crate) fn choose(&self) -> Result<(), tonic_sets::Error> {
        if let Some(path) = &self.lock {
            let lock = LockFile::read(path)?;
            LOCK.get_or_init(|| (path.clone(), lock));
        }
        Ok(())
    }
}

/// Opens a set, in a directory or at a URL.
///
/// # Errors
/// [`tonic_shard::Error::Mismatch`] if the set is not in the lock file.
pub(crate) fn open_locked(place: &Path) -> Result<ShardSet> {
    let set = open_set(place)?;
    if let Some((path, lock)) = LOCK.get() {
        lock.check(path, place, set.manifest().set_id)?;
    }
    Ok(set)
}
