//! `tonic-prep`: raw event recordings become frame shards. Arguments in, one library call out.

mod naive_args;
mod recipe_args;
mod source_args;

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use naive_args::NaiveArgs;
use recipe_args::RecipeArgs;
use serde_json::Value;
use source_args::SourceArgs;
use tonic_toolkit::error::{Error, report};
use tonic_toolkit::interrupt;
use tonic_toolkit::plot::png_path;
use tonic_toolkit::prep::bench::bench;
use tonic_toolkit::prep::job::{Conversion, Job, LEVEL};
use tonic_toolkit::prep::known;
use tonic_toolkit::prep::pipeline::convert;
use tonic_toolkit::prep::plan::SHARD_SIZE;
use tonic_toolkit::prep::sets::{
    Choice, Condition, Donor, Output, SampleRange, Shown, Split, class_number, diff, export, holds_set, info, list,
    merge, repair, repair_from, stats, subset,
};
use tonic_toolkit::prep::source::synth;
use tonic_toolkit::prep::transform::known as recipe_names;
use tonic_toolkit::progress::{Progress, Verbosity, parse_bytes};
use tonic_toolkit::shard::ShardSet;
use tonic_toolkit::shard::layout::MAX_CHUNK_SAMPLES;
use tonic_toolkit::shard::part::Part;
use tonic_toolkit::shard::verify::verify_dir;
use tonic_toolkit::shard::writer::Existing;

/// Turns raw event recordings into frame shards: once, losslessly, accounted for to the last event.
///
/// Exit codes: 0 done, 1 the system refused (no such file, no permission, disk full), 2 usage, 3 a bad recording or recipe,
/// 4 a damaged, incomplete or foreign set, or sets that differ, 130 interrupted.
#[derive(Parser)]
#[command(version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// No progress, no notes
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Convert recordings (cochleas' and cameras' HDF5, NumPy, folders of either) into a shard set
    #[command(after_help = "Examples:
  tonic-prep convert ssc_train.h5 -o shards/train
  tonic-prep convert drive.h5 -o shards/drive --sensor 640,480,2 --sample-duration 100ms
  tonic-prep convert gestures/ -o shards/gestures --sensor 128,128,2      # gestures/wave/1.npy, gestures/clap/1.npy
  tonic-prep convert odd.h5 -o shards/odd --map t=when,x=place[0],y=place[1] --time-unit ns --sensor 64,64,1")]
    Convert(Box<ConvertArgs>),
    /// Measure the naive way on this machine: reading recordings and making frames afresh, without a set
    #[command(after_help = "Examples:
  tonic-prep bench ssc_train.h5
  tonic-prep bench ssc_train.h5 --recipe-of shards/train --json > naive.json   # for tonic-train bench --beside")]
    Bench(Box<NaiveArgs>),
    /// Say what a set holds: geometry, recipe, classes, sizes, ledger
    #[command(after_help = "Example: tonic-prep info shards/train")]
    Info {
        /// The set's directory
        dir: PathBuf,
        /// One JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Check a set: exit code 0 only if it is complete and every chunk is whole
    #[command(after_help = "Example: tonic-prep verify shards/train")]
    Verify {
        /// The set's directory
        dir: PathBuf,
        /// Check the manifest, sizes and indexes, but not the chunks
        #[arg(long)]
        quick: bool,
        /// One JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Draw a sample's raster, in the terminal or as a picture
    #[command(after_help = "Example: tonic-prep show shards/train --sample 7 --png 7.png")]
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
    #[command(after_help = "Example: tonic-prep export shards/train --npy arrays --samples ..100")]
    Export {
        /// The set's directory
        dir: PathBuf,
        /// Where frames_0.npy, frames_1.npy, ... and labels.npy go
        #[arg(long, value_name = "OUT")]
        npy: PathBuf,
        /// Which samples, A..B without B
        #[arg(long, value_name = "A..B", default_value = "..", hide_default_value = true)]
        samples: SampleRange,
        /// Replace the arrays of an earlier export
        #[arg(long)]
        overwrite: bool,
    },
    /// List a set's samples, a line each
    #[command(after_help = "Example: tonic-prep ls shards/train --class yes --samples ..1000")]
    Ls {
        /// The set's directory
        dir: PathBuf,
        /// Which samples, A..B without B
        #[arg(long, value_name = "A..B", default_value = "..", hide_default_value = true)]
        samples: SampleRange,
        /// Those of one class only, by name or number
        #[arg(long, value_name = "CLASS")]
        class: Option<String>,
        /// The shards and their chunks instead
        #[arg(long, conflicts_with_all = ["samples", "class"])]
        shards: bool,
        /// A JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Write a sample's occupied cells as text: frame, p, y, x, count
    #[command(after_help = "Example: tonic-prep cat shards/train --sample 7 | head")]
    Cat {
        /// The set's directory
        dir: PathBuf,
        /// The sample's number, from 0
        #[arg(long, default_value_t = 0)]
        sample: u64,
        /// One JSON object instead
        #[arg(long)]
        json: bool,
    },
    /// Compare two sets by what is in them, whatever compressed it: exit code 0 if they are equal, 4 if not
    #[command(after_help = "Example: tonic-prep diff shards/train /backup/train")]
    Diff {
        /// A set's directory
        a: PathBuf,
        /// Another's
        b: PathBuf,
        /// Say of so many samples what differs in them
        #[arg(long, value_name = "N", default_value_t = 20)]
        list: usize,
        /// One JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Say what a set's samples are like: classes, events, frames, counts, rates by channel, ledger
    #[command(after_help = "Example: tonic-prep stats shards/train --png train.png")]
    Stats {
        /// The set's directory
        dir: PathBuf,
        /// Draw a page of plots too
        #[arg(long, value_name = "FILE.png", value_parser = png_path)]
        png: Option<PathBuf>,
        /// One JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Take some of a set's samples, or divide them among several sets
    #[command(after_help = "Examples:
  tonic-prep subset shards/yes-no shards/all --classes yes,no --renumber
  tonic-prep subset shards shards/all --split 0.8,0.1,0.1 --into train,valid,test --split-by speaker")]
    Subset(SubsetArgs),
    /// Mend what is damaged of a set, and nothing else: from another copy of it, or from its recordings
    #[command(after_help = "Examples:
  tonic-prep repair shards/train --from /backup/train
  tonic-prep repair shards/train --from ssc_train.h5")]
    Repair {
        /// The set's directory
        dir: PathBuf,
        /// Another copy, which may be damaged elsewhere, or all recordings of the set
        #[arg(long, required = true, num_args = 1.., value_name = "DIR|FILE...")]
        from: Vec<PathBuf>,
        #[command(flatten)]
        source: SourceArgs,
        /// One JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Join sets of one recipe, or the parts of one set, in the order given
    #[command(after_help = "Example: tonic-prep merge shards/all shards/monday shards/tuesday")]
    Merge {
        /// The new set's directory
        out: PathBuf,
        /// The sets; parts may come in any order
        #[arg(required = true)]
        sets: Vec<PathBuf>,
        /// Samples a chunk [default: the first set's]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CHUNK_SAMPLES)))]
        chunk_samples: Option<u32>,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// List what a recipe can name: transforms and framings, with their parameters and defaults
    #[command(after_help = "Example: tonic-prep transforms | less")]
    Transforms {
        /// One JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Make a learnable recording of SSC's statistics in the Heidelberg layout
    #[command(after_help = "Example: tonic-prep synth -o made_up.h5 --samples 500")]
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
    },
}

#[derive(Args)]
struct ConvertArgs {
    /// The recordings: files, or folders with a folder a class; several become one set
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    source: SourceArgs,
    /// The set's directory
    #[arg(long, short)]
    output: PathBuf,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Convert the first N samples only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Convert one of N equal shares, such as 1/4, on one of N machines; `tonic-prep merge` joins them
    #[arg(long, value_name = "I/N")]
    part: Option<Part>,
    /// zstd level
    #[arg(long, default_value_t = LEVEL, allow_negative_numbers = true)]
    level: i32,
    /// Samples a chunk [default: 64, fewer where samples are large]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CHUNK_SAMPLES)))]
    chunk_samples: Option<u32>,
    /// Size of a shard, about: bytes, or with k, M or G (of 1024)
    #[arg(long, value_name = "SIZE", default_value = SHARD_SIZE, value_parser = parse_bytes)]
    shard_size: u64,
    #[command(flatten)]
    write: WriteArgs,
    /// Say how large the set will be and how long it will take, judged by a few samples, and write nothing
    #[arg(long, conflicts_with_all = ["resume", "overwrite"])]
    dry_run: bool,
    /// Count events outside the sensor instead of refusing them
    #[arg(long)]
    lenient: bool,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct SubsetArgs {
    /// The new set's directory; with --into, the folder of the new sets
    out: PathBuf,
    /// The set
    dir: PathBuf,
    /// Samples of these ranges
    #[arg(long, value_name = "A..B,...", value_delimiter = ',')]
    samples: Vec<SampleRange>,
    /// Samples of these classes, by name or number; the list of classes stays as it is
    #[arg(long, value_name = "CLASS,...", value_delimiter = ',')]
    classes: Vec<String>,
    /// Number these classes from 0, and list no others
    #[arg(long, requires = "classes")]
    renumber: bool,
    /// Samples with one of these values in an extra column; several conditions must all hold
    #[arg(long = "where", value_name = "COLUMN=N,...")]
    conditions: Vec<Condition>,
    /// Divide the samples at random in these shares; what they leave of 1 is left out
    #[arg(long, value_name = "SHARE,...", value_delimiter = ',', requires = "into")]
    split: Vec<f64>,
    /// The names of the parts
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', requires = "split")]
    into: Vec<String>,
    /// Another seed divides otherwise
    #[arg(long, default_value_t = 0, requires = "split")]
    seed: u64,
    /// Divide every class by these shares
    #[arg(long, requires = "split", conflicts_with = "split_by")]
    stratify: bool,
    /// Keep samples of equal values in this extra column together
    #[arg(long, value_name = "COLUMN", requires = "split")]
    split_by: Option<String>,
    #[command(flatten)]
    write: WriteArgs,
}

/// How a set is written.
#[derive(Args)]
struct WriteArgs {
    /// Go on where an interrupted run ended
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    /// Replace the set that is there; it is removed before the new one is begun
    #[arg(long)]
    overwrite: bool,
    /// Worker threads; all cores if not given. The set's bytes do not depend on them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl WriteArgs {
    fn existing(&self) -> Existing {
        Existing::asked(self.resume, self.overwrite)
    }

    fn output(&self, path: PathBuf, quiet: bool) -> Output {
        let threads = threads(self.threads);
        Output { path, existing: self.existing(), threads, verbosity: verbosity(quiet) }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Only what writes sets has a safe place to stop at; all else may end at once, for files come into place whole.
    let ready = match cli.command {
        Command::Convert(_) | Command::Merge { .. } | Command::Subset(_) | Command::Repair { .. } => {
            interrupt::install().context("cannot listen for Ctrl-C")
        }
        _ => Ok(()),
    };
    match ready.and_then(|()| run(cli.command, cli.quiet)) {
        Ok(code) => code,
        Err(e) => report("tonic-prep", e.as_ref()),
    }
}

fn run(command: Command, quiet: bool) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    match command {
        Command::Convert(args) => {
            let (json, dry_run) = (args.json, args.dry_run);
            let conversion = args.conversion(quiet)?;
            if dry_run {
                let job = Job::open(&conversion)?;
                let estimate = job.estimate()?;
                say(&mut out, json, || estimate.json(&job), || estimate.text(&job))?;
            } else {
                let converted = convert(&conversion)?;
                say(&mut out, json, || converted.json(), || info::line(&converted.manifest))?;
            }
        }
        Command::Bench(args) => {
            let (json, batch_size) = (args.json, args.batch_size as usize);
            let measured = bench(&args.conversion(quiet)?, batch_size)?;
            say(&mut out, json, || measured.json(), || measured.text())?;
        }
        Command::Info { dir, json } => {
            let set = ShardSet::open(&dir)?;
            say(&mut out, json, || info::json(&set), || info::text(&set))?;
        }
        Command::Verify { dir, quick, json } => {
            let start = |samples| Progress::start(verbosity(quiet || json), "verify", samples, "samples");
            let faults = verify_dir(&dir, (!quick).then_some(&start));
            let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
            let what = if quick { "manifest, sizes and indexes are" } else { "every chunk is" };
            if json || faults.is_empty() {
                let value = || serde_json::json!({"whole": said.is_empty(), "quick": quick, "faults": said});
                say(&mut out, json, value, || format!("{}: complete, {what} whole", dir.display()))?;
            }
            refuse(faults)?;
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
        Command::Export { dir, npy, samples, overwrite } => {
            let set = ShardSet::open(&dir)?;
            export::export_npy(&set, &npy, samples.of(&set), overwrite, verbosity(quiet))?;
        }
        Command::Ls { dir, samples, class, shards, json } => {
            let set = ShardSet::open(&dir)?;
            let class = class.map(|class| class_number(&set, &class)).transpose()?;
            if shards {
                list::shards(&set, json, &mut out)?;
            } else {
                list::samples(&set, samples.of(&set), class, json, &mut out)?;
            }
        }
        Command::Cat { dir, sample, json } => {
            let set = ShardSet::open(&dir)?;
            let shown = Shown::open(&set, sample)?;
            if json { shown.write_json(&mut out)? } else { shown.write_tsv(&mut out)? }
        }
        Command::Diff { a, b, list, json } => {
            let (a, b) = (ShardSet::open(&a)?, ShardSet::open(&b)?);
            let difference = diff(&a, &b, list, threads(None), verbosity(quiet || json))?;
            say(&mut out, json, || difference.json(), || difference.text())?;
            return Ok(if difference.is_none() { ExitCode::SUCCESS } else { ExitCode::from(4) });
        }
        Command::Stats { dir, png, json } => {
            let set = ShardSet::open(&dir)?;
            let found = stats(&set, verbosity(quiet || json))?;
            if let Some(png) = png {
                found.page(&format!("{}: {}", dir.display(), info::line(set.manifest())))?.write_png(&png)?;
            }
            say(&mut out, json, || found.json(), || found.text())?;
        }
        Command::Subset(args) => {
            let SubsetArgs { samples, classes, conditions, renumber, .. } = args;
            let choice = Choice { samples, classes, conditions, renumber };
            let split = (!args.split.is_empty()).then(|| Split::new(args.split, args.into, args.seed)).transpose()?;
            let split = split.map(|split| split.keeping(args.split_by, args.stratify));
            for (path, manifest) in subset(&args.dir, &choice, split.as_ref(), &args.write.output(args.out, quiet))? {
                writeln!(out, "{}: {}", path.display(), info::line(&manifest))?;
            }
        }
        Command::Repair { dir, from, source, json } => {
            let verbosity = verbosity(quiet || json);
            let repaired = match &from[..] {
                [copy] if holds_set(copy) => repair(&dir, Donor::Copy(copy), verbosity)?,
                recordings => repair_from(&dir, recordings, &source.options()?, verbosity)?,
            };
            say(&mut out, json, || repaired.json(), || repaired.text())?;
            refuse(repaired.faults)?;
        }
        Command::Merge { out: path, sets, chunk_samples, write } => {
            let manifest = merge(&sets, &write.output(path, quiet), chunk_samples)?;
            writeln!(out, "{}", info::line(&manifest))?;
        }
        Command::Transforms { json } => {
            say(&mut out, json, || known::json(recipe_names()), || known::text(recipe_names()))?
        }
        Command::Synth { output, samples, classes, seed } => {
            let progress = Progress::start(verbosity(quiet), "synth", samples, "samples");
            synth::synth(&output, samples, classes, seed, &progress)?;
            progress.finish();
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a result: one JSON object, or the text for people.
fn say(out: &mut impl Write, json: bool, value: impl Fn() -> Value, text: impl Fn() -> String) -> anyhow::Result<()> {
    let text = if json { value().to_string() } else { text() };
    writeln!(out, "{}", text.trim_end())?;
    Ok(out.flush()?)
}

/// Ends with a set's faults: all of them on stderr.
fn refuse(faults: Vec<Error>) -> anyhow::Result<()> {
    let mut faults = faults.into_iter();
    let Some(first) = faults.next() else { return Ok(()) };
    faults.for_each(|fault| eprintln!("tonic-prep: error: {fault}"));
    Err(first.into())
}

impl ConvertArgs {
    fn conversion(self, quiet: bool) -> anyhow::Result<Conversion> {
        Ok(Conversion {
            inputs: self.files,
            source: self.source.options()?,
            output: self.output,
            recipe: self.recipe.choice()?,
            limit: self.limit,
            part: self.part,
            threads: threads(self.write.threads),
            level: self.level,
            chunk_samples: self.chunk_samples,
            shard_bytes: self.shard_size,
            existing: self.write.existing(),
            lenient: self.lenient,
            verbosity: verbosity(quiet || self.json),
        })
    }
}

fn threads(asked: Option<u16>) -> usize {
    asked.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

fn verbosity(quiet: bool) -> Verbosity {
    if quiet { Verbosity::Quiet } else { Verbosity::Normal }
}
