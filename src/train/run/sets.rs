//! Opens the sets of a run, and checks that they fit together.

use tonic_shard::ShardSet;

use crate::error::Result;
use crate::learner::check_labelled;
use crate::run::config::DataConfig;
use crate::run::options::FitOptions;

/// The sets of a run. They fit together, and their samples have labels.
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

    /// Returns the part of a run's configuration that describes the sets.
    pub(super) fn data(&self) -> DataConfig {
        let [valid, test] = [&self.valid, &self.test].map(|set| set.as_ref().map(ShardSet::manifest));
        DataConfig::of(self.train.manifest(), valid, test)
    }
}
