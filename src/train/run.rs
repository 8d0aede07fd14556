//! A run on its way through its epochs: the network that learns, and what the run folder has of it, so that it can go on from
//! any stop.

use std::fmt;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::checkpoint::{self, Checkpoint};
use super::config::Config;
use super::eval::{Evaluation, Feed};
use super::export::safetensors::{Model, write_model};
use super::fit::Fit;
use super::folder::{BEST, MODEL, TEST};
use super::kernel::KernelError;
use super::kernel::adam::{Adam, AdamConfig};
use super::learner::{Backend, Epoch, Learner, Room};
use super::loader::{EpochOrder, Loader};
use super::metrics::{self, EpochMetrics, RunningScore, Score};
use super::snn::Network;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::progress::{Progress, Verbosity};
use crate::publish::{publish, remove};

/// Epochs shorter than this are saved together: to write a run so that no stop spoils it takes milliseconds, and on a disk
/// that many share tenths of a second.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// A network on its way through its epochs.
pub(super) struct Run<'a> {
    fit: &'a Fit,
    pub(super) config: Config,
    feed: Feed,
    pub(super) learner: Learner,
    pub(super) epochs: Vec<EpochMetrics>,
    /// Batches of the epoch under way, and their sums.
    batches_done: u64,
    running: RunningScore,
    best_accuracy: f64,
    /// The network at the end of the last epoch, and the best, if they are not saved yet.
    ended: Option<Network>,
    best: Option<Network>,
    saved: Place,
    epoch_saved: Option<Instant>,
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

impl<'a> Run<'a> {
    /// A new network, or with `resume` the checkpoint's.
    pub(super) fn start(
        fit: &'a Fit,
        mut config: Config,
        resume: bool,
        backend: &Backend,
        room: Room,
    ) -> Result<Run<'a>> {
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
        Ok(Run {
            fit,
            config,
            feed,
            learner,
            epochs,
            batches_done,
            running,
            best_accuracy,
            ended: None,
            best: None,
            saved,
            epoch_saved: None,
        })
    }

    /// Has the folder tell how many epochs there are to be: no fewer than there have been.
    pub(super) fn keep_epochs(&mut self) -> Result<()> {
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
    pub(super) fn train_epoch(&mut self, train: &Loader, valid: Option<&Loader>) -> Result<()> {
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
        self.ended = Some(self.learner.network().clone());
        if let Some(valid) = valid.filter(|valid| valid.accuracy > self.best_accuracy) {
            self.best_accuracy = valid.accuracy;
            self.best.clone_from(&self.ended);
        }
        let is_last = self.epochs.len() as u64 == self.config.epochs;
        if is_last || self.epoch_saved.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY) {
            self.save()?;
            self.epoch_saved = Some(Instant::now());
        }
        fit.say(|| line(&label, &metrics));
        Ok(())
    }

    /// All that is not saved yet. Metrics before the checkpoint: a kill between them leaves lines too many, which a resume
    /// drops.
    pub(super) fn save(&mut self) -> Result<()> {
        let folder = &self.fit.run;
        if let Some(network) = self.ended.take() {
            remove(&folder.join(TEST))?; // of the network that this one replaces
            metrics::write(folder, &self.epochs)?;
            self.publish_model(MODEL, network)?;
        }
        if let Some(network) = self.best.take() {
            self.publish_model(BEST, network)?;
        }
        let checkpoint = Checkpoint {
            epochs_done: self.epochs.len() as u64,
            batches_done: self.batches_done,
            running: self.running,
            best_accuracy: self.best_accuracy,
            parameters: self.learner.network().parameters.flat().to_vec(),
            adam: self.learner.adam().clone(),
        };
        checkpoint.publish(folder)?;
        self.saved = Place(checkpoint.epochs_done, checkpoint.batches_done);
        Ok(())
    }

    fn publish_model(&self, name: &str, network: Network) -> Result<()> {
        let classes = self.config.data.class_names.clone();
        write_model(&self.fit.run.join(name), &Model { network, classes, steps: self.config.steps })
    }

    fn score(&mut self, loader: &Loader) -> Result<Score> {
        let progress = Progress::start(Verbosity::Quiet, "validate", loader.set().len(), "samples");
        let evaluation = self.learner.evaluate(loader, self.feed, &progress);
        evaluation.map(|e| e.score).map_err(|e| self.explain(e))
    }

    pub(super) fn test(&mut self, loader: Loader) -> Result<Evaluation> {
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
        if let Err(error) = self.check_finite().and_then(|()| self.save()) {
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
