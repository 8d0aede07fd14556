//! The option `--lock`: makes training and evaluation refuse sets that are not in a lock file.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clap::Args;
use tonic_sets::LockFile;
use tonic_shard::{Result, ShardSet};

use crate::set_place::open_set;

/// The path and the content of the lock file that [`open_locked`] uses, if the user has given one.
static LOCK: Mutex<Option<(PathBuf, LockFile)>> = Mutex::new(None);

#[derive(Args)]
pub(crate) struct LockArgs {
    /// Refuse sets that are not in this file, which `tonic-prep lock` writes
    #[arg(long, value_name = "SET.toml")]
    lock: Option<PathBuf>,
}

impl LockArgs {
    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.lock.clone()
    }

    /// If the user has given a lock file, makes [`open_locked`] refuse sets that are not in this file.
    pub(crate) fn choose(&self) -> Result<(), tonic_sets::Error> {
        let lock = self.lock.as_ref().map(|path| Ok::<_, tonic_sets::Error>((path.clone(), LockFile::read(path)?)));
        *LOCK.lock().unwrap_or_else(PoisonError::into_inner) = lock.transpose()?;
        Ok(())
    }
}

/// Opens a set, in a directory or at a URL. Fails if the set is not in the lock file.
pub(crate) fn open_locked(place: &Path) -> Result<ShardSet> {
    let set = open_set(place)?;
    if let Some((path, lock)) = &*LOCK.lock().unwrap_or_else(PoisonError::into_inner) {
        lock.check(path, place, set.manifest().set_id)?;
    }
    Ok(set)
}
