//! The commands of `tonic-prep` and their arguments.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tonic_report::png_path;
use tonic_sets::SampleRange;
use tonic_shard::MAX_CHUNK_SAMPLES;

use crate::bench_args::BenchArgs;
use crate::convert_args::ConvertArgs;
use crate::source_args::SourceArgs;
use crate::subset_args::SubsetArgs;
use crate::write_args::WriteArgs;

/// Turns raw event recordings into frame shards: once, losslessly, accounted for to the last event.
///
/// Exit codes: 0 done, 1 the system refused (no such file, no permission, disk full), 2 usage, 3 a bad recording or
/// recipe, or more lost than --max-loss allows, 4 a damaged, incomplete or foreign set, or sets that differ, 130 interrupted.
#[derive(Parser)]
#[command(version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// No progress, no notes; warnings only
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
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
    Bench(Box<BenchArgs>),
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
        source: Box<SourceArgs>,
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
