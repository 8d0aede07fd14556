//! The trait `Learner`: trains and evaluates a network in whole epochs, on any device.

use tonic_base::Progress;
use tonic_loader::{Batch, EpochOrder};

use crate::engine::{BatchLoss, SpikeCounts};
use crate::error::Result;
use crate::feed::Feed;
use crate::kernel::{Adam, AdamConfig};
use crate::learner::evaluation::Evaluation;
use crate::learner::padding::Padding;
use crate::network::Network;

/// The part of an epoch to train on: all batches from batch number `first` on.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// Order of the samples.
    pub order: EpochOrder,
    /// Number of samples per batch.
    pub batch_size: usize,
    /// Number of the first batch to train on, counted from 0. Earlier batches are skipped.
    pub first: u64,
    /// Padding of the samples.
    pub padding: Padding,
}

/// Sizes that a learner on a GPU allocates buffers for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Maximum number of samples in a batch.
    pub batch: usize,
    /// Maximum number of time steps that a sample runs for.
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
    /// Returns the state before the first step, with the default settings of Adam.
    pub fn new(network: Network) -> TrainState {
        let adam = Adam::new(AdamConfig::default(), network.parameters.flat().len());
        TrainState { network, adam }
    }
}

/// Returns the spike counts of each layer, summed over all batches. If a batch has an error, returns the first error.
pub(super) fn total(batches: impl IntoIterator<Item = Result<Vec<SpikeCounts>>>) -> Result<Vec<SpikeCounts>> {
    let plus = |sum: Vec<SpikeCounts>, batch: Result<Vec<SpikeCounts>>| -> Result<_> {
        let batch = batch?;
        Ok(if sum.is_empty() { batch } else { sum.into_iter().zip(&batch).map(|(sum, of)| sum.plus(of)).collect() })
    };
    batches.into_iter().try_fold(Vec::new(), plus)
}

/// Trains and evaluates a network in whole epochs. The interface is the same on every device.
pub trait Learner: std::fmt::Debug {
    /// Returns the network and the optimiser. If the learner trains on a GPU, they are a copy in host memory. Training
    /// doesn't change the parameters and Adam's moving averages of this copy: [`sync`](Learner::sync) brings them up to
    /// date. On every device, `adam.step` goes up by 1 for each batch whose loss [`train`](Learner::train) passes to
    /// `each`.
    fn state(&self) -> &TrainState;

    /// Copies the current parameters and Adam's moving averages to [`state`](Learner::state).
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda).
    fn sync(&mut self) -> Result<()>;

    /// Restarts training from `state`. The network of `state` must have the same shape as the network of this learner.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda).
    ///
    /// # Panics
    /// If the shapes of the two networks differ: in this call, or in the next step of training.
    fn restart(&mut self, state: &TrainState) -> Result<()>;

    /// Trains on the batches of an epoch, until the last batch or until an interruption is requested. Calls `each` with
    /// the loss and the number of samples of every batch.
    ///
    /// # Errors
    /// [`tonic_base::Error::Interrupted`] if an interruption stops the computation of a batch. This batch is given up:
    /// the state is that after the last batch that was passed to `each`.
    ///
    /// [`Error::Kernel`](crate::Error::Kernel) if the loss of a batch is NaN, infinite, or 2^24 or more. The parameters
    /// are then those from before this batch, with one exception: on a GPU, if the loss is finite, this batch and some
    /// later ones may already have updated the parameters.
    ///
    /// The errors of reading the set; [`Error::Cuda`](crate::Error::Cuda).
    fn train(&mut self, feed: &Feed, epoch: &Epoch, each: &mut dyn FnMut(&BatchLoss, usize)) -> Result<()>;

    /// Evaluates the network on all samples of a set.
    ///
    /// # Errors
    /// [`Error::Unlabelled`](crate::Error::Unlabelled), the errors of reading the set,
    /// [`Error::Kernel`](crate::Error::Kernel), [`tonic_base::Error::Interrupted`],
    /// [`Error::Cuda`](crate::Error::Cuda).
    fn evaluate(&mut self, feed: &Feed, padding: Padding, progress: &Progress) -> Result<Evaluation>;

    /// Sets the samples whose spikes [`spikes`](Learner::spikes) counts. No batch of `samples` may be larger than the
    /// batches of training.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel), [`Error::DeviceMemory`](crate::Error::DeviceMemory),
    /// [`Error::Cuda`](crate::Error::Cuda).
    fn watch(&mut self, samples: Vec<Batch>) -> Result<()>;

    /// Runs the network forward on the samples that were given to [`watch`](Learner::watch), with the current weights.
    /// Returns the spike counts of each hidden layer.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel), [`Error::Cuda`](crate::Error::Cuda).
    fn spikes(&mut self, padding: Padding) -> Result<Vec<SpikeCounts>>;

    /// Returns a remark about the training so far that the user should see, or `None`. The same remark is returned only
    /// once.
    fn remark(&mut self) -> Option<String> {
        None
    }
}
