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
use crate::values::{Hidden, batch_size, class_weights, engine, hidden, pad};

/// Trains integrate-and-fire networks from the shards that tonic-prep makes.
///
/// Exit codes: 0 done, 1 the system refused (no such file, no permission, disk or GPU full) or a check failed, 2 usage,
/// 4 a damaged, incomplete or mismatched set or run, 5 training diverged, 130 interrupted (saved: go on with --resume).
///
/// The environment variable TONIC_ISA (portable, avx2, avx512) chooses the kernels' instruction set; the best that the
/// machine has if not set. The result does not depend on it.
#[derive(Parser)]
#[command(version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Train a network: Linear-IAF, three times, and a Linear readout summed over time
    #[command(after_help = "Examples:
  tonic-train fit --train shards/train --valid shards/valid --test shards/test -o runs/first --epochs 24
  tonic-train fit --train shards/train -o runs/fast --device cuda:0 --matmul-precision high
  tonic-train fit --train shards/train -o runs/wide --hidden 512,256 --lr 5e-4 --batch-size 64 --cache stream
  tonic-train fit --train shards/train -o runs/wide --resume --epochs 40 --lr 1e-4")]
    Fit(FitArgs),
    /// Evaluate a trained network: accuracy, loss, each class, confusion matrix
    #[command(after_help = "Examples:
  tonic-train eval --model runs/first --data shards/test
  tonic-train eval --model runs/first --data shards/test --best --json | jq .accuracy")]
    Eval {
        /// The run folder
        #[arg(long, value_name = "RUN")]
        model: PathBuf,
        /// The shard set
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// The network of the best epoch on the validation set, not of the last
        #[arg(long)]
        best: bool,
        /// The confusion matrix; RUN/confusion.png if not given
        #[arg(long, value_name = "FILE.png", value_parser = png_path)]
        png: Option<PathBuf>,
        #[command(flatten)]
        device: DeviceArgs,
        /// Worker threads; all cores if not given
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
        threads: Option<u16>,
        /// One JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Hold the kernels on a GPU to the CPU's: exit code 1 where they disagree
    #[command(after_help = "Examples:
  tonic-train check --device cuda:0
  tonic-train check --device cuda:0 --json | tail -n 1 | jq .failed")]
    Check {
        /// Without the cases as large as what is trained, for slow machines and sanitizers
        #[arg(long)]
        quick: bool,
        #[command(flatten)]
        device: DeviceArgs,
        /// A JSON object a line on stdout, after each check; the last has all of them
        #[arg(long)]
        json: bool,
    },
    /// Measure loading and training steps on this machine
    Bench(BenchArgs),
}

#[derive(Args)]
pub(crate) struct FitArgs {
    /// The training set
    #[arg(long, value_name = "DIR")]
    pub(crate) train: PathBuf,
    /// A validation set, evaluated after every epoch
    #[arg(long, value_name = "DIR")]
    pub(crate) valid: Option<PathBuf>,
    /// A test set, evaluated once, at the end
    #[arg(long, value_name = "DIR")]
    pub(crate) test: Option<PathBuf>,
    /// The run folder
    #[arg(long, short, value_name = "RUN")]
    pub(crate) output: PathBuf,
    /// Epochs; 20 if not given, or those of the run to go on with. A resume may change them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) epochs: Option<u64>,
    /// Samples a batch; 128 if not given
    #[arg(long, value_name = "N", value_parser = batch_size)]
    pub(crate) batch_size: Option<usize>,
    /// Leave out an epoch's last batch where it would be smaller than the others; otherwise every sample comes once
    #[arg(long)]
    pub(crate) drop_last: bool,
    /// Neurons of each of the three hidden layers, or of each layer: 256,128. 128 if not given
    #[arg(long, value_name = "N[,N...]", value_parser = hidden)]
    pub(crate) hidden: Option<Hidden>,
    /// Spike threshold; 1 if not given. Neurons that stay silent spike with a lower one
    #[arg(long, value_name = "V", value_parser = positive::<f32>)]
    pub(crate) theta: Option<f32>,
    /// Factor of the hidden layers' initial weights; 1 if not given. Neurons that stay silent spike with larger weights
    #[arg(long, value_name = "G", value_parser = positive::<f64>)]
    pub(crate) gain: Option<f64>,
    /// Lower bound of the membrane potential
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    pub(crate) min_v_mem: Option<f32>,
    /// Adam's learning rate; 0.001 if not given, or that of the run to go on with. A resume may change it
    #[arg(long, value_parser = positive::<f64>)]
    pub(crate) lr: Option<f64>,
    /// Seed of the initial weights and of the order of samples; 0 if not given
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Weights of the classes in the training loss: none, or balanced, in which all classes count the same, however
    /// many samples they have (N / (classes * samples of the class), as scikit-learn's). none if not given
    #[arg(long, value_name = "W", value_parser = class_weights())]
    pub(crate) class_weights: Option<ClassWeights>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Nothing is left to chance anyway: kernels and orders of sums are fixed, and a run on the same device comes to
    /// the same bits again. With --engine reference on a GPU libtorch cannot promise that, and training does not begin
    #[arg(long)]
    pub(crate) deterministic: bool,
    /// Where samples are kept between epochs: stream (read from the shards each time), host (memory), device (the
    /// GPU's), or auto: the first of device and host where a set fits into half of the free memory, else stream
    #[arg(long, default_value = "auto")]
    pub(crate) cache: CacheChoice,
    /// Keep the pages of shards that are streamed in memory. Where the limit on locked memory (ulimit -l) forbids it,
    /// training does not begin
    #[arg(long)]
    pub(crate) pin: bool,
    /// Worker threads; all cores if not given. The result does not depend on them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// The kernels (fused), or libtorch's autograd to check them by. fused if not given
    #[arg(long, value_parser = engine())]
    pub(crate) engine: Option<EngineChoice>,
    /// Pad samples to a fixed length, or to the longest of their batch (Tonic's PadTensors). fixed if not given
    #[arg(long, value_parser = pad())]
    pub(crate) pad: Option<Pad>,
    /// Go on with the run in the folder, with its settings, to the same bits as if it had not stopped
    #[arg(long, conflicts_with = "overwrite")]
    pub(crate) resume: bool,
    /// Replace the run in the folder
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// No progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// One JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

fn positive<N: FromStr + Copy + Into<f64>>(text: &str) -> Result<N, String> {
    let is_positive = |number: &N| (*number).into() > 0.0 && (*number).into().is_finite();
    text.parse().ok().filter(is_positive).ok_or_else(|| "expected a positive number".into())
}
