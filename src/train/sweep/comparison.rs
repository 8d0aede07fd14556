//! Compares runs: which settings differ, and means and standard deviations over runs that differ only in the seed.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value};
use tonic_base::printable;

use super::grid::{OPTIONS_FILE, RUNS, listed};
use super::summary::{RunState, RunSummary, TestScore};
use crate::error::{BaseFault, Error, Result};
use crate::run::holds_run;

/// Name of the setting that may differ between the runs of a group.
const SEED: &str = "seed";

/// The result of comparing runs.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Names of the settings that differ between the runs.
    pub differing: Vec<String>,
    /// The runs, in the order in which their folders were given.
    pub runs: Vec<RunSummary>,
    /// Groups of runs whose settings are equal except for the seed.
    pub groups: Vec<RunGroup>,
    /// Messages for the user about differences that make the results hard to compare.
    pub warnings: Vec<String>,
}

/// Runs whose settings are equal except for the seed. Means and standard deviations are over the finished runs, with
/// one run for each seed.
#[derive(Clone, Debug, Serialize)]
pub struct RunGroup {
    /// Number of the group, counted from 1.
    pub number: usize,
    /// The settings in [`Comparison::differing`] by name, without the seed.
    pub settings: Map<String, Value>,
    /// Names of all runs of the group, including unfinished runs.
    pub runs: Vec<String>,
    /// Validation accuracy in the best epoch. `None` without validation.
    pub valid_accuracy: Option<Spread>,
    /// Test accuracy of the tested network, see [`RunSummary::test`]. `None` without tests, or if the test sets
    /// differ.
    pub test_accuracy: Option<Spread>,
    /// Time of a run in seconds, see [`RunSummary::seconds`]. `None` if no run has finished.
    pub seconds: Option<Spread>,
}

/// Mean and standard deviation of a value over several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Number of runs that have the value.
    pub n: usize,
    /// Mean of the value over the runs.
    pub mean: f64,
    /// Sample standard deviation, with the divisor n - 1. `None` for a single run.
    pub sd: Option<f64>,
}

impl Spread {
    pub(super) fn of(values: &[f64]) -> Option<Spread> {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (n > 0).then(|| Spread { n, mean, sd: (n > 1).then(|| (squares / (n - 1) as f64).sqrt()) })
    }
}

impl Comparison {
    /// Reads and compares runs. `folders` has run folders and folders of sweeps. The folder of a sweep stands for all
    /// its runs. A run that is given twice counts once. A damaged run gets the state [`RunState::Damaged`].
    ///
    /// # Errors
    /// - [`Io`](tonic_base::Error::Io) if a folder is missing
    /// - [`Usage`](tonic_base::Error::Usage) if a folder has neither a run nor a sweep
    /// - [`Corrupt`](tonic_base::Error::Corrupt) if the `runs.txt` of a sweep is damaged
    pub fn of(folders: &[PathBuf]) -> Result<Comparison> {
        let mut found = Vec::new();
        for folder in folders {
            if folder.join(RUNS).is_file() {
                let is_only = folders.len() == 1;
                let named = |name: String| {
                    let run = folder.join(&name);
                    let name = if is_only { name } else { run.display().to_string() };
                    (run, name)
                };
                found.extend(listed(folder)?.into_iter().map(named));
            } else {
                if folder.is_dir() && !holds_run(folder) && !folder.join(OPTIONS_FILE).is_file() {
                    let got = format!("one with neither config.toml nor {RUNS}");
                    return Err(Error::usage(folder.display().to_string(), "the folder of a run or of a sweep", got));
                }
                folder.metadata().map_err(Error::io(folder, "read the run"))?;
                found.push((folder.clone(), folder.display().to_string()));
            }
        }
        let (mut seen, mut runs): (Vec<PathBuf>, Vec<RunSummary>) = Default::default();
        for (folder, name) in found {
            let place = folder.canonicalize().unwrap_or_else(|_| folder.clone());
            if !seen.contains(&place) {
                seen.push(place);
                runs.push(RunSummary::of(&folder, name));
            }
        }
        Ok(Comparison::of_runs(runs))
    }

    fn of_runs(mut runs: Vec<RunSummary>) -> Comparison {
        let settings = |runs: &[RunSummary]| -> Vec<Map<String, Value>> {
            runs.iter().map(|run| run.settings.clone()).filter(|settings| !settings.is_empty()).collect()
        };
        let all = settings(&runs);
        let differs = |name: &&String| all.iter().any(|settings| settings.get(*name) != all[0].get(*name));
        let differing: Vec<String> = all.first().into_iter().flat_map(Map::keys).filter(differs).cloned().collect();
        let mut groups: Vec<(Map<String, Value>, Vec<usize>)> = Vec::new();
        for i in 0..runs.len() {
            let mut key = runs[i].settings.clone();
            if key.is_empty() {
                continue;
            }
            let seed = key.remove(SEED);
            let at = groups.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
                groups.push((key, Vec::new()));
                groups.len() - 1
            });
            let is_twin =
                |&&j: &&usize| runs[j].settings.get(SEED) == seed.as_ref() && runs[j].state == RunState::Finished;
            let twin = groups[at].1.iter().find(is_twin);
            if let Some(twin) = twin.map(|&j| runs[j].name.clone()) {
                runs[i].repeats = Some(twin);
            }
            groups[at].1.push(i);
            runs[i].group = Some(at + 1);
        }
        let groups: Vec<RunGroup> = groups
            .into_iter()
            .enumerate()
            .map(|(i, (mut settings, members))| {
                settings.retain(|name, _| differing.contains(name));
                RunGroup::of(i + 1, settings, members.iter().map(|&i| &runs[i]))
            })
            .collect();
        let warnings = warnings(&runs);
        Comparison { differing, runs, groups, warnings }
    }

    /// Returns the number of runs that are damaged.
    pub fn damaged(&self) -> usize {
        self.runs.iter().filter(|run| run.state == RunState::Damaged).count()
    }
}

impl RunGroup {
    fn of<'a>(number: usize, settings: Map<String, Value>, runs: impl Iterator<Item = &'a RunSummary>) -> RunGroup {
        let runs: Vec<&RunSummary> = runs.collect();
        let is_counted = |run: &&&RunSummary| run.state == RunState::Finished && run.repeats.is_none();
        let counted: Vec<&RunSummary> = runs.iter().filter(is_counted).copied().collect();
        let spread = |figure: fn(&RunSummary) -> Option<f64>| {
            Spread::of(&counted.iter().filter_map(|run| figure(run)).collect::<Vec<f64>>())
        };
        let one_test = test_sets(&counted).len() == 1;
        RunGroup {
            number,
            settings,
            runs: runs.iter().map(|run| run.name.clone()).collect(),
            valid_accuracy: spread(|run| Some(run.best?.valid.accuracy)),
            test_accuracy: one_test.then(|| spread(|run| Some(run.test.as_ref()?.score.accuracy))).flatten(),
            seconds: spread(|run| Some(run.seconds)),
        }
    }

    /// Returns the settings as text for a table or a legend, for example `hidden 128,128, lr 0.001`.
    pub(super) fn words(&self) -> String {
        let words =
            self.settings.iter().map(|(name, value)| format!("{} {}", name.replace('_', " "), shown(name, value)));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// Returns the value of the setting `name` as text for tables and legends.
pub(super) fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(id) if name == "set_id" => printable(id).chars().take(8).collect(),
        Value::String(text) => printable(text).into_owned(),
        Value::Array(changes) if name == "lr_changes" => match changes.last().and_then(|change| change.get("lr")) {
            Some(lr) => format!("to {lr}"),
            None => "none".into(),
        },
        Value::Array(values) => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Returns one evaluation for each test set of the runs. Test sets with the same classes and class sizes count as
/// equal.
fn test_sets<'a>(runs: &[&'a RunSummary]) -> Vec<&'a TestScore> {
    let mut sets: Vec<&TestScore> = Vec::new();
    for test in runs.iter().filter_map(|run| run.test.as_ref()) {
        if sets.iter().all(|other| other.classes != test.classes) {
            sets.push(test);
        }
    }
    sets
}

/// Returns warnings about runs with different training sets, test sets or classes.
fn warnings(runs: &[RunSummary]) -> Vec<String> {
    let started: Vec<&RunSummary> = runs.iter().filter(|run| !run.settings.is_empty()).collect();
    let mut sets: Vec<&Value> = started.iter().map(|run| &run.settings["set_id"]).collect();
    sets.sort_by_key(|id| id.as_str());
    sets.dedup();
    let tests = test_sets(&started);
    let mut warnings = Vec::new();
    if sets.len() > 1 {
        warnings.push(format!("the runs were trained on {} different sets: see the column \"set id\"", sets.len()));
    }
    if started.iter().any(|run| run.classes != started[0].classes) {
        warnings.push("the runs have different classes: their accuracies are of different tasks".into());
    }
    if tests.len() > 1 {
        let samples: Vec<String> = tests.iter().map(|test| test.samples.to_string()).collect();
        let samples = samples.join(" and ");
        warnings.push(format!("the runs were tested on {} different sets, of {samples} samples", tests.len()));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn a_spread_has_the_deviation_of_a_sample() {
        for (values, expected) in [
            (&[][..], None),
            (&[0.5], Some(Spread { n: 1, mean: 0.5, sd: None })),
            (&[2.0, 4.0], Some(Spread { n: 2, mean: 3.0, sd: Some(2.0_f64.sqrt()) })),
            (&[1.0, 2.0, 3.0, 4.0, 5.0], Some(Spread { n: 5, mean: 3.0, sd: Some(2.5_f64.sqrt()) })),
        ] {
            assert_eq!(Spread::of(values), expected);
        }
    }
}
