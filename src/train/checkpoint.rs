//! Checkpoints: all that a run needs to go on to the same bits as if it had never stopped.
//!
//! A checkpoint is one safetensors file (parameters and Adam's moments) whose metadata says where the run was. It is
//! published whole, so that a kill leaves the one before it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::kernel::adam::{Adam, AdamConfig};
use super::metrics::RunningScore;
use crate::error::{Error, Result};
use crate::publish::publish;

/// The file in the run folder.
pub const FILE_NAME: &str = "checkpoint.safetensors";
const VERSION: &str = "1";
const TENSORS: [&str; 3] = ["parameters", "adam.mean", "adam.mean_square"];

/// Where a run is.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Epochs finished.
    pub epochs_done: u64,
    /// Batches of the next epoch that are done.
    pub batches_done: u64,
    /// Sums over those batches.
    pub running: RunningScore,
    /// The best validation accuracy so far; below 0 before the first.
    pub best_accuracy: f64,
    /// The network's parameters, flat.
    pub parameters: Vec<f32>,
    /// The optimiser.
    pub adam: Adam,
}

impl Checkpoint {
    /// Publishes it in the run folder.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn publish(&self, run: &Path) -> Result<()> {
        let path = run.join(FILE_NAME);
        let columns = [&self.parameters, &self.adam.mean, &self.adam.mean_square];
        let bytes = columns.map(|column| column.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
        let mut tensors = Vec::with_capacity(TENSORS.len());
        for (name, bytes) in TENSORS.iter().zip(&bytes) {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes).map_err(unserialisable(&path))?;
            tensors.push((*name, view));
        }
        // Floats as bits: a decimal that rounds would end bit-identity.
        let metadata: HashMap<String, String> = [
            ("version", VERSION.to_string()),
            ("epochs_done", self.epochs_done.to_string()),
            ("batches_done", self.batches_done.to_string()),
            ("adam_step", self.adam.step.to_string()),
            ("running_loss_bits", self.running.loss.to_bits().to_string()),
            ("running_correct", self.running.correct.to_string()),
            ("running_samples", self.running.samples.to_string()),
            ("best_accuracy_bits", self.best_accuracy.to_bits().to_string()),
        ]
        .map(|(key, value)| (key.to_string(), value))
        .into();
        let file = safetensors::serialize(tensors, Some(metadata)).map_err(unserialisable(&path))?;
        publish(&path, &file)
    }

    /// Reads a run folder's, for a network of so many parameters.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`], [`Error::Incompatible`].
    pub fn read(run: &Path, parameters: usize, config: AdamConfig) -> Result<Checkpoint> {
        let path: PathBuf = run.join(FILE_NAME);
        let bytes = std::fs::read(&path).map_err(Error::io(&path, "read the checkpoint"))?;
        let damaged = |e| Error::corrupt(&path, "safetensors", "a checkpoint", e);
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let text = |key: &str| {
            metadata.get(key).ok_or_else(|| Error::corrupt(&path, "metadata", format!("a field {key}"), "none"))
        };
        let version = text("version")?;
        if version != VERSION {
            let (expected, got) = (VERSION.into(), version.clone());
            return Err(Error::Incompatible { path, expected, got });
        }
        let number = |key: &str| {
            text(key)?.parse::<u64>().map_err(|e| Error::corrupt(&path, format!("metadata {key}"), "a number", e))
        };
        let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let column = |name: &str| -> Result<Vec<f32>> {
            let view = tensors.tensor(name).map_err(damaged)?;
            if view.dtype() != Dtype::F32 || view.shape() != [parameters] {
                let got = format!("{:?} {:?}", view.dtype(), view.shape());
                return Err(Error::corrupt(&path, name, format!("F32 [{parameters}]"), got));
            }
            Ok(view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect())
        };
        let [parameters, mean, mean_square] = TENSORS;
        Ok(Checkpoint {
            epochs_done: number("epochs_done")?,
            batches_done: number("batches_done")?,
            running: RunningScore {
                loss: f64::from_bits(number("running_loss_bits")?),
                correct: number("running_correct")?,
                samples: number("running_samples")?,
            },
            best_accuracy: f64::from_bits(number("best_accuracy_bits")?),
            parameters: column(parameters)?,
            adam: Adam { config, step: number("adam_step")?, mean: column(mean)?, mean_square: column(mean_square)? },
        })
    }
}

fn unserialisable(path: &Path) -> impl FnOnce(safetensors::SafeTensorError) -> Error {
    let io = Error::io(path, "serialise the checkpoint");
    move |e| io(std::io::Error::other(e))
}
