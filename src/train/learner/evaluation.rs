//! The result of an evaluation: loss, accuracy, confusion matrix.

use std::fmt::Write;

use serde::Serialize;
use tonic_base::printable;
use tonic_report::{Picture, confusion};
use tonic_shard::ShardSet;

use crate::engine::Prediction;
use crate::error::{Error, KernelError, Result};
use crate::learner::balance::{ClassBalance, ClassWeights};
use crate::learner::score::{MacroScore, RunningScore, Score};
use crate::learner::select::Selected;
use crate::learner::warning::Warning;

/// Result of evaluating a network on a set.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Mean loss and accuracy over all samples of the set.
    #[serde(flatten)]
    pub score: Score,
    /// Number of evaluated samples.
    pub samples: u64,
    /// Result of each class, in the order of the classes.
    pub classes: Vec<ClassScore>,
    /// Confusion matrix: `confusion[label][predicted]` is the number of samples with this label and this prediction.
    pub confusion: Vec<Vec<u64>>,
    /// Macro averages of recall, precision and F1: means over the classes.
    #[serde(rename = "macro")]
    pub macros: MacroScore,
    /// The epoch whose network was evaluated. `None` if no epoch was selected by its score on the validation set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected: Option<Selected>,
    /// Warnings, if the set has only one class or if its class sizes are very different.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// Result for one class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassScore {
    /// Name of the class.
    pub name: String,
    /// Number of samples of the class.
    pub samples: u64,
    /// Number of correct predictions, divided by the number of samples of the class.
    pub recall: f64,
    /// Number of correct predictions, divided by the number of samples predicted as this class.
    pub precision: f64,
}

/// Returns an error if a set has no samples, or if a sample has no label.
pub(crate) fn check_labelled(set: &ShardSet) -> Result<()> {
    let (labels, samples) = (set.manifest().totals.class_samples.iter().sum(), set.len());
    match samples > 0 && labels == samples {
        true => Ok(()),
        false => Err(Error::Unlabelled { path: set.dir().into(), labels, samples }),
    }
}

impl Evaluation {
    /// Returns the result of an evaluation. `tested` has one prediction for each sample of `set`.
    ///
    /// # Errors
    /// [`Error::Kernel`] if a loss is NaN or infinite.
    pub(crate) fn of(set: &ShardSet, tested: impl IntoIterator<Item = Prediction>) -> Result<Evaluation> {
        let names = &set.manifest().description.classes;
        let mut running = RunningScore::default();
        let mut confusion = vec![vec![0_u64; names.len()]; names.len()];
        for outcome in tested {
            let Prediction { loss, predicted, label } = outcome;
            if !loss.is_finite() {
                return Err(KernelError::NonFiniteLoss { loss }.into());
            }
            running.add(loss, usize::from(outcome.is_correct()), 1);
            confusion[label as usize][predicted as usize] += 1;
        }
        let share = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
        let class = |(i, name): (usize, &String)| {
            let (found, samples) = (confusion[i][i], confusion[i].iter().sum());
            let taken = confusion.iter().map(|row| row[i]).sum();
            ClassScore { name: name.clone(), samples, recall: share(found, samples), precision: share(found, taken) }
        };
        let classes: Vec<ClassScore> = names.iter().enumerate().map(class).collect();
        let (score, samples, macros) = (running.score(), running.samples, macro_score(&classes));
        let warnings = ClassBalance::of(set).warnings(ClassWeights::None);
        Ok(Evaluation { score, samples, classes, confusion, macros, selected: None, warnings })
    }

    /// Returns the result as text: accuracy, loss, macro averages, and a table of the classes.
    pub fn text(&self) -> String {
        let names: Vec<_> = self.classes.iter().map(|c| printable(&c.name)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(5);
        let mut out = String::new();
        let Score { loss, accuracy } = self.score;
        if let Some(Selected { epoch, by }) = self.selected {
            let _ = writeln!(out, "network of epoch {epoch}, selected by {}", by.name());
        }
        let _ = writeln!(out, "accuracy {:.2}%  loss {loss:.4}  ({} samples)", accuracy * 100.0, self.samples);
        let MacroScore { recall, precision, f1 } = self.macros;
        let [recall, precision, f1] = [recall, precision, f1].map(|share| share * 100.0);
        let _ = writeln!(out, "macro recall {recall:.2}%  precision {precision:.2}%  F1 {f1:.2}%\n");
        let _ = writeln!(out, "{:<width$}  samples   recall  precision", "class");
        for (class, name) in self.classes.iter().zip(&names) {
            let (recall, precision) = (class.recall * 100.0, class.precision * 100.0);
            let _ = writeln!(out, "{:<width$}  {:>7}  {recall:>6.1}%    {precision:>6.1}%", name, class.samples);
        }
        out
    }

    /// Returns the result as one line of JSON.
    ///
    /// # Panics
    /// Never: every evaluation can be written as JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("an evaluation is JSON") + "\n"
    }

    /// Draws the confusion matrix.
    ///
    /// # Errors
    /// [`Plot`](tonic_report::Error::Plot).
    pub fn picture(&self) -> Result<Picture> {
        let names: Vec<String> = self.classes.iter().map(|c| c.name.clone()).collect();
        let title = format!("Confusion: {:.1}% of {} right", self.score.accuracy * 100.0, self.samples);
        Ok(confusion(&title, &names, &self.confusion)?)
    }
}

/// Returns the means over the classes that have samples.
fn macro_score(classes: &[ClassScore]) -> MacroScore {
    let present: Vec<&ClassScore> = classes.iter().filter(|class| class.samples > 0).collect();
    let mean =
        |of: fn(&ClassScore) -> f64| present.iter().map(|class| of(class)).sum::<f64>() / present.len().max(1) as f64;
    let f1 = |class: &ClassScore| match class.precision + class.recall {
        0.0 => 0.0,
        sum => 2.0 * class.precision * class.recall / sum,
    };
    MacroScore { recall: mean(|class| class.recall), precision: mean(|class| class.precision), f1: mean(f1) }
}

#[cfg(test)]
mod tests {
    use super::{ClassScore, macro_score};
    use crate::learner::score::MacroScore;

    /// Compares with scikit-learn's results for y_true = [0, 0, 0, 1, 2] and y_pred = [0, 0, 1, 1, 0]:
    /// balanced_accuracy_score, precision_score and f1_score (labels=[0, 1, 2], average="macro", zero_division=0).
    #[test]
    fn every_class_with_samples_counts_the_same() {
        let class = |samples, recall, precision| ClassScore { name: "c".into(), samples, recall, precision };
        let classes = [class(3, 2.0 / 3.0, 2.0 / 3.0), class(1, 1.0, 0.5), class(1, 0.0, 0.0), class(0, 0.0, 0.0)];
        let MacroScore { recall, precision, f1 } = macro_score(&classes);
        for (got, expected) in [(recall, 5.0 / 9.0), (precision, 7.0 / 18.0), (f1, 4.0 / 9.0)] {
            assert!((got - expected).abs() < 1e-12, "{got} {expected}");
        }
    }
}
