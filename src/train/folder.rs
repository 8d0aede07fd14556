//! The run folder: what is in it, who may write to it, and when one run may take another's place.
//!
//! ```text
//! RUN/config.toml              everything the result depends on
//! RUN/metrics.jsonl            a line an epoch
//! RUN/checkpoint.safetensors   where --resume goes on
//! RUN/model.safetensors        the network after the last epoch, as the state dict of an nn.Sequential
//! RUN/best.safetensors         the same after the first epoch with the best validation accuracy
//! RUN/test.json                model.safetensors on the test set, as `eval --json` says it
//! RUN/loss.png .svg, accuracy.png .svg
//! ```

use std::path::{Path, PathBuf};

use super::{checkpoint, config, metrics};
use crate::error::{Error, Result};
use crate::lock::DirLock;
use crate::publish::remove;
use crate::shard::writer::Existing;

/// The network after the last epoch.
pub const MODEL: &str = "model.safetensors";
/// The network after the first epoch with the best validation accuracy.
pub const BEST: &str = "best.safetensors";
/// The test set's evaluation of the network after the last epoch.
pub const TEST: &str = "test.json";
/// What makes a folder a run. The checkpoint is first to go: no other run may take it for its own.
const FILES: [&str; 6] = [checkpoint::FILE_NAME, metrics::FILE_NAME, MODEL, BEST, TEST, config::FILE_NAME];

/// A folder that is a run's, or is to be; locked from when it is there.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    existing: Existing,
    lock: Option<DirLock>,
}

impl RunFolder {
    /// Looks at `path`, and makes nothing that is not there.
    ///
    /// # Errors
    /// [`Error::Busy`] where another process writes to it, [`Error::Exists`] for a run that was not asked for,
    /// [`Error::Io`].
    pub fn find(path: &Path, existing: Existing) -> Result<RunFolder> {
        let lock = path.is_dir().then(|| DirLock::take(path)).transpose()?;
        let folder = RunFolder { path: path.into(), existing, lock };
        folder.refuse_present()?;
        Ok(folder)
    }

    /// Makes the folder where it is not there, locks it, and frees it of a run that is to be replaced.
    ///
    /// # Errors
    /// Those of [`RunFolder::find`].
    pub fn make(&mut self) -> Result<()> {
        if self.lock.is_none() {
            std::fs::create_dir_all(&self.path).map_err(Error::io(&self.path, "create the run folder"))?;
            self.lock = Some(DirLock::take(&self.path)?);
            self.refuse_present()?; // a run that began and ended since it was looked for
        }
        match self.existing {
            Existing::Resume => Ok(()),
            _ => FILES.iter().try_for_each(|name| remove(&self.path.join(name))),
        }
    }

    /// Whether there is something to go on from: a run that was killed before its first checkpoint begins again.
    pub fn has_begun(&self) -> bool {
        self.existing == Existing::Resume && FILES[..2].iter().any(|name| self.path.join(name).exists())
    }

    fn refuse_present(&self) -> Result<()> {
        if self.existing == Existing::Refuse && FILES.iter().any(|name| self.path.join(name).exists()) {
            let remedy = "--resume goes on with that run, --overwrite replaces it";
            return Err(Error::Exists { path: self.path.clone(), remedy });
        }
        Ok(())
    }
}
