//! The event file of TensorBoard in a run folder. It has the scalars of `metrics.jsonl`, with the epoch as the step.
//! The loss of training is `loss/train` if it is the plain cross entropy, as `loss/valid` always is. Otherwise, it is
//! `objective/train`.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tonic_base::remove_file;
use tonic_report::EventFile;

use crate::error::{BaseFault, Error, Result};
use crate::learner::Score;
use crate::run::config::Config;
use crate::run::metrics::EpochMetrics;

const START: &str = "events.out.tfevents.";
const END: &str = ".tonic-train";

/// Returns the paths of the event files that this program wrote to a run folder.
fn files(run: &Path) -> Result<Vec<PathBuf>> {
    let list = |action: std::io::Result<std::fs::DirEntry>| action.map_err(Error::io(run, "list the run folder"));
    let entries = std::fs::read_dir(run).map_err(Error::io(run, "list the run folder"))?;
    let entries: Vec<std::fs::DirEntry> = entries.map(list).collect::<Result<_>>()?;
    let is_ours = |name: &str| name.starts_with(START) && name.ends_with(END);
    let ours = entries.into_iter().filter(|entry| entry.file_name().to_str().is_some_and(is_ours));
    Ok(ours.map(|entry| entry.path()).collect())
}

/// Returns whether this program wrote an event file to a run folder.
pub(super) fn exist(run: &Path) -> Result<bool> {
    Ok(!files(run)?.is_empty())
}

/// Removes the event files that this program wrote to a run folder.
pub(super) fn remove(run: &Path) -> Result<()> {
    Ok(files(run)?.iter().try_for_each(|file| remove_file(file))?)
}

/// Removes earlier event files of a run, and creates a new one with the finished epochs. The name of the new file sorts
/// after the earlier names, so that a running TensorBoard finds it.
pub(super) fn start(run: &Path, epochs: &[EpochMetrics], config: &Config) -> Result<EventFile> {
    remove(run)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = format!("{START}{:010}.{:09}{END}", now.as_secs(), now.subsec_nanos());
    let mut events = EventFile::create(&run.join(name), now.as_secs_f64())?;
    epochs.iter().try_for_each(|epoch| append(&mut events, epoch, config))?;
    Ok(events)
}

/// Appends the scalars of an epoch.
pub(super) fn append(events: &mut EventFile, epoch: &EpochMetrics, config: &Config) -> Result<()> {
    let mut scalars = scores("train", &epoch.train).to_vec();
    if !config.has_plain_loss() {
        scalars[0].0 = "objective/train".into();
    }
    scalars.extend(epoch.valid.iter().flat_map(|valid| scores("valid", valid)));
    if let Some(of) = &epoch.valid_macro {
        let macros = [("recall", of.recall), ("precision", of.precision), ("f1", of.f1)];
        scalars.extend(macros.map(|(name, value)| (format!("macro/valid_{name}"), value)));
    }
    let single = [("learning_rate", epoch.lr), ("momentum", epoch.momentum), ("penalty/train", epoch.penalty)];
    scalars.extend(single.into_iter().filter_map(|(name, value)| Some((name.into(), value?))));
    for (i, layer) in epoch.activity.iter().flatten().enumerate() {
        let shares = [("spikes", layer.spikes), ("silent", layer.silent), ("saturated", layer.saturated)];
        scalars.extend(shares.map(|(name, value)| (format!("{name}/layer_{}", i + 1), value)));
    }
    scalars.push(("speed/samples_per_second".into(), epoch.samples_per_second));
    // The metrics of earlier versions have no times of day.
    Ok(events.append(epoch.epoch, epoch.unix_seconds.unwrap_or_else(unix_seconds), &scalars)?)
}

/// Appends loss and accuracy on the test set. The step is `epoch`, whose network was tested.
pub(super) fn append_test(events: &mut EventFile, epoch: u64, score: &Score) -> Result<()> {
    Ok(events.append(epoch, unix_seconds(), &scores("test", score))?)
}

fn scores(set: &str, score: &Score) -> [(String, f64); 2] {
    [(format!("loss/{set}"), score.loss), (format!("accuracy/{set}"), score.accuracy)]
}

/// Returns the time of day, in seconds since 1970 (UTC).
pub(super) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
