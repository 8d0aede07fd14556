//! The trait that every engine implements, and the loss of a batch.

use std::time::Duration;

use tonic_base::interrupt;
use tonic_loader::{Batch, MAX_BLOCKS, Share};
use tonic_ranks::Ranks;

use crate::engine::training_loss::TrainingLoss;
use crate::error::{Error, KernelError, Result};
use crate::kernel::{SpikeCounts, loss};
use crate::network::{Network, Parameters};

/// Computes losses, logits and gradients of batches in host memory.
///
/// Each sample runs for `steps` time steps, or for all its frames if it has more. `network` must have the shape that
/// the engine was made for.
///
/// If several ranks train together, each has an engine. [`step`](Engine::step) and [`spikes`](Engine::spikes) then get
/// this rank's share of the batch, and all ranks must call them together. Loss, gradient and the statistics of norms
/// are those of the whole batch. Logits and spike counts are those of this rank's share. All other functions work on
/// this rank alone.
pub trait Engine: std::fmt::Debug {
    /// Returns the mean loss of a batch, and writes the gradient of the loss for every parameter into `gradient`.
    /// Doesn't change the parameters.
    ///
    /// # Errors
    /// - [`Error::Kernel`](crate::Error::Kernel) if the batch does not fit the network, if the loss is NaN or infinite,
    ///   if the loss without its penalty is at least 2^24, or if a membrane potential is NaN or infinite.
    /// - [`Interrupted`](tonic_base::Error::Interrupted) after an interruption, for example Ctrl-C.
    ///
    /// After an error, the content of `gradient` is unspecified.
    ///
    /// # Panics
    /// If the shapes of `network`, `gradient` and the engine differ.
    fn step(&mut self, network: &Network, batch: &Batch, steps: usize, gradient: &mut Parameters) -> Result<BatchLoss>;

    /// Returns the logits of a batch, (batch, classes). Doesn't read the labels.
    ///
    /// # Errors
    /// - [`Error::Kernel`](crate::Error::Kernel) if a sample does not fit the network.
    /// - [`Interrupted`](tonic_base::Error::Interrupted) after an interruption, for example Ctrl-C.
    ///
    /// # Panics
    /// If the shapes of `network` and the engine differ.
    fn forward(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<&[f32]>;

    /// Returns the spike counts of each hidden layer for a batch, the layer next to the input first. Norms use the
    /// statistics of the batch, as in training. Dropout is off. Doesn't read the labels.
    ///
    /// # Errors
    /// The errors of [`Engine::forward`].
    ///
    /// # Panics
    /// If the shapes of `network` and the engine differ.
    fn spikes(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<Vec<SpikeCounts>>;

    /// Sets the loss for later calls of [`step`](Engine::step). [`evaluate`](Engine::evaluate) always computes the
    /// plain mean of the cross entropy.
    ///
    /// # Errors
    /// [`Unavailable`](tonic_base::Error::Unavailable) with the name of a setting that the engine doesn't support.
    fn set_loss(&mut self, loss: TrainingLoss) -> Result<()>;

    /// Returns the logits of the last batch, (batch, classes).
    fn logits(&self) -> &[f32];

    /// Returns a message for the user about the steps so far. Returns each message only once.
    fn remark(&mut self) -> Option<String> {
        None
    }

    /// Returns how long this rank has copied and added up sums in host memory so far, if several ranks train on GPUs.
    /// Waits for other ranks don't count. Returns 0 on the CPU.
    fn exchange_time(&self) -> Duration {
        Duration::ZERO
    }

    /// Returns the mean loss of a batch without computing gradients, and keeps the logits for [`Engine::logits`].
    ///
    /// # Errors
    /// - [`Error::Kernel`](crate::Error::Kernel) if the batch does not fit the network, or if a loss or a membrane
    ///   potential is NaN or infinite.
    /// - [`Interrupted`](tonic_base::Error::Interrupted) after an interruption, for example Ctrl-C.
    ///
    /// # Panics
    /// If the shapes of `network` and the engine differ.
    fn evaluate(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<BatchLoss> {
        let predictions = predict(self, network, batch, steps)?;
        let loss = predictions.iter().map(|of| of.loss).sum::<f64>() / batch.len() as f64;
        let correct = predictions.iter().filter(|prediction| prediction.is_correct()).count();
        Ok(BatchLoss { loss, correct, penalty: 0.0 })
    }
}

/// Returns an error after an interruption, for example Ctrl-C.
pub(crate) fn check_interrupt() -> Result<()> {
    Ok(interrupt::check("the evaluation is not complete")?)
}

pub(crate) fn predict<E: Engine + ?Sized>(
    engine: &mut E,
    network: &Network,
    batch: &Batch,
    steps: usize,
) -> Result<Vec<Prediction>> {
    let classes = network.shape().classes;
    check_labels(batch, classes)?;
    let logits = engine.forward(network, batch, steps)?;
    let rows = logits.chunks_exact(classes).zip(&batch.labels);
    let predictions: Vec<Prediction> = rows.map(|(logits, &label)| Prediction::of(logits, label)).collect();
    let loss = predictions.iter().map(|of| of.loss).sum();
    finite(BatchLoss { loss, correct: 0, penalty: 0.0 })?;
    Ok(predictions)
}

/// Purpose of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// A training step: norms use the statistics of the batch, and dropout is on.
    Training,
    /// A measurement of a network in training: norms use the statistics of the batch, and dropout is off.
    Measuring,
    /// An evaluation: norms use the running statistics, and dropout is off.
    Evaluation,
}

impl Pass {
    /// Returns whether norms use the statistics of the batch, and not the running statistics.
    pub(super) fn uses_batch(self) -> bool {
        self != Pass::Evaluation
    }
}

/// Mean loss of a batch, and number of correct predictions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchLoss {
    /// Mean cross entropy of the batch. In a training step, the loss that [`TrainingLoss`] describes.
    pub loss: f64,
    /// Number of samples whose label is the class with the largest logit.
    pub correct: usize,
    /// Part of `loss` that is the penalty for spike rates.
    pub penalty: f64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Prediction {
    /// Cross entropy of the sample.
    pub loss: f64,
    /// Class with the largest logit.
    pub predicted: u32,
    pub label: u32,
}

impl Prediction {
    /// Returns loss and predicted class for logits, (classes,).
    pub(crate) fn of(logits: &[f32], label: u32) -> Prediction {
        let loss = loss::cross_entropy(logits, label as usize, 1.0, &mut vec![0.0; logits.len()]);
        Prediction { loss, predicted: loss::predicted(logits) as u32, label }
    }

    pub(crate) fn is_correct(&self) -> bool {
        self.predicted == self.label
    }
}

/// Checks the arguments of [`Engine::step`] and returns the number of classes.
pub(super) fn check_step(
    ranks: Ranks,
    network: &Network,
    batch: &Batch,
    gradient: &Parameters,
) -> Result<usize, KernelError> {
    assert_eq!(network.architecture().tensors(), gradient.architecture().tensors(), "tensors of the gradient");
    let classes = network.shape().classes;
    // The share of one of several ranks can be empty.
    if ranks.is_solo() || !batch.is_empty() {
        check_labels(batch, classes)?;
    }
    Ok(classes)
}

/// Maximum number of float32 values in the gradients of all blocks, unless [`MIN_BLOCKS`] needs more.
const MAX_GRADIENTS: usize = 1 << 25;
/// Minimum number of blocks of samples in a batch, if the batch has enough samples.
const MIN_BLOCKS: usize = 4;

/// Returns how the CPU's engines divide batches into blocks, and which blocks a rank takes. `parameters` is the number
/// of parameters of the network.
pub(crate) fn share(ranks: Ranks, parameters: usize) -> Share {
    Share { ranks, blocks: (MAX_GRADIENTS / parameters.max(1)).clamp(MIN_BLOCKS, MAX_BLOCKS) }
}

pub(crate) fn check_labels(batch: &Batch, classes: usize) -> Result<(), KernelError> {
    let (samples, labels) = (batch.frames.len(), &batch.labels);
    if labels.len() != samples {
        return Err(KernelError::LabelsMissing { samples, labels: labels.len() });
    }
    if samples == 0 {
        return Err(KernelError::EmptyBatch);
    }
    match labels.iter().position(|&label| label as usize >= classes) {
        Some(sample) => Err(KernelError::LabelOutsideReadout { sample, label: labels[sample], classes }),
        None => Ok(()),
    }
}

/// Training stops if the loss of a batch, without its penalty, reaches this number. Logits that give such a loss are
/// too large for the precision of float32.
pub(crate) const MAX_LOSS: f64 = (1 << 24) as f64;

/// Returns `result`, or an error if the loss is NaN or infinite, or if the loss without its penalty is at least
/// [`MAX_LOSS`].
pub(crate) fn check_loss(result: BatchLoss) -> Result<BatchLoss, KernelError> {
    let BatchLoss { loss, penalty, .. } = finite(result)?;
    let loss = loss - penalty;
    if loss < MAX_LOSS { Ok(result) } else { Err(KernelError::HugeLoss { loss }) }
}

/// Returns [`KernelError::NonFinitePotential`] if a hidden layer has potentials that are NaN or infinite. `lowest` is
/// the lowest such layer, from 1. If there is none, it is 0 (as in the GPU's memory) or infinity (as in a minimum).
pub(crate) fn check_potentials(lowest: f64) -> Result<(), KernelError> {
    if lowest == 0.0 || lowest.is_infinite() {
        return Ok(());
    }
    Err(KernelError::NonFinitePotential { layer: lowest as usize })
}

/// Returns the first error of the parts of a batch that is not [`KernelError::NonFinitePotential`]. If there is none,
/// returns that error with the lowest layer that a part has reported, of any rank, on all ranks.
pub(crate) fn first_error(ranks: Ranks, ended: Vec<Result<()>>) -> Result<()> {
    let mut lowest = f64::INFINITY;
    for ended in ended {
        match ended {
            Err(Error::Kernel(KernelError::NonFinitePotential { layer })) => lowest = lowest.min(layer as f64),
            other => other?,
        }
    }
    let [lowest] = ranks.fold_array([f64::INFINITY], |[of_all]| *of_all = lowest.min(*of_all));
    Ok(check_potentials(lowest)?)
}

pub(crate) fn finite(result: BatchLoss) -> Result<BatchLoss, KernelError> {
    if result.loss.is_finite() { Ok(result) } else { Err(KernelError::NonFiniteLoss { loss: result.loss }) }
}

#[cfg(test)]
mod tests {
    use super::{BatchLoss, check_loss};

    #[test]
    fn the_size_of_a_loss_is_judged_without_its_penalty() {
        let of = |loss, penalty| check_loss(BatchLoss { loss, correct: 0, penalty });
        assert!(of(1e9, 1e9 - 1.0).is_ok() && of(1.0, 0.0).is_ok());
        assert!(of(1e9, 1.0).is_err() && of(f64::INFINITY, f64::INFINITY).is_err() && of(f64::NAN, f64::NAN).is_err());
    }
}
