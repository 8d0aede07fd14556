//! Reads a run folder and summarises the run: settings, best epoch, last epoch, test, time.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::grid::OPTIONS_FILE;
use crate::error::{BaseFault, Error, Result};
use crate::learner::{Score, Selected};
use crate::run::{
    BEST, Config, EpochMetrics, MODEL, Reestimated, TEST, TrainingOptions, check_results, holds_run, read_metrics,
    read_network, read_times,
};

/// State of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// The run has as many epochs as the user asked for, or stopped early.
    Finished,
    /// The run has fewer epochs than the user asked for.
    Unfinished,
    /// The run belongs to a sweep and has not started.
    NotStarted,
    /// A file of the run is missing or damaged. [`RunSummary::notes`] has the error message.
    Damaged,
}

/// Summary of a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// Folder of the run.
    pub folder: PathBuf,
    /// Name of the run in tables and pictures.
    pub name: String,
    /// State of the run.
    pub state: RunState,
    /// Number of the run's group, counted from 1. `None` if the run has not started or is damaged.
    pub group: Option<usize>,
    /// Name of an earlier finished run with the same settings and seed. The means over a group then use the earlier
    /// run, and not this run.
    pub repeats: Option<String>,
    /// Notes for the user, such as `unfinished` or `no test`. For a damaged run, the error message.
    pub notes: Vec<String>,
    /// Settings of the run by name. Empty if the run has not started or is damaged.
    pub settings: Map<String, Value>,
    /// Number of finished epochs.
    pub epochs_done: u64,
    /// Number of epochs that the user asked for. `None` if the run has not started or is damaged.
    pub epochs_asked: Option<u64>,
    /// The first epoch with the best validation score: the score that selects epochs in this run, or the accuracy if
    /// the run selects none. `None` without validation.
    pub best: Option<BestEpoch>,
    /// Validation after re-estimation of norms. `None` without re-estimation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reestimated: Option<Reestimated>,
    /// Training loss and accuracy of the last finished epoch.
    pub last_train: Option<Score>,
    /// Test result of the network of the selected epoch, or of the last epoch. `None` if no network was tested.
    pub test: Option<TestScore>,
    /// Sum of the times of the run's processes in seconds, including loading, validation and test. See
    /// [`RunSummary::epochs_of_training_time`].
    pub seconds: f64,
    /// Number of epochs that were trained by an earlier version, which measured only the time of training itself. For
    /// these epochs, `seconds` includes only this time.
    pub epochs_of_training_time: u64,
    /// Metrics of each finished epoch.
    pub epochs: Vec<EpochMetrics>,
    #[serde(skip)]
    pub(super) classes: Vec<String>,
}

/// The first epoch with the best validation score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BestEpoch {
    /// Number of the epoch, counted from 1.
    pub epoch: u64,
    /// Validation loss and accuracy after the epoch.
    #[serde(flatten)]
    pub valid: Score,
}

/// Result of a network on the test set, as in test.json.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestScore {
    /// Mean loss and accuracy over all samples of the test set.
    #[serde(flatten)]
    pub score: Score,
    /// Number of samples of the test set.
    pub samples: u64,
    /// The epoch whose network was tested. `None` if the run selects no epoch. Then the network of the last epoch was
    /// tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected: Option<Selected>,
    #[serde(skip_serializing)]
    pub(super) classes: Vec<TestClass>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct TestClass {
    name: String,
    samples: u64,
}

impl RunSummary {
    /// Summarises the run in `folder`. The run must have started.
    ///
    /// # Errors
    /// The errors of reading the files of the run.
    pub(crate) fn read(folder: &Path, name: String) -> Result<RunSummary> {
        let mut run = RunSummary::unread(folder, name);
        run.fill()?;
        Ok(run)
    }

    /// Summarises the run in `folder`, which may not have started or may be damaged.
    pub(super) fn of(folder: &Path, name: String) -> RunSummary {
        let mut run = RunSummary::unread(folder, name);
        if !holds_run(folder) && folder.join(OPTIONS_FILE).is_file() {
            run.notes.push("not started".into());
        } else if let Err(error) = run.fill() {
            run = RunSummary { state: RunState::Damaged, settings: Map::new(), epochs: Vec::new(), ..run };
            run.notes = vec![error.to_string()];
        }
        run
    }

    fn unread(folder: &Path, name: String) -> RunSummary {
        RunSummary {
            folder: folder.into(),
            name,
            state: RunState::NotStarted,
            group: None,
            repeats: None,
            notes: Vec::new(),
            settings: Map::new(),
            epochs_done: 0,
            epochs_asked: None,
            best: None,
            reestimated: None,
            last_train: None,
            test: None,
            seconds: 0.0,
            epochs_of_training_time: 0,
            epochs: Vec::new(),
            classes: Vec::new(),
        }
    }

    fn fill(&mut self) -> Result<()> {
        let config = Config::read(&self.folder)?;
        let epochs = read_metrics(&self.folder)?;
        let test = read_test(&self.folder, &config)?;
        check_results(&self.folder)?;
        let done = epochs.len() as u64;
        let is_finished = done >= config.epochs || config.training.stops_after(&epochs);
        self.state = if is_finished { RunState::Finished } else { RunState::Unfinished };
        if self.state == RunState::Unfinished {
            self.notes.push("unfinished".into());
        }
        let validated = epochs.iter().filter(|epoch| epoch.valid.is_some()).count() as u64;
        // A run writes its networks before its metrics, so that the networks of all epochs in the metrics exist.
        let networks = [(MODEL, done > 0), (BEST, validated > 0)];
        for (name, _) in networks.iter().filter(|(_, is_due)| *is_due) {
            let path = self.folder.join(name);
            if !path.is_file() {
                return Err(Error::corrupt(&path, "network", "the network of a finished epoch", "no file"));
            }
            read_network(&self.folder, &config, name)?;
        }
        if done > 0 && validated == 0 {
            self.notes.push("no validation".into());
        } else if validated < done {
            self.notes.push(format!("validation of {validated} of {done} epochs"));
        }
        if self.state == RunState::Finished && test.is_none() {
            self.notes.push("no test".into());
        }
        let best = config.training.best(&epochs).and_then(|best| epochs.get(best.epoch as usize - 1));
        self.best = best.and_then(|best| Some(BestEpoch { epoch: best.epoch, valid: best.valid? }));
        self.reestimated = Reestimated::read(&self.folder)?;
        if let Some(Reestimated { last, best }) = self.reestimated {
            let words = |name: &str, of: Score| format!(" {:.1}% of the {name} epoch", of.accuracy * 100.0);
            let best = best.map_or(String::new(), |best| words("best", best) + ",");
            self.notes.push(format!("valid acc after re-estimation of norms:{best}{}", words("last", last)));
        }
        if self.state == RunState::Finished && done < config.epochs {
            self.notes.push(format!("stopped early, after {done} epochs"));
        }
        if let Some(Selected { epoch, by }) = test.as_ref().and_then(|test| test.selected) {
            self.notes.push(format!("test of epoch {epoch}, by {}", by.name()));
        }
        (self.epochs_done, self.epochs_asked) = (done, Some(config.epochs));
        self.last_train = epochs.last().map(|epoch| epoch.train);
        let times = read_times(&self.folder).unwrap_or_else(|error| {
            self.notes.push(error.to_string());
            Vec::new()
        });
        let untimed = times.first().map_or(done, |first| first.epochs_before.min(done));
        let trained = epochs.iter().take(untimed as usize).map(|epoch| epoch.seconds);
        self.seconds = trained.chain(times.iter().map(|process| process.seconds)).sum();
        self.epochs_of_training_time = untimed;
        match untimed {
            0 => {}
            _ if untimed == done => self.notes.push("time of training alone".into()),
            _ => self.notes.push(format!("of {untimed} of {done} epochs, time of training alone")),
        }
        self.settings = settings(&config);
        (self.epochs, self.test, self.classes) = (epochs, test, config.data.class_names);
        Ok(())
    }
}

fn read_test(run: &Path, config: &Config) -> Result<Option<TestScore>> {
    let path = run.join(TEST);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(Error::io(&path, "read the evaluation"))?,
    };
    let test: TestScore = serde_json::from_str(&text).map_err(|e| Error::corrupt(&path, "JSON", "an evaluation", e))?;
    if !test.classes.iter().map(|class| &class.name).eq(&config.data.class_names) {
        return Err(Error::corrupt(&path, "classes", "those of config.toml", "others"));
    }
    Ok(Some(test))
}

fn settings(config: &Config) -> Map<String, Value> {
    let network = &config.network;
    let settings = json!({
        "set_id": config.data.set_id,
        "classes": network.classes,
        "inputs": network.inputs,
        "steps": config.steps,
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "drop_last": config.drop_last,
        "hidden": network.hidden,
        "theta": network.theta.map(number),
        "layers": network.layers.as_ref().map(|layers| layers.name()),
        "reestimate_norm": config.reestimate_norm,
        "gain": network.gain,
        "min_v_mem": network.min_v_mem.map(number),
        "lr": config.lr,
        "lr_changes": config.lr_changes,
        "seed": config.seed,
        "class_weights": config.class_weights,
        "engine": config.engine,
        "pad": config.pad,
        "device": config.device,
        "matmul_precision": config.matmul_precision,
    });
    let training = serde_json::to_value(TrainingOptions::from(&config.training)).unwrap_or_default();
    match (settings, training) {
        (Value::Object(mut settings), Value::Object(training)) => {
            settings.extend(training);
            settings.insert("init".into(), json!(config.training.init));
            settings.insert("augment".into(), json!(config.training.augment));
            settings
        }
        _ => Map::new(),
    }
}

/// Converts a float32 to JSON without extra digits, such as 0.1 and not 0.10000000149.
fn number(value: f32) -> Value {
    serde_json::from_str(&format!("{value:?}")).unwrap_or(Value::Null)
}
