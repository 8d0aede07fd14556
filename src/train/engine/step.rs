//! The trait that every engine implements: it computes loss, logits and gradients of a batch.

use tonic_loader::Batch;

use crate::error::{KernelError, Result};
use crate::kernel::loss;
use crate::network::{Network, Parameters};

/// Computes losses and gradients of batches in host memory. The engine reuses its buffers for the next batch.
///
/// Samples of a batch may have any length. A sample runs for `steps` steps, or for all its frames if it has more.
/// Steps after its last frame have no input. `network` must have the shape that the engine was made for.
pub trait Engine: std::fmt::Debug {
    /// Returns the mean loss of a batch and writes its gradient by every parameter into `gradients`.
    ///
    /// The weights are not changed: [`Adam`](crate::kernel::Adam) does that with the gradients.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel) for a batch that does not fit the network, or a loss that is not finite.
    /// The content of `gradients` is then unspecified.
    ///
    /// # Panics
    /// If the shapes of `network`, `gradients` and the engine differ.
    fn step(&mut self, network: &Network, batch: &Batch, steps: usize, gradients: &mut Parameters)
    -> Result<BatchLoss>;

    /// Computes the logits of a batch, (batch, classes): the readout summed over time. Labels are not read.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel) for a sample that does not fit the network.
    ///
    /// # Panics
    /// If the shapes of `network` and the engine differ.
    fn forward(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<&[f32]>;

    /// Logits of the last batch that the engine ran, (batch, classes).
    fn logits(&self) -> &[f32];

    /// Returns the loss of a batch without computing gradients. [`Engine::logits`] then returns its logits.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel) for a batch that does not fit the network, or a loss that is not finite.
    ///
    /// # Panics
    /// If the shapes of `network` and the engine differ.
    fn evaluate(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<BatchLoss> {
        let classes = network.shape().classes;
        check_labels(batch, classes)?;
        let logits = self.forward(network, batch, steps)?;
        let mut unused = vec![0.0; classes];
        let (mut total, mut correct) = (0.0, 0);
        for (logits, &label) in logits.chunks_exact(classes).zip(&batch.labels) {
            total += loss::cross_entropy(logits, label as usize, 1.0, &mut unused);
            correct += usize::from(loss::predicted(logits) == label as usize);
        }
        Ok(finite(BatchLoss { loss: total / batch.len() as f64, correct })?)
    }
}

/// Loss and accuracy of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchLoss {
    /// Mean cross entropy of the batch.
    pub loss: f64,
    /// Number of samples whose largest logit is that of their label.
    pub correct: usize,
}

/// Loss and predicted class of one sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prediction {
    /// Cross entropy of the sample.
    pub loss: f64,
    /// Class of the largest logit.
    pub predicted: u32,
    /// Label of the sample.
    pub label: u32,
}

impl Prediction {
    /// Whether the predicted class is the sample's.
    pub(crate) fn is_correct(&self) -> bool {
        self.predicted == self.label
    }
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

pub(crate) fn finite(result: BatchLoss) -> Result<BatchLoss, KernelError> {
    if result.loss.is_finite() { Ok(result) } else { Err(KernelError::NonFiniteLoss { loss: result.loss }) }
}
