//! The trait `Learner`: trains and evaluates a network in whole epochs, on any device.

use std::time::Duration;

use tonic_base::Progress;
use tonic_loader::{Batch, EpochOrder};
use tonic_ranks::Ranks;

use crate::engine::{BatchLoss, SpikeCounts};
use crate::error::Result;
use crate::feed::Feed;
use crate::kernel::{Group, Optimiser, OptimiserConfig};
use crate::learner::evaluation::Evaluation;
use crate::learner::padding::Padding;
use crate::learner::schedule::Rates;
use crate::network::{Network, Tensor};

/// The batches to train on: those of one epoch, from the batch with the index `first` on.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// Order of the samples.
    pub order: EpochOrder,
    /// Number of samples per batch.
    pub batch_size: usize,
    /// Index of the first batch to train on, counted from 0.
    pub first: u64,
    /// Padding of the samples.
    pub padding: Padding,
    /// Learning rate and momentum of each batch.
    pub rates: Rates,
}

/// Sizes for the buffers of a learner on a GPU.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Maximum number of samples in a batch.
    pub batch: usize,
    /// Maximum number of time steps of a sample.
    pub longest: usize,
    /// Maximum number of batches in an epoch.
    pub batches: u64,
    /// Number of samples of the largest set that is evaluated.
    pub evaluated: u64,
}

/// A network in training, and its optimiser.
#[derive(Clone, Debug)]
pub struct TrainState {
    /// The network.
    pub network: Network,
    /// The optimiser.
    pub optimiser: Optimiser,
}

impl TrainState {
    /// Returns the state before the first step, with Adam's default settings.
    pub fn new(network: Network) -> TrainState {
        TrainState::with_optimiser(network, OptimiserConfig::default(), &[])
    }

    /// Returns the state before the first step. The weight decay acts only on weights, not on other parameters.
    ///
    /// Tensors whose names are in `frozen` keep their values. [`Tensor::is_in`] explains the names.
    pub fn with_optimiser(network: Network, config: OptimiserConfig, frozen: &[String]) -> TrainState {
        let group = |tensor: &Tensor| Group {
            frozen: tensor.is_in(frozen),
            range: tensor.range.clone(),
            decays: tensor.is_weight(),
        };
        let groups = network.architecture().tensors().iter().map(group).collect();
        TrainState { network, optimiser: Optimiser::with_groups(config, groups) }
    }
}

impl TrainState {
    /// Copies the parameters and the optimiser's moving averages of rank 0 to all ranks.
    pub(crate) fn copy_from_root(&mut self, ranks: Ranks) {
        self.network.parameters.copy_from_root(ranks);
        ranks.copy_from_root(&mut self.optimiser.mean);
        ranks.copy_from_root(&mut self.optimiser.mean_square);
    }
}

/// Adds up the spike counts of all batches, for each layer.
pub(super) fn total(batches: impl IntoIterator<Item = Result<Vec<SpikeCounts>>>) -> Result<Vec<SpikeCounts>> {
    let plus = |sum: Vec<SpikeCounts>, batch: Result<Vec<SpikeCounts>>| -> Result<_> {
        let batch = batch?;
        Ok(if sum.is_empty() { batch } else { sum.into_iter().zip(&batch).map(|(sum, of)| sum.plus(of)).collect() })
    };
    batches.into_iter().try_fold(Vec::new(), plus)
}

/// Trains and evaluates a network in whole epochs, with the same interface on every device.
pub trait Learner: std::fmt::Debug {
    /// Returns the network and the optimiser.
    ///
    /// On a GPU, only `optimiser.step` is always current. [`sync`](Learner::sync) updates the other values.
    fn state(&self) -> &TrainState;

    /// Copies the current parameters and the optimiser's moving averages to [`state`](Learner::state).
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda).
    fn sync(&mut self) -> Result<()>;

    /// Restarts training from `state`, whose network must have the same shape as the current network.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda).
    ///
    /// # Panics
    /// If the shapes of the two networks differ. On some devices, only the next training step panics.
    fn restart(&mut self, state: &TrainState) -> Result<()>;

    /// Trains on the batches of an epoch, and stops early after an interruption. Calls `each` with the loss and the
    /// number of samples of every batch.
    ///
    /// # Errors
    /// - [`tonic_base::Error::Interrupted`] if an interruption stops the computation of a batch. The network then
    ///   has the state after the last batch that was passed to `each`.
    /// - [`Error::Kernel`](crate::Error::Kernel) if the loss of a batch, a membrane potential or a gradient is NaN or
    ///   infinite, or if the loss without its penalty is at least 2^24. On a GPU, this batch and later batches may have
    ///   changed the parameters if the loss is finite.
    /// - The errors of reading the set, and [`Error::Cuda`](crate::Error::Cuda).
    fn train(&mut self, feed: &Feed, epoch: &Epoch, each: &mut dyn FnMut(&BatchLoss, usize)) -> Result<()>;

    /// Evaluates the network on all samples of a set.
    ///
    /// # Errors
    /// [`Error::Unlabelled`](crate::Error::Unlabelled), the errors of reading the set,
    /// [`Error::Kernel`](crate::Error::Kernel), [`tonic_base::Error::Interrupted`],
    /// [`Error::Cuda`](crate::Error::Cuda).
    fn evaluate(&mut self, feed: &Feed, padding: Padding, progress: &Progress) -> Result<Evaluation>;

    /// Sets the samples for [`spikes`](Learner::spikes). A batch of `samples` must not be larger than a batch of
    /// training.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel), [`Error::DeviceMemory`](crate::Error::DeviceMemory),
    /// [`Error::Cuda`](crate::Error::Cuda).
    fn watch(&mut self, samples: Vec<Batch>) -> Result<()>;

    /// Computes the forward pass of the samples of [`watch`](Learner::watch), as in training but without dropout.
    /// Returns the spike counts of each hidden layer.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel), [`Error::Cuda`](crate::Error::Cuda).
    fn spikes(&mut self, padding: Padding) -> Result<Vec<SpikeCounts>>;

    /// Returns a message for the user about the training so far. Returns each message only once.
    fn remark(&mut self) -> Option<String> {
        None
    }

    /// Returns how long this rank has copied and added up sums in host memory so far, if several ranks train on GPUs.
    /// Waits for other ranks don't count. Returns 0 on the CPU.
    fn exchange_time(&self) -> Duration {
        Duration::ZERO
    }
}
