//! The run folder: names of its files, its lock, and the check whether a new run may replace an old one.
//!
//! ```text
//! RUN/config.toml              everything the result depends on
//! RUN/metrics.jsonl            one line per epoch
//! RUN/sets.toml                where the sets are, for --resume
//! RUN/times.json               for each process: times of training and of the first step, machine
//! RUN/checkpoint.safetensors   where --resume continues
//! RUN/model.safetensors        the network after the last epoch, as the state dict of an nn.Sequential
//! RUN/best.safetensors         the network of the best epoch, see `TrainingConfig::best`
//! RUN/test.json                evaluation on the test set, as `eval --json` prints it: of best.safetensors if an
//!                              epoch is selected, otherwise of model.safetensors
//! RUN/reestimated.json         evaluations on the validation set after re-estimation, with `--reestimate-norm`
//! RUN/sums.json                BLAKE3 sums of the files above, except sets.toml and times.json
//! RUN/loss.png .svg, accuracy.png .svg
//! RUN/report.html              the page that `report` writes
//! RUN/events.out.tfevents.*    the metrics for TensorBoard, with `--tensorboard`
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic_base::{DirLock, Error as BaseError, remove_abandoned, remove_file};
use tonic_shard::{Existing, MANIFEST_FILE, MARKER, refuse_url};

use crate::error::{BaseFault, Error, Result};
use crate::run::config::Config;
use crate::run::{checkpoint, config, events, metrics, sets, times};

/// Name of the file with the network after the last epoch.
pub(crate) const MODEL: &str = "model.safetensors";
/// Name of the file with the network of the best epoch. If several epochs are equally good, the first of them is the
/// best.
pub(crate) const BEST: &str = "best.safetensors";
/// Name of the file with the evaluation on the test set.
pub(crate) const TEST: &str = "test.json";
/// Name of the file with the validation of the networks whose norms were estimated again.
pub(crate) const REESTIMATED: &str = "reestimated.json";
/// Name of the page that `report` writes.
pub(crate) const REPORT: &str = "report.html";
/// Name of the file with the BLAKE3 sums of other files in the folder.
pub(super) const SUMS: &str = "sums.json";
/// While another process has the lock, time between two calls of `wait`.
const BEAT: Duration = Duration::from_millis(100);
/// Names of the files of a run, in the order in which they are removed. The checkpoint is first, so that a partly
/// removed run cannot be resumed.
const FILES: [&str; 10] = [
    checkpoint::FILE_NAME,
    metrics::FILE_NAME,
    SUMS,
    times::FILE_NAME,
    MODEL,
    BEST,
    TEST,
    REESTIMATED,
    sets::FILE_NAME,
    config::FILE_NAME,
];

/// Returns whether a folder has any file of a run.
pub(crate) fn holds_run(folder: &Path) -> bool {
    FILES.iter().any(|name| folder.join(name).exists())
}

/// The folder of a run. An existing folder stays locked while this value lives.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    existing: Existing,
    lock: Option<DirLock>,
}

impl RunFolder {
    /// Checks whether the folder `path` may be used for a run, and locks the folder if it exists.
    ///
    /// With [`Existing::Auto`], this function also:
    /// - creates the folder if it doesn't exist
    /// - waits for the other process if another process has the lock, and calls `wait` again and again meanwhile
    ///
    /// # Errors
    /// - [`Busy`](tonic_base::Error::Busy) if another process has the lock, except with [`Existing::Auto`]
    /// - [`Exists`](tonic_base::Error::Exists) if the folder has a run and `existing` does not allow that
    /// - [`Usage`](tonic_base::Error::Usage) if `path` is a URL
    /// - [`Io`](tonic_base::Error::Io), [`Interrupted`](tonic_base::Error::Interrupted)
    pub(super) fn find(path: &Path, existing: Existing, wait: impl FnMut() -> Result<()>) -> Result<RunFolder> {
        refuse_url("output", path)?;
        if existing == Existing::Auto {
            std::fs::create_dir_all(path).map_err(Error::io(path, "create the run folder"))?;
            let lock = Some(take_when_free(path, wait)?);
            let existing = if Config::is_in(path) { Existing::Resume } else { Existing::Refuse };
            return RunFolder { path: path.into(), existing, lock }.checked();
        }
        let lock = path.is_dir().then(|| DirLock::take(path)).transpose()?;
        RunFolder { path: path.into(), existing, lock }.checked()
    }

    /// Creates and locks the folder if it doesn't exist. Removes the files of an old run if a new run begins.
    pub(super) fn make(&mut self) -> Result<()> {
        if self.lock.is_none() {
            std::fs::create_dir_all(&self.path).map_err(Error::io(&self.path, "create the run folder"))?;
            self.lock = Some(DirLock::take(&self.path)?);
            self.refuse_present()?; // another process may have written a run since `find`
        }
        match self.existing {
            Existing::Resume => Ok(()),
            _ => {
                FILES.iter().chain([&REPORT]).try_for_each(|name| remove_file(&self.path.join(name)))?;
                events::remove(&self.path)
            }
        }
    }

    pub(crate) fn resumes(&self) -> bool {
        self.existing == Existing::Resume
    }

    /// Returns whether a run is resumed and the folder has its checkpoint or metrics.
    pub(crate) fn has_begun(&self) -> bool {
        self.resumes() && [checkpoint::FILE_NAME, metrics::FILE_NAME].iter().any(|name| self.path.join(name).exists())
    }

    /// Removes temporary files of killed processes. Returns an error if the folder may not be used for this run.
    fn checked(self) -> Result<RunFolder> {
        self.refuse_present()?;
        if self.lock.is_some() {
            let is_ours = |name: &str| FILES.contains(&name) || name.ends_with(".png") || name.ends_with(".svg");
            remove_abandoned(&self.path, is_ours)?;
        }
        Ok(self)
    }

    fn refuse_present(&self) -> Result<()> {
        if [MANIFEST_FILE, MARKER].iter().any(|name| self.path.join(name).exists()) {
            let got = format!("{}, which holds a shard set", self.path.display());
            return Err(Error::usage("output", "a folder for a run", got));
        }
        if self.existing == Existing::Refuse && holds_run(&self.path) {
            return Err(Error::exists(&self.path, "it holds a run"));
        }
        Ok(())
    }
}

/// Locks the folder. If another process has the lock, waits until that process has ended, and calls `wait` meanwhile.
fn take_when_free(path: &Path, mut wait: impl FnMut() -> Result<()>) -> Result<DirLock> {
    let mut taken = DirLock::take(path);
    while let Err(BaseError::Busy { .. }) = taken {
        wait()?;
        taken = DirLock::take_within(path, BEAT, "nothing was changed");
    }
    Ok(taken?)
}
