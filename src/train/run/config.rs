//! The configuration of a run, `config.toml`: everything that the result depends on.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tonic_base::publish;
use tonic_shard::{Error as ShardError, Manifest, listed};

use crate::engine::{Arithmetic, EngineChoice};
use crate::error::{BaseFault, Error, Result};
use crate::kernel::program::MatmulPrecision;
use crate::learner::{ClassWeights, Knobs, Pad, Rates};
use crate::network::{Architecture, Iaf, Layers, Model};
use crate::run::metrics::{EpochMetrics, LossWords};
use crate::run::training_config::{LrChange, TrainingConfig};

pub(crate) const FILE_NAME: &str = "config.toml";

/// The configuration of a run: everything that the result depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Number of epochs of the run.
    pub epochs: u64,
    /// Number of samples per batch.
    pub batch_size: usize,
    /// Whether an incomplete last batch of an epoch is left out.
    #[serde(default)]
    pub drop_last: bool,
    /// Learning rate at the start of the run, before the schedule changes it.
    pub lr: f64,
    /// Seed of the initial weights and of the order of samples.
    pub seed: u64,
    /// Engine that trains.
    pub engine: EngineChoice,
    /// Whether samples are padded to `steps` time steps, or to the longest sample of the batch.
    pub pad: Pad,
    /// Number of time steps per sample with [`Pad::Fixed`].
    pub steps: usize,
    /// Whether the last process that trained the run used a CPU or a GPU.
    #[serde(default)]
    pub device: Arithmetic,
    /// Precision of matrix products on a GPU. A run on a CPU always has the highest.
    #[serde(default)]
    pub matmul_precision: MatmulPrecision,
    /// Number of ranks with a GPU each. It decides the order of sums. It is 1 on a CPU, where any number of ranks gives
    /// the same bits.
    #[serde(default = "one_rank", skip_serializing_if = "is_one_rank")]
    pub gpu_ranks: usize,
    /// Weights of the classes in the training loss.
    #[serde(default, skip_serializing_if = "ClassWeights::is_none")]
    pub class_weights: ClassWeights,
    /// Whether the running statistics of norms are computed again after the last epoch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reestimate_norm: bool,
    /// Optimiser, schedule of the learning rate, and selection of an epoch.
    #[serde(default, skip_serializing_if = "TrainingConfig::is_default")]
    pub training: TrainingConfig,
    /// Sizes and constants of the network.
    pub network: NetworkConfig,
    /// Class names and recipe of the training set, and ids of all sets of the run.
    pub data: DataConfig,
    /// The changes of the learning rate by resumed runs, the earliest change first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lr_changes: Vec<LrChange>,
}

/// Sizes and constants of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Number of cells in a frame.
    pub inputs: usize,
    /// Number of neurons of each hidden layer.
    pub hidden: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// Spike threshold of the neurons, if `layers` doesn't describe them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theta: Option<f32>,
    /// Lower bound of the membrane potential. `None` if there is no bound, or if `layers` describes the neurons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_v_mem: Option<f32>,
    /// Factor by which the initial weights of the hidden layers are multiplied.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub gain: f64,
    /// Layers of the network, stored as the text of a network file. `None` if theta describes the neurons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Layers>,
}

fn one() -> f64 {
    1.0
}

fn one_rank() -> usize {
    1
}

fn is_one_rank(ranks: &usize) -> bool {
    *ranks == 1
}

fn is_one(gain: &f64) -> bool {
    *gain == 1.0
}

/// Ids of the sets of a run, and class names and recipe of the training set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Id of the training set.
    pub set_id: String,
    /// Id of the validation set. `None` if the run has no validation set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_set_id: Option<String>,
    /// Id of the test set. `None` if the run has no test set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_set_id: Option<String>,
    /// Names of the classes.
    pub class_names: Vec<String>,
    /// Recipe that the frames were made with.
    pub recipe: String,
}

impl NetworkConfig {
    /// Refuses options that contradict each other, or have no effect.
    ///
    /// # Errors
    /// [`Usage`](tonic_base::Error::Usage) with the name of the option.
    pub(super) fn check_options(&self) -> Result<()> {
        if let Some((name, expected, got)) = self.iaf().fault() {
            return Err(Error::usage(name, expected, format!("{got:?}")));
        }
        let hidden = self.architecture().layers.hidden;
        match hidden.iter().position(|layer| layer.norm.is_some()).filter(|_| self.gain != 1.0) {
            None => Ok(()),
            Some(i) => {
                let expected = "hidden layers without a norm, which undoes the factor (a larger learning rate, a penalty \
                                for spike rates or a wider surrogate gradient makes such neurons spike)";
                Err(Error::usage("gain", expected, format!("a norm in layer {}", i + 1)))
            }
        }
    }

    /// Returns which options change how often the neurons spike.
    pub(super) fn knobs(&self) -> Knobs {
        let gain = self.architecture().layers.hidden.iter().all(|layer| layer.norm.is_none());
        Knobs { gain, theta: self.theta.is_some() }
    }

    /// Returns the constants of the neurons, or the defaults if `layers` describes the neurons.
    pub(super) fn iaf(&self) -> Iaf {
        let Iaf { theta, .. } = Iaf::default();
        Iaf { theta: self.theta.unwrap_or(theta), min_v_mem: self.min_v_mem, ..Iaf::default() }
    }

    /// Returns the sizes and the layers of the network.
    pub fn architecture(&self) -> Architecture {
        let layers = self.layers.clone().unwrap_or_else(|| Layers::iaf(&self.hidden, self.iaf()));
        Architecture::new(self.inputs, layers, self.classes)
    }
}

impl DataConfig {
    /// Returns the ids, class names and recipe for a run on the sets with these manifests.
    pub fn of(train: &Manifest, valid: Option<&Manifest>, test: Option<&Manifest>) -> DataConfig {
        let description = &train.description;
        let id = |manifest: &Manifest| manifest.set_id.to_string();
        DataConfig {
            set_id: id(train),
            valid_set_id: valid.map(id),
            test_set_id: test.map(id),
            class_names: description.classes.clone(),
            recipe: description.recipe.clone(),
        }
    }
}

impl Config {
    /// Returns whether a folder has the configuration of a run.
    pub fn is_in(run: &Path) -> bool {
        run.join(FILE_NAME).exists()
    }

    /// Reads the configuration of a run folder.
    ///
    /// # Errors
    /// [`Io`](tonic_base::Error::Io), [`Corrupt`](tonic_base::Error::Corrupt) if the file is not a valid configuration.
    pub fn read(run: &Path) -> Result<Config> {
        let path = run.join(FILE_NAME);
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path, "read the run's configuration"))?;
        let config: Config = toml::from_str(&text)
            .map_err(|e: toml::de::Error| Error::corrupt(&path, "TOML", "a run's configuration", e.message()))?;
        // Rank 0 sends the configuration as JSON, which has no NaN and no infinity.
        if !text.parse().is_ok_and(|value: toml::Table| value.values().all(is_finite)) {
            return Err(Error::corrupt(&path, "numbers", "finite ones", "NaN or infinity"));
        }
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
        let described: Option<Vec<usize>> =
            network.layers.as_ref().map(|layers| layers.hidden.iter().map(|layer| layer.neurons).collect());
        let fits = match &described {
            Some(hidden) => *hidden == network.hidden && network.theta.is_none() && network.min_v_mem.is_none(),
            None => network.theta.is_some(),
        };
        if let Some((name, expected, got)) = network.iaf().fault() {
            return Err(Error::corrupt(&path, format!("network.{name}"), expected, got));
        }
        if !fits {
            let got = if described.is_some() { "layers of other sizes, or theta" } else { "neither" };
            return Err(Error::corrupt(&path, "network", "either theta or layers, of the sizes in hidden", got));
        }
        Ok(config)
    }

    /// Returns whether training minimises the plain cross entropy: without class weights, label smoothing and a penalty
    /// for spike rates.
    pub(super) fn has_plain_loss(&self) -> bool {
        let TrainingConfig { label_smoothing, spike_rate, .. } = self.training;
        self.class_weights.is_none() && label_smoothing == 0.0 && spike_rate.is_none()
    }

    /// Returns the labels of a chart of the losses of `epochs`. The loss of validation is the plain cross entropy.
    pub(crate) fn loss_words(&self, epochs: &[EpochMetrics]) -> LossWords {
        let (train, valid) = ("objective of training", "cross entropy of validation");
        match self.has_plain_loss() {
            true => LossWords { axis: "cross entropy", train: "training", valid: "validation" },
            false if epochs.iter().any(|epoch| epoch.valid.is_some()) => LossWords { axis: "loss", train, valid },
            false => LossWords { axis: train, train, valid },
        }
    }

    /// Returns the learning rate after the last change by a resumed run. The schedule is not applied to it.
    pub(crate) fn current_lr(&self) -> f64 {
        self.lr_changes.last().map_or(self.lr, |change| change.lr)
    }

    /// Returns the learning rate and the momentum of the batches of the epoch that follows the finished epochs
    /// `epochs`. An epoch has `batches` batches.
    pub(super) fn rates(&self, epochs: &[EpochMetrics], batches: u64) -> Rates {
        let Config { training, lr_changes, lr, .. } = self;
        Rates {
            schedule: training.schedule,
            lr: training.lr_after(*lr, lr_changes, epochs),
            momentum: training.optimiser.momentum(),
            epoch: epochs.len() as u64,
            batches,
        }
    }

    /// Changes the learning rate from the next batch on, and records the change. Returns `false` if the run has this
    /// learning rate already.
    pub(crate) fn change_lr(&mut self, epochs_done: u64, batches_done: u64, lr: f64) -> bool {
        if lr == self.current_lr() {
            return false;
        }
        // An earlier change at the same batch never took effect.
        self.lr_changes.retain(|change| (change.epochs_done, change.batches_done) < (epochs_done, batches_done));
        if (epochs_done, batches_done) == (0, 0) {
            self.lr = lr;
        } else if lr != self.current_lr() {
            self.lr_changes.push(LrChange { epochs_done, batches_done, lr });
        }
        true
    }

    /// Writes the configuration into a run folder.
    ///
    /// # Errors
    /// [`Io`](tonic_base::Error::Io).
    ///
    /// # Panics
    /// Never: every configuration can be written as TOML.
    pub fn publish(&self, run: &Path) -> Result<()> {
        let text = toml::to_string(self).expect("a configuration is TOML");
        Ok(publish(&run.join(FILE_NAME), text.as_bytes())?)
    }

    /// Checks that a set has the cells, recipe and classes of the run.
    ///
    /// # Errors
    /// [`Mismatch`](tonic_shard::Error::Mismatch) with the first field that differs.
    pub(crate) fn check_data(&self, run: &Path, dir: &Path, manifest: &Manifest) -> Result<()> {
        self.check_frames(run, dir, manifest, &manifest.description.classes)
    }

    /// Checks that a set has the cells and the recipe of the run, and either the classes of the run or no classes.
    pub(crate) fn check_unlabelled(&self, run: &Path, dir: &Path, manifest: &Manifest) -> Result<()> {
        let classes = &manifest.description.classes;
        self.check_frames(run, dir, manifest, if classes.is_empty() { &self.data.class_names } else { classes })
    }

    fn check_frames(&self, run: &Path, dir: &Path, manifest: &Manifest, classes: &[String]) -> Result<()> {
        let description = &manifest.description;
        let fields = [
            ("cells of a frame", self.network.inputs.to_string(), description.shape.cells().to_string()),
            ("recipe", self.data.recipe.clone(), description.recipe.clone()),
            ("classes", listed(&self.data.class_names), listed(classes)),
        ];
        Ok(ShardError::refuse_difference(dir, &run.join(FILE_NAME), fields)?)
    }

    /// Checks that a model file has the network, classes and time steps of the run.
    ///
    /// # Errors
    /// [`Mismatch`](tonic_shard::Error::Mismatch) with the first field that differs.
    pub(crate) fn check_model(&self, run: &Path, file: &Path, model: &Model) -> Result<()> {
        // The text has every setting, but not the number of inputs.
        let words = |of: &Architecture| format!("{:?}, {}", of.shape, of.layers.text());
        let Model { network: got, classes, steps } = model;
        let fields = [
            ("network", words(&self.network.architecture()), words(got.architecture())),
            ("classes", listed(&self.data.class_names), listed(classes)),
            ("steps", self.steps.to_string(), steps.to_string()),
        ];
        Ok(ShardError::refuse_difference(file, &run.join(FILE_NAME), fields)?)
    }
}

/// Returns whether all numbers in a value are finite.
fn is_finite(value: &toml::Value) -> bool {
    match value {
        toml::Value::Float(number) => number.is_finite(),
        toml::Value::Array(values) => values.iter().all(is_finite),
        toml::Value::Table(table) => table.values().all(is_finite),
        _ => true,
    }
}
