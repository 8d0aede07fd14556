//! The arguments of `tonic-prep convert`.

use std::path::PathBuf;

use clap::Args;
use tonic_base::parse_bytes;
use tonic_prep::{Conversion, LEVEL, SHARD_SIZE};
use tonic_shard::{MAX_CHUNK_SAMPLES, Part};

use crate::recipe_args::RecipeArgs;
use crate::source_args::SourceArgs;
use crate::write_args::{WriteArgs, threads, verbosity};

#[derive(Args)]
pub(crate) struct ConvertArgs {
    /// The recordings: files, or folders with a folder a class; several become one set
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// The set's directory
    #[arg(long, short)]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Convert the first N samples only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Convert one of N equal shares, such as 1/4, on one of N machines; `tonic-prep merge` joins them
    #[arg(long, value_name = "I/N")]
    pub(crate) part: Option<Part>,
    /// zstd level
    #[arg(long, default_value_t = LEVEL, allow_negative_numbers = true)]
    pub(crate) level: i32,
    /// Samples a chunk [default: 64, fewer where samples are large]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CHUNK_SAMPLES)))]
    pub(crate) chunk_samples: Option<u32>,
    /// Size of a shard, about: bytes, or with k, M or G (of 1024)
    #[arg(long, value_name = "SIZE", default_value = SHARD_SIZE, value_parser = parse_bytes)]
    pub(crate) shard_size: u64,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    /// Say how large the set will be and how long it will take, judged by a few samples, and write nothing
    #[arg(long, conflicts_with_all = ["resume", "overwrite"])]
    pub(crate) dry_run: bool,
    /// Count events outside the sensor instead of refusing them
    #[arg(long)]
    pub(crate) lenient: bool,
    /// One JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

impl ConvertArgs {
    pub(crate) fn conversion(self, quiet: bool) -> anyhow::Result<Conversion> {
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
