//! Writes the logits of a run's network for every sample of a set.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tonic_base::{Verbosity, publish, remove_file};
use tonic_report::{csv_row, write_npy};
use tonic_shard::{NO_LABEL, ShardSet, refuse_url};

use crate::engine::EngineChoice;
use crate::error::{BaseFault, Error, Result};
use crate::learner::{Backend, Logits};
use crate::run::config::Config;
use crate::run::eval::Trained;

/// Name of the file with the logits, float32, (samples, classes).
const LOGITS: &str = "logits.npy";
/// Name of the file with label, predicted class and logits of each sample.
const PREDICTIONS: &str = "predictions.csv";

/// Options of a prediction.
#[derive(Clone, Debug)]
pub struct PredictOptions {
    /// Folder of the run.
    pub run: PathBuf,
    /// Folder of the shard set. Its samples need no labels.
    pub data: PathBuf,
    /// Folder to which logits.npy and predictions.csv are written.
    pub out: PathBuf,
    /// Whether files of an earlier prediction in `out` are replaced. If false, `out` must be new or empty.
    pub overwrite: bool,
    /// Whether to use the network of the epoch with the best validation score, instead of the network after the last
    /// epoch.
    pub best: bool,
    /// Function that opens a set, such as [`ShardSet::open`].
    pub open: fn(&Path) -> tonic_shard::Result<ShardSet>,
    /// Whether progress is shown.
    pub verbosity: Verbosity,
}

/// Result of a prediction.
#[derive(Clone, Debug, Serialize)]
pub struct Predicted {
    /// Number of samples of the set.
    pub samples: usize,
    /// Number of samples that have a label.
    pub labelled: usize,
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
}

/// Writes the logits of every sample of a set to `logits.npy` and `predictions.csv`, in the order of the set. `choose`
/// gets the engine of the run and returns the backend that computes.
///
/// # Errors
/// - [`Exists`](tonic_base::Error::Exists) if the output folder is not empty, unless [`PredictOptions::overwrite`] is
///   set
/// - [`Usage`](tonic_base::Error::Usage) if the output folder is a URL
/// - the errors of [`eval`](fn@super::eval), but a set without labels or classes is no error
pub fn predict(options: &PredictOptions, choose: impl FnOnce(EngineChoice) -> Result<Backend>) -> Result<Predicted> {
    let PredictOptions { run, data, out, overwrite, best, open, verbosity } = options;
    refuse_url("output", out)?;
    let trained = Trained::open(run, data, *best, *open, Config::check_unlabelled)?;
    let classes = trained.config.data.class_names.clone();
    if !overwrite {
        check_empty(out)?;
    }
    let computed = trained.run(choose, *verbosity, "predict", Backend::logits)?;
    std::fs::create_dir_all(out).map_err(Error::io(out, "create the directory"))?;
    let predictions = out.join(PREDICTIONS);
    // A process that is killed between the two files leaves no file of an earlier prediction next to a new one.
    remove_file(&predictions)?;
    let samples = computed.labels.len();
    write_npy(&out.join(LOGITS), &[samples as u64, computed.classes as u64], computed.values.iter().copied())?;
    publish(&predictions, csv(&computed, &classes).as_bytes())?;
    let labelled = computed.labels.iter().filter(|&&label| label != NO_LABEL).count();
    Ok(Predicted { samples, labelled, classes })
}

fn check_empty(out: &Path) -> Result<()> {
    match std::fs::read_dir(out).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::exists(out, "it holds files, of which only an earlier prediction can be replaced")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io(out, "list the directory")(error)),
    }
}

/// Returns a CSV with one row for each sample: index, label, predicted class, and logits. Each logit has enough digits
/// to give the same float32 when it is read.
fn csv(logits: &Logits, classes: &[String]) -> String {
    let head = ["sample", "label", "predicted"].into_iter().chain(classes.iter().map(String::as_str));
    let mut text = csv_row(head);
    for (sample, (logits, label, predicted)) in logits.samples().enumerate() {
        let label = if label == NO_LABEL { String::new() } else { classes[label as usize].clone() };
        let row = [sample.to_string(), label, classes[predicted].clone()];
        text += &csv_row(row.into_iter().chain(logits.iter().map(f32::to_string)));
    }
    text
}
