//! Options of a training run.

use std::path::{Path, PathBuf};

use tonic_base::{Verbosity, printable};
use tonic_loader::CacheChoice;
use tonic_shard::{Existing, ShardSet};

use crate::learner::{Backend, ClassWeights, Pad, Warning};
use crate::network::{HiddenSizes, Layers, PresetFrames};
use crate::run::training_options::TrainingOptions;

/// Options of a run. If an option is `None`:
///
/// - A new run takes the default.
/// - A resumed run takes the value in the run folder.
///
/// A resumed run refuses any other value, unless the description of the option says that it may change.
#[derive(Clone, Debug)]
pub struct FitOptions {
    /// Folder of the training set.
    pub train: PathBuf,
    /// Folder of the validation set, for an evaluation after every epoch.
    pub valid: Option<PathBuf>,
    /// Folder of the test set, for an evaluation at the end.
    pub test: Option<PathBuf>,
    /// Folder of the run.
    pub run: PathBuf,
    /// Number of epochs; 20 by default. A resumed run may change it.
    pub epochs: Option<u64>,
    /// Number of samples per batch; 128 by default.
    pub batch_size: Option<usize>,
    /// Whether an incomplete last batch of an epoch is left out. For a resumed run, `false` means the value in the run
    /// folder.
    pub drop_last: bool,
    /// Layers of the network; those of [`Layers::iaf`] by default.
    pub layers: Option<Layers>,
    /// The frames that `layers` are made for, if `layers` come from a preset. `fit` prints a note if the training
    /// set has other frames.
    pub frames: Option<PresetFrames>,
    /// Numbers of neurons of the hidden layers. By default, the numbers in `layers`; without `layers`, three layers of
    /// 128. With `layers`, [`HiddenSizes::Each`] needs hidden layers that differ only in their numbers of neurons.
    pub hidden: Option<HiddenSizes>,
    /// Spike threshold; 1 by default. Not allowed together with `layers`.
    pub theta: Option<f32>,
    /// Factor by which the initial weights of the hidden layers are multiplied; 1 by default.
    pub gain: Option<f64>,
    /// Whether the running statistics of norms are computed again after the last epoch: from the whole training set,
    /// without dropout. A resumed run may switch this on.
    pub reestimate_norm: bool,
    /// Lower bound of the membrane potential; none by default. Not allowed together with `layers`.
    pub min_v_mem: Option<f32>,
    /// Learning rate before the schedule changes it; 0.001 by default. A resumed run may change it.
    pub lr: Option<f64>,
    /// Seed of the initial weights and of the order of samples; 0 by default.
    pub seed: Option<u64>,
    /// Weights of the classes in the training loss; none by default.
    pub class_weights: Option<ClassWeights>,
    /// Optimiser, schedule of the learning rate, and selection of an epoch.
    pub training: TrainingOptions,
    /// Engine and device that train. A resumed run may change the device and the precision, but not the engine.
    pub backend: Backend,
    /// Whether samples are padded to a fixed number of time steps, or to the longest sample of the batch;
    /// [`Pad::Fixed`] by default.
    pub pad: Option<Pad>,
    /// Where samples are kept between epochs. A resumed run may change it.
    pub cache: CacheChoice,
    /// Whether the pages of streamed shards are locked in memory. A resumed run may change it.
    pub pin: bool,
    /// What to do if the run folder holds a run already.
    pub existing: Existing,
    /// Whether the metrics are also written to an event file of TensorBoard. A resumed run whose folder has an event
    /// file writes one in any case.
    pub tensorboard: bool,
    /// Function that opens a set, such as [`ShardSet::open`].
    pub open: fn(&Path) -> tonic_shard::Result<ShardSet>,
    /// Function that gets a recipe and returns the duration of a frame in seconds, or `None` if the recipe has no fixed
    /// duration.
    pub frame_seconds: fn(&str) -> Option<f64>,
    /// Whether progress is shown.
    pub verbosity: Verbosity,
    /// Function that is called with each warning, even if `verbosity` is quiet.
    pub warn: fn(&Warning),
}

impl FitOptions {
    /// Returns these options for a rank that doesn't talk to the user.
    pub(super) fn silent(&self) -> FitOptions {
        FitOptions { verbosity: Verbosity::Quiet, warn: |_| (), ..self.clone() }
    }

    /// Prints a line to stderr if `verbosity` is normal.
    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.verbosity == Verbosity::Normal {
            eprintln!("{}", printable(&what()));
        }
    }
}
