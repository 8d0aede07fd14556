//! The arguments of `tonic-prep convert`.

use std::path::PathBuf;

use clap::Args;
use tonic_base::parse_bytes;
use tonic_prep::{Conversion, LEVEL, SHARD_SIZE, SourceOptions};
use tonic_shard::{MAX_CHUNK_SAMPLES, Part};

use crate::part_arg::part;
use crate::part_commands::{without_part, words_as_text};
use crate::recipe_args::RecipeArgs;
use crate::source_args::SourceArgs;
use crate::write_args::{WriteArgs, threads, verbosity};

#[derive(Args)]
pub(crate) struct ConvertArgs {
    /// Recordings: files, also in gzip, or folders or zip archives with one sub-folder per class. Several recordings
    /// become one set
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Directory of the new set
    #[arg(long, short)]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Convert only the first N samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Convert only part I of N, such as 1/4, so that N machines share the work. `tonic-prep merge` joins the parts.
    /// With slurm in place of I/N, a task of a Slurm array converts its own part
    #[arg(long, value_name = "I/N", value_parser = part)]
    pub(crate) part: Option<Part>,
    /// Compression level of zstd. High levels take up to 100 times as long and save up to 3% of the bytes
    #[arg(long, default_value_t = LEVEL, allow_negative_numbers = true)]
    pub(crate) level: i32,
    /// Number of samples per chunk [default: 64; fewer if samples are large]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CHUNK_SAMPLES)))]
    pub(crate) chunk_samples: Option<u32>,
    /// Approximate size of a shard, in bytes or with one of the units k, M and G (powers of 1024)
    #[arg(long, value_name = "SIZE", default_value = SHARD_SIZE, value_parser = parse_bytes)]
    pub(crate) shard_size: u64,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    /// Estimate from a few samples how large the set will be and how long it will take. Nothing is written
    #[arg(long, conflicts_with_all = ["resume", "overwrite"])]
    pub(crate) dry_run: bool,
    /// Leave out events outside the sensor and count them, and read a damaged file of a camera up to the damage,
    /// instead of refusing the recording
    #[arg(long)]
    pub(crate) lenient: bool,
    /// Largest share of the events, such as 0.1 or 10%, that the conversion is allowed to lose. An event counts as lost
    /// if it is outside the intervals of the table of labels, has an invalid time, is outside the sensor, is cut off by
    /// CropTime, or is in no frame. If more events are lost, the set stays incomplete and the exit code is 3 [default:
    /// no limit; a warning above 10%]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) max_loss: Option<f64>,
}

impl ConvertArgs {
    pub(crate) fn conversion(self, quiet: bool) -> anyhow::Result<Conversion> {
        let (inputs, source) = self.source.resolve(self.files)?;
        Ok(Conversion {
            inputs,
            source: SourceOptions { lenient: self.lenient, ..source },
            output: self.output,
            recipe: self.recipe.choice()?,
            limit: self.limit,
            part: self.part,
            threads: threads(self.write.threads),
            level: self.level,
            chunk_samples: self.chunk_samples,
            shard_bytes: self.shard_size,
            existing: self.write.existing.existing(),
            lenient: self.lenient,
            max_loss: self.max_loss,
            command: without_part(words_as_text()),
            verbosity: verbosity(quiet || self.write.json),
        })
    }
}

/// Parses a share such as `0.1` or `10%`. Returns a number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let share = match text.trim().strip_suffix('%') {
        Some(percent) => percent.trim().parse().map(|percent: f64| percent / 100.0),
        None => text.trim().parse(),
    };
    let share = share.ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a share from 0 to 1, such as 0.1 or 10%".into())
}
