//! The command `tonic-train compare` and its arguments.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use tonic_base::{printable_json, printable_lines, publish};
use tonic_report::png_path;
use tonic_train::sweep::Comparison;

use crate::errors::{BAD_SET, DONE};
use crate::values::csv_path;

#[derive(Args)]
pub(crate) struct CompareArgs {
    /// Run folders that `fit` wrote, or folders that `sweep` wrote. A folder of `sweep` stands for all its runs
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// File for a table as CSV: one line per run, with all settings and the number of its group
    #[arg(long, value_name = "FILE.csv", value_parser = csv_path)]
    csv: Option<PathBuf>,
    /// File for a picture of the validation and training curves of all runs, in one colour for each group
    #[arg(long, value_name = "FILE.png", value_parser = png_path)]
    png: Option<PathBuf>,
    /// Print the result as one JSON object on stdout, with the metrics of all epochs
    #[arg(long)]
    json: bool,
}

/// Compares the runs and prints the table. Returns exit code 4 if a run is damaged, else 0.
pub(crate) fn run(args: &CompareArgs) -> anyhow::Result<u8> {
    let comparison = Comparison::of(&args.runs)?;
    if let Some(path) = &args.csv {
        publish(path, comparison.csv().as_bytes())?;
    }
    if let Some(path) = &args.png {
        comparison.picture()?.write_png(path)?;
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", printable_json(&serde_json::to_string(&comparison)?))?;
    } else {
        write!(out, "{}", printable_lines(&comparison.text()))?;
    }
    match comparison.damaged() {
        0 => Ok(DONE),
        damaged => {
            let runs = comparison.runs.len();
            eprintln!(
                "tonic-train: error: {damaged} of {runs} runs cannot be read; its note says why: put the file back from \
                 a copy, or train the run again with --overwrite"
            );
            Ok(BAD_SET)
        }
    }
}
