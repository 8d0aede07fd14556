//! The arguments of `tonic-train bench`.

use std::io::Write;
use std::path::PathBuf;

use crate::set_place::open_set;
use clap::Args;
use tonic_base::{printable_json, printable_lines};
use tonic_report::{chart, figures, png_path, table};
use tonic_train::bench::{SetBench, SetMeasured, StepBench, StepMeasured, bench_random, bench_set};
use tonic_train::engine::EngineChoice;
use tonic_train::feed::RandomFrames;
use tonic_train::network::{HiddenSizes, Iaf, Layers};
use tonic_train::run::{NetworkFile, resized};

use crate::device_args::DeviceArgs;
use crate::output_args::OutputArgs;
use crate::values::{batch_size, engine, hidden, positive, preset};

/// Arguments of `tonic-train bench`.
#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Shard set to measure on: loading alone and loading with training, for each cache, and training steps alone
    #[arg(long, value_name = "DIR", required_unless_present = "random")]
    data: Option<PathBuf>,
    /// Measure training steps alone, on random frames in memory
    #[arg(long, conflicts_with = "data")]
    random: bool,
    /// Number of samples per batch
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = batch_size)]
    batch_size: usize,
    /// Number of training steps to time
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: u32,
    /// Network file: see `fit --network`. Its options of training are not used
    #[arg(long, value_name = "FILE.toml")]
    network: Option<PathBuf>,
    /// Network with a name: see `tonic-train presets`
    #[arg(long, value_name = "NAME", conflicts_with = "network", value_parser = preset())]
    preset: Option<String>,
    /// Number of neurons in every hidden layer, or a list with the number for each layer: 256,128 makes two layers. One
    /// number keeps the number of layers of --network or --preset, and makes three layers without them. A list needs
    /// hidden layers that are alike [default: 128]
    #[arg(long, value_name = "N[,N...]", value_parser = hidden)]
    hidden: Option<HiddenSizes>,
    /// Factor for the initial weights of the hidden layers, or for the scales of their norms. With a larger one, neurons
    /// spike more often
    #[arg(long, value_name = "G", default_value_t = 1.0, value_parser = positive::<f32>)]
    gain: f32,
    /// What computes a training step: fused (our kernels), or reference (libtorch's autograd: slow, for comparison)
    #[arg(long, value_parser = engine(), default_value = "fused")]
    engine: EngineChoice,
    /// Number of frames per sample
    #[arg(long, value_name = "T", default_value_t = 250, conflicts_with = "data", help_heading = "With --random",
          value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    time_steps: u32,
    /// Number of cells per frame
    #[arg(long, value_name = "C", default_value_t = 100, conflicts_with = "data", help_heading = "With --random",
          value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    channels: u32,
    /// Number of classes
    #[arg(long, value_name = "K", default_value_t = 35, conflicts_with = "data", help_heading = "With --random",
          value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    classes: u32,
    /// Share of the cells that are occupied, from 0 to 1
    #[arg(long, value_name = "D", default_value_t = 0.12, conflicts_with = "data", help_heading = "With --random",
          value_parser = density)]
    density: f64,
    /// Number of epochs to time with each cache: N epochs of loading alone and N epochs of training. The median is
    /// reported. Before these epochs, one epoch of loading runs to warm up, and on a GPU also one epoch of training. An
    /// epoch of training takes as long as an epoch of `fit`
    #[arg(long, value_name = "N", default_value_t = 3, conflicts_with = "random", help_heading = "With --data",
          value_parser = clap::value_parser!(u64).range(1..=1000))]
    epochs: u64,
    /// File that `tonic-prep bench --json` wrote. The strategies in it are listed before those measured here, in the
    /// table and in the chart
    #[arg(long, value_name = "FILE.json", conflicts_with = "random", help_heading = "With --data")]
    beside: Option<PathBuf>,
    /// Also draw a chart of all strategies
    #[arg(long, value_name = "FILE.png", conflicts_with = "random", help_heading = "With --data", value_parser = png_path)]
    png: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    output_args: OutputArgs,
}

pub(crate) fn run(args: BenchArgs) -> anyhow::Result<()> {
    args.output_args.use_threads()?;
    let layers = match NetworkFile::chosen(args.network.as_deref(), args.preset.as_deref())? {
        Some(file) => resized(&file.layers, args.hidden.as_ref())?,
        None => Layers::iaf(&args.hidden.unwrap_or(HiddenSizes::Every(128)).of(3), Iaf::default()),
    };
    let what = StepBench {
        batch_size: args.batch_size,
        steps: args.steps as usize,
        backend: args.device.choose(args.engine)?.for_layers(&layers)?,
        layers,
        gain: args.gain,
    };
    let (json, text) = match args.data {
        Some(data) => {
            let verbosity = args.output_args.verbosity();
            let bench = SetBench { step: what, epochs: args.epochs, beside: args.beside, verbosity };
            let measured = bench_set(|| Ok(open_set(&data)?), &bench)?;
            if let Some(png) = args.png {
                chart(&title(&measured), &measured.strategies)?.write_png(&png)?;
            }
            let text = format!("{}\n{}", table(&measured.strategies), step_text(&measured.step));
            (serde_json::to_string(&measured)?, text)
        }
        None => {
            let (time_steps, channels) = (args.time_steps as usize, args.channels);
            let random = RandomFrames { time_steps, channels, classes: args.classes, density: args.density };
            let measured = bench_random(&random, &what)?;
            (serde_json::to_string(&measured)?, step_text(&measured))
        }
    };
    let mut out = std::io::stdout().lock();
    Ok(writeln!(out, "{}", if args.output_args.json { printable_json(&json) } else { printable_lines(&text) })?)
}

fn title(measured: &SetMeasured) -> String {
    let StepMeasured { batch_size, time_steps, threads, .. } = measured.step;
    let samples = figures(measured.samples as f64);
    format!("Feeding a network: {samples} samples of {time_steps} steps, batches of {batch_size}, {threads} threads")
}

fn step_text(step: &StepMeasured) -> String {
    let StepMeasured { step_seconds, step_seconds_min, samples_per_second, .. } = step;
    let hidden: Vec<String> = step.hidden.iter().map(ToString::to_string).collect();
    let spikes = step
        .spike_density
        .map_or(String::new(), |share| format!(", hidden neurons spike in {:.1}% of the steps", share * 100.0));
    format!(
        "training step    {:>9.2} ms (fastest {:.2}), {samples_per_second:.0} samples/s on {}\n\
         batch {}, {} steps, hidden {}, {:.1}% of the input's cells occupied{spikes}",
        step_seconds * 1e3,
        step_seconds_min * 1e3,
        if step.device == "cpu" { format!("{} threads", step.threads) } else { step.device.clone() },
        step.batch_size,
        step.time_steps,
        hidden.join(","),
        step.density * 100.0,
    )
}

fn density(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|density| (0.0..=1.0).contains(density)).ok_or_else(|| "expected 0 to 1".into())
}
