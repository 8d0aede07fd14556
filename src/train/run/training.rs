//! The epochs of a run: training, validation, and saving to the run folder.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic_base::{Progress, Verbosity, interrupt, remove_file};
use tonic_loader::{Batch, EpochOrder};
use tonic_report::EventFile;

use crate::engine::TrainingLoss;
use crate::error::Result;
use crate::feed::Feed;
use crate::kernel::Rule;
use crate::kernel::program::Program;
use crate::learner::{
    Curve, Epoch, Evaluation, Learner, ONE_CYCLE_MOMENTUM, Padding, Room, RunningScore, Score, TrainState, Warning,
};
use crate::network::{Model, Network, write_model};
use crate::run::activity::{LayerActivity, measured_samples};
use crate::run::checkpoint::Checkpoint;
use crate::run::config::Config;
use crate::run::events;
use crate::run::folder::{BEST, MODEL, REESTIMATED, TEST};
use crate::run::health::Guessing;
use crate::run::initial::initial_network;
use crate::run::machine::Machine;
use crate::run::metrics::{self, EpochMetrics};
use crate::run::options::FitOptions;
use crate::run::saved_networks;
use crate::run::sums;
use crate::run::times::{Pace, RunTimes};

/// Minimum time between two saves after epochs. A save can take tenths of a second.
const SAVE_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Training<'a> {
    pub(super) fit: &'a FitOptions,
    pub(super) config: Config,
    pub(super) padding: Padding,
    pub(super) learner: Box<dyn Learner>,
    pub(super) epochs: Vec<EpochMetrics>,
    pub(super) warnings: Vec<Warning>,
    pub(super) guessing: Guessing,
    /// Samples whose spikes are counted after each epoch.
    pub(super) measured: Vec<Batch>,
    /// Number of finished batches of the current epoch.
    pub(super) batches_done: u64,
    /// Sums over the finished batches of the current epoch.
    running: RunningScore,
    best_accuracy: f64,
    /// The network after the last finished epoch, until it is saved.
    ended: Option<Network>,
    /// The network of the best epoch so far, until it is saved.
    best: Option<Network>,
    /// How many epochs and batches were finished at the last checkpoint.
    pub(super) saved: Position,
    epoch_saved: Option<Instant>,
    pub(super) times: RunTimes,
    /// Measures how fast this process trains.
    pace: Option<Pace>,
    /// The event file of TensorBoard, if the run writes one.
    pub(super) events: Option<EventFile>,
}

/// Number of finished epochs, and number of finished batches of the unfinished epoch.
#[derive(Clone, Copy)]
pub(super) struct Position(u64, u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Position(0, 0) => write!(f, "before the first batch"),
            Position(epochs, 0) => write!(f, "after epoch {epochs}"),
            Position(epochs, batches) => write!(f, "after batch {batches} of epoch {}", epochs + 1),
        }
    }
}

impl<'a> Training<'a> {
    /// Prepares a new run, or with `resume` continues from the checkpoint. `started` is when this process began.
    pub(super) fn start(
        fit: &'a FitOptions,
        mut config: Config,
        resume: bool,
        program: Option<&Arc<Program>>,
        room: Room,
        (guessing, loss): (Guessing, TrainingLoss),
        started: Instant,
    ) -> Result<Training<'a>> {
        let optimiser = config.training.optimiser(config.lr);
        let ranks = fit.backend.ranks;
        // A resumed run reads its parameters from the checkpoint. All other ranks get them from rank 0.
        let is_read = resume || !ranks.is_root();
        let network = match is_read {
            true => Network::zeros(config.network.architecture()),
            false => initial_network(fit, &config)?,
        };
        let mut state = TrainState::with_optimiser(network, optimiser, &config.training.freeze);
        let (mut epochs, mut batches_done, mut running, mut best_accuracy) =
            (Vec::new(), 0, RunningScore::default(), -1.0);
        if resume && ranks.is_root() {
            let parameters = &mut state.network.parameters;
            let statistics = parameters.statistics().len();
            let checkpoint = Checkpoint::read(&fit.run, state.optimiser.clone(), statistics)?;
            parameters.flat_mut().copy_from_slice(&checkpoint.parameters);
            parameters.statistics_mut().copy_from_slice(&checkpoint.statistics);
            if checkpoint.epochs_done > 0 {
                epochs = metrics::read(&fit.run, checkpoint.epochs_done as usize)?;
            }
            saved_networks::check_best(&fit.run, &config, &epochs)?;
            fit.say(|| format!("resume   {}", Position(checkpoint.epochs_done, checkpoint.batches_done)));
            (batches_done, running) = (checkpoint.batches_done, checkpoint.running);
            (state.optimiser, best_accuracy) = (checkpoint.optimiser, checkpoint.best_accuracy);
        }
        let root = ranks.is_root().then_some((epochs, batches_done, running, best_accuracy, state.optimiser.step));
        (epochs, batches_done, running, best_accuracy, state.optimiser.step) = ranks.from_root(root);
        state.copy_from_root(ranks);
        let saved = Position(epochs.len() as u64, batches_done);
        let rate = |config: &Config| config.rates(&epochs, room.batches).at(batches_done)[0];
        let before = rate(&config);
        if let Some(lr) = fit.lr.filter(|&lr| config.change_lr(saved.0, saved.1, lr)) {
            let now = rate(&config);
            fit.say(|| match now == lr {
                true => format!("lr       {lr:?} from here on, {before:?} before"),
                false => format!("lr       {now:.4e} from here on, {before:.4e} before: the schedule changes {lr:?}"),
            });
        }
        if let (Curve::OneCycle, Rule::Sgd { momentum, .. }) =
            (config.training.schedule.curve, config.training.optimiser)
            && momentum > 0.0
        {
            let [low, high] = ONE_CYCLE_MOMENTUM;
            fit.say(|| {
                format!("momentum the one-cycle schedule moves it between {low} and {high}, instead of {momentum:?}")
            });
        }
        if let Some(end) = Some(config.training.schedule.end).filter(|&end| end > 0 && end < config.epochs) {
            fit.say(|| format!("lr       its schedule ends with epoch {end}, and its last value stays"));
        }
        let learner = fit.backend.learner(program, state, loss, room)?;
        let machine = Machine::of(&fit.backend);
        let times = RunTimes::resume((resume && ranks.is_root()).then_some(&*fit.run), started, saved.0, machine);
        let padding = Padding { pad: config.pad, steps: config.steps };
        Ok(Training {
            fit,
            config,
            padding,
            learner,
            epochs,
            warnings: Vec::new(),
            guessing,
            measured: Vec::new(),
            batches_done,
            running,
            best_accuracy,
            ended: None,
            best: None,
            saved,
            epoch_saved: None,
            times,
            pace: None,
            events: None,
        })
    }

    /// If a resumed run has finished more epochs than the user asked for, sets the number of epochs to the number of
    /// finished epochs.
    pub(super) fn keep_epochs(&mut self) {
        let done = self.epochs.len() as u64;
        if done > self.config.epochs {
            self.fit.say(|| {
                format!("resume   nothing to do: {done} epochs are done, {} were asked for", self.config.epochs)
            });
            self.config.epochs = done;
        }
    }

    /// Writes model.safetensors from the checkpoint if the file is missing or differs. In the middle of an epoch, does
    /// nothing.
    pub(super) fn restore_model(&self) -> Result<()> {
        let network = &self.learner.state().network;
        if self.epochs.is_empty()
            || self.batches_done > 0
            || saved_networks::is_model(&self.fit.run, &self.config, network)
        {
            return Ok(());
        }
        self.fit.say(|| format!("model    {MODEL} is missing or damaged: it is written again from the checkpoint"));
        sums::update(&self.fit.run, || self.publish_model(MODEL, network.clone()))
    }

    /// Trains on the remaining batches of the current epoch, validates, and saves.
    pub(super) fn train_epoch(&mut self, train: &Feed, valid: Option<&Feed>) -> Result<()> {
        let epoch = self.epochs.len() as u64;
        let (fit, batch_size) = (self.fit, self.config.batch_size);
        let batches = train.loader().batches(batch_size);
        let (started, first) = (Instant::now(), self.batches_done);
        let mut pace = self.pace.take().unwrap_or_else(Pace::start);
        let samples_before = self.running.samples;
        let label = format!("epoch {}/{}", epoch + 1, self.config.epochs);
        let progress = Progress::start_bar(fit.verbosity, &label, batches - first, "batches");
        let order = EpochOrder::Shuffled { seed: self.config.seed, epoch };
        let rates = self.config.rates(&self.epochs, batches);
        let asked = Epoch { order, batch_size, first, padding: self.padding, rates };
        let (running, batches_done, times) = (&mut self.running, &mut self.batches_done, &mut self.times);
        let trained = self.learner.train(train, &asked, &mut |step, samples| {
            running.add_step(step, samples);
            times.record_step();
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
        let seconds = started.elapsed().as_secs_f64();
        self.check_finite()?;
        self.check_size(self.running.score().loss - self.running.mean_penalty())?;
        let spikes = self.learner.spikes(self.padding).map_err(|e| self.explain(e))?;
        let activity = spikes.iter().map(LayerActivity::of).collect();
        let evaluation = valid.map(|feed| self.evaluate(feed)).transpose()?;
        let valid = evaluation.as_ref().map(|evaluation| evaluation.score);
        let [lr, momentum] = rates.at(batches.saturating_sub(1));
        let metrics = EpochMetrics {
            epoch: epoch + 1,
            train: self.running.score(),
            valid,
            valid_macro: evaluation.map(|evaluation| evaluation.macros),
            activity: Some(activity),
            lr: Some(lr),
            momentum: Some(momentum),
            penalty: self.config.training.spike_rate.map(|_| self.running.mean_penalty()),
            unix_seconds: Some(events::unix_seconds()),
            seconds,
            batches_per_second: (self.batches_done - first) as f64 / seconds,
            samples_per_second: (self.running.samples - samples_before) as f64 / seconds,
        };
        let left = (self.config.epochs - (epoch + 1)) * batches;
        let left = (left > 0).then(|| pace.seconds_left(batches - first, left));
        self.pace = Some(pace);
        let line = metrics::line(&label, &metrics, left);
        self.epochs.push(metrics);
        (self.batches_done, self.running) = (0, RunningScore::default());
        self.ended = Some(self.learner.state().network.clone());
        self.best_accuracy = valid.map_or(self.best_accuracy, |valid| valid.accuracy.max(self.best_accuracy));
        if self.config.training.best(&self.epochs).is_some_and(|best| best.epoch == epoch + 1) {
            self.best.clone_from(&self.ended);
        }
        let is_last = self.is_done();
        if is_last || self.epoch_saved.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY) {
            self.save()?;
            self.epoch_saved = Some(Instant::now());
        }
        if let (Some(events), Some(epoch)) = (&mut self.events, self.epochs.last()) {
            events::append(events, epoch, &self.config)?;
        }
        fit.say(|| line);
        let has_events = train.loader().set().manifest().totals.entries > 0;
        let knobs = self.config.network.knobs();
        let warnings = if has_events { self.guessing.warnings(&self.epochs, is_last, knobs) } else { Vec::new() };
        warnings.iter().for_each(fit.warn);
        self.warnings.extend(warnings);
        Ok(())
    }

    /// Creates the event file of TensorBoard with the finished epochs, if the user asked for one or if the resumed run
    /// has one.
    pub(super) fn start_events(&mut self) -> Result<()> {
        if self.fit.tensorboard || events::exist(&self.fit.run)? {
            self.events = Some(events::start(&self.fit.run, &self.epochs, &self.config)?);
        }
        Ok(())
    }

    /// Whether training is over: all epochs are finished, or training stops early.
    pub(super) fn is_done(&self) -> bool {
        self.epochs.len() as u64 >= self.config.epochs || self.config.training.stops_after(&self.epochs)
    }

    /// Loads the samples whose spikes are counted after each epoch.
    pub(super) fn watch(&mut self, train: &Feed) -> Result<()> {
        self.measured = measured_samples(train, self.config.seed, self.config.batch_size)?;
        self.learner.watch(self.measured.clone())
    }

    /// Saves everything that is not saved yet, the checkpoint last. If the process is killed in between, metrics.jsonl
    /// can have more epochs than the checkpoint. Of several ranks, only rank 0 saves.
    pub(super) fn save(&mut self) -> Result<()> {
        let fit = self.fit;
        if fit.backend.ranks.is_root() {
            sums::update(&fit.run, || self.save_files())?;
        }
        self.saved = Position(self.epochs.len() as u64, self.batches_done);
        Ok(())
    }

    fn save_files(&mut self) -> Result<()> {
        let folder = &self.fit.run;
        if let Some(network) = self.ended.take() {
            // Remove the evaluations of the old networks.
            [TEST, REESTIMATED].iter().try_for_each(|name| remove_file(&folder.join(name)))?;
            self.publish_model(MODEL, network)?;
            if let Some(network) = self.best.take() {
                self.publish_model(BEST, network)?;
            }
            metrics::write(folder, &self.epochs)?; // last, so that a reader of the metrics finds the networks
        }
        let checkpoint = Checkpoint {
            epochs_done: self.epochs.len() as u64,
            batches_done: self.batches_done,
            running: self.running,
            best_accuracy: self.best_accuracy,
            parameters: self.learner.state().network.parameters.flat().to_vec(),
            statistics: self.learner.state().network.parameters.statistics().to_vec(),
            optimiser: self.learner.state().optimiser.clone(),
        };
        if self.batches_done > 0 || !self.epochs.is_empty() {
            self.times.save(folder)?;
        }
        checkpoint.publish(folder)
    }

    pub(super) fn publish_model(&self, name: &str, network: Network) -> Result<()> {
        let classes = self.config.data.class_names.clone();
        write_model(&self.fit.run.join(name), &Model { network, classes, steps: self.config.steps })
    }

    pub(super) fn evaluate(&mut self, feed: &Feed) -> Result<Evaluation> {
        let evaluated = self.evaluate_as_is(feed);
        self.checked(evaluated)
    }

    pub(super) fn evaluate_as_is(&mut self, feed: &Feed) -> Result<Evaluation> {
        let progress = Progress::start(Verbosity::Quiet, "evaluate", feed.loader().set().len(), "samples");
        self.learner.evaluate(feed, self.padding, &progress)
    }

    pub(super) fn checked(&mut self, evaluated: Result<Evaluation>) -> Result<Evaluation> {
        let evaluation = evaluated.map_err(|e| self.explain(e))?;
        self.check_size(evaluation.score.loss)?;
        Ok(evaluation)
    }
}
