//! `tonic-prep plan`: shows what each task of a cluster would convert, and the commands that submit the tasks to Slurm.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};
use tonic_prep::{Division, Job};

use crate::convert_args::ConvertArgs;
use crate::part_commands::kept;
use crate::quoted::{quoted, quoted_path};

#[derive(Args)]
#[command(
    mut_arg("output", |arg| arg.required(false).default_value("SET")),
    mut_arg("part", |arg| arg.hide(true)),
    mut_arg("resume", |arg| arg.hide(true)),
    mut_arg("overwrite", |arg| arg.hide(true)),
    mut_arg("dry_run", |arg| arg.hide(true)),
)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) convert: ConvertArgs,
    /// Number of tasks, each of which converts a part of the set
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        conflicts_with_all = ["part", "resume", "overwrite", "dry_run"]
    )]
    pub(crate) parts: u32,
}

/// Returns the plan as text, with the command lines to type.
pub(crate) fn text(division: &Division, job: &Job<'_>, typed: impl Iterator<Item = String>) -> String {
    format!("{}\n{}", division.text(job), lines(division, &job.conversion.output, typed).join("\n"))
}

pub(crate) fn json(division: &Division, job: &Job<'_>, typed: impl Iterator<Item = String>) -> Value {
    let mut value = division.json();
    value["commands"] = json!(lines(division, &job.conversion.output, typed));
    value
}

/// Returns two commands for Slurm. The first submits the tasks that make the parts. The second submits the job that
/// merges the parts.
fn lines(division: &Division, output: &Path, typed: impl Iterator<Item = String>) -> [String; 2] {
    let minutes = limit_minutes(division.longest_seconds());
    let (parts, time) = (division.shares.len(), format!("{:02}:{:02}:00", minutes / 60, minutes % 60));
    let set = quoted_path(output);
    let words: Vec<String> = recordings_and_options(typed).iter().map(|word| quoted(word)).collect();
    let script = "scripts/cluster/convert.sbatch";
    [
        format!("job=$(sbatch --parsable --array=1-{parts} --time={time} {script} {set} {})", words.join(" ")),
        format!("sbatch --dependency=afterok:$job --kill-on-invalid-dep=yes {script} --merge {set}"),
    ]
}

/// Returns a generous time limit for a task in minutes, given its expected duration in seconds.
fn limit_minutes(seconds: f64) -> u64 {
    (seconds * 3.0 / 300.0).ceil() as u64 * 5 + 5
}

/// Returns the words of a typed `plan` command that the `convert` commands of the tasks need too.
fn recordings_and_options(typed: impl Iterator<Item = String>) -> Vec<String> {
    let mut words = kept(typed, &["--output", "-o", "--parts", "--threads"], &["--json", "--quiet", "-q"]);
    if let Some(command) = words.iter().position(|word| word == "plan") {
        words.remove(command);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_takes_the_recordings_and_options_that_were_typed() {
        for (typed, kept) in [
            ("x|plan|a b.h5|--parts|4", &["a b.h5"][..]),
            ("x|--quiet|plan|--parts=4|-oout|a.h5|--sensor|9,9,2|--json", &["a.h5", "--sensor", "9,9,2"]),
            ("x|plan|--output|o|--threads|2|--level=3|--|b.h5", &["--level=3", "b.h5"]),
        ] {
            assert_eq!(recordings_and_options(typed.split('|').map(String::from)), kept, "{typed}");
        }
    }

    #[test]
    fn a_time_limit_has_room() {
        assert_eq!([0.0, 1.0, 100.0, 101.0, 7200.0].map(limit_minutes), [5, 10, 10, 15, 365]);
    }
}
