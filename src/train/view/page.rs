//! The sections of a report's page.

use std::fmt::Write;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;
use tonic_base::human_time;
use tonic_report::{Curve, Scale, confusion_table, epoch_chart, escaped, html_page, html_table};

use crate::error::Result;
use crate::kernel::Rule;
use crate::learner::{Evaluation, Score, Select, Selected};
use crate::run::{Config, EpochMetrics, LayerActivity, ProcessTime, Reestimated, SetPaths};
use crate::sweep::{RunState, RunSummary};
use crate::view::sample_page::Sampled;

/// Maximum number of classes for which the page shows the confusion matrix as a table.
const MOST_CLASSES: usize = 100;
/// Number of confusions that are listed, the most frequent first.
const CONFUSIONS: usize = 10;

/// The set that a report evaluates the network on.
#[derive(Clone, Debug, Serialize)]
pub struct Surveyed {
    /// Folder of the set.
    pub data: PathBuf,
    /// Role of the set in the run, such as `test set`.
    pub role: String,
    /// Number of the epoch whose network was evaluated, counted from 1.
    pub epoch: u64,
    /// The evaluated epoch, and the score by which it was selected. `None` if no epoch was selected: then the network
    /// of the last epoch was evaluated.
    pub selected: Option<Selected>,
    /// Loss and accuracy of the network.
    #[serde(flatten)]
    pub score: Score,
    /// Number of samples.
    pub samples: u64,
}

/// Everything that is on the page.
pub(super) struct Contents {
    pub(super) summary: RunSummary,
    pub(super) config: Config,
    pub(super) times: Vec<ProcessTime>,
    pub(super) paths: Option<SetPaths>,
    /// The evaluation and the picked samples, or why there are none.
    pub(super) surveyed: Result<(Surveyed, Evaluation, Sampled), String>,
}

impl Contents {
    /// Returns the metrics of the finished epochs.
    pub(super) fn epochs(&self) -> &[EpochMetrics] {
        &self.summary.epochs
    }
}

/// Returns the page as HTML, and messages about what is missing on it.
pub(super) fn page(of: &Contents) -> Result<(String, Vec<String>)> {
    let mut page = Page { of, html: String::new(), missing: Vec::new() };
    page.head();
    page.curves()?;
    page.evaluation()?;
    page.settings();
    page.machine();
    Ok((html_page(&format!("Run {}", of.summary.name), &page.html), page.missing))
}

struct Page<'a> {
    of: &'a Contents,
    html: String,
    missing: Vec<String>,
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

impl Page<'_> {
    /// Appends a message about missing content to the page and to `missing`.
    fn lacks(&mut self, words: &str) {
        let _ = writeln!(self.html, "<p class=\"missing\">{}</p>", escaped(words));
        self.missing.push(words.into());
    }

    fn title(&mut self, title: &str) {
        let _ = writeln!(self.html, "<h2>{}</h2>", escaped(title));
    }

    fn head(&mut self) {
        let run = &self.of.summary;
        let _ = writeln!(self.html, "<h1>Run {}</h1>", escaped(&run.name));
        let (done, asked) = (run.epochs_done, run.epochs_asked.unwrap_or(run.epochs_done));
        let mut facts = vec![(format!("{done} of {asked}"), "epochs".to_string())];
        if let Some(best) = run.best {
            let what = match self.of.config.training.select {
                Some(Select::ValidLoss) => format!("validation accuracy of the selected epoch, {}", best.epoch),
                _ => format!("best validation accuracy, epoch {}", best.epoch),
            };
            facts.push((percent(best.valid.accuracy), what));
        }
        if let Some(Reestimated { last, best }) = run.reestimated {
            let of = if best.is_some() { "best" } else { "last" };
            let words = format!("validation accuracy of the {of} epoch after re-estimation of norms");
            facts.push((percent(best.unwrap_or(last).accuracy), words));
        }
        if let Some(test) = &run.test {
            let of = test.selected.map_or("the last epoch".into(), |of| format!("the selected epoch, {}", of.epoch));
            facts.push((percent(test.score.accuracy), format!("test accuracy of {of}")));
        }
        if let Some(train) = run.last_train {
            facts.push((percent(train.accuracy), "training accuracy of the last epoch".into()));
        }
        facts.push((self.of.config.network.architecture().parameters().to_string(), "parameters".into()));
        if run.seconds > 0.0 {
            facts.push((human_time(run.seconds), "training time, with loading and evaluation".into()));
        }
        self.html.push_str("<ul class=\"facts\">");
        for (value, name) in facts {
            let _ = write!(self.html, "<li><b>{}</b><span>{}</span></li>", escaped(&value), escaped(&name));
        }
        self.html.push_str("</ul>\n");
        let notes: Vec<&String> = run.notes.iter().filter(|note| !note.is_empty()).collect();
        let state = if run.state == RunState::Unfinished { "Training is not finished. " } else { "" };
        let notes = notes.iter().map(|note| note.as_str()).collect::<Vec<_>>().join("; ");
        if !notes.is_empty() {
            let _ = writeln!(self.html, "<p class=\"note\">{state}Notes: {}.</p>", escaped(&notes));
        }
    }

    fn curves(&mut self) -> Result<()> {
        self.title("Training");
        let epochs = self.of.epochs();
        if epochs.is_empty() {
            self.lacks("No epoch is finished, so that there are no curves.");
            return Ok(());
        }
        let score = |pick: fn(&Score) -> f64, [train, valid]: [&str; 2]| {
            let valid = curve(valid, epochs, |epoch| epoch.valid.as_ref().map(pick));
            [curve(train, epochs, |epoch| Some(pick(&epoch.train))), valid]
        };
        let loss = self.of.config.loss_words(epochs);
        let mut charts = vec![
            ("Loss", loss.axis, Scale::Auto, drawn(score(|of| of.loss, [loss.train, loss.valid]))),
            ("Accuracy", "share", Scale::Share, drawn(score(|of| of.accuracy, ["training", "validation"]))),
            ("Learning rate", "lr", Scale::Auto, vec![self.learning_rates()]),
        ];
        let layers = epochs.iter().filter_map(|epoch| epoch.activity.as_ref()).map(Vec::len).max().unwrap_or(0);
        let of_layers = |pick: fn(&LayerActivity) -> f64| {
            let layer = |i: usize| {
                curve(&format!("layer {}", i + 1), epochs, |epoch| Some(pick(epoch.activity.as_ref()?.get(i)?)))
            };
            drawn((0..layers).map(layer))
        };
        if layers > 0 {
            charts.push(("Firing rates", "spikes per neuron and step", Scale::Auto, of_layers(|of| of.spikes)));
            charts.push(("Silent neurons", "share", Scale::Share, of_layers(|of| of.silent)));
            let saturated = of_layers(|of| of.saturated);
            if saturated.iter().flat_map(|curve| &curve.points).any(|point| point.1 > 0.0) {
                charts.push(("Saturated neurons", "share", Scale::Share, saturated));
            }
        }
        let speed = [curve("training", epochs, |epoch| Some(epoch.samples_per_second))];
        charts.push(("Speed", "samples per second", Scale::Auto, drawn(speed)));
        self.html.push_str("<div class=\"grid\">\n");
        for (title, y_name, scale, curves) in charts {
            self.html += &epoch_chart(title, y_name, scale, &curves)?;
        }
        self.html.push_str("</div>\n");
        let without = |is_there: fn(&EpochMetrics) -> bool| epochs.iter().filter(|epoch| !is_there(epoch)).count();
        match without(|epoch| epoch.valid.is_some()) {
            0 => {}
            n if n == epochs.len() => self.lacks("The run has no validation set, so that validation has no curves."),
            n => self.lacks(&format!("{n} of {} epochs have no validation.", epochs.len())),
        }
        match without(|epoch| epoch.activity.is_some()) {
            0 => {}
            n => self.lacks(&format!(
                "{n} of {} epochs have no firing rates and silent shares: an earlier version trained them.",
                epochs.len()
            )),
        }
        Ok(())
    }

    /// Returns the learning rate at the end of each epoch. Metrics of earlier versions have no learning rate: it is
    /// taken from `config.toml`.
    fn learning_rates(&self) -> Curve {
        let config = &self.of.config;
        let constant = |epoch: u64| {
            let before = config.lr_changes.iter().rfind(|change| change.epochs_done < epoch);
            before.map_or(config.lr, |change| change.lr)
        };
        curve("learning rate", self.of.epochs(), |epoch| Some(epoch.lr.unwrap_or_else(|| constant(epoch.epoch))))
    }

    fn evaluation(&mut self) -> Result<()> {
        let of = self.of;
        self.title("Evaluation");
        let (Surveyed { data, role, epoch, selected, .. }, evaluation, sampled) = match &of.surveyed {
            Ok(surveyed) => surveyed,
            Err(why) => {
                self.lacks(&format!("{why} Confusion matrix, classes and samples are missing."));
                return Ok(());
            }
        };
        let network = match selected {
            Some(Selected { by, .. }) if of.config.training.select.is_some() => {
                format!("the selected epoch, {epoch}, by {}", by.name())
            }
            Some(_) => format!("the best epoch, {epoch}"),
            None => format!("the last epoch, {epoch}"),
        };
        let Score { loss, accuracy } = evaluation.score;
        let words = format!(
            "The network of {network}, on the {role} ({}): accuracy {}, loss {loss:.4}, {} samples. Macro averages: \
             recall {}, precision {}, F1 {}.",
            data.display(),
            percent(accuracy),
            evaluation.samples,
            percent(evaluation.macros.recall),
            percent(evaluation.macros.precision),
            percent(evaluation.macros.f1),
        );
        let _ = writeln!(self.html, "<p>{}</p>", escaped(&words));
        let classes = &of.config.data.class_names;
        self.title("Confusion");
        if classes.len() <= MOST_CLASSES {
            self.html
                .push_str("<p class=\"note\">A row has the samples of a class, a column those predicted as it.</p>\n");
            self.html += &confusion_table(classes, &evaluation.confusion);
        } else {
            self.lacks(&format!("A confusion matrix of {} classes is too large for a page.", classes.len()));
        }
        self.html += &confusions(classes, evaluation);
        self.title("Classes");
        let row = |class: &crate::learner::ClassScore| {
            vec![class.name.clone(), class.samples.to_string(), percent(class.recall), percent(class.precision)]
        };
        let rows: Vec<Vec<String>> = evaluation.classes.iter().map(row).collect();
        self.html += &html_table(&["class", "samples", "recall", "precision"], 1, &rows);
        self.html += &sampled.sections(classes)?;
        Ok(())
    }

    fn settings(&mut self) {
        let config = &self.of.config;
        self.title("Settings");
        let settings = self.of.summary.settings.iter().filter(|(key, _)| *key != "set_id" && *key != "layers");
        let mut rows: Vec<Vec<String>> = settings.map(|(key, value)| vec![key.clone(), worded(value)]).collect();
        if let Rule::Adam(of) | Rule::AdamW(of) = config.training.optimiser {
            let constants = [("beta1", of.beta1), ("beta2", of.beta2), ("eps", of.eps)];
            rows.extend(constants.map(|(name, value)| vec![name.into(), format!("{value:?}")]));
        }
        if config.training.schedule.end > 0 {
            rows.push(vec!["schedule_end".into(), format!("epoch {}", config.training.schedule.end)]);
        }
        self.html += &html_table(&["setting", "value"], 2, &rows);
        let network = config.network.architecture().layers.text();
        let _ = writeln!(self.html, "<p>Network, as a network file:</p>\n<pre>{}</pre>", lines(&network));
        self.title("Sets");
        let data = &config.data;
        let paths = self.of.paths.as_ref();
        let sets = [
            ("training", Some(&data.set_id), paths.map(|paths| &paths.train)),
            ("validation", data.valid_set_id.as_ref(), paths.and_then(|paths| paths.valid.as_ref())),
            ("test", data.test_set_id.as_ref(), paths.and_then(|paths| paths.test.as_ref())),
        ];
        let row = |(name, id, path): (&str, Option<&String>, Option<&std::path::PathBuf>)| {
            let id = id.map_or("none", String::as_str);
            vec![name.into(), id.into(), path.map_or("not recorded".into(), |path| path.display().to_string())]
        };
        let rows: Vec<Vec<String>> = sets.into_iter().map(row).collect();
        self.html += &html_table(&["set", "id", "place"], 3, &rows);
        let _ = writeln!(self.html, "<p>Recipe of the frames:</p>\n<pre>{}</pre>", lines(&data.recipe));
    }

    fn machine(&mut self) {
        self.title("Machine");
        let times = &self.of.times;
        if times.is_empty() {
            self.lacks(
                "An earlier version trained this run: it recorded neither the machine nor the times of processes.",
            );
            return;
        }
        let row = |process: &crate::run::ProcessTime| {
            let machine = process.machine.as_ref();
            vec![
                machine.map_or("not recorded".into(), |machine| machine.device.clone()),
                machine.map_or("not recorded".into(), |machine| machine.processor.clone()),
                machine.map_or("not recorded".into(), |machine| machine.version.clone()),
                machine.map_or(String::new(), |machine| machine.threads.to_string()),
                format!("{}", process.epochs_before + 1),
                human_time(process.seconds),
                process.first_step.map_or(String::new(), human_time),
            ]
        };
        let rows: Vec<Vec<String>> = times.iter().map(row).collect();
        let head = ["device", "processor", "version", "threads", "from epoch", "time", "to the first step"];
        self.html.push_str("<p class=\"note\">A row for each process that trained the run.</p>\n");
        self.html += &html_table(&head, 3, &rows);
    }
}

/// Returns a curve with a point for each epoch that has a value.
fn curve(name: &str, epochs: &[EpochMetrics], pick: impl Fn(&EpochMetrics) -> Option<f64>) -> Curve {
    let points = epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, pick(epoch)?))).collect();
    Curve { name: name.into(), points }
}

/// Leaves out curves without points.
fn drawn(curves: impl IntoIterator<Item = Curve>) -> Vec<Curve> {
    curves.into_iter().filter(|curve| !curve.points.is_empty()).collect()
}

/// Returns a table of the most frequent confusions, or a sentence that there are none.
fn confusions(classes: &[String], evaluation: &Evaluation) -> String {
    let mut wrong: Vec<(u64, usize, usize)> = Vec::new();
    for (t, counts) in evaluation.confusion.iter().enumerate() {
        wrong.extend(counts.iter().enumerate().filter(|&(p, &n)| p != t && n > 0).map(|(p, &n)| (n, t, p)));
    }
    if wrong.is_empty() {
        return "<p>No sample was predicted wrongly.</p>\n".into();
    }
    wrong.sort_by_key(|&(n, t, p)| (std::cmp::Reverse(n), t, p));
    let row = |&(n, t, p): &(u64, usize, usize)| {
        let share = n as f64 / evaluation.classes[t].samples.max(1) as f64;
        vec![classes[t].clone(), classes[p].clone(), n.to_string(), percent(share)]
    };
    let rows: Vec<Vec<String>> = wrong.iter().take(CONFUSIONS).map(row).collect();
    let table = html_table(&["true", "predicted", "samples", "of the class"], 2, &rows);
    format!("<p>The most frequent confusions:</p>\n{table}")
}

/// Returns the value of a setting as text.
fn worded(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "none".into(),
        Value::Array(values) => values.iter().map(worded).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Escapes a text of several lines for HTML.
fn lines(text: &str) -> String {
    text.lines().map(|line| escaped(line) + "\n").collect()
}
