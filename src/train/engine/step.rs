//! The trait that every engine implements: it computes loss, logits and gradients of a batch.

use tonic_loader::Batch;

use crate::error::{KernelError, Result};
use crate::kernel::{SpikeCounts, loss};
use crate::network::{Network, Parameters};

/// Computes losses and gradients of batches in host memory. The engine reuses its buffers for the next batch.
///
/// Samples of a batch may have any length. A sample runs for `steps` steps, or for all its frames if it has more.
/// Steps after its last frame have no input. `network` must have the shape that the engine was made for.
pub trait Engine: std::fmt::Debug {
    /// Returns the mean loss of a batch and writes its gradient by every parameter into `gradient`.
    ///
    /// The weights are not changed: [`Adam`](crate::kernel::Adam) does that with the gradient.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel) for a batch that does not fit the network, or a loss that is not finite
    /// or at least 2^24. The content of `gradient` is then unspecified.
    ///
    /// # Panics
    /// If the shapes of `network`, `gradient` and the engine differ.
    fn step(&mut self, network: &Network, batch: &Batch, steps: usize, gradient: &mut Parameters) -> Result<BatchLoss>;

    /// Computes the logits of a batch, (batch, classes): the readout summed over time. Labels are not read.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel) for a sample that does not fit the network.
    ///
    /// # Panics
    /// If the shapes of `network` and the engine differ.
    fn forward(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<&[f32]>;

    /// Counts the spikes of each hidden layer over a batch. Labels are not read.
    ///
    /// # Errors
    /// Errors of [`Engine::forward`].
    ///
    /// # Panics
    /// If the shapes of `network` and the engine differ.
    fn spikes(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<Vec<SpikeCounts>>;

    /// Sets the weight of each class in the loss of later [`step`](Engine::step)s, `weights[class]`: the mean over the
    /// batch is then sum(weights\[label\] * loss) / sum(weights\[label\]), as in PyTorch's `CrossEntropyLoss`. `None`
    /// is a plain mean, which [`evaluate`](Engine::evaluate) always gives.
    fn set_class_weights(&mut self, weights: Option<Vec<f32>>);

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
        let predictions = predict(self, network, batch, steps)?;
        let loss = predictions.iter().map(|of| of.loss).sum::<f64>() / batch.len() as f64;
        let correct = predictions.iter().filter(|prediction| prediction.is_correct()).count();
        Ok(BatchLoss { loss, correct })
    }
}

/// Loss and predicted class of each sample of a batch, in order.
///
/// # Errors
/// Those of [`Engine::evaluate`].
pub(crate) fn predict<E: Engine + ?Sized>(
    engine: &mut E,
    network: &Network,
    batch: &Batch,
    steps: usize,
) -> Result<Vec<Prediction>> {
    let classes = network.shape().classes;
    check_labels(batch, classes)?;
    let logits = engine.forward(network, batch, steps)?;
    let mut unused = vec![0.0; classes];
    let predictions = logits.chunks_exact(classes).zip(&batch.labels).map(|(logits, &label)| {
        let loss = loss::cross_entropy(logits, label as usize, 1.0, &mut unused);
        Prediction { loss, predicted: loss::predicted(logits) as u32, label }
    });
    let predictions: Vec<Prediction> = predictions.collect();
    let loss = predictions.iter().map(|of| of.loss).sum();
    finite(BatchLoss { loss, correct: 0 })?;
    Ok(predictions)
}

/// Mean loss of a batch, and the number of samples that it classified correctly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchLoss {
    /// Mean cross entropy of the batch, weighted by class if there are class weights.
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

/// Checks what every step relies on: a gradient of the network's shape, and labels of its classes. Returns the number
/// of classes.
///
/// # Panics
/// If the shapes of `network` and `gradient` differ.
pub(super) fn check_step(network: &Network, batch: &Batch, gradient: &Parameters) -> Result<usize, KernelError> {
    assert_eq!(network.shape(), gradient.shape(), "shape of the gradient");
    let classes = network.shape().classes;
    check_labels(batch, classes).map(|()| classes)
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

/// Weights of a batch's samples in its loss, by their labels.
#[derive(Clone, Copy, Debug)]
pub(super) struct SampleWeights<'a> {
    class_weights: Option<&'a [f32]>,
    /// Sum over the batch.
    total: f64,
}

impl SampleWeights<'_> {
    pub(super) fn new<'a>(class_weights: Option<&'a [f32]>, labels: &[u32]) -> SampleWeights<'a> {
        let total = match class_weights {
            Some(weights) => labels.iter().map(|&label| f64::from(weights[label as usize])).sum(),
            None => labels.len() as f64,
        };
        SampleWeights { class_weights, total }
    }

    fn of(&self, label: u32) -> f32 {
        self.class_weights.map_or(1.0, |weights| weights[label as usize])
    }

    /// Share of a sample in the gradient of the mean.
    pub(super) fn scale(&self, label: u32) -> f32 {
        self.of(label) / self.total as f32
    }

    /// A sample's loss times its weight.
    pub(super) fn weighted(&self, loss: f64, label: u32) -> f64 {
        f64::from(self.of(label)) * loss
    }

    /// Mean loss, from the sum of weighted losses.
    pub(super) fn mean(&self, sum: f64) -> f64 {
        sum / self.total
    }
}

/// Largest loss that a step of training may have. The loss is a difference of logits, and float32 numbers from 2^24 on
/// are more than 1 apart: classes can no longer be told from each other.
pub(crate) const MAX_LOSS: f64 = (1 << 24) as f64;

/// Refuses the loss of a step if the weights have diverged.
pub(crate) fn check_loss(result: BatchLoss) -> Result<BatchLoss, KernelError> {
    let BatchLoss { loss, .. } = finite(result)?;
    if loss < MAX_LOSS { Ok(result) } else { Err(KernelError::HugeLoss { loss }) }
}

pub(crate) fn finite(result: BatchLoss) -> Result<BatchLoss, KernelError> {
    if result.loss.is_finite() { Ok(result) } else { Err(KernelError::NonFiniteLoss { loss: result.loss }) }
}
