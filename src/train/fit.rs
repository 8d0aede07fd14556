//! Training as it is asked for: options, sets and folder that belong together, before a `run` is begun with them.

use std::path::PathBuf;
use std::time::Instant;

use super::config::{Arithmetic, Config, DataConfig, EngineChoice, NetworkConfig, Pad, fixed_steps};
use super::device::Resolved;
use super::eval::{Evaluation, check_labelled};
use super::folder::RunFolder;
use super::kernel::adam::AdamConfig;
use super::kernel::program::MatmulPrecision;
use super::learner::{Backend, Room, longest_steps};
use super::loader::cache::free_memory;
use super::loader::{CacheChoice, Loader};
use super::metrics::{self, EpochMetrics};
use super::run::Run;
use crate::error::{Error, Result};
use crate::progress::{Verbosity, human_bytes};
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
    let mut run = Run::start(fit, config, has_begun, &backend, room)?;
    // Only now is it known to fit the device. The test set takes its place after training, which should not be in vain.
    test.as_ref().map(|set| fit.cache.place(set, backend.program().map(AsRef::as_ref))).transpose()?;
    folder.make()?;
    if fit.resume {
        run.keep_epochs()?;
    } else {
        run.config.publish(&fit.run)?;
    }
    if !has_begun {
        run.save()?;
    }
    fit.say(|| {
        let sizes: Vec<String> = run.config.network.hidden.iter().map(ToString::to_string).collect();
        let network = &run.config.network;
        let parameters = run.learner.network().parameters.flat().len();
        let (inputs, classes, steps) = (network.inputs, network.classes, run.config.steps);
        format!("network  {inputs}-{}-{classes}, {parameters} parameters, {steps} steps", sizes.join("-"))
    });
    let done_before = run.epochs.len();
    while run.epochs.len() < run.config.epochs as usize {
        run.train_epoch(&train, valid.as_ref())?;
    }
    metrics::draw(&fit.run, &run.epochs)?;
    let test = test.map(|set| run.test(fit.load("test", set, &backend)?)).transpose()?;
    let seconds = started.elapsed().as_secs_f64();
    fit.say(|| format!("done     {} epochs in {seconds:.1} s, with all else", run.epochs.len() - done_before));
    Ok(Fitted { epochs: run.epochs, test, seconds })
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

    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.verbosity == Verbosity::Normal {
            eprintln!("{}", what());
        }
    }
}
