//! Options of a training run.

use std::path::PathBuf;

use tonic_base::Verbosity;
use tonic_loader::CacheChoice;

use crate::learner::{Backend, Pad};

/// Options of a run.
#[derive(Clone, Debug)]
pub struct FitOptions {
    /// The training set.
    pub train: PathBuf,
    /// Validation set, evaluated after every epoch.
    pub valid: Option<PathBuf>,
    /// Test set, evaluated once, at the end.
    pub test: Option<PathBuf>,
    /// The run folder.
    pub run: PathBuf,
    /// Number of epochs.
    pub epochs: u64,
    /// Samples per batch.
    pub batch_size: usize,
    /// Leave out an epoch's last batch if it would be smaller.
    pub drop_last: bool,
    /// Neurons of each hidden layer.
    pub hidden: Vec<usize>,
    /// Lower bound of the membrane potential.
    pub min_v_mem: Option<f32>,
    /// Learning rate. `None`: Adam's default, or the learning rate of the resumed run.
    pub lr: Option<f64>,
    /// Seed of the initial weights and of the order of samples.
    pub seed: u64,
    /// What trains.
    pub backend: Backend,
    /// What samples are padded to.
    pub pad: Pad,
    /// Where samples are kept.
    pub cache: CacheChoice,
    /// Keep the pages of streamed shards in memory.
    pub pin: bool,
    /// Resume the run in the folder.
    pub resume: bool,
    /// Replace the run in the folder.
    pub overwrite: bool,
    /// Whether progress is shown.
    pub verbosity: Verbosity,
}

impl FitOptions {
    /// Prints a line to stderr, unless progress is quiet.
    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.verbosity == Verbosity::Normal {
            eprintln!("{}", what());
        }
    }
}
