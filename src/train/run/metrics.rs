//! Metrics of training: one line per epoch in `metrics.jsonl`, and curves of loss and accuracy.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tonic_base::{human_time, publish};
use tonic_report::{Curve, curves};

use crate::error::{BaseFault, Error, Result};
use crate::learner::{MacroScore, Score};
use crate::run::activity::{self, LayerActivity};

pub(crate) const FILE_NAME: &str = "metrics.jsonl";

/// Metrics of an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Number of the epoch, counted from 1.
    pub epoch: u64,
    /// Loss and accuracy over the batches of the epoch. Each batch is scored before it changes the weights. The loss is
    /// that of training, with class weights, label smoothing and the penalty for spike rates.
    pub train: Score,
    /// Loss and accuracy on the validation set after the epoch; `None` without a validation set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<Score>,
    /// Macro averages on the validation set after the epoch; `None` without a validation set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_macro: Option<MacroScore>,
    /// Activity of each hidden layer after the epoch, measured on some samples of the training set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<Vec<LayerActivity>>,
    /// Learning rate of the last batch of the epoch; `None` in runs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Momentum of SGD, or beta1 of Adam, in the last batch of the epoch; `None` in runs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Mean penalty for spike rates over the batches of the epoch, a part of the loss of `train`. `None` without
    /// a penalty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
    /// Time of day at the end of the epoch, in seconds since 1970 (UTC); `None` in runs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unix_seconds: Option<f64>,
    /// Time of training in this epoch, in seconds. After a resume in the middle of the epoch, only the time since the
    /// resume.
    pub seconds: f64,
    /// Batches per second of training.
    pub batches_per_second: f64,
    /// Samples per second of training.
    pub samples_per_second: f64,
}

impl EpochMetrics {
    /// Returns loss and accuracy of training, the loss without the penalty for spike rates. This loss can be compared
    /// with the loss of guessing.
    pub(super) fn unpenalised(&self) -> Score {
        Score { loss: self.train.loss - self.penalty.unwrap_or(0.0), ..self.train }
    }
}

/// Labels of a chart of losses: of its axis and of its curves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LossWords {
    pub(crate) axis: &'static str,
    pub(crate) train: &'static str,
    pub(crate) valid: &'static str,
}

/// Reads the metrics of the first `epochs` epochs of a run.
///
/// # Errors
/// [`Io`](tonic_base::Error::Io); [`Corrupt`](tonic_base::Error::Corrupt) if a line is damaged or missing.
pub(super) fn read(run: &Path, epochs: usize) -> Result<Vec<EpochMetrics>> {
    let read = read_up_to(run, epochs)?;
    if read.len() < epochs {
        return Err(Error::corrupt(&run.join(FILE_NAME), "lines", format!("{epochs}, one an epoch"), read.len()));
    }
    Ok(read)
}

/// Reads the metrics of all finished epochs of a run.
///
/// # Errors
/// [`Io`](tonic_base::Error::Io); [`Corrupt`](tonic_base::Error::Corrupt) if a line is damaged, or if the epochs are
/// not numbered 1, 2, 3, ...
pub(crate) fn read_all(run: &Path) -> Result<Vec<EpochMetrics>> {
    let path = run.join(FILE_NAME);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let read = read_up_to(run, usize::MAX)?;
    match read.iter().zip(1..).find(|(metrics, number)| metrics.epoch != *number) {
        None => Ok(read),
        Some((metrics, number)) => {
            Err(Error::corrupt(&path, format!("line {number}"), format!("epoch {number}"), metrics.epoch))
        }
    }
}

fn read_up_to(run: &Path, epochs: usize) -> Result<Vec<EpochMetrics>> {
    let path = run.join(FILE_NAME);
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path, "read the metrics"))?;
    let parse = |(i, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|e| Error::corrupt(&path, format!("line {}", i + 1), "an epoch's metrics", e))
    };
    text.lines().take(epochs).enumerate().map(parse).collect()
}

/// Writes the metrics of the finished epochs of a run.
pub(super) fn write(run: &Path, epochs: &[EpochMetrics]) -> Result<()> {
    let line = |epoch| serde_json::to_string(epoch).expect("metrics are JSON") + "\n";
    Ok(publish(&run.join(FILE_NAME), epochs.iter().map(line).collect::<String>().as_bytes())?)
}

/// Returns the line that is printed after an epoch. `left` is the estimated time until the end of the run, in seconds.
pub(super) fn line(label: &str, m: &EpochMetrics, left: Option<f64>) -> String {
    let valid = m.valid.map_or(String::new(), |v| {
        // If all classes have the same size, macro recall and accuracy are equal.
        let recall = m.valid_macro.map(|of| of.recall).filter(|recall| (recall - v.accuracy).abs() >= 5e-4);
        let recall = recall.map_or(String::new(), |recall| format!(" macro recall {:.1}%", recall * 100.0));
        format!("  valid loss {:.4} accuracy {:.1}%{recall}", v.loss, v.accuracy * 100.0)
    });
    let activity = m.activity.as_deref().filter(|layers| !layers.is_empty()).map_or(String::new(), activity::words);
    let left = left.map_or(String::new(), |seconds| format!("  {} left", human_time(seconds)));
    format!(
        "{label}  loss {:.4}  accuracy {:.1}%{valid}{activity}  {:.1} batches/s  {:.0} samples/s{left}",
        m.train.loss,
        m.train.accuracy * 100.0,
        m.batches_per_second,
        m.samples_per_second
    )
}

/// Draws the curves of loss and accuracy over the epochs, as PNG and SVG files in the run folder.
pub(super) fn draw(run: &Path, epochs: &[EpochMetrics], words: LossWords) -> Result<()> {
    let both = |pick: fn(&Score) -> f64, [train_name, valid_name]: [&str; 2]| {
        let train = epochs.iter().map(|e| (e.epoch as f64, pick(&e.train))).collect();
        let valid: Vec<(f64, f64)> = epochs.iter().filter_map(|e| Some((e.epoch as f64, pick(&e.valid?)))).collect();
        let mut both = vec![Curve { name: train_name.into(), points: train }];
        if !valid.is_empty() {
            both.push(Curve { name: valid_name.into(), points: valid });
        }
        both
    };
    let loss = curves("Loss", words.axis, None, &both(|s| s.loss, [words.train, words.valid]))?;
    let accuracy = both(|s| s.accuracy, ["training", "validation"]);
    let accuracy = curves("Accuracy", "share classified rightly", Some((0.0, 1.0)), &accuracy)?;
    for (name, picture) in [("loss", loss), ("accuracy", accuracy)] {
        picture.write_svg(&run.join(name).with_extension("svg"))?;
        picture.write_png(&run.join(name).with_extension("png"))?;
    }
    Ok(())
}
