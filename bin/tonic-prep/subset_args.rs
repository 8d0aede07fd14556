//! The arguments of `tonic-prep subset`.

use std::path::PathBuf;

use clap::Args;
use tonic_sets::{Condition, SampleRange};

use crate::write_args::WriteArgs;

#[derive(Args)]
pub(crate) struct SubsetArgs {
    /// Directory of the new set; with --into, the folder for the new sets
    pub(crate) out: PathBuf,
    /// Directory of the set to select from
    pub(crate) dir: PathBuf,
    /// Select the samples of these ranges: A..B (B is excluded), A.. or ..B
    #[arg(long, value_name = "A..B,...", value_delimiter = ',')]
    pub(crate) samples: Vec<SampleRange>,
    /// Select the samples of these classes, by name or number. The new set still lists all classes, so that labels
    /// stay as they are
    #[arg(long, value_name = "CLASS,...", value_delimiter = ',')]
    pub(crate) classes: Vec<String>,
    /// Number the classes of --classes from 0, and leave all other classes out of the set's list of classes
    #[arg(long, requires = "classes")]
    pub(crate) renumber: bool,
    /// Select samples with one of these values in an extra column, such as speaker=3,5. If there are several
    /// conditions, all must hold
    #[arg(long = "where", value_name = "COLUMN=N,...")]
    pub(crate) conditions: Vec<Condition>,
    /// Split the samples at random into parts of these shares. If the shares add up to less than 1, the remaining
    /// samples are left out
    #[arg(long, value_name = "SHARE,...", value_delimiter = ',', requires = "into")]
    pub(crate) split: Vec<f64>,
    /// Names of the parts, one for each share
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', requires = "split")]
    pub(crate) into: Vec<String>,
    /// Seed of the random split
    #[arg(long, default_value_t = 0, requires = "split")]
    pub(crate) seed: u64,
    /// Split each class separately by the shares of --split, so that every part has about the same mix of classes
    #[arg(long, requires = "split", conflicts_with = "split_by")]
    pub(crate) stratify: bool,
    /// Put all samples with the same value in this extra column into the same part
    #[arg(long, value_name = "COLUMN", requires = "split")]
    pub(crate) split_by: Option<String>,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}
