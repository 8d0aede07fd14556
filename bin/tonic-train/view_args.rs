//! The commands `tonic-train report` and `tonic-train show`, and their arguments.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use tonic_base::{printable, printable_json};
use tonic_report::png_path;
use tonic_sets::frame_length;
use tonic_train::view::{ReportOptions, Reported, ShowOptions, report, show};

use crate::best_args::BestArgs;
use crate::lock_args::{LockArgs, open_locked};
use crate::output_args::OutputArgs;
use crate::values::html_path;

#[derive(Args)]
pub(crate) struct ReportArgs {
    /// Run folder that `fit` wrote
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Shard set to evaluate on [default: the test set of the run, or else its validation set]
    #[arg(long, value_name = "SET")]
    data: Option<PathBuf>,
    /// The page [default: RUN/report.html]. An earlier page is replaced
    #[arg(long, short, value_name = "FILE.html", value_parser = html_path)]
    output: Option<PathBuf>,
    #[command(flatten)]
    lock: LockArgs,
    /// Use the network of the epoch that was best on the validation set, instead of the network of the last epoch. A run
    /// with --select uses that of the selected epoch in any case
    #[arg(long)]
    best: bool,
    #[command(flatten)]
    output_args: OutputArgs,
}

#[derive(Args)]
pub(crate) struct ShowArgs {
    /// Run folder that `fit` wrote
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Shard set. It needs no labels and no classes; if it has classes, they must be those of the run
    #[arg(long, value_name = "SET")]
    data: PathBuf,
    /// Index of the sample in the set, from 0
    #[arg(long, value_name = "I", default_value_t = 0)]
    sample: u64,
    #[command(flatten)]
    lock: LockArgs,
    #[command(flatten)]
    best: BestArgs,
    /// Write a PNG instead of drawing in the terminal
    #[arg(long, value_name = "FILE.png", value_parser = png_path)]
    png: Option<PathBuf>,
    /// Print the spikes, the logits and the shares over time as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

pub(crate) fn run_report(args: ReportArgs) -> anyhow::Result<()> {
    let ReportArgs { run, data, output, lock, best, output_args } = args;
    lock.choose()?;
    output_args.use_threads()?;
    let verbosity = output_args.verbosity();
    let reported = report(&ReportOptions { run, data, output, best, open: open_locked, frame_length, verbosity })?;
    let mut out = std::io::stdout().lock();
    if output_args.json {
        writeln!(out, "{}", printable_json(&serde_json::to_string(&reported)?))?;
        return Ok(());
    }
    let Reported { path, surveyed, missing } = reported;
    if let Some(of) = surveyed {
        let (role, accuracy) = (printable(&of.role), of.score.accuracy * 100.0);
        let (loss, samples, epoch) = (of.score.loss, of.samples, of.epoch);
        writeln!(
            out,
            "{role}: accuracy {accuracy:.2}%  loss {loss:.4}  ({samples} samples, network of epoch {epoch})"
        )?;
    }
    for words in missing {
        writeln!(out, "missing: {}", printable(&words))?;
    }
    writeln!(out, "report: {}", printable(&path.display().to_string()))?;
    Ok(())
}

pub(crate) fn run_show(args: ShowArgs) -> anyhow::Result<()> {
    let ShowArgs { run, data, sample, lock, best, png, json } = args;
    lock.choose()?;
    let best = best.choose(&run);
    let shown = show(&ShowOptions { run, data, sample, best, open: open_locked, frame_length })?;
    if let Some(path) = &png {
        shown.picture()?.write_png(path)?;
    }
    let mut out = std::io::stdout().lock();
    if json {
        let mut value = shown.json();
        value["path"] = png.map_or(Value::Null, |path| json!(path));
        writeln!(out, "{}", printable_json(&value.to_string()))?;
    } else if let Some(path) = png {
        writeln!(out, "{} -> {}", printable(&shown.title()), printable(&path.display().to_string()))?;
    } else {
        write!(out, "{}", shown.text())?;
    }
    Ok(())
}
