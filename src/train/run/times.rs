//! How long each process trained a run, in `times.json`. The times include loading, validation and test.

use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tonic_base::publish;

use crate::error::{BaseFault, Error, Result};
use crate::run::machine::Machine;

pub(crate) const FILE_NAME: &str = "times.json";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProcessTime {
    /// Number of finished epochs when the process began.
    pub(crate) epochs_before: u64,
    /// Time from the start of the process to its last save, in seconds.
    pub(crate) seconds: f64,
    /// Time from the start of the process to the end of its first training step, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_step: Option<f64>,
    /// What the process ran on; `None` for processes of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) machine: Option<Machine>,
}

/// Estimates how long a run still takes, from the pace of this process. The pace includes validation and saving.
#[derive(Debug)]
pub(crate) struct Pace {
    started: Instant,
    batches: u64,
}

impl Pace {
    /// Starts to measure.
    pub(crate) fn start() -> Pace {
        Pace { started: Instant::now(), batches: 0 }
    }

    /// Adds `batches` to the batches that this process has trained. Returns the estimated time for `left` more
    /// batches, in seconds.
    pub(crate) fn seconds_left(&mut self, batches: u64, left: u64) -> f64 {
        self.batches += batches;
        self.started.elapsed().as_secs_f64() * left as f64 / self.batches.max(1) as f64
    }
}

/// The times of a run, while a process trains it.
#[derive(Debug)]
pub(crate) struct RunTimes {
    /// Times of the earlier processes.
    before: Vec<ProcessTime>,
    started: Instant,
    epochs_before: u64,
    first_step: Option<f64>,
    machine: Machine,
}

impl RunTimes {
    /// Starts to measure the time of this process, which began at `started` and computes on `machine`. If the run is
    /// resumed, `run` is its folder.
    pub(crate) fn resume(run: Option<&Path>, started: Instant, epochs_before: u64, machine: Machine) -> RunTimes {
        let before = run.map_or(Vec::new(), |run| read(run).unwrap_or_default());
        RunTimes { before, started, epochs_before, first_step: None, machine }
    }

    /// Records the time of the first training step. Later calls change nothing.
    pub(crate) fn record_step(&mut self) {
        self.first_step.get_or_insert_with(|| self.started.elapsed().as_secs_f64());
    }

    /// Writes the times of all processes up to now.
    pub(crate) fn save(&self, run: &Path) -> Result<()> {
        let RunTimes { epochs_before, first_step, started, .. } = *self;
        let (seconds, machine) = (started.elapsed().as_secs_f64(), Some(self.machine.clone()));
        let now = ProcessTime { epochs_before, seconds, first_step, machine };
        let all: Vec<ProcessTime> = self.before.iter().cloned().chain([now]).collect();
        let text = serde_json::to_string(&all).expect("times are JSON") + "\n";
        Ok(publish(&run.join(FILE_NAME), text.as_bytes())?)
    }
}

/// Reads the times of the processes of a run. The list is empty for runs of earlier versions.
///
/// # Errors
/// [`Io`](tonic_base::Error::Io); [`Corrupt`](tonic_base::Error::Corrupt).
pub(crate) fn read(run: &Path) -> Result<Vec<ProcessTime>> {
    let path = run.join(FILE_NAME);
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io(&path, "read the times")(error)),
        Ok(text) => {
            let times: Vec<ProcessTime> =
                serde_json::from_str(&text).map_err(|e| Error::corrupt(&path, "JSON", "times of processes", e))?;
            let is_time = |process: &ProcessTime| {
                let times = [Some(process.seconds), process.first_step];
                times.iter().flatten().all(|time| time.is_finite() && *time >= 0.0)
            };
            if !times.iter().all(is_time) || !times.is_sorted_by_key(|process| process.epochs_before) {
                let expected = "times of 0 s or more, of processes in their order";
                return Err(Error::corrupt(&path, "times", expected, text.trim_end()));
            }
            Ok(times)
        }
    }
}
