//! Errors of training: networks, models and GPUs.

use std::path::PathBuf;

use safetensors::{Dtype, SafeTensorError};
pub(crate) use tonic_base::BaseFault;
use tonic_base::Error as BaseError;
use tonic_report::Error as ReportError;
use tonic_shard::Error as ShardError;
pub(crate) use tonic_shard::ShardFault;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of training or evaluation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error that is not specific to training, such as an unreadable file, a wrong argument or an interruption.
    #[error("{0}")]
    Base(#[from] BaseError),
    /// An error of a shard set, or a set that doesn't fit a model.
    #[error("{0}")]
    Shard(#[source] ShardError),
    /// An error in drawing a picture or reading a report.
    #[error("{0}")]
    Report(#[source] ReportError),
    /// A model file that cannot be read or written.
    #[error("{}: {source}", .path.display())]
    Model {
        /// Path of the model file.
        path: PathBuf,
        /// What is wrong with the file.
        source: ModelError,
    },
    /// A batch that doesn't fit the network, or a step whose loss, potentials or gradients show that training
    /// has diverged.
    #[error("{0}")]
    Kernel(#[from] KernelError),
    /// The GPU's driver or NVRTC returned an error.
    #[error("cannot {doing}: {what}")]
    Cuda {
        /// Text for the error message: what the program tried, in words that follow "cannot".
        doing: String,
        /// Name and meaning of the driver's error code, or the first lines of the compiler's log.
        what: String,
    },
    /// The GPU has too little free memory.
    #[error("{what}: expected {needed} of free memory, got {free}")]
    DeviceMemory {
        /// Index and name of the GPU, for example "cuda:0 (NVIDIA H200)".
        what: String,
        /// Text with a unit: how much memory is needed.
        needed: String,
        /// Text with a unit: how much memory is free.
        free: String,
    },
    /// A set without samples, or with samples that have no label.
    #[error("{}: expected samples, each with a label, got {labels} labels, {samples} samples", .path.display())]
    Unlabelled {
        /// Folder of the set.
        path: PathBuf,
        /// Number of samples that have labels.
        labels: u64,
        /// Number of samples in the set.
        samples: u64,
    },
    /// A loss, potential or gradient that is NaN or infinite, or a loss so large that training has failed.
    #[error("{what} at epoch {epoch}, batch {batch}: {saved}")]
    Diverged {
        /// Text for the error message: which value diverged.
        what: String,
        /// First unfinished epoch, counted from 1, or the last epoch if all are finished.
        epoch: u64,
        /// First unfinished batch of the epoch, counted from 1, or the last batch if all are finished.
        batch: u64,
        /// Text for the error message: which checkpoint is the last good one.
        saved: String,
        /// What made the value diverge.
        cause: Divergence,
    },
}

/// Why training diverged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Divergence {
    /// The learning rate is too high.
    LearningRate {
        /// Learning rate that the schedule starts from, or the current learning rate of the schedule
        /// `plateau`. A resumed run can change it.
        lr: f64,
        /// Learning rate of the batch, after the schedule has changed it.
        of_batch: f64,
    },
    /// The neurons of a layer can let their membrane potential grow without bound.
    Unstable {
        /// Number of the hidden layer, counted from 1.
        layer: usize,
    },
    /// The initial weights are unsuitable: the loss is too large before the first training step.
    InitialWeights {
        /// Loss of the initial weights.
        loss: f64,
        /// Factor by which the hidden layers' initial weights were multiplied; `None` if norms undo it.
        gain: Option<f64>,
        /// Spike threshold; `None` if a network file describes the neurons.
        theta: Option<f32>,
    },
}

impl From<ShardError> for Error {
    fn from(error: ShardError) -> Error {
        match error {
            ShardError::Base(error) => Error::Base(error),
            error => Error::Shard(error),
        }
    }
}

impl From<ReportError> for Error {
    fn from(error: ReportError) -> Error {
        match error {
            ReportError::Base(error) => Error::Base(error),
            error => Error::Report(error),
        }
    }
}

/// What is wrong with a batch, or with the loss, the potentials or the gradients of a training step.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum KernelError {
    /// A sample has an event in a cell that the network has no input for.
    #[error("sample {sample} of the batch has an event in cell {cell}, but the network has {inputs} inputs")]
    CellOutsideInputs {
        /// Index of the sample in the batch, from 0.
        sample: usize,
        /// Index of the cell in the flattened frame, (P, H, W).
        cell: u32,
        /// Number of inputs of the network.
        inputs: usize,
    },
    /// A sample is inconsistent: the sum of its frame sizes, its number of cells and its number of counts must be
    /// equal.
    #[error("sample {sample} of the batch is inconsistent: frames of {sizes} cells, {cells} cells, {counts} counts")]
    RaggedSample {
        /// Index of the sample in the batch, from 0.
        sample: usize,
        /// Sum of the sample's frame sizes.
        sizes: u64,
        /// Number of cells in the sample.
        cells: usize,
        /// Number of counts in the sample.
        counts: usize,
    },
    /// A label is too large: labels must be below the number of classes.
    #[error("sample {sample} of the batch has label {label}, but the readout has {classes} classes")]
    LabelOutsideReadout {
        /// Index of the sample in the batch, from 0.
        sample: usize,
        /// Label of the sample.
        label: u32,
        /// Number of classes of the readout.
        classes: usize,
    },
    /// The number of labels of a batch differs from its number of samples.
    #[error("a batch of {samples} samples has {labels} labels")]
    LabelsMissing {
        /// Number of samples in the batch.
        samples: usize,
        /// Number of labels in the batch.
        labels: usize,
    },
    /// The number of keys of a batch differs from its number of samples.
    #[error("a batch of {samples} samples has {keys} keys")]
    KeysMissing {
        /// Number of samples in the batch.
        samples: usize,
        /// Number of keys in the batch.
        keys: usize,
    },
    /// A batch without samples.
    #[error("a batch has no samples")]
    EmptyBatch,
    /// The loss is NaN or infinite.
    #[error("the loss is {loss}: training has diverged")]
    NonFiniteLoss {
        /// Value of the loss, NaN or infinite.
        loss: f64,
    },
    /// Membrane potentials of a hidden layer are NaN or infinite. Without this error, such neurons would stop spiking
    /// unnoticed.
    #[error("membrane potentials of hidden layer {layer} are NaN or infinite")]
    NonFinitePotential {
        /// Number of the hidden layer, counted from 1.
        layer: usize,
    },
    /// A gradient is NaN or infinite.
    #[error("the gradient of layer {layer} of {layers} is NaN or infinite")]
    NonFiniteGradient {
        /// Number of the layer, counted from 1. The readout is the last one.
        layer: usize,
        /// Number of layers, with the readout.
        layers: usize,
    },
    /// The loss is too large: training has diverged.
    #[error("the loss is {loss:.4e}: training has diverged")]
    HugeLoss {
        /// Value of the loss.
        loss: f64,
    },
}

/// What is wrong with a model file.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file is not a safetensors file, or is damaged.
    #[error("not a whole safetensors file")]
    Format(#[from] SafeTensorError),
    /// The file's metadata has no description of a network.
    #[error("the file's metadata has no \"tonic_toolkit\": it is not a model of tonic-train")]
    NoDescription,
    /// The description of the network in the file's metadata is not the expected JSON.
    #[error("the file's metadata \"tonic_toolkit\" cannot be read")]
    Description(#[from] serde_json::Error),
    /// A constant of the neurons is out of range.
    #[error("the neurons' {name} is {value}, expected {expected}")]
    Constant {
        /// Name of the constant in the model file, such as `theta`.
        name: &'static str,
        /// Text for the error message: the allowed values.
        expected: &'static str,
        /// Value of the constant.
        value: f32,
    },
    /// The file's metadata has no class names.
    #[error("the file's metadata has no class names, expected one for each output")]
    NoClasses,
    /// A variance of a norm is negative.
    #[error("tensor {name} has a negative variance")]
    NegativeVariance {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor is missing.
    #[error("tensor {name} is missing")]
    Missing {
        /// Name of the tensor.
        name: String,
    },
    /// The file has a tensor that belongs to no layer.
    #[error("tensor {name} belongs to no layer of a chain of linear layers")]
    Unexpected {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor has another type than float32.
    #[error("tensor {name} has type {got:?}, expected F32")]
    Type {
        /// Name of the tensor.
        name: String,
        /// Type of the tensor.
        got: Dtype,
    },
    /// A tensor has a wrong shape.
    #[error("tensor {name} has shape {got:?}, expected {expected}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Text for the error message: the shape that the tensor should have.
        expected: String,
        /// Shape of the tensor.
        got: Vec<usize>,
    },
    /// A tensor has a NaN or infinite value.
    #[error("tensor {name} has a NaN or infinite value")]
    NonFinite {
        /// Name of the tensor.
        name: String,
    },
    /// The number of class names differs from the number of classes.
    #[error("{got} class names for a readout of {expected} classes")]
    ClassNames {
        /// Number of classes of the readout.
        expected: usize,
        /// Number of class names in the file's metadata.
        got: usize,
    },
}
