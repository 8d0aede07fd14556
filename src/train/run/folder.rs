//! The run folder: its files, its lock, and when a run may replace another.
//!
//! ```text
//! RUN/config.toml              everything the result depends on
//! RUN/metrics.jsonl            one line per epoch
//! RUN/checkpoint.safetensors   where --resume continues
//! RUN/model.safetensors        the network after the last epoch, as the state dict of an nn.Sequential
//! RUN/best.safetensors         the network after the first epoch with the best validation accuracy
//! RUN/test.json                model.safetensors on the test set, as `eval --json` prints it
//! RUN/loss.png .svg, accuracy.png .svg
//! ```

use std::path::{Path, PathBuf};

use tonic_base::{DirLock, remove_file};
use tonic_shard::Existing;

use crate::error::{BaseFault, Error, Result};
use crate::run::{checkpoint, config, metrics};

/// Name of the file of the network after the last epoch.
pub(super) const MODEL: &str = "model.safetensors";
/// Name of the file of the network after the first epoch with the best validation accuracy.
pub(crate) const BEST: &str = "best.safetensors";
/// Name of the file of the test set's evaluation.
pub(super) const TEST: &str = "test.json";
/// Files that make a folder a run. The checkpoint is removed first, so that no other run can resume from it.
const FILES: [&str; 6] = [checkpoint::FILE_NAME, metrics::FILE_NAME, MODEL, BEST, TEST, config::FILE_NAME];

/// The folder of a run. It is locked as soon as it exists.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    existing: Existing,
    lock: Option<DirLock>,
}

impl RunFolder {
    /// Checks `path` without creating anything.
    ///
    /// # Errors
    /// [`Busy`](tonic_base::Error::Busy) if another process writes to it, [`Exists`](tonic_base::Error::Exists) if it
    /// has a run and `existing` does not allow that, [`Io`](tonic_base::Error::Io).
    pub(super) fn find(path: &Path, existing: Existing) -> Result<RunFolder> {
        let lock = path.is_dir().then(|| DirLock::take(path)).transpose()?;
        let folder = RunFolder { path: path.into(), existing, lock };
        folder.refuse_present()?;
        Ok(folder)
    }

    /// Creates the folder if it doesn't exist, locks it, and removes a run that is to be replaced.
    ///
    /// # Errors
    /// Errors of [`RunFolder::find`].
    pub(super) fn make(&mut self) -> Result<()> {
        if self.lock.is_none() {
            std::fs::create_dir_all(&self.path).map_err(Error::io(&self.path, "create the run folder"))?;
            self.lock = Some(DirLock::take(&self.path)?);
            self.refuse_present()?; // a run that began and ended since it was looked for
        }
        match self.existing {
            Existing::Resume => Ok(()),
            _ => Ok(FILES.iter().try_for_each(|name| remove_file(&self.path.join(name)))?),
        }
    }

    /// Whether there is a checkpoint to resume from. A run that was killed before its first checkpoint starts again.
    pub(crate) fn has_begun(&self) -> bool {
        self.existing == Existing::Resume && FILES[..2].iter().any(|name| self.path.join(name).exists())
    }

    fn refuse_present(&self) -> Result<()> {
        if self.existing == Existing::Refuse && FILES.iter().any(|name| self.path.join(name).exists()) {
            return Err(Error::exists(&self.path, "it holds a run"));
        }
        Ok(())
    }
}
