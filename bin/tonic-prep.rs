//! `tonic-prep`: raw event recordings become frame shards. Arguments in, one library call out.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tonic_toolkit::error::{Error, report};
use tonic_toolkit::interrupt;
use tonic_toolkit::prep::events::SensorSize;
use tonic_toolkit::prep::pipeline::{Conversion, LEVEL, convert};
use tonic_toolkit::prep::plan::{CHUNK_SAMPLES, SHARD_SIZE};
use tonic_toolkit::prep::show::Shown;
use tonic_toolkit::prep::source::{hsd, synth};
use tonic_toolkit::prep::transform::Recipe;
use tonic_toolkit::prep::{export, info};
use tonic_toolkit::progress::{Progress, Verbosity, human_bytes};
use tonic_toolkit::shard::ShardSet;
use tonic_toolkit::shard::layout::MAX_CHUNK_SAMPLES;
use tonic_toolkit::shard::verify::verify;
use tonic_toolkit::shard::writer::Existing;

/// Turns raw event recordings into frame shards: once, losslessly, accounted for to the last event.
///
/// Exit codes: 0 done, 1 the system refused (no such file, no permission, disk full), 2 usage, 3 a bad recording or recipe,
/// 4 a damaged, incomplete or foreign set, 130 interrupted.
#[derive(Parser)]
#[command(version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Convert recordings (Heidelberg HDF5: SHD, SSC) into a shard set
    Convert(ConvertArgs),
    /// Say what a set holds: geometry, recipe, classes, sizes, ledger
    Info {
        /// The set's directory
        dir: PathBuf,
        /// One JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Check a set: exit code 0 only if it is complete and every chunk is whole
    Verify {
        /// The set's directory
        dir: PathBuf,
        /// Check the manifest, sizes and indexes, but not the chunks
        #[arg(long)]
        quick: bool,
        /// No progress
        #[arg(long, short)]
        quiet: bool,
        /// One JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Draw a sample's raster, in the terminal or as a picture
    Show {
        /// The set's directory
        dir: PathBuf,
        /// The sample's number, from 0
        #[arg(long, default_value_t = 0)]
        sample: u64,
        /// Write a PNG instead
        #[arg(long, value_name = "FILE.png", value_parser = png_path)]
        png: Option<PathBuf>,
    },
    /// Write samples as dense NumPy arrays (T, P, H, W)
    Export {
        /// The set's directory
        dir: PathBuf,
        /// Where frames_0.npy, frames_1.npy, ... and labels.npy go
        #[arg(long, value_name = "OUT")]
        npy: PathBuf,
        /// Which samples, A..B without B; all if not given
        #[arg(long, value_name = "A..B", value_parser = sample_range)]
        samples: Option<(u64, Option<u64>)>,
        /// No progress
        #[arg(long, short)]
        quiet: bool,
    },
    /// Make a learnable recording of SSC's statistics in the Heidelberg layout
    Synth {
        /// The HDF5 file
        #[arg(long, short)]
        output: PathBuf,
        /// How many samples
        #[arg(long, default_value_t = 2048)]
        samples: u64,
        /// How many classes
        #[arg(long, default_value_t = 35)]
        classes: u32,
        /// Another seed gives other samples of the same classes
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// No progress
        #[arg(long, short)]
        quiet: bool,
    },
}

#[derive(Args)]
struct ConvertArgs {
    /// The recordings; several become one set
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The set's directory
    #[arg(long, short)]
    output: PathBuf,
    /// A recipe in TOML, instead of --channels, --crop-time and --time-window
    #[arg(long, conflicts_with_all = ["channels", "crop_time", "time_window"])]
    recipe: Option<PathBuf>,
    /// Downsample to so many channels
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=65536))]
    channels: u32,
    /// Keep events up to this time, in microseconds, inclusive
    #[arg(long, value_name = "MAX_US", default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(0..))]
    crop_time: i64,
    /// Microseconds a frame
    #[arg(long, value_name = "US", default_value_t = 4_000, value_parser = clap::value_parser!(i64).range(1..))]
    time_window: i64,
    /// The recordings' sensor: channels, or W,H,P
    #[arg(long, value_name = "W[,H,P]", default_value = "700", value_parser = sensor)]
    sensor: SensorSize,
    /// Convert the first N samples only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Worker threads; all cores if not given. The set's bytes do not depend on them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// zstd level
    #[arg(long, default_value_t = LEVEL, allow_negative_numbers = true)]
    level: i32,
    /// Samples a chunk
    #[arg(long, value_name = "N", default_value_t = CHUNK_SAMPLES, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CHUNK_SAMPLES)))]
    chunk_samples: u32,
    /// Size of a shard, about: bytes, or with k, M or G (of 1024)
    #[arg(long, value_name = "SIZE", default_value = SHARD_SIZE, value_parser = size)]
    shard_size: u64,
    /// Go on with an interrupted convert
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    /// Replace the set that is there; it is removed before the new one is begun
    #[arg(long)]
    overwrite: bool,
    /// Count events outside the sensor instead of refusing them
    #[arg(long)]
    lenient: bool,
    /// No progress
    #[arg(long, short)]
    quiet: bool,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Only a conversion has a safe place to stop at; all else may end at once, for files come into place whole.
    let ready = match cli.command {
        Command::Convert(_) => interrupt::install().context("cannot listen for Ctrl-C"),
        _ => Ok(()),
    };
    match ready.and_then(|()| run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => report("tonic-prep", e.as_ref()),
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match command {
        Command::Convert(args) => {
            let json = args.json;
            let converted = convert(&args.conversion()?)?;
            let manifest = &converted.manifest;
            let made = manifest.description.samples - converted.resumed_samples;
            let rate = made as f64 / converted.seconds.max(1e-9);
            let stored: u64 = manifest.shards.iter().map(|s| s.bytes).sum();
            if json {
                let object = serde_json::json!({
                    "set_id": manifest.set_id, "samples": manifest.description.samples,
                    "resumed_samples": converted.resumed_samples, "seconds": converted.seconds,
                    "samples_per_second": rate, "stored_bytes": stored, "ledger": manifest.totals.ledger,
                });
                writeln!(out, "{object}")?;
            } else {
                let samples = manifest.description.samples;
                writeln!(out, "{samples} samples, {}, set {:.16}", human_bytes(stored), manifest.set_id.to_string())?;
            }
        }
        Command::Info { dir, json } => {
            let set = ShardSet::open(&dir)?;
            if json { writeln!(out, "{}", info::json(&set))? } else { write!(out, "{}", info::text(&set))? }
        }
        Command::Verify { dir, quick, quiet, json } => {
            let whole =
                |faults: &[String]| serde_json::json!({"whole": faults.is_empty(), "quick": quick, "faults": faults});
            let set = match ShardSet::open(&dir) {
                Ok(set) => set,
                Err(fault) => {
                    if json {
                        writeln!(out, "{}", whole(&[fault.to_string()]))?;
                    }
                    return Err(fault.into());
                }
            };
            let faults = if quick {
                Vec::new()
            } else {
                let progress = Progress::start(verbosity(quiet || json), "verify", set.len(), "samples");
                let faults = verify(&set, &progress);
                progress.finish();
                faults
            };
            if json {
                let messages: Vec<String> = faults.iter().map(ToString::to_string).collect();
                writeln!(out, "{}", whole(&messages))?;
            } else if faults.is_empty() {
                let what = if quick { "manifest, sizes and indexes are" } else { "every chunk is" };
                writeln!(out, "{}: complete, {what} whole ({} samples)", dir.display(), set.len())?;
            }
            let mut faults = faults.into_iter();
            if let Some(first) = faults.next() {
                faults.for_each(|fault| eprintln!("tonic-prep: error: {fault}"));
                return Err(first.into());
            }
        }
        Command::Show { dir, sample, png } => {
            let set = ShardSet::open(&dir)?;
            let shown = Shown::open(&set, sample)?;
            match png {
                Some(path) => {
                    shown.picture()?.write_png(&path)?;
                    writeln!(out, "{} -> {}", shown.title(), path.display())?;
                }
                None => writeln!(out, "{}\n{}", shown.title(), shown.braille())?,
            }
        }
        Command::Export { dir, npy, samples, quiet } => {
            let set = ShardSet::open(&dir)?;
            let (start, end) = samples.unwrap_or((0, None));
            let range = start..end.unwrap_or(set.len());
            let total = range.end.saturating_sub(range.start);
            let progress = Progress::start(verbosity(quiet), "export", total, "samples");
            export::export_npy(&set, &npy, range, &progress)?;
            progress.finish();
        }
        Command::Synth { output, samples, classes, seed, quiet } => {
            let progress = Progress::start(verbosity(quiet), "synth", samples, "samples");
            synth::synth(&output, samples, classes, seed, &progress)?;
            progress.finish();
        }
    }
    Ok(())
}

impl ConvertArgs {
    fn conversion(self) -> anyhow::Result<Conversion> {
        let recipe = match &self.recipe {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(Error::io(path, "read the recipe"))?;
                Recipe::parse(Some(path), &text)?
            }
            None if self.channels > self.sensor.width => {
                let expected = format!("at most the sensor's {}", self.sensor.width);
                return Err(Error::usage("--channels", expected, self.channels).into());
            }
            None => Recipe::of(self.sensor, Some(self.channels), Some(self.crop_time), self.time_window),
        };
        let existing = match (self.resume, self.overwrite) {
            (true, _) => Existing::Resume,
            (_, true) => Existing::Overwrite,
            _ => Existing::Refuse,
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Conversion {
            inputs: self.files,
            output: self.output,
            recipe,
            sensor: self.sensor,
            limit: self.limit,
            threads: self.threads.map_or(cores, usize::from),
            level: self.level,
            chunk_samples: self.chunk_samples,
            shard_bytes: self.shard_size,
            existing,
            lenient: self.lenient,
            verbosity: verbosity(self.quiet || self.json),
        })
    }
}

fn verbosity(quiet: bool) -> Verbosity {
    if quiet { Verbosity::Quiet } else { Verbosity::Normal }
}

/// A file whose name says that it is a picture, so that a slip of the hand does not replace a manifest.
fn png_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    if is_png { Ok(path) } else { Err("expected a name that ends in .png".into()) }
}

/// `64M` and its like.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(['B', 'b', 'i']);
    let (digits, unit) = match digits.char_indices().last() {
        Some((at, 'k' | 'K')) => (&digits[..at], 1 << 10),
        Some((at, 'M' | 'm')) => (&digits[..at], 1 << 20),
        Some((at, 'G' | 'g')) => (&digits[..at], 1 << 30),
        _ => (digits, 1),
    };
    let number = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).filter(|&n| n > 0);
    number.ok_or_else(|| "expected a size such as 64M, 512k or 1G".into())
}

/// `A..B`, `A..` or `..B`.
fn sample_range(text: &str) -> Result<(u64, Option<u64>), String> {
    let parse = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is no number of a sample"));
    let (start, end) = text.split_once("..").ok_or("expected A..B, such as 0..10")?;
    let start = if start.is_empty() { 0 } else { parse(start)? };
    Ok((start, if end.is_empty() { None } else { Some(parse(end)?) }))
}

/// `700` or `346,260,2`.
fn sensor(text: &str) -> Result<SensorSize, String> {
    let numbers: Option<Vec<u32>> =
        text.split(',').map(|n| n.parse().ok().filter(|n| (1..=65536).contains(n))).collect();
    let sensor = match numbers.as_deref() {
        Some([width]) => SensorSize { width: *width, ..hsd::SENSOR },
        Some([width, height, polarities]) if *polarities <= 256 => {
            SensorSize { width: *width, height: *height, polarities: *polarities }
        }
        _ => return Err("expected W or W,H,P, such as 700 or 346,260,2".into()),
    };
    if sensor.frame_shape().cells() > 1 << 28 { Err("expected at most 2^28 cells".into()) } else { Ok(sensor) }
}
