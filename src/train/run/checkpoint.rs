//! Checkpoints: the state from which a run continues with the same bits as if it had never stopped.
//!
//! A checkpoint is one safetensors file with the parameters and the optimiser's moving averages. Its metadata says how
//! many epochs and batches are finished.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use tonic_base::publish;
use tonic_shard::Error as ShardError;

use crate::error::{BaseFault, Error, Result};
use crate::kernel::{Optimiser, Rule};
use crate::learner::RunningScore;

pub(crate) const FILE_NAME: &str = "checkpoint.safetensors";
const VERSION: u32 = 1;
/// The only key of the file's metadata. With several keys, their order would be random.
const KEY: &str = "tonic_toolkit_checkpoint";
const PARAMETERS: &str = "parameters";
/// Tensor with the running statistics. Checkpoints of networks without norms don't have it.
const STATISTICS: &str = "statistics";

/// Returns the names of the optimiser's tensors. AdamW has the same names as Adam.
fn state_names(rule: Rule) -> &'static [&'static str] {
    match rule {
        Rule::Adam(_) | Rule::AdamW(_) => &["adam.mean", "adam.mean_square"],
        Rule::Sgd { .. } => &["sgd.velocity"],
    }
}

/// State of a run, from which the run can continue.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Number of finished epochs.
    pub epochs_done: u64,
    /// Number of finished batches of the unfinished epoch.
    pub batches_done: u64,
    /// Sums over the finished batches of the unfinished epoch.
    pub running: RunningScore,
    /// Best validation accuracy so far. It is below 0 before the first validation.
    pub best_accuracy: f64,
    /// Parameters of the network, as one flat list.
    pub parameters: Vec<f32>,
    /// Running statistics of the network's norms, as one list.
    pub statistics: Vec<f32>,
    /// State of the optimiser.
    pub optimiser: Optimiser,
}

/// The metadata of a checkpoint, stored as JSON.
#[derive(Serialize, Deserialize)]
struct Metadata {
    version: u32,
    epochs_done: u64,
    batches_done: u64,
    /// Number of updates. The name is from versions that had no other optimiser than Adam.
    adam_step: u64,
    running: RunningScore,
    best_accuracy: f64,
}

impl Checkpoint {
    /// Writes the checkpoint into a run folder.
    ///
    /// # Errors
    /// [`Io`](tonic_base::Error::Io).
    ///
    /// # Panics
    /// Never: every state can be written as JSON.
    pub fn publish(&self, run: &Path) -> Result<()> {
        let path = run.join(FILE_NAME);
        let Optimiser { config, mean, mean_square, .. } = &self.optimiser;
        let names = [PARAMETERS].into_iter().chain(state_names(config.rule).iter().copied());
        let values = names.zip([&self.parameters, mean, mean_square]);
        let values = values.chain((!self.statistics.is_empty()).then_some((STATISTICS, &self.statistics)));
        let bytes = |column: &Vec<f32>| column.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let columns: Vec<(&str, Vec<u8>)> = values.map(|(name, column)| (name, bytes(column))).collect();
        let mut tensors = Vec::with_capacity(columns.len());
        for (name, bytes) in &columns {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes).map_err(unserialisable(&path))?;
            tensors.push((*name, view));
        }
        let state = Metadata {
            version: VERSION,
            epochs_done: self.epochs_done,
            batches_done: self.batches_done,
            adam_step: self.optimiser.step,
            running: self.running,
            best_accuracy: self.best_accuracy,
        };
        let state = serde_json::to_string(&state).expect("a state is JSON");
        let metadata = HashMap::from([(KEY.to_string(), state)]);
        let file = safetensors::serialize(tensors, Some(metadata)).map_err(unserialisable(&path))?;
        Ok(publish(&path, &file)?)
    }

    /// Reads the checkpoint of a run folder. `optimiser` has the settings and the sizes, which the file doesn't store.
    /// `statistics` is the number of running statistics of the network's norms.
    ///
    /// # Errors
    /// - [`Io`](tonic_base::Error::Io)
    /// - [`Corrupt`](tonic_base::Error::Corrupt) if the file is missing or damaged, or has another number of parameters
    /// - [`Incompatible`](tonic_shard::Error::Incompatible) if the file has another version
    pub fn read(run: &Path, mut optimiser: Optimiser, statistics: usize) -> Result<Checkpoint> {
        let parameters = optimiser.mean.len();
        let path: PathBuf = run.join(FILE_NAME);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::corrupt(&path, "checkpoint", "a checkpoint, as the run has metrics", "no file"));
            }
            read => read.map_err(Error::io(&path, "read the checkpoint"))?,
        };
        let damaged = |e| Error::corrupt(&path, "safetensors", "a checkpoint", e);
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let text = header.metadata().as_ref().and_then(|map| map.get(KEY));
        let text = text.ok_or_else(|| Error::corrupt(&path, "metadata", format!("a field {KEY}"), "none"))?;
        let state: Metadata =
            serde_json::from_str(text).map_err(|e| Error::corrupt(&path, "metadata", "a checkpoint's state", e))?;
        if state.version != VERSION {
            let (expected, got) = (VERSION.to_string(), state.version.to_string());
            return Err(ShardError::Incompatible { path, expected, got }.into());
        }
        let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let column = |name: &str, len: usize| -> Result<Vec<f32>> {
            let view = tensors.tensor(name).map_err(damaged)?;
            if view.dtype() != Dtype::F32 || view.shape() != [len] {
                let got = format!("{:?} {:?}", view.dtype(), view.shape());
                return Err(Error::corrupt(&path, name, format!("F32 [{len}]"), got));
            }
            Ok(view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect())
        };
        let values = column(PARAMETERS, parameters)?;
        let state_columns = [&mut optimiser.mean, &mut optimiser.mean_square];
        for (name, to) in state_names(optimiser.config.rule).iter().zip(state_columns) {
            *to = column(name, parameters)?;
        }
        optimiser.step = state.adam_step;
        Ok(Checkpoint {
            epochs_done: state.epochs_done,
            batches_done: state.batches_done,
            running: state.running,
            best_accuracy: state.best_accuracy,
            parameters: values,
            statistics: if statistics == 0 { Vec::new() } else { column(STATISTICS, statistics)? },
            optimiser,
        })
    }
}

fn unserialisable(path: &Path) -> impl FnOnce(safetensors::SafeTensorError) -> Error {
    let io = Error::io(path, "serialise the checkpoint");
    move |e| io(std::io::Error::other(e))
}
