//! What training says of itself: a line an epoch in `metrics.jsonl`, and curves of them.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::plot::{Curve, curves};
use crate::publish::publish;

/// The file in the run folder.
pub const FILE_NAME: &str = "metrics.jsonl";

/// Loss and accuracy over a set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean cross entropy.
    pub loss: f64,
    /// Share of samples classified rightly.
    pub accuracy: f64,
}

/// One epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// From 1.
    pub epoch: u64,
    /// Over the epoch's batches, while the weights changed.
    pub train: Score,
    /// Over the validation set, after the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<Score>,
    /// Seconds of the epoch's training, or of its part since the last resume.
    pub seconds: f64,
    /// Batches a second.
    pub batches_per_second: f64,
    /// Samples a second.
    pub samples_per_second: f64,
}

/// Sums over an epoch's batches, in the order of the batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningScore {
    /// Losses times samples.
    pub loss: f64,
    /// Samples classified rightly.
    pub correct: u64,
    /// Samples.
    pub samples: u64,
}

impl RunningScore {
    /// Adds a batch.
    pub fn add(&mut self, mean_loss: f64, correct: usize, samples: usize) {
        self.loss += mean_loss * samples as f64;
        self.correct += correct as u64;
        self.samples += samples as u64;
    }

    /// The means.
    pub fn score(&self) -> Score {
        let samples = self.samples.max(1) as f64;
        Score { loss: self.loss / samples, accuracy: self.correct as f64 / samples }
    }
}

/// Reads a run's first `epochs` epochs.
///
/// # Errors
/// [`Error::Io`], [`Error::Corrupt`] with the line, or if there are fewer.
pub fn read(run: &Path, epochs: usize) -> Result<Vec<EpochMetrics>> {
    let path = run.join(FILE_NAME);
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path, "read the metrics"))?;
    let parse = |(i, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|e| Error::corrupt(&path, format!("line {}", i + 1), "an epoch's metrics", e))
    };
    let read = text.lines().take(epochs).enumerate().map(parse).collect::<Result<Vec<_>>>()?;
    if read.len() < epochs {
        return Err(Error::corrupt(&path, "lines", format!("{epochs}, one an epoch"), read.len()));
    }
    Ok(read)
}

/// Writes the epochs that a run has finished.
///
/// # Errors
/// [`Error::Io`].
///
/// # Panics
/// Never: metrics are JSON.
pub fn write(run: &Path, epochs: &[EpochMetrics]) -> Result<()> {
    let line = |epoch| serde_json::to_string(epoch).expect("metrics are JSON") + "\n";
    publish(&run.join(FILE_NAME), epochs.iter().map(line).collect::<String>().as_bytes())
}

/// Draws `loss` and `accuracy` as PNG and SVG into the run folder.
///
/// # Errors
/// [`Error::Plot`], [`Error::Io`].
pub fn draw(run: &Path, epochs: &[EpochMetrics]) -> Result<()> {
    let both = |pick: fn(&Score) -> f64| {
        let train = epochs.iter().map(|e| (e.epoch as f64, pick(&e.train))).collect();
        let valid: Vec<(f64, f64)> = epochs.iter().filter_map(|e| Some((e.epoch as f64, pick(&e.valid?)))).collect();
        let mut both = vec![Curve { name: "training".into(), points: train }];
        if !valid.is_empty() {
            both.push(Curve { name: "validation".into(), points: valid });
        }
        both
    };
    let loss = curves("Loss", "cross entropy", None, &both(|s| s.loss))?;
    let accuracy = curves("Accuracy", "share classified rightly", Some((0.0, 1.0)), &both(|s| s.accuracy))?;
    for (name, picture) in [("loss", loss), ("accuracy", accuracy)] {
        picture.write_svg(&run.join(name).with_extension("svg"))?;
        picture.write_png(&run.join(name).with_extension("png"))?;
    }
    Ok(())
}
