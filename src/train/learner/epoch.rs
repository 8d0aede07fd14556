//! The learner: trains and evaluates a network in whole epochs, on any device.

use tonic_base::Progress;
use tonic_loader::{Batch, EpochOrder};

use crate::engine::{BatchLoss, SpikeCounts};
use crate::error::Result;
use crate::feed::Feed;
use crate::kernel::{Adam, AdamConfig};
use crate::learner::evaluation::Evaluation;
use crate::learner::padding::Padding;
use crate::network::Network;

/// The part of an epoch to train on: its batches from number `first` on.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// Order of the samples.
    pub order: EpochOrder,
    /// Samples per batch.
    pub batch_size: usize,
    /// Number of the first batch: batches before it are done.
    pub first: u64,
    /// How samples are padded.
    pub padding: Padding,
}

/// Sizes that a learner on a GPU allocates buffers for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Maximum number of samples in a batch.
    pub batch: usize,
    /// Maximum number of steps of a sample.
    pub longest: usize,
    /// Maximum number of batches in an epoch.
    pub batches: u64,
    /// Number of samples in the largest set that is evaluated.
    pub evaluated: u64,
}

/// A network in training, and its optimiser.
#[derive(Clone, Debug)]
pub struct TrainState {
    /// The network.
    pub network: Network,
    /// The optimiser.
    pub adam: Adam,
}

impl TrainState {
    /// The state before the first step, with Adam's defaults.
    pub fn new(network: Network) -> TrainState {
        let adam = Adam::new(AdamConfig::default(), network.parameters.flat().len());
        TrainState { network, adam }
    }
}

/// Adds up the counts of batches, layer by layer.
pub(super) fn total(batches: impl IntoIterator<Item = Result<Vec<SpikeCounts>>>) -> Result<Vec<SpikeCounts>> {
    let plus = |sum: Vec<SpikeCounts>, batch: Result<Vec<SpikeCounts>>| -> Result<_> {
        let batch = batch?;
        Ok(if sum.is_empty() { batch } else { sum.into_iter().zip(&batch).map(|(sum, of)| sum.plus(of)).collect() })
    };
    batches.into_iter().try_fold(Vec::new(), plus)
}

/// Trains a network. Epochs, evaluations and the state that a checkpoint holds are the same on every device.
pub trait Learner: std::fmt::Debug {
    /// Network and optimiser. [`sync`](Learner::sync) copies parameters and moments; `adam.step` counts the batches
    /// whose scores were read, also between syncs.
    fn state(&self) -> &TrainState;

    /// Updates [`state`](Learner::state) to the current state of training.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda).
    fn sync(&mut self) -> Result<()>;

    /// Restarts training from another state, of a network of the same shape.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda).
    ///
    /// # Panics
    /// If the network has another shape.
    fn restart(&mut self, state: &TrainState) -> Result<()>;

    /// Trains on an epoch's batches until they end or an interruption is requested. `each` gets the loss of every batch
    /// and its number of samples.
    ///
    /// # Errors
    /// Errors of loading; [`Error::Cuda`](crate::Error::Cuda); [`Error::Kernel`](crate::Error::Kernel) for a loss that
    /// is not finite or at least 2^24. The CPU stops before that batch's update. A GPU does so only if the loss is not
    /// finite; after a large finite loss, later batches may have been trained on too.
    fn train(&mut self, feed: &Feed, epoch: &Epoch, each: &mut dyn FnMut(&BatchLoss, usize)) -> Result<()>;

    /// Evaluates the network on all samples of a set.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] for a set without labels, errors of loading,
    /// [`Error::Kernel`](crate::Error::Kernel), [`tonic_base::Error::Interrupted`],
    /// [`Error::Cuda`](crate::Error::Cuda).
    fn evaluate(&mut self, feed: &Feed, padding: Padding, progress: &Progress) -> Result<Evaluation>;

    /// Sets the samples of [`spikes`](Learner::spikes), in batches that are not larger than those of training.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel), [`Error::DeviceMemory`](crate::Error::DeviceMemory),
    /// [`Error::Cuda`](crate::Error::Cuda).
    fn watch(&mut self, samples: Vec<Batch>) -> Result<()>;

    /// Counts the spikes of each hidden layer over the samples of [`watch`](Learner::watch), in a forward pass with the
    /// current weights.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel), [`Error::Cuda`](crate::Error::Cuda).
    fn spikes(&mut self, padding: Padding) -> Result<Vec<SpikeCounts>>;

    /// Returns a remark about training so far that users should see. Each remark is returned once.
    fn remark(&mut self) -> Option<String> {
        None
    }
}
