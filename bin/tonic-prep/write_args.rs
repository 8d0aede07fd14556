//! The arguments of every command that writes a set.

use std::path::PathBuf;

use clap::Args;
use tonic_base::Verbosity;
use tonic_sets::Output;
use tonic_shard::Existing;

/// Options for writing a set.
#[derive(Args)]
pub(crate) struct WriteArgs {
    /// Continue an interrupted run. The complete shards of that run are kept
    #[arg(long, conflicts_with = "overwrite")]
    pub(crate) resume: bool,
    /// Replace an existing set. It is deleted before the new one is begun
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Number of worker threads. The set's bytes do not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
}

impl WriteArgs {
    pub(crate) fn existing(&self) -> Existing {
        Existing::asked(self.resume, self.overwrite)
    }

    pub(crate) fn output(&self, path: PathBuf, quiet: bool) -> Output {
        let threads = threads(self.threads);
        Output { path, existing: self.existing(), threads, verbosity: verbosity(quiet) }
    }
}

pub(crate) fn threads(asked: Option<u16>) -> usize {
    asked.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

pub(crate) fn verbosity(quiet: bool) -> Verbosity {
    if quiet { Verbosity::Quiet } else { Verbosity::Normal }
}
