//! Opens the sets of a run, checks that they fit together, and stores their paths in `sets.toml`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tonic_base::publish;
use tonic_shard::{ShardSet, is_url};

use crate::error::{BaseFault, Error, Result};
use crate::learner::check_labelled;
use crate::run::config::DataConfig;
use crate::run::options::FitOptions;

pub(super) const FILE_NAME: &str = "sets.toml";

/// Absolute paths or URLs of the sets of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetPaths {
    /// The training set.
    pub train: PathBuf,
    /// The validation set. `None` if the run has no validation set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<PathBuf>,
    /// The test set. `None` if the run has no test set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
}

impl SetPaths {
    /// Reads the paths of the sets of a run, and checks that sets on this machine exist.
    ///
    /// # Errors
    /// - [`Usage`](tonic_base::Error::Usage) with the field `train`, `valid` or `test` if this set no longer exists
    /// - [`Usage`](tonic_base::Error::Usage) with the field `train` if an earlier version began the run and wrote no
    ///   `sets.toml`
    /// - the errors of reading a file of the run
    pub fn read(run: &Path) -> Result<SetPaths> {
        let Some(paths) = SetPaths::stored(run)? else {
            let expected = format!("the training set, which {} does not name (no {FILE_NAME})", run.display());
            return Err(Error::usage("train", expected, "none"));
        };
        for (field, set) in
            [("train", Some(&paths.train)), ("valid", paths.valid.as_ref()), ("test", paths.test.as_ref())]
        {
            if let Some(set) = set.filter(|set| !is_url(set) && !set.exists()) {
                let expected = format!("the set of the run, which was at {}", set.display());
                return Err(Error::usage(field, expected, "nothing there"));
            }
        }
        Ok(paths)
    }

    /// Reads the paths of the sets of a run, which may no longer exist. Returns `None` if an earlier version began the
    /// run.
    pub(crate) fn stored(run: &Path) -> Result<Option<SetPaths>> {
        let path = run.join(FILE_NAME);
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&path, "read the paths of the sets")(error)),
            Ok(text) => toml::from_str(&text)
                .map(Some)
                .map_err(|e: toml::de::Error| Error::corrupt(&path, "TOML", "paths of sets", e.message())),
        }
    }

    /// Writes the paths of the sets in the options to `sets.toml`. If the options name no validation set or no test
    /// set, a stored path of this set stays. If a path is not UTF-8, writes nothing.
    pub(super) fn publish(fit: &FitOptions) -> Result<()> {
        let absolute = |set: &PathBuf| match is_url(set) {
            true => Ok(set.clone()),
            false => std::path::absolute(set).map_err(Error::io(set, "find the set")),
        };
        let [valid, test] = [&fit.valid, &fit.test].map(|set| set.as_ref().map(absolute).transpose());
        let stored = SetPaths::stored(&fit.run).ok().flatten();
        let (stored_valid, stored_test) = stored.map_or((None, None), |stored| (stored.valid, stored.test));
        let paths =
            SetPaths { train: absolute(&fit.train)?, valid: valid?.or(stored_valid), test: test?.or(stored_test) };
        match toml::to_string(&paths) {
            Ok(text) => Ok(publish(&fit.run.join(FILE_NAME), text.as_bytes())?),
            Err(_) => Ok(()),
        }
    }
}

/// The sets of a run. All samples have labels.
pub(super) struct Sets {
    pub(super) train: ShardSet,
    pub(super) valid: Option<ShardSet>,
    pub(super) test: Option<ShardSet>,
}

impl Sets {
    /// Opens the sets that the options name.
    ///
    /// # Errors
    /// The errors of reading the sets; [`Mismatch`](tonic_shard::Error::Mismatch) if they don't fit together;
    /// [`Error::Unlabelled`](crate::Error::Unlabelled).
    pub(super) fn open(fit: &FitOptions) -> Result<Sets> {
        let train = (fit.open)(&fit.train)?;
        check_labelled(&train)?;
        let others = [&fit.valid, &fit.test].map(|dir| dir.as_ref().map(|dir| (fit.open)(dir)).transpose());
        let [valid, test] = others;
        let (valid, test) = (valid?, test?);
        for set in [&valid, &test].into_iter().flatten() {
            set.manifest().check_compatible(set.dir(), train.manifest(), train.dir())?;
            check_labelled(set)?;
        }
        Ok(Sets { train, valid, test })
    }

    pub(super) fn data(&self) -> DataConfig {
        let [valid, test] = [&self.valid, &self.test].map(|set| set.as_ref().map(ShardSet::manifest));
        DataConfig::of(self.train.manifest(), valid, test)
    }
}
