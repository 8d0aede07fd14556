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

/// What can go wrong in training and evaluation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A fault that is not specific to training.
    #[error("{0}")]
    Base(#[from] BaseError),
    /// A fault of a set, or of a set and a model that don't belong together.
    #[error("{0}")]
    Shard(#[source] ShardError),
    /// A picture that could not be drawn, or a report that could not be read.
    #[error("{0}")]
    Report(#[source] ReportError),
    /// A model file that cannot be read or written.
    #[error("{}: {source}", .path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ModelError,
    },
    /// A batch that doesn't fit the network, or a loss that is not finite.
    #[error("{0}")]
    Kernel(#[from] KernelError),
    /// The GPU's driver or its compiler refused.
    #[error("cannot {doing}: {what}")]
    Cuda {
        /// What was tried, as a phrase after "cannot".
        doing: String,
        /// Name and meaning of the driver's code, or the first lines of the compiler's log.
        what: String,
    },
    /// A GPU whose memory is full.
    #[error("{what}: expected {needed} of free memory, got {free}")]
    DeviceMemory {
        /// The device, or what should be placed there.
        what: String,
        /// Memory that is needed.
        needed: String,
        /// Memory that is free.
        free: String,
    },
    /// A loss that is NaN or infinite.
    #[error("the loss is {loss} at epoch {epoch}, batch {batch}: {saved}")]
    Diverged {
        /// The loss.
        loss: f64,
        /// Number of the epoch, counted from 1.
        epoch: u64,
        /// Number of the batch in the epoch, counted from 1.
        batch: u64,
        /// The last good checkpoint.
        saved: String,
        /// Learning rate.
        lr: f64,
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

/// What can be wrong with a batch.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum KernelError {
    /// A sample's cell is not one of the network's inputs.
    #[error("sample {sample} of the batch has an event in cell {cell}, but the network has {inputs} inputs")]
    CellOutsideInputs {
        /// Which sample of the batch.
        sample: usize,
        /// The cell.
        cell: u32,
        /// Inputs of the network.
        inputs: usize,
    },
    /// A sample's frame sizes don't add up to its cells, or it doesn't have one count for each cell.
    #[error("sample {sample} of the batch is inconsistent: frames of {sizes} cells, {cells} cells, {counts} counts")]
    RaggedSample {
        /// Which sample of the batch.
        sample: usize,
        /// The sum of its frame sizes.
        sizes: u64,
        /// Its cells.
        cells: usize,
        /// Its counts.
        counts: usize,
    },
    /// A label is not one of the readout's classes.
    #[error("sample {sample} of the batch has label {label}, but the readout has {classes} classes")]
    LabelOutsideReadout {
        /// Which sample of the batch.
        sample: usize,
        /// The label.
        label: u32,
        /// Classes of the readout.
        classes: usize,
    },
    /// A batch that doesn't have one label for each sample.
    #[error("a batch of {samples} samples has {labels} labels")]
    LabelsMissing {
        /// Samples of the batch.
        samples: usize,
        /// Labels of the batch.
        labels: usize,
    },
    /// A batch without samples.
    #[error("a batch has no samples")]
    EmptyBatch,
    /// The loss is NaN or infinite: the weights have diverged.
    #[error("the loss is {loss}: training has diverged")]
    NonFiniteLoss {
        /// The loss.
        loss: f64,
    },
}

/// Why a file is not a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Not a safetensors file, or a damaged one.
    #[error("not a whole safetensors file")]
    Format(#[from] SafeTensorError),
    /// The description is missing.
    #[error("the file's metadata has no \"tonic_toolkit\": it is not a model of tonic-train")]
    NoDescription,
    /// The description cannot be parsed.
    #[error("the file's metadata \"tonic_toolkit\" cannot be read")]
    Description(#[from] serde_json::Error),
    /// A constant of the neurons that is not positive.
    #[error("the neurons' {name} is {value}, expected a positive number")]
    Constant {
        /// Which constant.
        name: &'static str,
        /// Its value.
        value: f32,
    },
    /// A tensor is missing.
    #[error("tensor {name} is missing")]
    Missing {
        /// The tensor.
        name: String,
    },
    /// A tensor that belongs to no layer.
    #[error("tensor {name} belongs to no layer of a chain of linear layers")]
    Unexpected {
        /// The tensor.
        name: String,
    },
    /// A tensor of a type other than float32.
    #[error("tensor {name} has type {got:?}, expected F32")]
    Type {
        /// The tensor.
        name: String,
        /// Its type.
        got: Dtype,
    },
    /// A tensor of a wrong shape.
    #[error("tensor {name} has shape {got:?}, expected {expected}")]
    Shape {
        /// The tensor.
        name: String,
        /// The shape that fits the other tensors.
        expected: String,
        /// Its shape.
        got: Vec<usize>,
    },
    /// A NaN or infinite parameter.
    #[error("tensor {name} has a NaN or infinite value")]
    NonFinite {
        /// The tensor.
        name: String,
    },
    /// The number of class names differs from that of the classes.
    #[error("{got} class names for a readout of {expected} classes")]
    ClassNames {
        /// Classes of the readout.
        expected: usize,
        /// Number of names.
        got: usize,
    },
}
