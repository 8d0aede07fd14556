//! The arguments of `tonic-train`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tonic_report::png_path;

use crate::bench_args::BenchArgs;
use crate::best_args::BestArgs;
use crate::compare_args::CompareArgs;
use crate::device_args::DeviceArgs;
use crate::exchange_args::{ExportArgs, ImportArgs};
use crate::fit_args::FitArgs;
use crate::lock_args::LockArgs;
use crate::output_args::OutputArgs;
use crate::predict_args::PredictArgs;
use crate::sweep_args::SweepArgs;
use crate::values::preset;
use crate::view_args::{ReportArgs, ShowArgs};

/// Trains spiking networks from the shard sets that tonic-prep makes.
///
/// Exit codes: 0 done; 1 system error (no such file, no permission, disk or GPU full) or a failed check; 2 wrong usage;
/// 4 a damaged, incomplete or mismatched set or run; 5 training diverged; 130 interrupted (the run is saved; --resume
/// continues it).
///
/// The environment variable TONIC_ISA (portable, avx2, avx512) sets the instruction set of the CPU kernels; without it,
/// the best one of the machine is used. The result does not depend on it.
#[derive(Parser)]
#[command(version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Train a network: the layers of a network file or of a preset, or three hidden layers (Linear, IAF) and a Linear
    /// readout that is summed over time
    #[command(after_help = "Examples:
  tonic-train fit --train shards/train --valid shards/valid --test shards/test -o runs/first --epochs 24
  tonic-train fit --train shards/train -o runs/fast --device cuda:0 --matmul-precision high
  tonic-train fit --train shards/train -o runs/wide --hidden 512,256 --lr 5e-4 --batch-size 64 --cache stream
  tonic-train fit --train shards/train -o runs/wide --resume --epochs 40 --lr 1e-4
  tonic-train fit --train shards/train --valid shards/valid -o runs/silif --preset silif-shd --hidden 128,128
  tonic-train fit --options wide.toml -o runs/wide --seed 2")]
    Fit(Box<FitArgs>),
    /// Write the options of many runs, one for each combination of settings, and print the commands that train them
    ///
    /// SPEC.toml has options of `fit` as plain keys, for all runs, and a table [vary] with a list for each option that
    /// varies. Each combination is a run; the last list changes fastest. Before anything is written, everything is
    /// checked, except for what depends on the machine that trains: its GPU and its memory.
    ///
    /// DIR/NAME is the folder of a run, and DIR/NAME/fit.toml has its options. DIR/runs.txt lists the folders. If DIR
    /// has the same sweep already, DIR stays as it is. If DIR has another sweep, the command fails. For more runs,
    /// write a second sweep to another folder: `compare` takes several.
    #[command(after_help = "Example of a SPEC.toml, which makes 2 x 2 x 3 = 12 runs:
  train = \"shards/train\"
  valid = \"shards/valid\"
  test = \"shards/test\"
  epochs = 24

  [vary]
  lr = [1e-3, 5e-4]
  hidden = [[128, 128, 128], [256, 128]]
  seed = [1, 2, 3]

Examples:
  tonic-train sweep scripts/cluster/sweep.toml -o runs/sweep
  tonic-train sweep SPEC.toml -o runs/sweep --json | jq -r .sbatch")]
    Sweep(SweepArgs),
    /// Compare runs: settings that differ, best epoch, test result, time, and means and deviations over seeds
    ///
    /// Runs that differ only in the seed form a group, with mean and sample standard deviation (n - 1) of its finished
    /// runs. Unfinished runs, runs without validation or test, and runs of different sets are marked. If a run is
    /// damaged, its row in the table says so and the exit code is 4.
    #[command(after_help = "Examples:
  tonic-train compare runs/sweep
  tonic-train compare runs/first runs/wide --png curves.png
  tonic-train compare runs/sweep --csv runs.csv --json | jq '.groups[].test_accuracy'")]
    Compare(CompareArgs),
    /// Evaluate a trained network: loss, accuracy, results of each class, confusion matrix
    #[command(after_help = "Examples:
  tonic-train eval --model runs/first --data shards/test
  tonic-train eval --model runs/first --data shards/test --best --json | jq .accuracy")]
    Eval {
        /// Run folder that `fit` wrote
        #[arg(long, value_name = "RUN")]
        model: PathBuf,
        /// Shard set to evaluate on
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        #[command(flatten)]
        lock: LockArgs,
        #[command(flatten)]
        best: BestArgs,
        /// File for a picture of the confusion matrix [default: RUN/confusion.png]
        #[arg(long, value_name = "FILE.png", value_parser = png_path)]
        png: Option<PathBuf>,
        #[command(flatten)]
        device: DeviceArgs,
        #[command(flatten)]
        output_args: OutputArgs,
    },
    /// Write the logits and the predicted class of every sample of a set, which needs no labels
    ///
    /// Both files have the samples in the order of the set. DIR/logits.npy is a float32 array, (samples, classes): the
    /// outputs of the readout, summed over time, from which `eval` computes loss and accuracy. DIR/predictions.csv has
    /// the columns sample (an index from 0), label (empty without one) and predicted, both as names of classes, and a
    /// column with the logit of each class.
    #[command(after_help = "Examples:
  tonic-train predict --model runs/first --data shards/test -o predictions
  tonic-train predict --model runs/first --data shards/unknown -o predictions --overwrite --json | jq .samples
  python -c 'import numpy; print(numpy.load(\"predictions/logits.npy\").argmax(1))'")]
    Predict(PredictArgs),
    /// Write a report of a run as one web page: curves, confusion matrix, classes, single samples, settings, machine
    ///
    /// The page needs no network and no other file. The network is run on the CPU on the set of --data, or else on the
    /// test set of the run, or else on its validation set. The result is that of `eval`. What a run doesn't have, such
    /// as firing rates in runs of earlier versions, is named on the page and by the command.
    #[command(after_help = "Examples:
  tonic-train report runs/first
  tonic-train report runs/first --data shards/test --best -o first.html")]
    Report(ReportArgs),
    /// Show one sample: its frames, the spikes of each hidden layer, and the readout over time
    #[command(after_help = "Examples:
  tonic-train show runs/first --data shards/test --sample 17
  tonic-train show runs/first --data shards/test --sample 17 --png sample.png
  tonic-train show runs/first --data shards/test --sample 17 --json | jq '.layers[].spikes'")]
    Show(ShowArgs),
    /// Write the network of a run for other programs: as a graph of NIR, or as arrays of NumPy
    ///
    /// In a graph of NIR, norms are part of the linear layers. Layers that NIR, or its reader, doesn't have are refused
    /// with the reason. What a graph cannot say, such as the readout over time, is printed and written to the graph's
    /// metadata.
    #[command(after_help = "Examples:
  tonic-train export runs/lif --nir lif.nir
  tonic-train export runs/lif --nir lif.nir --convention sinabs
  tonic-train export runs/lif --npz lif.npz")]
    Export(ExportArgs),
    /// Read a network from a graph of NIR, and write it as a model file
    #[command(after_help = "Example: tonic-train import lif.nir -o lif.safetensors --dt 0.004 --steps 250")]
    Import(ImportArgs),
    /// List the networks with names, or print the network file of one, to be edited for `fit --network`
    #[command(after_help = "Examples:
  tonic-train presets
  tonic-train presets silif-shd > my.toml
  tonic-train fit --network my.toml --train shards/train --valid shards/valid -o runs/mine")]
    Presets {
        /// The preset whose network file is printed
        #[arg(value_name = "NAME", value_parser = preset())]
        name: Option<String>,
    },
    /// Compare the GPU kernels with the CPU's: the exit code is 1 if they disagree
    #[command(after_help = "Examples:
  tonic-train check --device cuda:0
  tonic-train check --device cuda:0 --json | tail -n 1 | jq .failed")]
    Check {
        /// Skip the cases that are as large as real training, for slow machines and sanitizers
        #[arg(long)]
        quick: bool,
        #[command(flatten)]
        device: DeviceArgs,
        /// Print one JSON object per line, one after each check. An object has all checks so far, so the last object
        /// has all checks
        #[arg(long)]
        json: bool,
    },
    /// Measure the speed of loading and of training steps on this machine
    #[command(after_help = "Examples:
  tonic-train bench --data shards/train --png strategies.png
  tonic-train bench --random --hidden 512 --batch-size 256 --device cuda:0")]
    Bench(BenchArgs),
    /// Print a script with which a shell completes the arguments of this program
    #[command(
        after_help = "Example: tonic-train completions bash > ~/.local/share/bash-completion/completions/tonic-train"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}
