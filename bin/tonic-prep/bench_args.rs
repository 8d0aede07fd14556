//! The arguments of `tonic-prep bench`.

use std::path::PathBuf;

use clap::Args;
use tonic_prep::{Conversion, LEVEL, SourceOptions};
use tonic_shard::Existing;

use crate::recipe_args::RecipeArgs;
use crate::source_args::SourceArgs;
use crate::write_args::{threads, verbosity};

/// Arguments of `tonic-prep bench`.
#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Recordings: files, or folders with one sub-folder per class
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Measure on the first N samples
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u64).range(1..))]
    samples: u64,
    /// Number of samples per batch
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) batch_size: u32,
    /// Number of threads. The speed is measured with one thread, and also with N if N is above 1 [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Leave out events outside the sensor and count them, and read a damaged file of a camera up to the damage,
    /// instead of refusing the recording
    #[arg(long)]
    lenient: bool,
    /// Print the result as one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

impl BenchArgs {
    /// Returns the conversion that the benchmark measures.
    pub(crate) fn conversion(self, quiet: bool) -> anyhow::Result<Conversion> {
        let (inputs, source) = self.source.resolve(self.files)?;
        Ok(Conversion {
            inputs,
            source: SourceOptions { lenient: self.lenient, ..source },
            output: PathBuf::new(),
            recipe: self.recipe.choice()?,
            limit: Some(self.samples),
            part: None,
            threads: threads(self.threads),
            level: LEVEL,
            chunk_samples: None,
            shard_bytes: 1,
            existing: Existing::Refuse,
            lenient: self.lenient,
            max_loss: None,
            command: Vec::new(),
            verbosity: verbosity(quiet || self.json),
        })
    }
}
