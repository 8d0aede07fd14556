//! Options that the commands with long computations share: threads, and what they print.

use anyhow::Context;
use clap::Args;
use tonic_base::{Verbosity, cores};

#[derive(Args)]
pub(crate) struct OutputArgs {
    /// Number of worker threads. Apart from measured times, the result does not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print no progress
    #[arg(long, short)]
    quiet: bool,
    /// Print the result as one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

impl OutputArgs {
    /// Starts the worker threads for the whole program: one per core, unless the user gives their number.
    pub(crate) fn use_threads(&self) -> anyhow::Result<()> {
        use_threads(self.threads)
    }

    pub(crate) fn verbosity(&self) -> Verbosity {
        if self.quiet || self.json { Verbosity::Quiet } else { Verbosity::Normal }
    }
}

/// Starts `threads` worker threads for the whole program, or one per core if `threads` is `None`.
pub(crate) fn use_threads(threads: Option<u16>) -> anyhow::Result<()> {
    let threads = threads.map_or_else(cores, usize::from);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("cannot start the threads")
}
