//! The commands of `tonic-prep` and their arguments.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tonic_report::png_path;
use tonic_sets::SampleRange;
use tonic_shard::MAX_CHUNK_SAMPLES;

use crate::bench_args::BenchArgs;
use crate::card_args::CardArgs;
use crate::convert_args::ConvertArgs;
#[cfg(feature = "remote")]
use crate::fetch_args::FetchArgs;
use crate::lock_args::LockArgs;
use crate::plan_args::PlanArgs;
#[cfg(feature = "remote")]
use crate::remote_args::{PruneArgs, PullArgs, PushArgs};
use crate::source_args::SourceArgs;
use crate::subset_args::SubsetArgs;
use crate::write_args::WriteArgs;

/// Converts event recordings into sets of frame shards, once. Every event is accounted for.
///
/// Exit codes: 0 done; 1 system error (no such file, no permission, disk full); 2 wrong usage; 3 a bad recording or
/// recipe, or more lost events than --max-loss allows; 4 a set that is damaged, incomplete or incompatible, a folder
/// that is no set, or sets that differ; 130 interrupted.
#[derive(Parser)]
#[command(name = "tonic-toolkit", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print no progress and no notes, only warnings
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Convert recordings of cochleas or cameras (HDF5, NumPy, or folders of such files) into a shard set
    #[command(after_help = "Examples:
  tonic-prep convert ssc_train.h5 -o shards/train
  tonic-prep convert --dataset nmnist NMNIST/ -o shards/test --split test
  tonic-prep convert drive.h5 -o shards/drive --sensor 640,480,2 --sample-duration 100ms
  tonic-prep convert gestures/ -o shards/gestures --sensor 128,128,2    # gestures/wave/1.npy, gestures/clap/2.npy
  tonic-prep convert odd.h5 -o shards/odd --map t=when,x=place[0],y=place[1] --time-unit ns --sensor 64,64,1")]
    Convert(Box<ConvertArgs>),
    /// Show how a conversion is divided among the tasks of a cluster: what each task reads, how long it takes, and the
    /// commands for Slurm
    #[command(after_help = "Example:
  tonic-prep plan ssc_train.h5 -o shards/train --parts 8")]
    Plan(Box<PlanArgs>),
    /// Measure how fast training could load samples without a shard set: recordings are read and framed again for every
    /// sample
    #[command(after_help = "Examples:
  tonic-prep bench ssc_train.h5
  tonic-prep bench ssc_train.h5 --recipe-of shards/train --json > naive.json
  tonic-train bench --data shards/train --beside naive.json")]
    Bench(Box<BenchArgs>),
    /// Print what a set contains: geometry, recipe, classes, sizes, ledger
    #[command(after_help = "Example: tonic-prep info shards/train")]
    Info {
        /// Directory of the set
        dir: PathBuf,
        /// Print the result as one JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Verify a set: the exit code is 0 only if it is complete and every chunk is intact
    #[command(after_help = "Example: tonic-prep verify shards/train")]
    Verify {
        /// Directory of the set
        dir: PathBuf,
        /// Check the manifest, sizes and indexes, but not the chunks
        #[arg(long)]
        quick: bool,
        /// Print the result as one JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Draw the raster plot of a sample, in the terminal or as a PNG
    #[command(after_help = "Example: tonic-prep show shards/train --sample 7 --png 7.png")]
    Show {
        /// Directory of the set
        dir: PathBuf,
        /// Index of the sample in the set, from 0
        #[arg(long, default_value_t = 0)]
        sample: u64,
        /// Write a PNG instead of drawing in the terminal
        #[arg(long, value_name = "FILE.png", value_parser = png_path)]
        png: Option<PathBuf>,
        /// Print the result as one JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Export samples as dense NumPy arrays (T, P, H, W)
    #[command(after_help = "Example: tonic-prep export shards/train --npy arrays --samples ..100")]
    Export {
        /// Directory of the set
        dir: PathBuf,
        /// Directory for frames_0.npy, frames_1.npy, ... and labels.npy
        #[arg(long, value_name = "OUT")]
        npy: PathBuf,
        /// Range of samples: A..B (B is excluded), A.. or ..B [default: all]
        #[arg(long, value_name = "A..B", default_value = "..", hide_default_value = true)]
        samples: SampleRange,
        /// Replace the arrays of an earlier export
        #[arg(long)]
        overwrite: bool,
        /// Print the result as one JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// List the samples of a set, one per line
    #[command(after_help = "Example: tonic-prep ls shards/train --class yes --samples ..1000")]
    Ls {
        /// Directory of the set
        dir: PathBuf,
        /// Range of samples: A..B (B is excluded), A.. or ..B [default: all]
        #[arg(long, value_name = "A..B", default_value = "..", hide_default_value = true)]
        samples: SampleRange,
        /// List only the samples of this class, by name or number
        #[arg(long, value_name = "CLASS")]
        class: Option<String>,
        /// List the shards and their chunks instead of the samples
        #[arg(long, conflicts_with_all = ["samples", "class"])]
        shards: bool,
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Print the occupied cells of a sample, one per line: frame, p, y, x, count
    #[command(after_help = "Example: tonic-prep cat shards/train --sample 7 | head")]
    Cat {
        /// Directory of the set
        dir: PathBuf,
        /// Index of the sample in the set, from 0
        #[arg(long, default_value_t = 0)]
        sample: u64,
        /// Print one JSON object instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Compare the contents of two sets, whatever their compression: the exit code is 0 if they are equal, 4 if not
    #[command(after_help = "Example: tonic-prep diff shards/train /backup/train")]
    Diff {
        /// Directory of the first set
        a: PathBuf,
        /// Directory of the second set
        b: PathBuf,
        /// Maximum number of samples whose differences are described
        #[arg(long, value_name = "N", default_value_t = 20)]
        list: usize,
        /// Print the result as one JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Print statistics of a set: classes, events and frames of samples, counts of cells, rate of each cell, ledger
    #[command(after_help = "Example: tonic-prep stats shards/train --png train.png")]
    Stats {
        /// Directory of the set
        dir: PathBuf,
        /// Also draw the statistics as a page of plots
        #[arg(long, value_name = "FILE.png", value_parser = png_path)]
        png: Option<PathBuf>,
        /// Print the result as one JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Select samples of a set, or split them into several sets
    #[command(after_help = "Examples:
  tonic-prep subset shards/yes-no shards/all --classes yes,no --renumber
  tonic-prep subset shards shards/all --split 0.8,0.1,0.1 --into train,valid,test --split-by speaker")]
    Subset(SubsetArgs),
    /// Repair the damaged parts of a set, from another copy of it or from its recordings
    #[command(after_help = "Examples:
  tonic-prep repair shards/train --from /backup/train
  tonic-prep repair shards/train --from s3://lab/ssc/train    # or URL#SETID; with the feature remote
  tonic-prep repair shards/train --from ssc_train.h5")]
    Repair {
        /// Directory of the set
        dir: PathBuf,
        /// Another copy of the set, in a directory or at a URL, or all recordings that the set was converted from. If the
        /// copy is damaged too, only its undamaged chunks are used
        #[arg(long, required = true, num_args = 1.., value_name = "DIR|URL|FILE...")]
        from: Vec<PathBuf>,
        #[command(flatten)]
        source: Box<SourceArgs>,
        /// Print the result as one JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Join sets of the same recipe in the given order, or the parts of one set in the order of their numbers
    #[command(after_help = "Example: tonic-prep merge shards/all shards/monday shards/tuesday")]
    Merge {
        /// Directory of the new set
        out: PathBuf,
        /// Sets to join. The parts of one set can be given in any order
        #[arg(required = true)]
        sets: Vec<PathBuf>,
        /// Number of samples per chunk [default: that of the first set]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CHUNK_SAMPLES)))]
        chunk_samples: Option<u32>,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Describe a set for people: writes README.md and a picture into its directory. They are in no hash, and `push` and
    /// `pull` take them along
    #[command(after_help = "Example:
  tonic-prep card shards/train --license CC-BY-4.0 --source-url https://zenkelab.org/datasets")]
    Card(CardArgs),
    /// Write the ids of sets to a file for version control. `pull --lock` fetches these sets, `tonic-train fit --lock`
    /// refuses all others
    #[command(after_help = "Examples:
  tonic-prep lock sets.toml s3://lab/ssc/train s3://lab/ssc/test
  tonic-prep lock sets.toml ssc-train=shards/train")]
    Lock(LockArgs),
    /// Send a set to a file server or an object store, as an immutable copy, and make it the latest set there
    #[cfg(feature = "remote")]
    #[command(after_help = "Examples:
  tonic-prep push shards/train s3://lab/ssc/train
  tonic-prep push shards/train file:///srv/sets/ssc/train")]
    Push(PushArgs),
    /// Fetch a set from a URL. Every chunk is verified; an interrupted pull continues where it stopped
    #[cfg(feature = "remote")]
    #[command(
        override_usage = "tonic-prep pull [OPTIONS] <URL> <DIR>
       tonic-prep pull [OPTIONS] --lock <SET.toml> [DIR]",
        after_help = "Examples:
  tonic-prep pull https://lab.example/ssc/train shards/train
  tonic-prep pull s3://lab/ssc/train#SETID shards/train
  tonic-prep pull s3://lab/ssc/train shards/yes-no --classes yes,no
  tonic-prep pull --lock sets.toml shards    # each set into a folder of its name"
    )]
    Pull(PullArgs),
    /// Remove old sets at a URL, but never the latest one. Shards of a push that was never completed stay: push its set
    /// again, and it can be pruned
    #[cfg(feature = "remote")]
    #[command(after_help = "Example: tonic-prep prune s3://lab/ssc/train --keep 3")]
    Prune(PruneArgs),
    /// Download a data set that Tonic knows, and unpack it. An interrupted download continues where it stopped, and
    /// hashes are checked. If no program can download a data set, the command says what to do by hand
    #[cfg(feature = "remote")]
    #[command(after_help = "Examples:
  tonic-prep fetch nmnist data/nmnist
  tonic-prep fetch dsec data/dsec --split thun_00_a
  tonic-prep fetch ssc --from https://compneuro.net/datasets    # a mirror")]
    Fetch(FetchArgs),
    /// Not in this program: the commands of the feature `remote`
    #[cfg(not(feature = "remote"))]
    #[command(name = "push", aliases = ["pull", "prune", "fetch"], hide = true, disable_help_flag = true)]
    Remote {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        _words: Vec<std::ffi::OsString>,
    },
    /// List the transforms and framings that a recipe can name, with their parameters and defaults
    #[command(after_help = "Example: tonic-prep transforms | less")]
    Transforms {
        /// Print the result as one JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// List the layouts of recordings that are read, and what tells them apart
    #[command(after_help = "Example: tonic-prep layouts")]
    Layouts {
        /// Print the result as one JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// List the data sets that Tonic knows: sensor, samples, classes, size, format, licence, and how each is fetched
    #[command(after_help = "Examples:
  tonic-prep datasets
  tonic-prep datasets nmnist")]
    Datasets {
        /// Only this data set, with its files
        name: Option<String>,
        /// Print the result as one JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Make a synthetic recording in the Heidelberg layout, with the statistics of SSC and with classes that can be
    /// learned
    #[command(after_help = "Example: tonic-prep synth -o made_up.h5 --samples 500")]
    Synth {
        /// HDF5 file to write
        #[arg(long, short)]
        output: PathBuf,
        /// Number of samples
        #[arg(long, default_value_t = 2048)]
        samples: u64,
        /// Number of classes
        #[arg(long, default_value_t = 35)]
        classes: u32,
        /// Seed of the samples. The classes are the same for every seed
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Print the result as one JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Print a script with which a shell completes the arguments of this program
    #[command(
        after_help = "Example: tonic-prep completions bash > ~/.local/share/bash-completion/completions/tonic-prep"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}
