//! Options of a training run.

use std::path::PathBuf;

use tonic_base::{Verbosity, printable};
use tonic_loader::CacheChoice;

use crate::learner::{Backend, ClassWeights, Pad, Warning};

/// Options of a run. Where an option of the result is `None`, a new run has the default, and a resumed run what its
/// folder has. A resumed run refuses other values than its own.
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
    /// Number of epochs; 20 by default. A resume may change it.
    pub epochs: Option<u64>,
    /// Samples per batch; 128 by default.
    pub batch_size: Option<usize>,
    /// Leave out an epoch's last batch if it would be smaller. A resumed run does as it did.
    pub drop_last: bool,
    /// Neurons of each hidden layer; three layers of 128 by default.
    pub hidden: Option<Vec<usize>>,
    /// Spike threshold; 1 by default.
    pub theta: Option<f32>,
    /// Factor of the hidden layers' initial weights, not of their biases; 1 by default.
    pub gain: Option<f64>,
    /// Lower bound of the membrane potential; none by default.
    pub min_v_mem: Option<f32>,
    /// Learning rate; Adam's by default. A resume may change it.
    pub lr: Option<f64>,
    /// Seed of the initial weights and of the order of samples; 0 by default.
    pub seed: Option<u64>,
    /// Weights of the classes in the training loss; none by default.
    pub class_weights: Option<ClassWeights>,
    /// What trains.
    pub backend: Backend,
    /// What samples are padded to.
    pub pad: Option<Pad>,
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
    /// Called with each warning as it arises, whether progress is shown or not.
    pub warn: fn(&Warning),
}

impl FitOptions {
    /// Prints a line to stderr, unless progress is quiet.
    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.verbosity == Verbosity::Normal {
            eprintln!("{}", printable(&what()));
        }
    }
}
