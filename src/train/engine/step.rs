//! The trait that every engine implements. An engine computes the loss, the logits and the gradients of a batch.

use tonic_base::interrupt;
use tonic_loader::Batch;

use crate::error::{KernelError, Result};
use crate::kernel::{SpikeCounts, loss};
use crate::network::{Network, Parameters};

/// Computes losses, logits and gradients of batches in host memory.
///
/// Samples of a batch can have different lengths. Each sample runs for `steps` time steps. A sample with more than
/// `steps` frames runs for all its frames. Time steps after the last frame have no input. `network` must have the shape
/// that the engine was made for.
pub trait Engine: std::fmt::Debug {
    /// Returns the mean loss of a batch and writes the gradient of the loss by every parameter into `gradient`.
    ///
    /// The call doesn't change the parameters. Use [`Adam`](crate::kernel::Adam) to update them with the gradient.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel) if the batch does not fit the network, or if the loss is NaN, infinite,
    /// or 2^24 or more; [`Interrupted`](tonic_base::Error::Interrupted) if an interruption is requested and the engine
    /// stops in the middle of the batch. After an error, the content of `gradient` is unspecified.
    ///
    /// # Panics
    /// If the shapes of `network`, `gradient` and the engine differ.
    fn step(&mut self, network: &Network, batch: &Batch, steps: usize, gradient: &mut Parameters) -> Result<BatchLoss>;

    /// Returns the logits of a batch, (batch, classes). The logits of a sample are the output of the readout, summed
    /// over time. The labels of the batch are not read.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel) for a sample that does not fit the network;
    /// [`Interrupted`](tonic_base::Error::Interrupted) if an interruption is requested and the engine stops in the
    /// middle of the batch.
    ///
    /// # Panics
    /// If the shapes of `network` and the engine differ.
    fn forward(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<&[f32]>;

    /// Returns the spike counts of a batch: one record for each hidden layer, in the order from the input to the
    /// readout. The labels of the batch are not read.
    ///
    /// # Errors
    /// The errors of [`Engine::forward`].
    ///
    /// # Panics
    /// If the shapes of `network` and the engine differ.
    fn spikes(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<Vec<SpikeCounts>>;

    /// Sets the class weights that later calls of [`step`](Engine::step) use. `weights[class]` is the weight of a
    /// class. The loss of a batch is then sum(weights\[label\] * loss) / sum(weights\[label\]) over the samples, as in
    /// PyTorch's `CrossEntropyLoss`. With `None`, the loss is the plain mean. The loss that
    /// [`evaluate`](Engine::evaluate) returns is always the plain mean.
    fn set_class_weights(&mut self, weights: Option<Vec<f32>>);

    /// Returns the logits of the last batch that the engine ran, (batch, classes).
    fn logits(&self) -> &[f32];

    /// Returns the mean loss of a batch without computing gradients. After this call, [`Engine::logits`] returns the
    /// logits of the batch.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel) if the batch does not fit the network, or if a loss is NaN or infinite;
    /// [`Interrupted`](tonic_base::Error::Interrupted) if an interruption is requested and the engine stops in the
    /// middle of the batch.
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

/// Returns an error if an interruption is requested, for example with Ctrl-C. The caller then stops its batch or
/// evaluation.
///
/// # Errors
/// [`Interrupted`](tonic_base::Error::Interrupted).
pub(crate) fn check_interrupt() -> Result<()> {
    Ok(interrupt::check("the evaluation is not complete")?)
}

/// Returns the loss, predicted class and label of each sample of a batch, in the order of the batch.
///
/// # Errors
/// The errors of [`Engine::evaluate`].
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

/// Mean loss of a batch, and number of samples of the batch that were classified correctly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchLoss {
    /// Mean cross entropy of the batch, weighted by class if there are class weights.
    pub loss: f64,
    /// Number of samples that were classified correctly: the largest logit is that of the label.
    pub correct: usize,
}

/// Loss, predicted class and label of one sample.
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
    /// Whether the predicted class is the label.
    pub(crate) fn is_correct(&self) -> bool {
        self.predicted == self.label
    }
}

/// Checks the arguments of [`Engine::step`] and returns the number of classes. The batch must have one label for each
/// sample, and each label must be below the number of classes.
///
/// # Errors
/// [`KernelError`] if the batch is empty, or if labels are missing or too large.
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

/// Weights of the samples of a batch in the mean loss. The weight of a sample is the class weight of its label, or 1 if
/// there are no class weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct SampleWeights<'a> {
    class_weights: Option<&'a [f32]>,
    /// Sum of the weights of all samples of the batch.
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

    /// Returns the factor of a sample's gradient in the gradient of the batch's mean loss: the weight of the sample
    /// divided by the sum of the weights of all samples.
    pub(super) fn scale(&self, label: u32) -> f32 {
        self.of(label) / self.total as f32
    }

    /// Returns the loss of a sample, multiplied by the weight of the sample.
    pub(super) fn weighted(&self, loss: f64, label: u32) -> f64 {
        f64::from(self.of(label)) * loss
    }

    /// Returns the mean loss of the batch. `sum` is the sum of the weighted losses of its samples.
    pub(super) fn mean(&self, sum: f64) -> f64 {
        sum / self.total
    }
}

/// Limit for the loss: training stops if the loss of a training step is at least this large. A large loss is about
/// equal to the difference of two logits. From 2^24 on, neighbouring float32 numbers are at least 2 apart, so logits of
/// this size are too coarse to tell classes apart.
pub(crate) const MAX_LOSS: f64 = (1 << 24) as f64;

/// Returns `result`, or an error if its loss shows that the weights have diverged: the loss is NaN, infinite, or at
/// least [`MAX_LOSS`].
pub(crate) fn check_loss(result: BatchLoss) -> Result<BatchLoss, KernelError> {
    let BatchLoss { loss, .. } = finite(result)?;
    if loss < MAX_LOSS { Ok(result) } else { Err(KernelError::HugeLoss { loss }) }
}

pub(crate) fn finite(result: BatchLoss) -> Result<BatchLoss, KernelError> {
    if result.loss.is_finite() { Ok(result) } else { Err(KernelError::NonFiniteLoss { loss: result.loss }) }
}
