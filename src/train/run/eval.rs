//! Evaluates the network of a run on a set.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tonic_base::{Progress, Verbosity};
use tonic_loader::CacheChoice;
use tonic_shard::{Manifest, ShardSet};

use crate::engine::EngineChoice;
use crate::error::Result;
use crate::feed::Feed;
use crate::kernel::program::Program;
use crate::learner::{Backend, ClassBalance, ClassWeights, Evaluation, Padding, Warning, check_steps, longest_steps};
use crate::network::Network;
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
    /// Whether to evaluate the network of the epoch with the best validation score, instead of the network after the
    /// last epoch.
    pub best: bool,
    /// Function that opens a set, such as [`ShardSet::open`].
    pub open: fn(&Path) -> tonic_shard::Result<ShardSet>,
    /// Whether progress is shown.
    pub verbosity: Verbosity,
    /// Function that is called with each warning about the set.
    pub warn: fn(&Warning),
}

/// Evaluates the network of a run on a set. `choose` gets the engine of the run and returns the backend that computes.
///
/// # Errors
/// - the errors of reading the run folder, the model and the set
/// - [`Mismatch`](tonic_shard::Error::Mismatch) if the set or the model doesn't fit the run
/// - the errors of [`Learner::evaluate`](crate::learner::Learner::evaluate)
pub fn eval(options: &EvalOptions, choose: impl FnOnce(EngineChoice) -> Result<Backend>) -> Result<Evaluation> {
    let EvalOptions { run, data, best, open, verbosity, warn } = options;
    let trained = Trained::open(run, data, *best, *open, Config::check_data)?;
    ClassBalance::of(&trained.set).warnings(ClassWeights::None).iter().for_each(warn);
    trained.run(choose, *verbosity, "evaluate", Backend::evaluate)
}

/// The configuration and the network of a run, and a set that fits the run.
pub(crate) struct Trained {
    pub(crate) config: Config,
    pub(crate) network: Network,
    pub(crate) set: ShardSet,
}

/// A function that runs a network over a set: [`Backend::evaluate`] or [`Backend::logits`].
type Pass<T> = fn(&Backend, Option<&Arc<Program>>, &Network, &Feed, (Padding, usize), &Progress) -> Result<T>;

impl Trained {
    /// Reads the network of the run, and opens the set. `check` checks that the set fits the run.
    pub(crate) fn open(
        run: &Path,
        data: &Path,
        best: bool,
        open: fn(&Path) -> tonic_shard::Result<ShardSet>,
        check: fn(&Config, &Path, &Path, &Manifest) -> Result<()>,
    ) -> Result<Trained> {
        let config = Config::read(run)?;
        let set = open(data)?;
        check(&config, run, data, set.manifest())?;
        let network = read_network(run, &config, if best { BEST } else { MODEL })?.network;
        sums::check(run, config::FILE_NAME)?;
        Ok(Trained { config, network, set })
    }

    /// Runs all samples forward on the chosen backend. The progress display shows the text `doing`.
    pub(super) fn run<T>(
        self,
        choose: impl FnOnce(EngineChoice) -> Result<Backend>,
        verbosity: Verbosity,
        doing: &'static str,
        pass: Pass<T>,
    ) -> Result<T> {
        let backend = choose(self.config.engine)?.for_layers(self.network.layers())?;
        let longest = longest_steps(self.config.steps, &[&self.set]);
        let program = backend.program(&[&self.set], longest, None)?;
        self.with_feed(program.as_deref(), verbosity, doing, |network, feed, padding, progress| {
            pass(&backend, program.as_ref(), network, feed, (padding, longest), progress)
        })
    }

    /// Calls `pass`, which runs all samples forward with our kernels on the CPU.
    pub(crate) fn on_cpu<T>(
        self,
        verbosity: Verbosity,
        doing: &'static str,
        pass: impl FnOnce(&Network, &Feed, Padding, &Progress) -> Result<T>,
    ) -> Result<T> {
        self.with_feed(None, verbosity, doing, pass)
    }

    fn with_feed<T>(
        self,
        program: Option<&Program>,
        verbosity: Verbosity,
        doing: &'static str,
        pass: impl FnOnce(&Network, &Feed, Padding, &Progress) -> Result<T>,
    ) -> Result<T> {
        let Trained { config, network, set } = self;
        check_steps("data", network.shape(), longest_steps(config.steps, &[&set]))?;
        let feed = Feed::new(set, CacheChoice::Stream, program, verbosity)?;
        let progress = Progress::start(verbosity, doing, feed.loader().set().len(), "samples");
        let padding = Padding { pad: config.pad, steps: config.steps };
        let result = pass(&network, &feed, padding, &progress)?;
        progress.finish();
        Ok(result)
    }
}
