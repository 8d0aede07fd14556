//! Makes the configuration of a run. A new run takes it from the options, a resumed run from the run folder.

use tonic_loader::{Augmentation, fixed_steps};
use tonic_shard::Error as ShardError;

use crate::engine::EngineChoice;
use crate::error::{BaseFault, Error, Result, ShardFault};
use crate::kernel::OptimiserConfig;
use crate::learner::{ClassWeights, Pad};
use crate::network::{Iaf, Shape};
use crate::run::config::{self, Config, DataConfig, NetworkConfig};
use crate::run::metrics;
use crate::run::network_file::resized;
use crate::run::options::FitOptions;
use crate::run::sets::Sets;
use crate::run::sums;
use crate::run::training_config::TrainingConfig;
use crate::run::training_options::{TrainingOptions, word};

const EPOCHS: u64 = 20;
const BATCH_SIZE: usize = 128;

impl FitOptions {
    /// Returns the configuration of the run to train. If `resume` is true, returns an error if an option contradicts
    /// the run's config.toml.
    pub(super) fn config(&self, sets: &Sets, resume: bool) -> Result<Config> {
        if resume { self.resumed(sets) } else { self.new_config(sets) }
    }

    /// Returns these options with the backend that can train the network of the run.
    pub(super) fn with_backend(&self, resume: bool) -> Result<FitOptions> {
        let layers = match (resume, &self.layers) {
            (true, _) => Some(Config::read(&self.run)?.network.architecture().layers),
            (false, layers) => layers.clone(),
        };
        let backend = layers.map_or(Ok(self.backend.clone()), |layers| self.backend.for_layers(&layers))?;
        Ok(FitOptions { backend, ..self.clone() })
    }

    fn new_config(&self, sets: &Sets) -> Result<Config> {
        let manifest = sets.train.manifest();
        let description = &manifest.description;
        let network = self.network(description.shape.cells() as usize, description.classes.len())?;
        let epochs = self.epochs.unwrap_or(EPOCHS);
        let config = Config {
            epochs,
            batch_size: self.batch_size.unwrap_or(BATCH_SIZE),
            drop_last: self.drop_last,
            lr: self.lr.unwrap_or(OptimiserConfig::default().lr),
            seed: self.seed.unwrap_or_default(),
            engine: self.backend.engine,
            pad: self.pad.unwrap_or_default(),
            steps: fixed_steps(manifest),
            device: self.backend.arithmetic(),
            matmul_precision: self.backend.precision,
            gpu_ranks: self.backend.gpu_ranks(),
            class_weights: self.class_weights.unwrap_or_default(),
            reestimate_norm: self.reestimate_norm,
            training: self.training.config(epochs, sets.valid.is_some())?,
            network,
            data: sets.data(),
            lr_changes: Vec::new(),
        };
        config.network.check_options()?;
        config.training.check_parts(config.network.architecture().tensors())?;
        config.training.augment.check(description.shape, description.widths)?;
        Ok(config)
    }

    /// Returns the network of a new run on frames of `inputs` cells.
    fn network(&self, inputs: usize, classes: usize) -> Result<NetworkConfig> {
        let gain = self.gain.unwrap_or(1.0);
        let default = Iaf::default();
        let Some(layers) = &self.layers else {
            let reference = Shape::reference(inputs, classes).hidden;
            let hidden = self.hidden.as_ref().map_or(reference.clone(), |sizes| sizes.of(reference.len()));
            let (theta, min_v_mem) = (Some(self.theta.unwrap_or(default.theta)), self.min_v_mem);
            return Ok(NetworkConfig { inputs, hidden, classes, theta, min_v_mem, gain, layers: None });
        };
        for (option, value) in [("theta", self.theta), ("min_v_mem", self.min_v_mem)] {
            if let Some(value) = value {
                let expected = "no such option with a network file, whose neurons say it";
                return Err(Error::usage(option, expected, format!("{value:?}")));
            }
        }
        let layers = resized(layers, self.hidden.as_ref())?;
        let hidden = layers.hidden.iter().map(|layer| layer.neurons).collect();
        let plain = layers.as_iaf().filter(|iaf| iaf.surrogate == default.surrogate);
        let (theta, min_v_mem) = (plain.map(|iaf| iaf.theta), plain.and_then(|iaf| iaf.min_v_mem));
        let layers = plain.is_none().then_some(layers);
        Ok(NetworkConfig { inputs, hidden, classes, theta, min_v_mem, gain, layers })
    }

    fn resumed(&self, sets: &Sets) -> Result<Config> {
        let (stored, train) = (Config::read(&self.run)?, &sets.train);
        self.refuse_contradiction(&stored)?;
        stored.check_data(&self.run, train.dir(), train.manifest())?;
        let file = self.run.join(config::FILE_NAME);
        let fields = [
            ("set_id", stored.data.set_id.clone(), train.manifest().set_id.to_string()),
            ("steps", stored.steps.to_string(), fixed_steps(train.manifest()).to_string()),
        ];
        ShardError::refuse_difference(train.dir(), &file, fields)?;
        let config = Config {
            data: self.resumed_data(&stored.data, sets.data())?,
            epochs: self.epochs.unwrap_or(stored.epochs),
            reestimate_norm: self.reestimate_norm || stored.reestimate_norm,
            training: TrainingConfig { patience: self.resumed_patience(&stored)?, ..stored.training.clone() },
            device: self.backend.arithmetic(),
            matmul_precision: self.backend.precision,
            gpu_ranks: self.backend.gpu_ranks(),
            ..stored.clone()
        };
        let rounding = |of: &Config| (of.device, of.matmul_precision, of.gpu_ranks);
        if rounding(&config) != rounding(&stored) {
            let words = |of: &Config| {
                let ranks = if of.gpu_ranks > 1 { format!(" on {} ranks", of.gpu_ranks) } else { String::new() };
                format!("{:?} at {:?} precision{ranks}", of.device, of.matmul_precision).to_lowercase()
            };
            self.say(|| {
                format!("device   rounding is of {} from here on, of {} before", words(&config), words(&stored))
            });
        }
        Ok(config)
    }

    /// Returns the patience of a resumed run: the value in the options, or otherwise the stored value.
    fn resumed_patience(&self, stored: &Config) -> Result<Option<u64>> {
        if self.training.patience.is_some() && stored.data.valid_set_id.is_none() && self.valid.is_none() {
            return Err(Error::usage(
                "patience",
                "a validation set (--valid DIR), on which epochs are compared",
                "none",
            ));
        }
        Ok(self.training.patience.or(stored.training.patience))
    }

    /// Returns `stored`, the sets of the run to resume, after comparing them with `asked`, the sets in the options. For
    /// the validation set and the test set:
    ///
    /// - If the run has this set, the options must name the same set. They may also name no test set.
    /// - If the run has had no such set, the set in the options is added to the result.
    /// - If an earlier version may have used such a set without storing its id, any set is accepted, and none is added.
    ///
    /// # Errors
    /// - [`Mismatch`](tonic_shard::Error::Mismatch) with the field `valid` or `test` if the options name another set
    /// - [`Mismatch`](tonic_shard::Error::Mismatch) with the field `valid` if the run has been validated and the
    ///   options name no validation set
    /// - the errors of reading the metrics
    fn resumed_data(&self, stored: &DataConfig, asked: DataConfig) -> Result<DataConfig> {
        let file = self.run.join(config::FILE_NAME);
        let without_test = stored.test_set_id.as_deref().filter(|_| asked.test_set_id.is_none());
        for (field, expected, got, set) in [
            ("valid", &stored.valid_set_id, asked.valid_set_id.as_deref(), &self.valid),
            ("test", &stored.test_set_id, asked.test_set_id.as_deref().or(without_test), &self.test),
        ] {
            if let Some(expected) = expected.as_deref().filter(|expected| got != Some(expected)) {
                let got = got.unwrap_or("none");
                return Err(Error::mismatch(set.as_ref().unwrap_or(&self.run), &file, field, expected, got));
            }
        }
        let mut data = stored.clone();
        if stored.test_set_id.is_none() && asked.test_set_id.is_some() {
            if sums::exist(&self.run) {
                self.say(|| "test     the run had no test set: it keeps this one".into());
                data.test_set_id = asked.test_set_id;
            } else {
                self.say(|| {
                    "test     an earlier version began the run: whether the set is the same isn't known".into()
                });
            }
        }
        if stored.valid_set_id.is_none() {
            let epochs = metrics::read_all(&self.run)?;
            let was_validated = epochs.iter().any(|epoch| epoch.valid.is_some());
            if was_validated && asked.valid_set_id.is_none() {
                let metrics = self.run.join(metrics::FILE_NAME);
                return Err(Error::mismatch(&self.run, &metrics, "valid", "the validation set of its epochs", "none"));
            }
            if was_validated {
                self.say(|| {
                    "valid    an earlier version began the run: whether the set is the same isn't known".into()
                });
            } else if asked.valid_set_id.is_some() {
                self.say(|| {
                    let first = epochs.len() + 1;
                    format!("valid    the run had no validation set: best.safetensors is chosen from epoch {first} on")
                });
                data.valid_set_id = asked.valid_set_id;
            }
        }
        Ok(data)
    }

    /// Checks that the options agree with `stored`, the configuration of the run to resume.
    ///
    /// # Errors
    /// [`Mismatch`](tonic_shard::Error::Mismatch) with the name of the first option that differs.
    fn refuse_contradiction(&self, stored: &Config) -> Result<()> {
        let asked = self.training.init_sum()?;
        if let Some(got) = asked.filter(|asked| Some(asked) != stored.training.init.as_ref()) {
            let expected = stored.training.init.as_deref().unwrap_or("none");
            return Err(Error::mismatch(&self.run, &self.run.join(config::FILE_NAME), "init", expected, got));
        }
        if let Some(asked) = self.training.augmentation()?.filter(|asked| *asked != stored.training.augment) {
            let words = |of: &Augmentation| format!("{:?}", of.steps);
            let (expected, got) = (words(&stored.training.augment), words(&asked));
            return Err(Error::mismatch(&self.run, &self.run.join(config::FILE_NAME), "augment", expected, got));
        }
        let network = &stored.network;
        if self.layers.is_some() {
            let asked = self.network(network.inputs, network.classes)?.architecture().layers.text();
            let stored = network.architecture().layers.text();
            let differs = asked.lines().zip(stored.lines()).find(|(asked, stored)| asked != stored);
            let differs = differs.or((asked.len() != stored.len()).then_some(("other layers", "the run's layers")));
            if let Some((got, expected)) = differs {
                let file = self.run.join(config::FILE_NAME);
                return Err(Error::mismatch(&self.run, &file, "network", expected.trim(), got.trim()));
            }
        }
        // If `hidden` is one number, the number of layers is that of the stored network if a network file describes it
        // or is given now. Otherwise, the number of layers is that of the reference network.
        let has_file = self.layers.is_some() || network.layers.is_some();
        let layers = if has_file {
            network.hidden.len()
        } else {
            Shape::reference(network.inputs, network.classes).hidden.len()
        };
        let asked_hidden = self.hidden.as_ref().map(|sizes| sizes.of(layers));
        let sizes = |hidden: &[usize]| hidden.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let bound = |bound: Option<f32>| bound.map_or("none".into(), |bound| format!("{bound:?}"));
        let fields = [
            ("batch_size", word(self.batch_size), word(Some(stored.batch_size))),
            ("drop_last", word(self.drop_last.then_some(true)), word(Some(stored.drop_last))),
            ("hidden", asked_hidden.as_deref().map(sizes), Some(sizes(&network.hidden))),
            ("theta", self.theta.map(|v| bound(Some(v))), Some(bound(network.theta))),
            ("gain", word(self.gain), word(Some(network.gain))),
            ("min_v_mem", self.min_v_mem.map(|v| bound(Some(v))), Some(bound(network.min_v_mem))),
            ("seed", word(self.seed), word(Some(stored.seed))),
            ("engine", word::<EngineChoice>(Some(self.backend.engine)), word(Some(stored.engine))),
            ("pad", word::<Pad>(self.pad), word(Some(stored.pad))),
            ("class_weights", word::<ClassWeights>(self.class_weights), word(Some(stored.class_weights))),
        ];
        let stored_training = TrainingOptions::from(&stored.training);
        let training = self.training.words().into_iter().zip(stored_training.words());
        let training = training.map(|((field, asked), (_, stored))| (field, asked, stored.or(Some("none".into()))));
        for (field, asked, stored) in fields.into_iter().chain(training) {
            if let (Some(got), Some(expected)) = (asked, stored)
                && got != expected
            {
                return Err(Error::mismatch(&self.run, &self.run.join(config::FILE_NAME), field, expected, got));
            }
        }
        Ok(())
    }
}
