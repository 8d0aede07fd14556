//! The command `tonic-train predict` and its arguments.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use tonic_base::{Verbosity, printable, printable_json};
use tonic_train::run::{PredictOptions, predict};

use crate::device_args::DeviceArgs;
use crate::lock_args::{LockArgs, open_locked};
use crate::values::use_threads;

#[derive(Args)]
pub(crate) struct PredictArgs {
    /// Run folder that `fit` wrote
    #[arg(long, value_name = "RUN")]
    model: PathBuf,
    /// Shard set. It needs no labels and no classes; if it has classes, they must be those of the run
    #[arg(long, value_name = "SET")]
    data: PathBuf,
    /// Folder for logits.npy and predictions.csv, which must be new or empty
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    lock: LockArgs,
    /// Use the network of the epoch that was best on the validation set, instead of the network of the last epoch
    #[arg(long)]
    best: bool,
    #[command(flatten)]
    device: DeviceArgs,
    /// Number of worker threads. The result does not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Replace the files of an earlier prediction in DIR; other files stay
    #[arg(long)]
    overwrite: bool,
    /// Print no progress
    #[arg(long, short)]
    quiet: bool,
    /// Print the result as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// Writes the predictions and prints where they are.
pub(crate) fn run(args: PredictArgs) -> anyhow::Result<()> {
    args.lock.choose()?;
    use_threads(args.threads)?;
    let options = PredictOptions {
        run: args.model,
        data: args.data,
        out: args.output,
        overwrite: args.overwrite,
        best: args.best,
        open: open_locked,
        verbosity: if args.quiet || args.json { Verbosity::Quiet } else { Verbosity::Normal },
    };
    let predicted = predict(&options, |engine| args.device.choose(engine))?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", printable_json(&serde_json::to_string(&predicted)?))?;
    } else {
        let (samples, labelled) = (predicted.samples, predicted.labelled);
        let folder = options.out.display().to_string();
        writeln!(
            out,
            "{samples} samples, {labelled} with a label: logits.npy, predictions.csv in {}",
            printable(&folder)
        )?;
    }
    Ok(())
}
