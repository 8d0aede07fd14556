//! The command `tonic-train predict` and its arguments.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use tonic_base::{printable, printable_json};
use tonic_train::run::{PredictOptions, predict};

use crate::best_args::BestArgs;
use crate::device_args::DeviceArgs;
use crate::lock_args::{LockArgs, open_locked};
use crate::output_args::OutputArgs;

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
    #[command(flatten)]
    best: BestArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Replace the files of an earlier prediction in DIR; other files stay
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    output_args: OutputArgs,
}

/// Writes the predictions and prints where they are.
pub(crate) fn run(args: PredictArgs) -> anyhow::Result<()> {
    args.lock.choose()?;
    args.output_args.use_threads()?;
    let options = PredictOptions {
        best: args.best.choose(&args.model),
        run: args.model,
        data: args.data,
        out: args.output,
        overwrite: args.overwrite,
        open: open_locked,
        verbosity: args.output_args.verbosity(),
    };
    let predicted = predict(&options, |engine| args.device.choose(engine))?;
    let mut out = std::io::stdout().lock();
    if args.output_args.json {
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
