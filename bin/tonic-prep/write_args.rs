//! The arguments of every command that writes a set.

use std::path::PathBuf;

use clap::Args;
use tonic_base::{Verbosity, cores};
use tonic_sets::Output;

use crate::existing_args::ExistingArgs;

/// Options for writing a set.
#[derive(Args)]
pub(crate) struct WriteArgs {
    #[command(flatten)]
    pub(crate) existing: ExistingArgs,
    /// Number of worker threads. The set's bytes do not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Print the result as one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

impl WriteArgs {
    pub(crate) fn output(&self, path: PathBuf, quiet: bool) -> Output {
        let threads = threads(self.threads);
        Output { path, existing: self.existing.existing(), threads, verbosity: verbosity(quiet || self.json) }
    }
}

pub(crate) fn threads(asked: Option<u16>) -> usize {
    asked.map_or_else(cores, usize::from)
}

pub(crate) fn verbosity(quiet: bool) -> Verbosity {
    if quiet { Verbosity::Quiet } else { Verbosity::Normal }
}
