//! The arguments of `tonic-train`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use tonic_loader::CacheChoice;
use tonic_report::png_path;
use tonic_train::engine::EngineChoice;
use tonic_train::learner::{ClassWeights, Pad};

use crate::bench_args::BenchArgs;
use crate::device_args::DeviceArgs;
use crate::existing_args::ExistingArgs;
use crate::values::{Hidden, batch_size, class_weights, engine, hidden, pad};

/// Trains networks of integrate-and-fire neurons from the shard sets that tonic-prep makes.
///
/// Exit codes: 0 done, 1 system error (no such file, no permission, disk or GPU full) or a failed check, 2 wrong usage,
/// 4 a damaged, incomplete or mismatched set or run, 5 training diverged, 130 interrupted (the run is saved; --resume
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
    /// Train a network: three hidden layers (Linear, IAF), and a Linear readout that is summed over time
    #[command(after_help = "Examples:
  tonic-train fit --train shards/train --valid shards/valid --test shards/test -o runs/first --epochs 24
  tonic-train fit --train shards/train -o runs/fast --device cuda:0 --matmul-precision high
  tonic-train fit --train shards/train -o runs/wide --hidden 512,256 --lr 5e-4 --batch-size 64 --cache stream
  tonic-train fit --train shards/train -o runs/wide --resume --epochs 40 --lr 1e-4")]
    Fit(FitArgs),
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
        /// Evaluate the network of the epoch that was best on the validation set, instead of the network of the last
        /// epoch
        #[arg(long)]
        best: bool,
        /// File for a picture of the confusion matrix [default: RUN/confusion.png]
        #[arg(long, value_name = "FILE.png", value_parser = png_path)]
        png: Option<PathBuf>,
        #[command(flatten)]
        device: DeviceArgs,
        /// Number of worker threads. The result does not depend on it [default: all cores]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
        threads: Option<u16>,
        /// Print the result as one JSON object on stdout
        #[arg(long)]
        json: bool,
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
}

#[derive(Args)]
pub(crate) struct FitArgs {
    /// Training set
    #[arg(long, value_name = "DIR")]
    pub(crate) train: PathBuf,
    /// Validation set, evaluated after every epoch
    #[arg(long, value_name = "DIR")]
    pub(crate) valid: Option<PathBuf>,
    /// Test set, evaluated once, after the last epoch
    #[arg(long, value_name = "DIR")]
    pub(crate) test: Option<PathBuf>,
    /// Run folder: settings, metrics, checkpoint and networks are written there
    #[arg(long, short, value_name = "RUN")]
    pub(crate) output: PathBuf,
    /// Number of epochs. It can be changed when a run is resumed [default: 20, or that of the resumed run]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) epochs: Option<u64>,
    /// Number of samples per batch [default: 128]
    #[arg(long, value_name = "N", value_parser = batch_size)]
    pub(crate) batch_size: Option<usize>,
    /// Leave out the last batch of an epoch if it is smaller than the others
    #[arg(long)]
    pub(crate) drop_last: bool,
    /// Number of neurons in each of three hidden layers, or one number for each layer: 256,128 makes two layers
    /// [default: 128]
    #[arg(long, value_name = "N[,N...]", value_parser = hidden)]
    pub(crate) hidden: Option<Hidden>,
    /// Spike threshold. A lower one makes silent neurons spike [default: 1]
    #[arg(long, value_name = "V", value_parser = positive::<f32>)]
    pub(crate) theta: Option<f32>,
    /// Factor for the initial weights of the hidden layers. A larger one makes silent neurons spike [default: 1]
    #[arg(long, value_name = "G", value_parser = positive::<f64>)]
    pub(crate) gain: Option<f64>,
    /// Lower bound of the membrane potential [default: none]
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    pub(crate) min_v_mem: Option<f32>,
    /// Learning rate of Adam. It can be changed when a run is resumed [default: 0.001, or that of the resumed run]
    #[arg(long, value_parser = positive::<f64>)]
    pub(crate) lr: Option<f64>,
    /// Seed of the initial weights and of the order of samples [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Weights of the classes in the training loss. With balanced, all classes count the same: the weight is N /
    /// (classes * samples of the class) for N samples in all, as in scikit-learn [default: none]
    #[arg(long, value_name = "W", value_parser = class_weights())]
    pub(crate) class_weights: Option<ClassWeights>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Refuse to train if a second run on the same device might give other bits. Only --engine reference on a GPU
    /// might; our own kernels always give the same bits
    #[arg(long)]
    pub(crate) deterministic: bool,
    /// Where samples are kept between epochs: device (memory of the GPU), host (memory), stream (nowhere: the shards
    /// are read in every epoch), or auto: device if the set fits into half of the GPU's free memory, else host if it
    /// fits into half of the free memory, else stream
    #[arg(long, default_value = "auto")]
    pub(crate) cache: CacheChoice,
    /// Lock the pages of streamed shards in memory. If the limit on locked memory (ulimit -l) is too low, training is
    /// refused
    #[arg(long)]
    pub(crate) pin: bool,
    /// Number of worker threads. The result does not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// What computes a training step: fused (our kernels), or reference (libtorch's autograd: slow, for comparison)
    /// [default: fused]
    #[arg(long, value_parser = engine())]
    pub(crate) engine: Option<EngineChoice>,
    /// Padding of samples: fixed (all to one number of time steps) or batch (to the longest sample of the batch, as
    /// Tonic's PadTensors) [default: fixed]
    #[arg(long, value_parser = pad())]
    pub(crate) pad: Option<Pad>,
    #[command(flatten)]
    pub(crate) existing: ExistingArgs,
    /// Print no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Print the result as one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

fn positive<N: FromStr + Copy + Into<f64>>(text: &str) -> Result<N, String> {
    let is_positive = |number: &N| (*number).into() > 0.0 && (*number).into().is_finite();
    text.parse().ok().filter(is_positive).ok_or_else(|| "expected a positive number".into())
}
