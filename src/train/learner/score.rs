//! Loss and accuracy, and the sums that they are computed from.

use serde::{Deserialize, Serialize};

use crate::engine::BatchLoss;

/// Mean loss and accuracy over a number of samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean cross entropy of the samples. In training, the mean of the loss that
    /// [`TrainingLoss`](crate::engine::TrainingLoss) describes.
    pub loss: f64,
    /// Share of correct predictions, from 0 to 1.
    pub accuracy: f64,
}

/// Macro averages: means over the classes, so that every class counts the same. Classes without samples are left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MacroScore {
    /// Mean recall of the classes, also called balanced accuracy.
    pub recall: f64,
    /// Mean precision of the classes. A class that was never predicted has a precision of 0.
    pub precision: f64,
    /// Mean F1 of the classes: F1 = 2 * precision * recall / (precision + recall), or 0 if both are 0.
    pub f1: f64,
}

/// Sums over the finished batches of an epoch, for its loss and accuracy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningScore {
    /// Sum of (mean loss * number of samples) over the batches.
    pub loss: f64,
    /// Number of correct predictions.
    pub correct: u64,
    /// Number of samples in the batches.
    pub samples: u64,
    /// Sum of (penalty for spike rates * number of samples) over the batches. It is part of `loss`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub penalty: f64,
}

fn is_zero(sum: &f64) -> bool {
    *sum == 0.0
}

impl RunningScore {
    /// Adds a batch of `samples` samples, of which `correct` were predicted correctly.
    pub fn add(&mut self, mean_loss: f64, correct: usize, samples: usize) {
        self.loss += mean_loss * samples as f64;
        self.correct += correct as u64;
        self.samples += samples as u64;
    }

    /// Adds a batch of a training step, with its penalty.
    pub(crate) fn add_step(&mut self, of: &BatchLoss, samples: usize) {
        self.add(of.loss, of.correct, samples);
        self.penalty += of.penalty * samples as f64;
    }

    /// Returns the mean penalty for spike rates.
    pub(crate) fn mean_penalty(&self) -> f64 {
        self.penalty / self.samples.max(1) as f64
    }

    pub(crate) fn score(&self) -> Score {
        let samples = self.samples.max(1) as f64;
        Score { loss: self.loss / samples, accuracy: self.correct as f64 / samples }
    }
}
