//! Draws the validation and training curves of compared runs, in one colour for each group.

use tonic_report::{CurveGroup, Picture, Scale, curve_groups};

use super::comparison::{Comparison, RunGroup};
use super::summary::RunSummary;
use crate::error::{BaseFault, Error, Result};
use crate::learner::Score;
use crate::run::EpochMetrics;

impl Comparison {
    /// Draws accuracy and loss over the epochs: validation in the upper panels, training in the lower panels. Without
    /// validation, draws training alone.
    ///
    /// The legend lists the groups by the mean of their best validation accuracies, highest first. Groups without
    /// validation come last.
    ///
    /// # Errors
    /// [`Usage`](tonic_base::Error::Usage) if no run has a finished epoch; [`Plot`](tonic_report::Error::Plot).
    pub fn picture(&self) -> Result<Picture> {
        let members = |group: &RunGroup| -> Vec<&RunSummary> {
            let is_drawn = |run: &&RunSummary| !run.epochs.is_empty() && run.repeats.is_none();
            self.runs.iter().filter(|run| run.group == Some(group.number)).filter(is_drawn).collect()
        };
        let best = |group: &RunGroup| {
            let best: Vec<f64> = members(group).iter().filter_map(|run| Some(run.best?.valid.accuracy)).collect();
            if best.is_empty() { -1.0 } else { best.iter().sum::<f64>() / best.len() as f64 }
        };
        let mut groups: Vec<&RunGroup> = self.groups.iter().filter(|group| !members(group).is_empty()).collect();
        if groups.is_empty() {
            return Err(Error::usage("png", "runs with a finished epoch, whose curves can be drawn", "none"));
        }
        groups.sort_by(|a, b| best(b).total_cmp(&best(a)));
        let is_validated = groups.iter().any(|group| best(group) >= 0.0);
        type Part = fn(&EpochMetrics) -> Option<Score>;
        let parts: [(Part, &str, &str); 2] = [
            (|epoch| epoch.valid, "validation accuracy", "validation loss"),
            (|epoch| Some(epoch.train), "training accuracy", "training loss"),
        ];
        let parts = &parts[usize::from(!is_validated)..];
        let group = |group: &&RunGroup| {
            let runs = members(group);
            let curves = |part: Part, pick: fn(&Score) -> f64| -> Vec<Vec<(f64, f64)>> {
                let point = |epoch: &EpochMetrics| Some((epoch.epoch as f64, pick(&part(epoch)?)));
                let curve = |run: &&RunSummary| run.epochs.iter().filter_map(point).collect::<Vec<_>>();
                runs.iter().map(curve).filter(|points| !points.is_empty()).collect()
            };
            let count = if runs.len() == 1 { "1 run".into() } else { format!("{} runs", runs.len()) };
            let words = group.words();
            let name = match (words.is_empty(), runs.as_slice()) {
                (true, [run]) => run.name.clone(),
                (true, _) => count,
                (false, _) => format!("{words} ({count})"),
            };
            let both = |&(part, ..): &(Part, &str, &str)| [curves(part, |of| of.accuracy), curves(part, |of| of.loss)];
            CurveGroup { name, panels: parts.iter().flat_map(both).collect() }
        };
        let drawn: usize = groups.iter().map(|group| members(group).len()).sum();
        let what = if is_validated { "Validation and training" } else { "Training" };
        let title = match self.runs.len() {
            1 => format!("{what} of a run"),
            all if all == drawn => format!("{what} of {all} runs"),
            all => format!("{what} of {drawn} of {all} runs"),
        };
        let axes = parts.iter().flat_map(|&(_, accuracy, loss)| [(accuracy, Scale::Share), (loss, Scale::Auto)]);
        let groups: Vec<CurveGroup> = groups.iter().map(group).collect();
        Ok(curve_groups(&title, &axes.collect::<Vec<_>>(), &groups)?)
    }
}
