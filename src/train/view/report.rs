//! Writes the report of a run: reads the run folder, runs a set through the network, and writes the page.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tonic_base::{Verbosity, publish};
use tonic_shard::{ShardSet, is_url, refuse_url};

use crate::error::Result;
use crate::learner::{Evaluation, Selected};
use crate::run::{Config, REPORT, SetPaths, Trained, read_times};
use crate::sweep::RunSummary;
use crate::view::page::{Contents, Surveyed, page};
use crate::view::sample_page::{Sampled, picked};
use crate::view::survey::survey;

/// Options of a report.
#[derive(Clone, Debug)]
pub struct ReportOptions {
    /// Folder of the run.
    pub run: PathBuf,
    /// Folder of the shard set to evaluate on. `None` stands for the test set of the run, or the validation set if
    /// there is no test set.
    pub data: Option<PathBuf>,
    /// The file to write; `report.html` in the run folder by default.
    pub output: Option<PathBuf>,
    /// Whether to use the network of the epoch with the best validation score, instead of the network after the last
    /// epoch. If the run selects an epoch, the report uses the network of this epoch in any case.
    pub best: bool,
    /// Function that opens a set, such as [`ShardSet::open`].
    pub open: fn(&Path) -> tonic_shard::Result<ShardSet>,
    /// Function that gets a recipe and returns the length of a frame and the label of the time axis, such as `(4.0,
    /// "time (ms)")`.
    pub frame_length: fn(&str) -> (f64, &'static str),
    /// Whether progress is shown.
    pub verbosity: Verbosity,
}

/// Result of writing a report.
#[derive(Clone, Debug, Serialize)]
pub struct Reported {
    /// Path of the page.
    pub path: PathBuf,
    /// The set that the network was evaluated on. `None` without a set; then [`Reported::missing`] has the reason.
    pub surveyed: Option<Surveyed>,
    /// Messages about what is missing on the page, with the reasons.
    pub missing: Vec<String>,
}

/// Writes the report of a run as a page of HTML.
///
/// # Errors
/// The errors of reading the run folder, of [`eval`](fn@crate::run::eval), of drawing, and of writing the page.
pub fn report(options: &ReportOptions) -> Result<Reported> {
    let ReportOptions { run, data, output, best, .. } = options;
    let path = output.clone().unwrap_or_else(|| run.join(REPORT));
    refuse_url("output", &path)?;
    let config = Config::read(run)?;
    let absolute = std::path::absolute(run).unwrap_or_else(|_| run.clone());
    let name = absolute.file_name().map_or_else(|| run.display().to_string(), |name| name.to_string_lossy().into());
    let summary = RunSummary::read(run, name)?;
    let paths = SetPaths::stored(run)?;
    let surveyed = match (summary.epochs.is_empty(), data.clone().map_or_else(|| recorded(paths.as_ref()), Ok)) {
        (true, _) => Err("No epoch is finished, so that there is no network to evaluate.".into()),
        (false, Err(why)) => Err(why),
        (false, Ok(data)) => {
            let selected = config.training.best(&summary.epochs);
            let selected = selected.filter(|_| *best || config.training.select.is_some());
            Ok(survey_set(options, data, selected, summary.epochs_done)?)
        }
    };
    let contents = Contents { summary, config, times: read_times(run)?, paths, surveyed };
    let (html, missing) = page(&contents)?;
    publish(&path, html.as_bytes())?;
    let surveyed = contents.surveyed.ok().map(|(surveyed, ..)| surveyed);
    Ok(Reported { path, surveyed, missing })
}

/// Returns the test set of the run, or the validation set if the run has no test set. Returns an error text if the run
/// has neither, or if the set is no longer at its path.
fn recorded(paths: Option<&SetPaths>) -> Result<PathBuf, String> {
    const NAME_ONE: &str = "--data SET names a set to evaluate on";
    let Some(SetPaths { valid, test, .. }) = paths else {
        return Err(format!("An earlier version trained this run and kept no paths of its sets: {NAME_ONE}."));
    };
    let Some(set) = test.as_ref().or(valid.as_ref()) else {
        return Err(format!("The run has neither a test set nor a validation set: {NAME_ONE}."));
    };
    match is_url(set) || set.exists() {
        true => Ok(set.clone()),
        false => Err(format!("The set of the run is no longer at {}: {NAME_ONE}.", set.display())),
    }
}

/// Evaluates the network of the epoch `selected`, or without it the network of the epoch `last`.
fn survey_set(
    options: &ReportOptions,
    data: PathBuf,
    selected: Option<Selected>,
    last: u64,
) -> Result<(Surveyed, Evaluation, Sampled)> {
    let ReportOptions { run, open, frame_length, verbosity, .. } = options;
    let trained = Trained::open(run, &data, selected.is_some(), *open, Config::check_data)?;
    let ids = &trained.config.data;
    let id = trained.set.manifest().set_id.to_string();
    let roles = [("test set", ids.test_set_id.as_ref()), ("validation set", ids.valid_set_id.as_ref())];
    let roles = roles.into_iter().chain([("training set", Some(&ids.set_id))]);
    let role = roles.filter(|(_, of)| of.is_some_and(|of| *of == id)).map(|(role, _)| role).next();
    let role = role.map_or_else(|| format!("set {id}, which is none of the run"), |role| format!("{role} of the run"));
    let frame_length = frame_length(&ids.recipe);
    let (evaluation, sampled) = trained.on_cpu(*verbosity, "evaluate", |network, feed, padding, progress| {
        let (evaluation, judged) = survey(network, feed, padding, progress)?;
        let sampled = picked(network, feed.loader().set(), padding, frame_length, &judged)?;
        Ok((evaluation, sampled))
    })?;
    let epoch = selected.map_or(last, |selected| selected.epoch);
    let surveyed = Surveyed { data, role, epoch, selected, score: evaluation.score, samples: evaluation.samples };
    Ok((surveyed, evaluation, sampled))
}
