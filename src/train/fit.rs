//! Training: epochs of batches through an engine and Adam, a run folder that tells of it and can go on from any stop.

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::checkpoint::{self, Checkpoint};
use super::config::{Arithmetic, Config, DataConfig, EngineChoice, NetworkConfig, Pad, fixed_steps};
use super::device::Resolved;
use super::eval::{Evaluation, Feed, check_labelled};
use super::export::safetensors::{Model, write_model};
use super::folder::{BEST, MODEL, RunFolder, TEST};
use super::kernel::KernelError;
use super::kernel::adam::{Adam, AdamConfig};
use super::kernel::program::MatmulPrecision;
use super::learner::{Backend, Epoch, Learner, Room, longest_steps};
use super::loader::cache::free_memory;
use super::loader::{CacheChoice, EpochOrder, Loader};
use super::metrics::{self, EpochMetrics, RunningScore, Score};
use super::snn::Network;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::progress::{Progress, Verbosity, human_bytes};
use crate::publish::{publish, remove};
use crate::shard::ShardSet;
use crate::shard::writer::Existing;

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
    /// Learning rate; if not given, Adam's usual one, or that of the run to go on with.
    pub lr: Option<f64>,
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
    /// The CPU, or a GPU.
    pub device: Resolved,
    /// How exact products are on a GPU.
    pub matmul_precision: MatmulPrecision,
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
    /// Seconds of all that was done now: loading, training, validation and test.
    pub seconds: f64,
}

/// Trains a network.
///
/// # Errors
/// Every fault of sets and run folder, [`Error::Busy`] for a folder that another fit writes to, [`Error::Diverged`], and [`Error::Interrupted`] after saving.
pub fn fit(fit: &Fit) -> Result<Fitted> {
    let started = Instant::now();
    let train = ShardSet::open(&fit.train)?;
    check_labelled(&train)?;
    let others = [&fit.valid, &fit.test].map(|dir| dir.as_ref().map(|dir| ShardSet::open(dir)).transpose());
    let [valid, test] = others;
    let (valid, test) = (valid?, test?);
    for set in [&valid, &test].into_iter().flatten() {
        set.manifest().check_compatible(set.dir(), train.manifest(), train.dir())?;
        check_labelled(set)?;
    }
    let mut folder = RunFolder::find(&fit.run, Existing::asked(fit.resume, fit.overwrite))?;
    let config = fit.config(&train)?;
    if fit.drop_last && train.len() < fit.batch_size as u64 {
        let expected = format!("a training set of at least a batch, {} samples", fit.batch_size);
        return Err(Error::usage("--drop-last", expected, train.len()));
    }

    check_memory(&config)?;
    fit.say(|| format!("device   {}", fit.device.why));
    let sets: Vec<&ShardSet> = [Some(&train), valid.as_ref(), test.as_ref()].into_iter().flatten().collect();
    let longest = longest_steps(config.steps, &sets);
    let backend = Backend::new(fit.device.device.as_ref(), config.engine, config.matmul_precision, &sets, longest)?;
    let evaluated = sets.iter().skip(1).map(|set| set.len()).max().unwrap_or(0);
    let train = fit.load("train", train, &backend)?.drop_last(fit.drop_last);
    let valid = valid.map(|set| fit.load("valid", set, &backend)).transpose()?;
    let batch = config.batch_size.min(train.set().len() as usize);
    let room = Room { batch, longest, batches: train.batches(config.batch_size), evaluated };
    let has_begun = folder.has_begun();
    let mut session = Session::start(fit, config, has_begun, &backend, room)?;
    // Only now is it known to fit the device. The test set takes its place after training, which should not be in vain.
    test.as_ref().map(|set| fit.cache.place(set, backend.program().map(AsRef::as_ref))).transpose()?;
    folder.make()?;
    if fit.resume {
        session.keep_epochs()?;
    } else {
        session.config.publish(&fit.run)?;
    }
    if !has_begun {
        session.checkpoint()?;
    }
    fit.say(|| {
        let sizes: Vec<String> = session.config.network.hidden.iter().map(ToString::to_string).collect();
        let network = &session.config.network;
        let parameters = session.learner.network().parameters.flat().len();
        let (inputs, classes, steps) = (network.inputs, network.classes, session.config.steps);
        format!("network  {inputs}-{}-{classes}, {parameters} parameters, {steps} steps", sizes.join("-"))
    });
    let done_before = session.epochs.len();
    while session.epochs.len() < session.config.epochs as usize {
        session.train_epoch(&train, valid.as_ref())?;
    }
    metrics::draw(&fit.run, &session.epochs)?;
    let test = test.map(|set| session.test(fit.load("test", set, &backend)?)).transpose()?;
    let seconds = started.elapsed().as_secs_f64();
    fit.say(|| format!("done     {} epochs in {seconds:.1} s, with all else", session.epochs.len() - done_before));
    Ok(Fitted { epochs: session.epochs, test, seconds })
}

/// Refuses a network too large to be trained here, before anything is made.
fn check_memory(config: &Config) -> Result<()> {
    /// Of every parameter: itself, its gradient, Adam's two, two packed, and the blocks' gradients at least.
    const COPIES: u64 = 10;
    let needed = (config.network.shape().parameters() as u64).saturating_mul(COPIES * size_of::<f32>() as u64);
    match free_memory().filter(|&free| needed > free) {
        None => Ok(()),
        Some(free) => {
            let expected = format!("layers that can be trained in the {} of memory that are free", human_bytes(free));
            Err(Error::usage("--hidden", expected, human_bytes(needed)))
        }
    }
}

impl Fit {
    /// The configuration, or that of the run to go on with, if it is no other.
    fn config(&self, train: &ShardSet) -> Result<Config> {
        let manifest = train.manifest();
        let description = &manifest.description;
        let config = Config {
            epochs: self.epochs,
            batch_size: self.batch_size,
            drop_last: self.drop_last,
            lr: self.lr.unwrap_or(AdamConfig::default().lr),
            seed: self.seed,
            engine: self.engine,
            pad: self.pad,
            steps: fixed_steps(manifest),
            device: Arithmetic::of(self.device.device.as_ref()),
            matmul_precision: self.matmul_precision,
            network: NetworkConfig {
                inputs: description.shape.cells() as usize,
                hidden: self.hidden.clone(),
                classes: description.classes.len(),
                theta: 1.0,
                min_v_mem: self.min_v_mem,
            },
            data: DataConfig::of(manifest),
            lr_changes: Vec::new(),
        };
        if !self.resume {
            return Ok(config);
        }
        let stored = Config::read(&self.run)?;
        config.check_resumes(&self.run, &stored)?;
        if (config.device, config.matmul_precision) != (stored.device, stored.matmul_precision) {
            let words = |of: &Config| format!("{:?} at {:?} precision", of.device, of.matmul_precision).to_lowercase();
            self.say(|| {
                format!("device   rounding is of {} from here on, of {} before", words(&config), words(&stored))
            });
        }
        Ok(Config { lr: stored.lr, lr_changes: stored.lr_changes, ..config })
    }

    /// Opens a set's loader, and says where its samples are kept.
    fn load(&self, name: &str, set: ShardSet, backend: &Backend) -> Result<Loader> {
        let loader = Loader::new(set, self.cache, backend.program().map(AsRef::as_ref), self.verbosity)?;
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

/// A network on its way through its epochs.
struct Session<'a> {
    fit: &'a Fit,
    config: Config,
    feed: Feed,
    learner: Learner,
    epochs: Vec<EpochMetrics>,
    /// Batches of the epoch under way, and their sums.
    batches_done: u64,
    running: RunningScore,
    best_accuracy: f64,
    saved: Place,
}

/// Epochs done, and batches of the next.
#[derive(Clone, Copy)]
struct Place(u64, u64);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Place(0, 0) => write!(f, "before the first batch"),
            Place(epochs, 0) => write!(f, "after epoch {epochs}"),
            Place(epochs, batches) => write!(f, "after batch {batches} of epoch {}", epochs + 1),
        }
    }
}

impl<'a> Session<'a> {
    /// A new network, or with `resume` the checkpoint's.
    fn start(fit: &'a Fit, mut config: Config, resume: bool, backend: &Backend, room: Room) -> Result<Session<'a>> {
        let shape = config.network.shape();
        let mut network = Network::new(shape, config.network.neuron(), &mut ChaCha8Rng::seed_from_u64(config.seed));
        let parameters = network.parameters.flat().len();
        let mut adam = Adam::new(AdamConfig::default(), parameters);
        let (mut epochs, mut batches_done, mut running, mut best_accuracy) =
            (Vec::new(), 0, RunningScore::default(), -1.0);
        if resume {
            let checkpoint = Checkpoint::read(&fit.run, parameters, adam.config)?;
            network.parameters.flat_mut().copy_from_slice(&checkpoint.parameters);
            if checkpoint.epochs_done > 0 {
                epochs = metrics::read(&fit.run, checkpoint.epochs_done as usize)?;
            }
            fit.say(|| format!("resume   {}", Place(checkpoint.epochs_done, checkpoint.batches_done)));
            (batches_done, running) = (checkpoint.batches_done, checkpoint.running);
            (adam, best_accuracy) = (checkpoint.adam, checkpoint.best_accuracy);
        }
        let saved = Place(epochs.len() as u64, batches_done);
        let before = config.current_lr();
        if let Some(lr) = fit.lr.filter(|&lr| config.change_lr(saved.0, saved.1, lr)) {
            fit.say(|| format!("lr       {lr:?} from here on, {before:?} before"));
        }
        adam.config.lr = config.current_lr();
        let learner = Learner::new(backend, config.engine, network, adam, room)?;
        let feed = Feed { pad: config.pad, steps: config.steps };
        Ok(Session { fit, config, feed, learner, epochs, batches_done, running, best_accuracy, saved })
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
        let asked = Epoch { order, batch_size, first, feed: self.feed };
        let (running, batches_done) = (&mut self.running, &mut self.batches_done);
        let trained = self.learner.train(train, &asked, |step, samples| {
            running.add(step.loss, step.correct, samples);
            *batches_done += 1;
            let Score { loss, accuracy } = running.score();
            progress.say(|| format!("batches  loss {loss:.4}  accuracy {:.1}%", accuracy * 100.0));
            progress.add(1);
        });
        trained.map_err(|e| self.explain(e))?;
        self.learner.sync()?;
        if interrupt::requested() {
            return Err(self.interrupted());
        }
        if let Some(words) = self.learner.remark() {
            fit.say(|| format!("note     {words}"));
        }
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
        remove(&run.join(TEST))?; // of the network that this one replaces
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
        let model = Model { network: self.learner.network().clone(), classes, steps: self.config.steps };
        write_model(&self.fit.run.join(name), &model)
    }

    fn checkpoint(&mut self) -> Result<()> {
        let checkpoint = Checkpoint {
            epochs_done: self.epochs.len() as u64,
            batches_done: self.batches_done,
            running: self.running,
            best_accuracy: self.best_accuracy,
            parameters: self.learner.network().parameters.flat().to_vec(),
            adam: self.learner.adam().clone(),
        };
        checkpoint.publish(&self.fit.run)?;
        self.saved = Place(checkpoint.epochs_done, checkpoint.batches_done);
        Ok(())
    }

    fn score(&mut self, loader: &Loader) -> Result<Score> {
        let progress = Progress::start(Verbosity::Quiet, "validate", loader.set().len(), "samples");
        let evaluation = self.learner.evaluate(loader, self.feed, &progress);
        evaluation.map(|e| e.score).map_err(|e| self.explain(e))
    }

    fn test(&mut self, loader: Loader) -> Result<Evaluation> {
        let progress = Progress::start(Verbosity::Quiet, "test", loader.set().len(), "samples");
        let evaluation = self.learner.evaluate(&loader, self.feed, &progress);
        let evaluation = evaluation.map_err(|e| self.explain(e))?;
        publish(&self.fit.run.join(TEST), evaluation.json().as_bytes())?;
        Ok(evaluation)
    }

    /// A loss that is not finite is the run's fault, and an interruption saves the run.
    fn explain(&mut self, error: Error) -> Error {
        match error {
            Error::Kernel(KernelError::NonFiniteLoss { loss }) => {
                let (file, lr) = (self.fit.run.join(checkpoint::FILE_NAME), self.config.current_lr());
                let remedy = format!(
                    "the last good checkpoint is {}, {}; go on from it with --resume and an --lr below {lr:?}",
                    file.display(),
                    self.saved
                );
                let epoch = self.epochs.len() as u64 + 1;
                Error::Diverged { loss, epoch, batch: self.batches_done + 1, remedy }
            }
            Error::Interrupted { .. } => self.interrupted(),
            other => other,
        }
    }

    /// The next loss will not be finite, so that this state is none to go on from.
    fn check_finite(&mut self) -> Result<()> {
        let finite = self.learner.network().parameters.flat().iter().all(|w| w.is_finite());
        if finite { Ok(()) } else { Err(self.explain(KernelError::NonFiniteLoss { loss: f64::NAN }.into())) }
    }

    /// Saves the run where it is.
    fn interrupted(&mut self) -> Error {
        if let Err(error) = self.check_finite().and_then(|()| self.checkpoint()) {
            return error;
        }
        let (run, saved) = (self.fit.run.display(), self.saved);
        Error::Interrupted { saved: format!("the run is saved in {run}, {saved}; go on with --resume") }
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
