//! A comparison of runs as a table for people, and as CSV.

use std::fmt::Write;

use serde_json::Value;
use tonic_base::printable;
use tonic_report::csv_row;

use super::comparison::{Comparison, RunGroup, Spread, shown};
use super::summary::{RunState, RunSummary};

/// Maximum number of characters of a run's name in the table.
const MOST_LETTERS: usize = 40;

impl Comparison {
    /// Returns the comparison as text: a table of the runs, a table of the groups if a group has several runs, and
    /// warnings.
    pub fn text(&self) -> String {
        let mut head = vec!["run".to_string()];
        head.extend(self.differing.iter().map(|name| name.replace('_', " ")));
        let figures = ["epochs", "best", "valid acc", "valid loss", "train acc", "train loss", "test acc", "time"];
        head.extend(figures.map(String::from));
        let rows = self.runs.iter().map(|run| self.row(run));
        let mut text = aligned(&[vec![head], rows.collect()].concat());
        if self.groups.iter().any(|group| group.runs.len() > 1) {
            let mut head = vec!["settings".to_string()];
            head.extend(["runs", "valid acc", "test acc", "time"].map(String::from));
            let rows = self.groups.iter().map(group_row);
            text += "\nMean and sample standard deviation (n - 1) of finished runs that differ in the seed alone:\n";
            text += &aligned(&[vec![head], rows.collect()].concat());
        }
        text += "\nvalid: the epoch \"best\", the first with the highest validation accuracy, or with the best score that the run\n\
                 selects by. train: the last epoch. test: the network after the last epoch, unless the notes name another\n\
                 one. time: of all processes of the run, with loading, validation and test.\n";
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }

    fn row(&self, run: &RunSummary) -> Vec<String> {
        let mut row = vec![cut(&printable(&run.name))];
        row.extend(self.differing.iter().map(|name| run.settings.get(name).map_or("-".into(), |v| shown(name, v))));
        let figure = |figure: Option<String>| figure.unwrap_or("-".into());
        row.extend([
            figure(run.epochs_asked.map(|asked| format!("{}/{asked}", run.epochs_done))),
            figure(run.best.map(|best| best.epoch.to_string())),
            figure(run.best.map(|best| percent(best.valid.accuracy))),
            figure(run.best.map(|best| format!("{:.4}", best.valid.loss))),
            figure(run.last_train.map(|train| percent(train.accuracy))),
            figure(run.last_train.map(|train| format!("{:.4}", train.loss))),
            figure(run.test.as_ref().map(|test| percent(test.score.accuracy))),
            figure((run.epochs_done > 0).then(|| seconds(run.seconds))),
            remarks(run),
        ]);
        row
    }

    /// Returns the comparison as CSV (RFC 4180): one line per run, with all settings. Accuracies are from 0 to 1.
    pub fn csv(&self) -> String {
        let mut head: Vec<String> = [
            "run",
            "folder",
            "group",
            "state",
            "notes",
            "epochs_done",
            "epochs_asked",
            "best_epoch",
            "valid_accuracy",
            "valid_loss",
            "train_accuracy",
            "train_loss",
            "test_accuracy",
            "test_loss",
            "test_samples",
            "seconds",
        ]
        .map(String::from)
        .to_vec();
        let settings = self.runs.iter().find(|run| !run.settings.is_empty());
        let settings: Vec<&String> = settings.into_iter().flat_map(|run| run.settings.keys()).collect();
        head.extend(settings.iter().map(|name| format!("setting_{name}")));
        let row = |run: &RunSummary| {
            let (valid, test) = (run.best.map(|best| best.valid), run.test.as_ref());
            let state = serde_json::to_value(run.state).unwrap_or_default();
            let mut row = vec![
                run.name.clone(),
                run.folder.display().to_string(),
                text(run.group),
                state.as_str().unwrap_or_default().into(),
                remarks(run),
                run.epochs_done.to_string(),
                text(run.epochs_asked),
                text(run.best.map(|best| best.epoch)),
                text(valid.map(|valid| valid.accuracy)),
                text(valid.map(|valid| valid.loss)),
                text(run.last_train.map(|train| train.accuracy)),
                text(run.last_train.map(|train| train.loss)),
                text(test.map(|test| test.score.accuracy)),
                text(test.map(|test| test.score.loss)),
                text(test.map(|test| test.samples)),
                run.seconds.to_string(),
            ];
            row.extend(settings.iter().map(|name| match run.settings.get(*name) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            }));
            row
        };
        let rows = [vec![head], self.runs.iter().map(row).collect()].concat();
        rows.iter().map(csv_row).collect()
    }
}

fn group_row(group: &RunGroup) -> Vec<String> {
    let words = group.words();
    let spread = |spread: Option<Spread>, of: fn(f64) -> String| match spread {
        None => "-".into(),
        Some(Spread { n, mean, sd: None }) => format!("{} (n {n})", of(mean)),
        Some(Spread { n, mean, sd: Some(sd) }) => format!("{} ± {} (n {n})", of(mean), of(sd)),
    };
    vec![
        if words.is_empty() { "all".into() } else { words },
        group.runs.len().to_string(),
        spread(group.valid_accuracy, percent),
        spread(group.test_accuracy, percent),
        spread(group.seconds, seconds),
    ]
}

/// Returns the last cell of a run's row: its notes, whether it is damaged, and which run it repeats.
fn remarks(run: &RunSummary) -> String {
    let damaged = (run.state == RunState::Damaged).then(|| "damaged".to_string());
    let repeats = run.repeats.as_ref().map(|other| format!("repeats {other}, not counted"));
    let all: Vec<String> = damaged.into_iter().chain(run.notes.iter().cloned()).chain(repeats).collect();
    printable(&all.join("; ")).into_owned()
}

fn percent(share: f64) -> String {
    format!("{:.2}%", share * 100.0)
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.0$} s", if seconds < 10.0 { 2 } else { 0 })
}

fn text<T: ToString>(value: Option<T>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

/// Shortens a name to [`MOST_LETTERS`] characters, with three dots in the middle.
fn cut(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= MOST_LETTERS {
        return name.into();
    }
    let half = (MOST_LETTERS - 3) / 2;
    letters[..half].iter().chain(&['.'; 3]).chain(&letters[letters.len() - half..]).collect()
}

/// Returns a table as aligned lines of text. If a row has more cells than the first row, the additional cells are
/// remarks at the end of the line.
fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut lines = String::new();
    for row in rows {
        let mut line = format!("{:<1$}", row[0], widths[0]);
        for (cell, width) in row[1..].iter().zip(&widths[1..]) {
            let _ = write!(line, "  {cell:>width$}");
        }
        for remark in &row[widths.len()..] {
            let _ = write!(line, "  {remark}");
        }
        let _ = writeln!(lines, "{}", line.trim_end());
    }
    lines
}
