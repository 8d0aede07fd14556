//! What a run is made of: everything that its result depends on, kept in the run folder.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::export::safetensors::Model;
use super::kernel::cuda::Device;
use super::kernel::program::MatmulPrecision;
use super::snn::{Engine, Iaf, Network, Shape};
use crate::error::{Error, Result};
use crate::publish::publish;
use crate::shard::Manifest;

/// The file in the run folder.
pub const FILE_NAME: &str = "config.toml";

/// What computes a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// The kernels of this crate.
    #[default]
    Fused,
    /// libtorch's autograd, to check them by.
    Reference,
}

impl EngineChoice {
    /// The engine, for networks of this one's shape; libtorch's on `device`.
    pub fn engine(self, network: &Network, device: tch::Device) -> Engine {
        match self {
            EngineChoice::Fused => Engine::fused(network),
            EngineChoice::Reference => Engine::reference(device),
        }
    }
}

/// What a run's sums are rounded by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// The CPU's, the same on all of them.
    #[default]
    Cpu,
    /// A GPU's.
    Cuda,
}

impl Arithmetic {
    /// Of a GPU, or without one.
    pub fn of(device: Option<&Device>) -> Arithmetic {
        if device.is_some() { Arithmetic::Cuda } else { Arithmetic::Cpu }
    }
}

/// What samples are padded to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pad {
    /// The recipe's limit, or the training set's longest sample: a sample's result does not depend on its batch.
    #[default]
    Fixed,
    /// The longest sample of the batch, as Tonic's PadTensors.
    Batch,
}

/// The steps that every sample of a training set is padded to: the recipe's limit, so that other sets of the recipe have
/// the same, or the longest sample where the limit is more than twice that, which would be steps of nothing.
pub fn fixed_steps(manifest: &Manifest) -> usize {
    let longest = manifest.totals.max_frames;
    let limit = manifest.description.frame_limit.filter(|&limit| limit <= longest.saturating_mul(2));
    limit.unwrap_or(longest) as usize
}

/// Everything that a run's result depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Epochs.
    pub epochs: u64,
    /// Samples a batch.
    pub batch_size: usize,
    /// Whether an epoch's last batch is left out where it would be smaller. Runs of before had no such choice.
    #[serde(default)]
    pub drop_last: bool,
    /// Adam's learning rate, at first.
    pub lr: f64,
    /// Seed of the initial weights and of the order.
    pub seed: u64,
    /// What computes a step.
    pub engine: EngineChoice,
    /// What samples are padded to.
    pub pad: Pad,
    /// Steps that every sample runs for, at least.
    pub steps: usize,
    /// Where it is trained, or was last. Runs of before had the CPU alone.
    #[serde(default)]
    pub device: Arithmetic,
    /// How exact products are there; the CPU's are the highest.
    #[serde(default)]
    pub matmul_precision: MatmulPrecision,
    /// The network.
    pub network: NetworkConfig,
    /// The training set.
    pub data: DataConfig,
    /// Learning rates that a resume has changed to, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lr_changes: Vec<LrChange>,
}

/// A learning rate, and from where on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LrChange {
    /// Epochs that were done.
    pub epochs_done: u64,
    /// Batches of the next epoch that were done.
    pub batches_done: u64,
    /// Adam's learning rate from there on.
    pub lr: f64,
}

/// The network's sizes and neurons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Cells of a frame.
    pub inputs: usize,
    /// Neurons of each hidden layer.
    pub hidden: Vec<usize>,
    /// Outputs.
    pub classes: usize,
    /// Spike threshold.
    pub theta: f32,
    /// Lower bound of the membrane potential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_v_mem: Option<f32>,
}

/// What a model must know of the data it was trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The training set's id.
    pub set_id: String,
    /// Names of the classes.
    pub class_names: Vec<String>,
    /// The recipe that made its frames.
    pub recipe: String,
}

impl NetworkConfig {
    /// The network's sizes.
    pub fn shape(&self) -> Shape {
        Shape { inputs: self.inputs, hidden: self.hidden.clone(), classes: self.classes }
    }

    /// The network's neurons.
    pub fn neuron(&self) -> Iaf {
        Iaf { theta: self.theta, min_v_mem: self.min_v_mem, ..Iaf::default() }
    }
}

impl DataConfig {
    /// Of a training set.
    pub fn of(manifest: &Manifest) -> DataConfig {
        let description = &manifest.description;
        DataConfig {
            set_id: manifest.set_id.to_string(),
            class_names: description.classes.clone(),
            recipe: description.recipe.clone(),
        }
    }
}

impl Config {
    /// Reads a run folder's.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`] for a file that is no configuration.
    pub fn read(run: &Path) -> Result<Config> {
        let path = run.join(FILE_NAME);
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path, "read the run's configuration"))?;
        let config: Config =
            toml::from_str(&text).map_err(|e| Error::corrupt(&path, "TOML", "a run's configuration", e))?;
        let network = &config.network;
        let sizes = || network.hidden.iter().chain([&network.inputs, &network.classes]);
        if sizes().any(|&n| n == 0 || n > 1 << 20) || config.batch_size == 0 {
            return Err(Error::corrupt(
                &path,
                "network",
                "layers of 1 to 2^20 neurons, batches of some samples",
                "others",
            ));
        }
        Ok(config)
    }

    /// The learning rate of the batches to come.
    pub fn current_lr(&self) -> f64 {
        self.lr_changes.last().map_or(self.lr, |change| change.lr)
    }

    /// Changes the learning rate of the batches to come, and keeps what it was for those before. Returns whether it is
    /// another.
    pub fn change_lr(&mut self, epochs_done: u64, batches_done: u64, lr: f64) -> bool {
        if lr == self.current_lr() {
            return false;
        }
        // Nothing was trained at a rate that was changed to at the same place.
        self.lr_changes.retain(|change| (change.epochs_done, change.batches_done) < (epochs_done, batches_done));
        if (epochs_done, batches_done) == (0, 0) {
            self.lr = lr;
        } else if lr != self.current_lr() {
            self.lr_changes.push(LrChange { epochs_done, batches_done, lr });
        }
        true
    }

    /// Writes it into a run folder.
    ///
    /// # Errors
    /// [`Error::Io`].
    ///
    /// # Panics
    /// Never: a configuration has nothing that TOML cannot say.
    pub fn publish(&self, run: &Path) -> Result<()> {
        let text = toml::to_string(self).expect("a configuration is TOML");
        publish(&run.join(FILE_NAME), text.as_bytes())
    }

    /// Refuses to go on with a run under another configuration; more epochs, another learning rate or another device are
    /// none.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with the first field that differs.
    pub fn check_resumes(&self, run: &Path, stored: &Config) -> Result<()> {
        let same = |config: &Config| Config {
            epochs: 0,
            lr: 0.0,
            lr_changes: Vec::new(),
            device: Arithmetic::default(),
            matmul_precision: MatmulPrecision::default(),
            ..config.clone()
        };
        let value = |config: &Config| toml::Table::try_from(same(config));
        let (Ok(mine), Ok(theirs)) = (value(self), value(stored)) else { return Ok(()) };
        match mine.iter().find(|(field, value)| theirs.get(*field) != Some(value)) {
            None => Ok(()),
            Some((field, got)) => Err(Error::Mismatch {
                path: run.into(),
                other: run.join(FILE_NAME),
                field: field.clone(),
                expected: theirs.get(field).map_or("none".into(), |v| v.to_string()),
                got: got.to_string(),
            }),
        }
    }

    /// Refuses a set that the model was not made for.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with the first field that differs.
    pub fn check_data(&self, run: &Path, dir: &Path, manifest: &Manifest) -> Result<()> {
        let description = &manifest.description;
        let fields = [
            ("cells of a frame", self.network.inputs.to_string(), description.shape.cells().to_string()),
            ("recipe", self.data.recipe.clone(), description.recipe.clone()),
            ("classes", self.data.class_names.join(", "), description.classes.join(", ")),
        ];
        Error::refuse_difference(dir, &run.join(FILE_NAME), fields)
    }

    /// Refuses a model file of another run.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with the first field that differs.
    pub fn check_model(&self, run: &Path, file: &Path, model: &Model) -> Result<()> {
        let network = |shape: &Shape, neuron: &Iaf| format!("{shape:?}, {neuron:?}");
        let Model { network: got, classes, steps } = model;
        let expected = network(&self.network.shape(), &self.network.neuron());
        let fields = [
            ("network", expected, network(got.shape(), &got.neuron)),
            ("classes", self.data.class_names.join(", "), classes.join(", ")),
            ("steps", self.steps.to_string(), steps.to_string()),
        ];
        Error::refuse_difference(file, &run.join(FILE_NAME), fields)
    }
}
