//! The choice of the best epoch by its score on the validation set.

use serde::{Deserialize, Serialize};

use crate::learner::score::Score;

/// The score by which epochs are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Select {
    /// The highest accuracy on the validation set.
    #[default]
    ValidAccuracy,
    /// The lowest loss on the validation set.
    ValidLoss,
}

impl Select {
    /// Returns the name of the option, such as "valid-accuracy".
    pub fn name(self) -> &'static str {
        match self {
            Select::ValidAccuracy => "valid-accuracy",
            Select::ValidLoss => "valid-loss",
        }
    }

    /// Returns the number by which epochs are compared: the accuracy or the loss in `score`.
    pub fn of(self, score: &Score) -> f64 {
        match self {
            Select::ValidAccuracy => score.accuracy,
            Select::ValidLoss => score.loss,
        }
    }

    /// Returns whether `score` is strictly better than `best`.
    pub fn is_better(self, score: f64, best: f64) -> bool {
        match self {
            Select::ValidAccuracy => score > best,
            Select::ValidLoss => score < best,
        }
    }
}

/// An epoch that was selected by its score on the validation set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selected {
    /// Number of the epoch, counted from 1.
    pub epoch: u64,
    /// The score by which it was selected.
    pub by: Select,
}
