//! `tonic-train`: spiking networks from frame shards. Arguments in, one library call out.

mod bench_args;
mod device_args;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use bench_args::BenchArgs;
use clap::{Args, Parser, Subcommand, ValueEnum};
use device_args::DeviceArgs;
use tonic_toolkit::error::{Error, report};
use tonic_toolkit::interrupt;
use tonic_toolkit::progress::{Progress, Verbosity};
use tonic_toolkit::shard::ShardSet;
use tonic_toolkit::train::check::{Check, check};
use tonic_toolkit::train::config::{Config, EngineChoice, Pad};
use tonic_toolkit::train::eval::Feed;
use tonic_toolkit::train::export::safetensors::read_model;
use tonic_toolkit::train::fit::{Fit, fit};
use tonic_toolkit::train::folder::{BEST, MODEL};
use tonic_toolkit::train::kernel::isa::Isa;
use tonic_toolkit::train::learner::{Backend, longest_steps};
use tonic_toolkit::train::loader::{CacheChoice, Loader};

/// Trains integrate-and-fire networks from the shards that tonic-prep makes.
///
/// Exit codes: 0 done, 1 the system refused (no such file, no permission, disk or GPU full) or a check failed, 2 usage, 4 a damaged, incomplete or mismatched
/// set or run, 5 training diverged, 130 interrupted (saved: go on with --resume).
///
/// The environment variable TONIC_ISA (portable, avx2, avx512) chooses the kernels' instruction set; the best that the machine
/// has if not set. The result does not depend on it.
#[derive(Parser)]
#[command(version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a network: Linear-IAF, three times, and a Linear readout summed over time
    #[command(after_help = "Examples:
  tonic-train fit --train shards/train --valid shards/valid --test shards/test -o runs/first --epochs 24
  tonic-train fit --train shards/train -o runs/fast --device cuda:0 --matmul-precision high
  tonic-train fit --train shards/train -o runs/wide --hidden 512,256 --lr 5e-4 --batch-size 64 --cache stream
  tonic-train fit --train shards/train -o runs/wide --hidden 512,256 --batch-size 64 --resume --epochs 40 --lr 1e-4")]
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
        #[arg(long, value_name = "FILE")]
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
struct FitArgs {
    /// The training set
    #[arg(long, value_name = "DIR")]
    train: PathBuf,
    /// A validation set, evaluated after every epoch
    #[arg(long, value_name = "DIR")]
    valid: Option<PathBuf>,
    /// A test set, evaluated once, at the end
    #[arg(long, value_name = "DIR")]
    test: Option<PathBuf>,
    /// The run folder
    #[arg(long, short, value_name = "RUN")]
    output: PathBuf,
    /// Epochs
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    epochs: u64,
    /// Samples a batch
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = batch_size)]
    batch_size: usize,
    /// Leave out an epoch's last batch where it would be smaller than the others; otherwise every sample comes once
    #[arg(long)]
    drop_last: bool,
    /// Neurons of each of the three hidden layers, or of each layer: 256,128
    #[arg(long, value_name = "N[,N...]", default_value = "128", value_parser = hidden)]
    hidden: Hidden,
    /// Lower bound of the membrane potential
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    min_v_mem: Option<f32>,
    /// Adam's learning rate; 0.001 if not given, or that of the run to go on with. A resume may change it
    #[arg(long, value_parser = learning_rate)]
    lr: Option<f64>,
    /// Seed of the initial weights and of the order of samples
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    device: DeviceArgs,
    /// Nothing is left to chance anyway: kernels and orders of sums are fixed, and a run on the same device comes to the
    /// same bits again. With --engine reference on a GPU libtorch cannot promise that, and training does not begin
    #[arg(long)]
    deterministic: bool,
    /// Where samples are kept between epochs: stream (read from the shards each time), host (memory), device (the GPU's),
    /// or auto: the first of device and host where a set fits into half of the free memory, else stream
    #[arg(long, default_value = "auto")]
    cache: CacheChoice,
    /// Keep the pages of shards that are streamed in memory. Where the limit on locked memory (ulimit -l) forbids it,
    /// training does not begin
    #[arg(long)]
    pin: bool,
    /// Worker threads; all cores if not given. The result does not depend on them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// The kernels, or libtorch's autograd to check them by
    #[arg(long, value_enum, default_value_t)]
    engine: EngineArg,
    /// Pad samples to a fixed length, or to the longest of their batch (Tonic's PadTensors)
    #[arg(long, value_enum, default_value_t)]
    pad: PadArg,
    /// Go on with the run in the folder, to the same bits as if it had not stopped
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    /// Replace the run in the folder
    #[arg(long)]
    overwrite: bool,
    /// No progress
    #[arg(long, short)]
    quiet: bool,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum EngineArg {
    #[default]
    Fused,
    Reference,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum PadArg {
    #[default]
    Fixed,
    Batch,
}

/// Sizes of the hidden layers.
#[derive(Clone)]
struct Hidden(Vec<usize>);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ready = match cli.command {
        Command::Bench(_) => Ok(()), // may end at once
        _ => interrupt::install().context("cannot listen for Ctrl-C"),
    };
    match ready.and_then(|()| run(cli.command)) {
        Ok(code) => code,
        Err(e) => report("tonic-train", e.as_ref()),
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    Isa::named()?;
    match command {
        Command::Fit(args) => run_fit(args).map(|()| ExitCode::SUCCESS),
        Command::Eval { model, data, best, png, device, threads, json } => {
            use_threads(threads)?;
            let config = Config::read(&model)?;
            let set = ShardSet::open(&data)?;
            config.check_data(&model, &data, set.manifest())?;
            let file = model.join(if best { BEST } else { MODEL });
            let trained = read_model(&file)?;
            config.check_model(&model, &file, &trained)?;
            let network = trained.network;
            let verbosity = if json { Verbosity::Quiet } else { Verbosity::Normal };
            let resolved = device.resolve(config.engine)?;
            let longest = longest_steps(config.steps, &[&set]);
            let precision = device.matmul_precision;
            let backend = Backend::new(resolved.device.as_ref(), config.engine, precision, &[&set], longest)?;
            let program = backend.program().map(AsRef::as_ref);
            let loader = Loader::new(set, CacheChoice::Stream, program, verbosity)?;
            let progress = Progress::start(verbosity, "evaluate", loader.set().len(), "samples");
            let feed = Feed { pad: config.pad, steps: config.steps };
            let evaluation = backend.evaluate(config.engine, &network, &loader, feed, longest, &progress)?;
            progress.finish();
            let png = png.unwrap_or_else(|| model.join("confusion.png"));
            evaluation.picture()?.write_png(&png)?;
            let mut out = std::io::stdout().lock();
            if json {
                out.write_all(evaluation.json().as_bytes())?;
            } else {
                write!(out, "{}\nconfusion matrix: {}\n", evaluation.text(), png.display())?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { quick, device, json } => run_check(&device, quick, json),
        Command::Bench(args) => bench_args::run(args).map(|()| ExitCode::SUCCESS),
    }
}

/// Tells of each check as it ends; whether all passed is the exit code.
fn run_check(args: &DeviceArgs, quick: bool, json: bool) -> anyhow::Result<ExitCode> {
    use_threads(None)?;
    let resolved = args.resolve(EngineChoice::Fused)?;
    let Some(device) = resolved.device else {
        let why = format!("there is no GPU to hold to the CPU ({})", resolved.why);
        return Err(Error::Unavailable { what: "check".into(), why }.into());
    };
    if !json {
        println!("{}", resolved.why);
    }
    let checked = check(&device, quick, |checked| match (json, checked.checks.last()) {
        (true, _) => println!("{}", serde_json::json!(checked)),
        (false, Some(Check { name, passed, detail })) => {
            println!("{}  {name}: {detail}", if *passed { "ok    " } else { "FAILED" });
        }
        (false, None) => {}
    })?;
    if !json {
        println!("{} passed, {} failed", checked.passed, checked.failed);
    }
    Ok(if checked.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_fit(args: FitArgs) -> anyhow::Result<()> {
    use_threads(args.threads)?;
    let engine: EngineChoice = args.engine.into();
    let device = args.device.resolve(engine)?;
    if args.deterministic && engine == EngineChoice::Reference && device.device.is_some() {
        let why = "libtorch's own kernels add in an order that may change; use --device cpu or --engine fused".into();
        return Err(Error::Unavailable { what: "--deterministic".into(), why }.into());
    }
    let fitted = fit(&Fit {
        train: args.train,
        valid: args.valid,
        test: args.test,
        run: args.output.clone(),
        epochs: args.epochs,
        batch_size: args.batch_size,
        drop_last: args.drop_last,
        hidden: args.hidden.0,
        min_v_mem: args.min_v_mem,
        lr: args.lr,
        seed: args.seed,
        engine,
        pad: match args.pad {
            PadArg::Fixed => Pad::Fixed,
            PadArg::Batch => Pad::Batch,
        },
        cache: args.cache,
        pin: args.pin,
        device,
        matmul_precision: args.device.matmul_precision,
        resume: args.resume,
        overwrite: args.overwrite,
        verbosity: if args.quiet || args.json { Verbosity::Quiet } else { Verbosity::Normal },
    })?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(
            out,
            "{}",
            serde_json::json!({"epochs": fitted.epochs, "test": fitted.test, "seconds": fitted.seconds})
        )?;
    } else if let Some(test) = &fitted.test {
        write!(out, "{}", test.text())?;
    }
    Ok(())
}

fn use_threads(threads: Option<u16>) -> anyhow::Result<()> {
    let threads = threads.map_or(0, usize::from);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("cannot start the threads")
}

impl From<EngineArg> for EngineChoice {
    fn from(arg: EngineArg) -> EngineChoice {
        match arg {
            EngineArg::Fused => EngineChoice::Fused,
            EngineArg::Reference => EngineChoice::Reference,
        }
    }
}

fn batch_size(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| (1..=1 << 20).contains(n)).ok_or_else(|| "expected 1 to 1048576 samples".into())
}

fn learning_rate(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|lr: &f64| *lr > 0.0 && lr.is_finite()).ok_or_else(|| "expected a positive number".into())
}

/// `128` is three layers of 128, as the reference network has; `256,128` is two layers.
fn hidden(text: &str) -> Result<Hidden, String> {
    let sizes: Option<Vec<usize>> =
        text.split(',').map(|n| n.parse().ok().filter(|n| (1..=1 << 16).contains(n))).collect();
    match sizes {
        Some(sizes) if sizes.len() == 1 => Ok(Hidden(vec![sizes[0]; 3])),
        Some(sizes) => Ok(Hidden(sizes)),
        None => Err("expected layers of 1 to 65536 neurons, such as 128 or 256,128".into()),
    }
}
