//! Training: epochs of batches through an engine and Adam, a run folder that tells of it and can go on from any stop.
//!
//! ```text
//! RUN/config.toml              everything the result depends on
//! RUN/metrics.jsonl            a line an epoch
//! RUN/checkpoint.safetensors   where --resume goes on
//! RUN/model.safetensors        the network after the last epoch, as the state dict of an nn.Sequential
//! RUN/best.safetensors         the same after the epoch with the best validation accuracy
//! RUN/loss.png .svg, accuracy.png .svg
//! ```

use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::checkpoint::{self, Checkpoint};
use super::config::{self, Config, DataConfig, EngineChoice, NetworkConfig, Pad, fixed_steps};
use super::eval::{Evaluation, Feed, check_labelled, evaluate};
use super::export::safetensors::{Model, write_model};
use super::kernel::KernelError;
use super::kernel::adam::{Adam, AdamConfig};
use super::loader::{CacheChoice, EpochOrder, Loader};
use super::metrics::{self, EpochMetrics, RunningScore, Score};
use super::snn::{Engine, Network, Parameters};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::progress::{Progress, Verbosity, human_bytes};
use crate::publish::remove;
use crate::shard::ShardSet;

/// The network after the last epoch.
pub const MODEL: &str = "model.safetensors";
/// The network after the epoch with the best validation accuracy.
pub const BEST: &str = "best.safetensors";
/// What makes a folder a run. The checkpoint is first to go: no other run may take it for its own.
const FILES: [&str; 5] = [checkpoint::FILE_NAME, metrics::FILE_NAME, MODEL, BEST, config::FILE_NAME];

/// A run to be.
#[derive(Clone, Debug)]
pub struct Fit {
    /// The training set.
    pub train: PathBuf,
    /// Evaluated after every epoch.
    pub valid: Option<PathBuf>,
    /// Evaluated once, at the end.
    pub test: Option<PathBuf>,
    /// The run folder.
    pub run: PathBuf,
    /// Epochs.
    pub epochs: u64,
    /// Samples a batch.
    pub batch_size: usize,
    /// Leave out an epoch's last batch where it would be smaller.
    pub drop_last: bool,
    /// Neurons of each hidden layer.
    pub hidden: Vec<usize>,
    /// Lower bound of the membrane potential.
    pub min_v_mem: Option<f32>,
    /// Learning rate.
    pub lr: f64,
    /// Seed of weights and order.
    pub seed: u64,
    /// What computes a step.
    pub engine: EngineChoice,
    /// What samples are padded to.
    pub pad: Pad,
    /// Where samples are kept.
    pub cache: CacheChoice,
    /// Keep the pages of streamed shards in memory.
    pub pin: bool,
    /// Go on with the run in the folder.
    pub resume: bool,
    /// Replace the run in the folder.
    pub overwrite: bool,
    /// Bars and lines.
    pub verbosity: Verbosity,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// All of the run's epochs.
    pub epochs: Vec<EpochMetrics>,
    /// On the test set.
    pub test: Option<Evaluation>,
}

/// Trains a network.
///
/// # Errors
/// Every fault of sets and run folder, [`Error::Diverged`], and [`Error::Interrupted`] after saving.
pub fn fit(fit: &Fit) -> Result<Fitted> {
    let train = ShardSet::open(&fit.train)?;
    check_labelled(&train)?;
    let others = [&fit.valid, &fit.test].map(|dir| dir.as_ref().map(|dir| ShardSet::open(dir)).transpose());
    let [valid, test] = others;
    let (valid, test) = (valid?, test?);
    for set in [&valid, &test].into_iter().flatten() {
        set.manifest().check_compatible(set.dir(), train.manifest(), train.dir())?;
        check_labelled(set)?;
    }
    let config = fit.config(&train);
    check_run(fit, &config)?;
    if fit.drop_last && train.len() < fit.batch_size as u64 {
        let expected = format!("a training set of at least a batch, {} samples", fit.batch_size);
        return Err(Error::usage("--drop-last", expected, train.len()));
    }

    let train = fit.load("train", train)?.drop_last(fit.drop_last);
    let valid = valid.map(|set| fit.load("valid", set)).transpose()?;
    make_run(fit, &config)?;
    let mut session = Session::start(fit, config)?;
    if fit.resume {
        session.keep_epochs()?;
    }
    fit.say(|| {
        let sizes: Vec<String> = session.config.network.hidden.iter().map(ToString::to_string).collect();
        let network = &session.config.network;
        let parameters = session.network.parameters.flat().len();
        let (inputs, classes, steps) = (network.inputs, network.classes, session.config.steps);
        format!("network  {inputs}-{}-{classes}, {parameters} parameters, {steps} steps", sizes.join("-"))
    });
    while session.epochs.len() < session.config.epochs as usize {
        session.train_epoch(&train, valid.as_ref())?;
    }
    metrics::draw(&fit.run, &session.epochs)?;
    let test = test.map(|set| session.test(fit.load("test", set)?)).transpose()?;
    Ok(Fitted { epochs: session.epochs, test })
}

impl Fit {
    fn config(&self, train: &ShardSet) -> Config {
        let manifest = train.manifest();
        let description = &manifest.description;
        Config {
            epochs: self.epochs,
            batch_size: self.batch_size,
            drop_last: self.drop_last,
            lr: self.lr,
            seed: self.seed,
            engine: self.engine,
            pad: self.pad,
            steps: fixed_steps(manifest),
            network: NetworkConfig {
                inputs: description.shape.cells() as usize,
                hidden: self.hidden.clone(),
                classes: description.classes.len(),
                theta: 1.0,
                min_v_mem: self.min_v_mem,
            },
            data: DataConfig::of(manifest),
        }
    }

    /// Opens a set's loader, and says where its samples are kept.
    fn load(&self, name: &str, set: ShardSet) -> Result<Loader> {
        let loader = Loader::new(set, self.cache, self.verbosity)?;
        self.say(|| format!("cache    {name}  {}", loader.why()));
        if self.pin {
            let bytes = loader.pin()?;
            self.say(|| match bytes {
                0 => format!("pin      {name}  nothing: the cache is in memory, and the shards are not read again"),
                _ => format!("pin      {name}  {} of shards stay in memory", human_bytes(bytes)),
            });
        }
        Ok(loader)
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.verbosity == Verbosity::Normal {
            eprintln!("{}", what());
        }
    }
}

/// Refuses a run that is there already, or that is another than the one to be gone on with.
fn check_run(fit: &Fit, config: &Config) -> Result<()> {
    if fit.resume {
        return config.check_resumes(&fit.run, &Config::read(&fit.run)?);
    }
    if !fit.overwrite && FILES.iter().any(|name| fit.run.join(name).exists()) {
        let remedy = "--resume goes on with that run, --overwrite replaces it";
        return Err(Error::Exists { path: fit.run.clone(), remedy });
    }
    Ok(())
}

/// Makes the run folder, free of a run that it held before.
fn make_run(fit: &Fit, config: &Config) -> Result<()> {
    std::fs::create_dir_all(&fit.run).map_err(Error::io(&fit.run, "create the run folder"))?;
    if fit.resume {
        return Ok(());
    }
    FILES.iter().try_for_each(|name| remove(&fit.run.join(name)))?;
    config.publish(&fit.run)
}

/// A network on its way through its epochs.
struct Session<'a> {
    fit: &'a Fit,
    config: Config,
    feed: Feed,
    network: Network,
    engine: Engine,
    gradients: Parameters,
    adam: Adam,
    epochs: Vec<EpochMetrics>,
    /// Batches of the epoch under way, and their sums.
    batches_done: u64,
    running: RunningScore,
    best_accuracy: f64,
}

impl<'a> Session<'a> {
    /// A new network, or the checkpoint's.
    fn start(fit: &'a Fit, config: Config) -> Result<Session<'a>> {
        let shape = config.network.shape();
        let mut network =
            Network::new(shape.clone(), config.network.neuron(), &mut ChaCha8Rng::seed_from_u64(config.seed));
        let gradients = Parameters::zeros(shape);
        let adam_config = AdamConfig { lr: config.lr, ..AdamConfig::default() };
        let mut adam = Adam::new(adam_config, gradients.flat().len());
        let (mut epochs, mut batches_done, mut running, mut best_accuracy) =
            (Vec::new(), 0, RunningScore::default(), -1.0);
        // A run that was killed before its first checkpoint begins again.
        let resume = fit.resume && FILES[..2].iter().any(|name| fit.run.join(name).exists());
        if resume {
            let checkpoint = Checkpoint::read(&fit.run, gradients.flat().len(), adam_config)?;
            network.parameters.flat_mut().copy_from_slice(&checkpoint.parameters);
            if checkpoint.epochs_done > 0 {
                epochs = metrics::read(&fit.run, checkpoint.epochs_done as usize)?;
            }
            fit.say(|| format!("resume   after epoch {}, batch {}", checkpoint.epochs_done, checkpoint.batches_done));
            (batches_done, running) = (checkpoint.batches_done, checkpoint.running);
            (adam, best_accuracy) = (checkpoint.adam, checkpoint.best_accuracy);
        }
        let engine = config.engine.engine(&network);
        let feed = Feed { pad: config.pad, steps: config.steps };
        let session = Session {
            fit,
            config,
            feed,
            network,
            engine,
            gradients,
            adam,
            epochs,
            batches_done,
            running,
            best_accuracy,
        };
        if !resume {
            session.checkpoint()?;
        }
        Ok(session)
    }

    /// Has the folder tell how many epochs there are to be: no fewer than there have been.
    fn keep_epochs(&mut self) -> Result<()> {
        let done = self.epochs.len() as u64;
        if done > self.config.epochs {
            self.fit.say(|| {
                format!("resume   nothing to do: {done} epochs are done, {} were asked for", self.config.epochs)
            });
            self.config.epochs = done;
        }
        self.config.publish(&self.fit.run)
    }

    /// The rest of an epoch, its validation, and its place in the run folder.
    fn train_epoch(&mut self, train: &Loader, valid: Option<&Loader>) -> Result<()> {
        let epoch = self.epochs.len() as u64;
        let (fit, batch_size) = (self.fit, self.config.batch_size);
        let batches = train.batches(batch_size);
        let (started, first) = (Instant::now(), self.batches_done);
        let samples_before = self.running.samples;
        let label = format!("epoch {}/{}", epoch + 1, self.config.epochs);
        let progress = Progress::start_bar(fit.verbosity, &label, batches - first, "batches");
        let order = EpochOrder::Shuffled { seed: self.config.seed, epoch };
        train.epoch(order, batch_size, first, |batch| {
            let steps = self.feed.steps(batch.longest());
            let samples = batch.samples();
            let step = self.engine.step(&self.network, &samples, &batch.labels, steps, &mut self.gradients);
            let step = step.map_err(|e| self.explain(e.into()))?;
            self.adam.update(self.network.parameters.flat_mut(), self.gradients.flat());
            self.running.add(step.loss, step.correct, batch.len());
            self.batches_done += 1;
            let Score { loss, accuracy } = self.running.score();
            progress.say(|| format!("batches  loss {loss:.4}  accuracy {:.1}%", accuracy * 100.0));
            progress.add(1);
            if interrupt::requested() { Err(self.interrupted()) } else { Ok(true) }
        })?;
        progress.clear();
        self.check_finite()?;
        let seconds = started.elapsed().as_secs_f64();
        let valid = valid.map(|loader| self.score(loader)).transpose()?;
        let metrics = EpochMetrics {
            epoch: epoch + 1,
            train: self.running.score(),
            valid,
            seconds,
            batches_per_second: (self.batches_done - first) as f64 / seconds,
            samples_per_second: (self.running.samples - samples_before) as f64 / seconds,
        };
        self.epochs.push(metrics);
        (self.batches_done, self.running) = (0, RunningScore::default());
        self.save(&metrics)?;
        fit.say(|| line(&label, &metrics));
        Ok(())
    }

    /// Metrics before the checkpoint: a kill between them leaves a line too many, which a resume drops.
    fn save(&mut self, metrics: &EpochMetrics) -> Result<()> {
        let run = &self.fit.run;
        metrics::write(run, &self.epochs)?;
        self.publish_model(MODEL)?;
        if let Some(valid) = metrics.valid.filter(|v| v.accuracy > self.best_accuracy) {
            self.best_accuracy = valid.accuracy;
            self.publish_model(BEST)?;
        }
        self.checkpoint()
    }

    fn publish_model(&self, name: &str) -> Result<()> {
        let classes = self.config.data.class_names.clone();
        let model = Model { network: self.network.clone(), classes, steps: self.config.steps };
        write_model(&self.fit.run.join(name), &model)
    }

    fn checkpoint(&self) -> Result<()> {
        let checkpoint = Checkpoint {
            epochs_done: self.epochs.len() as u64,
            batches_done: self.batches_done,
            running: self.running,
            best_accuracy: self.best_accuracy,
            parameters: self.network.parameters.flat().to_vec(),
            adam: self.adam.clone(),
        };
        checkpoint.publish(&self.fit.run)
    }

    fn score(&mut self, loader: &Loader) -> Result<Score> {
        let progress = Progress::start(Verbosity::Quiet, "validate", loader.set().len(), "samples");
        let evaluation = evaluate(&mut self.engine, &self.network, loader, self.feed, &progress);
        evaluation.map(|e| e.score).map_err(|e| self.explain(e))
    }

    fn test(&mut self, loader: Loader) -> Result<Evaluation> {
        let progress = Progress::start(Verbosity::Quiet, "test", loader.set().len(), "samples");
        let evaluation = evaluate(&mut self.engine, &self.network, &loader, self.feed, &progress);
        evaluation.map_err(|e| self.explain(e))
    }

    /// A loss that is not finite is the run's fault, and an interruption saves the run.
    fn explain(&self, error: Error) -> Error {
        match error {
            Error::Kernel(KernelError::NonFiniteLoss { loss }) => {
                let run: &Path = &self.fit.run;
                let remedy = format!("the last good checkpoint is in {}; try a smaller --lr", run.display());
                let epoch = self.epochs.len() as u64 + 1;
                Error::Diverged { loss, epoch, batch: self.batches_done + 1, remedy }
            }
            Error::Interrupted { .. } => self.interrupted(),
            other => other,
        }
    }

    /// The next loss will not be finite, so that this state is none to go on from.
    fn check_finite(&self) -> Result<()> {
        let finite = self.network.parameters.flat().iter().all(|w| w.is_finite());
        if finite { Ok(()) } else { Err(self.explain(KernelError::NonFiniteLoss { loss: f64::NAN }.into())) }
    }

    /// Saves the run where it is.
    fn interrupted(&self) -> Error {
        if let Err(error) = self.check_finite().and_then(|()| self.checkpoint()) {
            return error;
        }
        let (run, epochs) = (self.fit.run.display(), self.epochs.len());
        let done = match self.batches_done {
            0 => format!("all of epoch {epochs}"),
            batches => format!("epoch {}, batch {batches}", epochs + 1),
        };
        Error::Interrupted { saved: format!("{done} is saved in {run}; go on with --resume") }
    }
}

fn line(label: &str, m: &EpochMetrics) -> String {
    let valid =
        m.valid.map_or(String::new(), |v| format!("  valid loss {:.4} accuracy {:.1}%", v.loss, v.accuracy * 100.0));
    format!(
        "{label}  loss {:.4}  accuracy {:.1}%{valid}  {:.1} batches/s  {:.0} samples/s",
        m.train.loss,
        m.train.accuracy * 100.0,
        m.batches_per_second,
        m.samples_per_second
    )
}
