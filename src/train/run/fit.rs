//! Trains a network: checks the options, the sets and the run folder, and then runs the epochs.

use std::time::Instant;

use tonic_base::human_bytes;
use tonic_loader::CacheChoice;
use tonic_shard::{MOST_CLASSES, ShardSet, Width};

use crate::engine::share;
use crate::error::{BaseFault, Error, Result};
use crate::feed::Feed;
use crate::kernel::program::Program;
use crate::learner::{
    ClassBalance, Evaluation, Room, Warning, check_parameters, check_step, check_steps, longest_steps,
};
use crate::run::config::Config;
use crate::run::folder::{RunFolder, SUMS, TEST};
use crate::run::health::Guessing;
use crate::run::metrics::{self, EpochMetrics};
use crate::run::options::FitOptions;
use crate::run::ranks::{check_ranks, on_root};
use crate::run::reestimate::Reestimated;
use crate::run::sets::{SetPaths, Sets};
use crate::run::sums;
use crate::run::training::Training;

/// Result of training.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// Metrics of all epochs of the run, including those before a resume.
    pub epochs: Vec<EpochMetrics>,
    /// Evaluation on the validation set after re-estimation of norms; `None` without re-estimation or without a
    /// validation set.
    pub reestimated: Option<Reestimated>,
    /// Evaluation on the test set; `None` without a test set.
    pub test: Option<Evaluation>,
    /// All warnings of the run.
    pub warnings: Vec<Warning>,
    /// Time of the whole call in seconds.
    pub seconds: f64,
}

/// Trains a network and writes the run folder.
///
/// Several ranks call this function together. Rank 0 reads and writes the run folder, and prints. After
/// [`Interrupted`](tonic_base::Error::Interrupted), all ranks return this error. After any other error, some ranks can
/// still wait for others: [`Ranks::end_all`](tonic_ranks::Ranks::end_all) ends them.
///
/// # Errors
/// - [`Usage`](tonic_base::Error::Usage) with the name of the first option that differs between ranks
/// - [`Unavailable`](tonic_base::Error::Unavailable) if several ranks ask for the engine `reference`
/// - the errors of reading the sets, and of reading and writing the run folder
/// - [`Busy`](tonic_base::Error::Busy) if another process writes to the folder
/// - [`Error::Diverged`]
/// - [`Interrupted`](tonic_base::Error::Interrupted), after the run was saved
pub fn fit(fit: &FitOptions) -> Result<Fitted> {
    let started = Instant::now();
    let ranks = fit.backend.ranks;
    let fit = &if ranks.is_root() { fit.clone() } else { fit.silent() };
    let sets = Sets::open(fit)?;
    check_ranks(fit, &sets)?;
    let Sets { train, valid, test } = &sets;
    for (name, set) in [("train", Some(train)), ("valid", valid.as_ref()), ("test", test.as_ref())] {
        if let Some(set) = set {
            fit.say(|| format!("classes  {name}  {}", set.manifest().class_counts(MOST_CLASSES)));
        }
    }
    let mut folder = on_root(ranks, |alive| {
        let mut said = false;
        RunFolder::find(&fit.run, fit.existing, || {
            if !std::mem::replace(&mut said, true) {
                fit.say(|| "waiting  another process, perhaps of a job that was started again, trains this run".into());
            }
            alive()
        })
    })?;
    let chosen = folder.as_ref().map(|folder| fit.with_backend(folder.resumes())).transpose()?;
    let begun = match (&folder, &chosen) {
        (Some(folder), Some(fit)) => Some((folder.resumes(), folder.has_begun(), fit.config(&sets, folder.resumes())?)),
        _ => None,
    };
    let (resumes, has_begun, config): (bool, bool, Config) = ranks.from_root(begun);
    let fit = &chosen.unwrap_or_else(|| fit.clone()); // with several ranks, the device is never automatic
    let Sets { train, valid, test } = sets;
    check_batches(&config, &train)?;
    let sets: Vec<&ShardSet> = [Some(&train), valid.as_ref(), test.as_ref()].into_iter().flatten().collect();
    let longest = longest_steps(config.steps, &sets);
    let architecture = config.network.architecture();
    check_parameters(&architecture)?;
    if config.reestimate_norm && architecture.layers.norms().next().is_none() {
        return Err(Error::usage("reestimate_norm", "a network with a norm", "a network without one"));
    }
    let own = share(ranks, architecture.parameters()).of(config.batch_size.min(train.len() as usize)).len();
    let step = match fit.backend.device {
        Some(_) => None, // the GPU's memory is checked when it is allocated
        None => check_step(&architecture, own, config.steps)?,
    };
    for (option, set) in [("train", Some(&train)), ("valid", valid.as_ref()), ("test", test.as_ref())] {
        set.map_or(Ok(()), |set| check_steps(option, &architecture.shape, longest_steps(config.steps, &[set])))?;
    }
    let classes = ClassBalance::of(&train);
    let batch_size = config.batch_size as u64;
    let batches = if config.drop_last { train.len() / batch_size } else { train.len().div_ceil(batch_size) };
    let sizes = (train.len(), batches);
    let guessing = Guessing::new(&classes, sizes, config.class_weights);
    let loss = config.training.loss(config.class_weights.of(&train.manifest().totals.class_samples));
    let mut warnings = classes.training_warnings(config.class_weights);
    for set in [&valid, &test].into_iter().flatten() {
        let is_one = |warning: &Warning| matches!(warning, Warning::OneClass { .. });
        warnings.extend(ClassBalance::of(set).warnings(config.class_weights).into_iter().filter(is_one));
    }
    warnings.iter().for_each(fit.warn);
    fit.say(|| format!("device   {}", fit.backend.why));
    if !ranks.is_solo() {
        let here = ranks.local_size();
        let gpus = fit.backend.device.as_ref().map_or("", |_| ", each on a GPU, which adds up through host memory");
        fit.say(|| format!("ranks    {} train together, {here} of them on this machine{gpus}", ranks.size()));
    }
    // Augmented samples have counts of four bytes.
    let augments = !config.training.augment.steps.is_empty();
    let program = fit.backend.program(&sets, longest, augments.then_some(Width::U32))?;
    // Augmented samples, and the batches of several ranks, come from host memory, not from the device cache.
    let evaluation_program = program.as_deref().filter(|_| ranks.is_solo());
    let training_program = evaluation_program.filter(|_| !augments);
    if program.is_some() && training_program.is_none() && fit.cache == CacheChoice::Device {
        let why = if augments { "--augment, which changes samples on the host" } else { "several ranks" };
        return Err(Error::usage("cache", format!("cache host or stream with {why}"), "device"));
    }
    let evaluated = sets.iter().skip(1).map(|set| set.len()).max().unwrap_or(0);
    let train = fit.load("train", train, training_program)?.drop_last(config.drop_last);
    let train = train.augment(config.training.augment.clone())?;
    let valid = valid.map(|set| fit.load("valid", set, evaluation_program)).transpose()?;
    let batch = config.batch_size.min(train.loader().set().len() as usize);
    let batches = train.loader().batches(config.batch_size);
    let room = Room { batch, longest, batches, evaluated };
    let loss = (guessing, loss);
    let mut run = Training::start(fit, config, has_begun, program.as_ref(), room, loss, started)?;
    if has_begun && ranks.is_root() && !sums::check_state(&fit.run)? {
        fit.say(|| format!("note     no {SUMS}: changed bytes in the files of this run cannot be found"));
    }
    // The test set is loaded after training. Check now whether it fits into the cache, so that an error comes before
    // training and not after it.
    test.as_ref().map(|set| Feed::choose_cache(fit.cache, set, evaluation_program)).transpose()?;
    if resumes {
        run.keep_epochs();
    }
    if let Some(folder) = &mut folder {
        folder.make()?;
        if resumes {
            sums::update(&fit.run, || run.config.publish(&fit.run))?;
            run.restore_model()?;
        } else {
            run.config.publish(&fit.run)?;
        }
        SetPaths::publish(fit)?;
        run.start_events()?;
        if !has_begun {
            run.save()?;
        }
    }
    fit.say(|| {
        let sizes: Vec<String> = run.config.network.hidden.iter().map(ToString::to_string).collect();
        let network = &run.config.network;
        let parameters = run.learner.state().network.parameters.flat().len();
        let (inputs, classes, steps) = (network.inputs, network.classes, run.config.steps);
        let layers = network.layers.as_ref().map_or(String::new(), |layers| format!(": {}", layers.beyond_iaf()));
        format!("network  {inputs}-{}-{classes}, {parameters} parameters, {steps} steps{layers}", sizes.join("-"))
    });
    if !resumes {
        fit.say_frames(&run.config);
    }
    if let Some(bytes) = step {
        fit.say(|| format!("memory   a step of {own} samples takes {}", human_bytes(bytes)));
    }
    run.watch(&train)?;
    let done_before = run.epochs.len();
    while !run.is_done() {
        run.train_epoch(&train, valid.as_ref())?;
    }
    let reestimated = match run.config.reestimate_norm {
        true => run.reestimate(&train, valid.as_ref())?,
        false => None,
    };
    if ranks.is_root() {
        metrics::draw(&fit.run, &run.epochs, run.config.loss_words(&run.epochs))?;
    }
    let selected = run.say_selected();
    let was_tested = fit.run.join(TEST).exists();
    let test = test.map(|set| run.test(&fit.load("test", set, evaluation_program)?, selected)).transpose()?;
    if ranks.is_root() && (run.epochs.len() > done_before || test.is_some() && !was_tested) {
        run.times.save(&fit.run)?;
    }
    let seconds = started.elapsed().as_secs_f64();
    run.say_traffic((run.epochs.len() - done_before) as u64 * batches, seconds);
    fit.say(|| format!("done     {} epochs in {seconds:.1} s, with all else", run.epochs.len() - done_before));
    warnings.append(&mut run.warnings);
    Ok(Fitted { epochs: run.epochs, reestimated, test, warnings, seconds })
}

/// Checks the options and the sets of a new run. Doesn't check the device, the memory and the run folder.
///
/// # Errors
/// - the errors of reading the sets
/// - [`Mismatch`](tonic_shard::Error::Mismatch) if the sets don't fit together
/// - [`Error::Unlabelled`]
/// - [`Usage`](tonic_base::Error::Usage) if an epoch would have no batch because of [`FitOptions::drop_last`]
pub fn check_options(fit: &FitOptions) -> Result<()> {
    let sets = Sets::open(fit)?;
    check_batches(&fit.config(&sets, false)?, &sets.train)
}

/// Returns an error if an epoch would have no batch.
fn check_batches(config: &Config, train: &ShardSet) -> Result<()> {
    if config.drop_last && train.len() < config.batch_size as u64 {
        let expected = format!("a training set of at least a batch, {} samples", config.batch_size);
        return Err(Error::usage("drop_last", expected, train.len()));
    }
    Ok(())
}

impl FitOptions {
    /// Opens the set with this name for training or evaluation, and prints where its samples are kept.
    fn load(&self, name: &str, set: ShardSet, program: Option<&Program>) -> Result<Feed> {
        let feed = Feed::new(set, self.cache, program, self.verbosity)?;
        self.say(|| format!("cache    {name}  {}", feed.loader().why()));
        if self.pin {
            let bytes = feed.pin()?;
            self.say(|| match bytes {
                0 => format!("pin      {name}  nothing: the cache is in memory, and the shards are not read again"),
                _ => format!("pin      {name}  {} of shards stay in memory", human_bytes(bytes)),
            });
        }
        Ok(feed)
    }
}
