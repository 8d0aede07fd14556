//! Evaluates the network of a run on a set.

use std::path::{Path, PathBuf};

use tonic_base::{Progress, Verbosity};
use tonic_loader::CacheChoice;
use tonic_shard::ShardSet;

use crate::engine::EngineChoice;
use crate::error::Result;
use crate::feed::Feed;
use crate::learner::{Backend, ClassBalance, ClassWeights, Evaluation, Padding, Warning, longest_steps};
use crate::run::config::{self, Config};
use crate::run::folder::{BEST, MODEL};
use crate::run::saved_networks::read_network;
use crate::run::sums;

/// Options of an evaluation.
#[derive(Clone, Debug)]
pub struct EvalOptions {
    /// Folder of the run.
    pub run: PathBuf,
    /// Folder of the shard set to evaluate on.
    pub data: PathBuf,
    /// Whether to evaluate the network of the epoch with the best validation accuracy, and not that of the last
    /// epoch.
    pub best: bool,
    /// Function that opens a set, such as [`ShardSet::open`].
    pub open: fn(&Path) -> tonic_shard::Result<ShardSet>,
    /// Whether progress is shown.
    pub verbosity: Verbosity,
    /// Function that is called with each warning about the set, before the evaluation starts.
    pub warn: fn(&Warning),
}

/// Evaluates the network of a run on a set. `choose` gets the run's choice of engine and returns the backend that
/// computes.
///
/// # Errors
/// The errors of reading the run folder, the model and the set; [`tonic_shard::Error::Mismatch`] if they do not fit
/// together; the errors of [`Learner::evaluate`](crate::learner::Learner::evaluate).
pub fn eval(options: &EvalOptions, choose: impl FnOnce(EngineChoice) -> Result<Backend>) -> Result<Evaluation> {
    let EvalOptions { run, data, .. } = options;
    let config = Config::read(run)?;
    let set = (options.open)(data)?;
    config.check_data(run, data, set.manifest())?;
    let trained = read_network(run, &config, if options.best { BEST } else { MODEL })?;
    sums::check(run, config::FILE_NAME)?;
    ClassBalance::of(&set).warnings(ClassWeights::None).iter().for_each(options.warn);
    let backend = choose(config.engine)?;
    let longest = longest_steps(config.steps, &[&set]);
    let program = backend.program(&[&set], longest)?;
    let feed = Feed::new(set, CacheChoice::Stream, program.as_deref(), options.verbosity)?;
    let progress = Progress::start(options.verbosity, "evaluate", feed.loader().set().len(), "samples");
    let padding = Padding { pad: config.pad, steps: config.steps };
    let evaluation = backend.evaluate(program.as_ref(), &trained.network, &feed, (padding, longest), &progress)?;
    progress.finish();
    Ok(evaluation)
}
