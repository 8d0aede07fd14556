//! Loss and accuracy, and the sums from which they are computed.

use serde::{Deserialize, Serialize};

/// Loss and accuracy over a set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean cross entropy.
    pub loss: f64,
    /// Share of samples that were classified correctly.
    pub accuracy: f64,
}

/// Averages over classes, in which every class counts the same. Classes that the set has no samples of are left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MacroScore {
    /// Mean recall of the classes: the balanced accuracy.
    pub recall: f64,
    /// Mean precision of the classes; 0 for a class that was never predicted.
    pub precision: f64,
    /// Mean of the classes' F1 = 2 precision recall / (precision + recall); 0 where both are 0.
    pub f1: f64,
}

/// Sums over an epoch's batches, in the order of the batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningScore {
    /// Sum over the batches of mean loss times samples.
    pub loss: f64,
    /// Number of samples that were classified correctly.
    pub correct: u64,
    /// Number of samples.
    pub samples: u64,
}

impl RunningScore {
    /// Adds a batch.
    pub fn add(&mut self, mean_loss: f64, correct: usize, samples: usize) {
        self.loss += mean_loss * samples as f64;
        self.correct += correct as u64;
        self.samples += samples as u64;
    }

    /// Mean loss and accuracy.
    pub(crate) fn score(&self) -> Score {
        let samples = self.samples.max(1) as f64;
        Score { loss: self.loss / samples, accuracy: self.correct as f64 / samples }
    }
}
