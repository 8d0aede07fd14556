//! Draws the validation curves of compared runs, in one colour for each group.

use tonic_report::{CurveGroup, Picture, curve_groups};

use super::comparison::{Comparison, RunGroup};
use super::summary::RunSummary;
use crate::error::{BaseFault, Error, Result};
use crate::learner::Score;

impl Comparison {
    /// Draws the validation accuracy and loss of all runs over the epochs. The legend lists the groups of runs from
    /// best to worst, by the mean over their runs of the best validation accuracy.
    ///
    /// # Errors
    /// [`Usage`](tonic_base::Error::Usage) if no run has a validation set; [`Plot`](tonic_report::Error::Plot).
    pub fn picture(&self) -> Result<Picture> {
        let members = |group: &RunGroup| -> Vec<&RunSummary> {
            let is_drawn = |run: &&RunSummary| run.best.is_some() && run.repeats.is_none();
            self.runs.iter().filter(|run| run.group == Some(group.number)).filter(is_drawn).collect()
        };
        let best = |group: &RunGroup| {
            let best: Vec<f64> = members(group).iter().filter_map(|run| Some(run.best?.valid.accuracy)).collect();
            best.iter().sum::<f64>() / best.len() as f64
        };
        let mut groups: Vec<&RunGroup> = self.groups.iter().filter(|group| !members(group).is_empty()).collect();
        if groups.is_empty() {
            return Err(Error::usage("png", "runs with a validation set, whose curves can be drawn", "none"));
        }
        groups.sort_by(|a, b| best(b).total_cmp(&best(a)));
        let group = |group: &&RunGroup| {
            let runs = members(group);
            let curves = |pick: fn(&Score) -> f64| -> Vec<Vec<(f64, f64)>> {
                let points = |run: &&RunSummary| {
                    run.epochs.iter().filter_map(|e| Some((e.epoch as f64, pick(&e.valid?)))).collect()
                };
                runs.iter().map(points).collect()
            };
            let count = if runs.len() == 1 { "1 run".into() } else { format!("{} runs", runs.len()) };
            let words = group.words();
            let name = match (words.is_empty(), runs.as_slice()) {
                (true, [run]) => run.name.clone(),
                (true, _) => count,
                (false, _) => format!("{words} ({count})"),
            };
            CurveGroup { name, panels: [curves(|score| score.accuracy), curves(|score| score.loss)] }
        };
        let drawn: usize = groups.iter().map(|group| members(group).len()).sum();
        let title = match self.runs.len() {
            1 => "Validation of a run".into(),
            all if all == drawn => format!("Validation of {all} runs"),
            all => format!("Validation of {drawn} of {all} runs"),
        };
        Ok(curve_groups(&title, ["accuracy", "loss"], &groups.iter().map(group).collect::<Vec<_>>())?)
    }
}
