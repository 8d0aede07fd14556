//! Checkpoints: all that a run needs to go on to the same bits as if it had never stopped.
//!
//! A checkpoint is one safetensors file (parameters and Adam's moments) whose metadata says where the run was. It is
//! published whole, so that a kill leaves the one before it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::kernel::adam::{Adam, AdamConfig};
use super::metrics::RunningScore;
use crate::error::{Error, Result};
use crate::publish::publish;

/// The file in the run folder.
pub const FILE_NAME: &str = "checkpoint.safetensors";
const VERSION: u32 = 1;
/// One key of the metadata, so that the same state is always the same bytes.
const KEY: &str = "tonic_toolkit_checkpoint";
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

/// All of a checkpoint but its tensors. JSON's numbers come back to the same bits.
#[derive(Serialize, Deserialize)]
struct State {
    version: u32,
    epochs_done: u64,
    batches_done: u64,
    adam_step: u64,
    running: RunningScore,
    best_accuracy: f64,
}

impl Checkpoint {
    /// Publishes it in the run folder.
    ///
    /// # Errors
    /// [`Error::Io`].
    ///
    /// # Panics
    /// Never: a state is JSON.
    pub fn publish(&self, run: &Path) -> Result<()> {
        let path = run.join(FILE_NAME);
        let columns = [&self.parameters, &self.adam.mean, &self.adam.mean_square];
        let bytes = columns.map(|column| column.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
        let mut tensors = Vec::with_capacity(TENSORS.len());
        for (name, bytes) in TENSORS.iter().zip(&bytes) {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes).map_err(unserialisable(&path))?;
            tensors.push((*name, view));
        }
        let state = State {
            version: VERSION,
            epochs_done: self.epochs_done,
            batches_done: self.batches_done,
            adam_step: self.adam.step,
            running: self.running,
            best_accuracy: self.best_accuracy,
        };
        let state = serde_json::to_string(&state).expect("a state is JSON");
        let metadata = HashMap::from([(KEY.to_string(), state)]);
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
        let text = header.metadata().as_ref().and_then(|map| map.get(KEY));
        let text = text.ok_or_else(|| Error::corrupt(&path, "metadata", format!("a field {KEY}"), "none"))?;
        let state: State =
            serde_json::from_str(text).map_err(|e| Error::corrupt(&path, "metadata", "a checkpoint's state", e))?;
        if state.version != VERSION {
            return Err(Error::Incompatible { path, expected: VERSION.to_string(), got: state.version.to_string() });
        }
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
            epochs_done: state.epochs_done,
            batches_done: state.batches_done,
            running: state.running,
            best_accuracy: state.best_accuracy,
            parameters: column(parameters)?,
            adam: Adam { config, step: state.adam_step, mean: column(mean)?, mean_square: column(mean_square)? },
        })
    }
}

fn unserialisable(path: &Path) -> impl FnOnce(safetensors::SafeTensorError) -> Error {
    let io = Error::io(path, "serialise the checkpoint");
    move |e| io(std::io::Error::other(e))
}
