//! The arguments of `tonic-prep subset`.

use std::path::PathBuf;

use clap::Args;
use tonic_sets::{Condition, SampleRange};

use crate::write_args::WriteArgs;

#[derive(Args)]
pub(crate) struct SubsetArgs {
    /// The new set's directory; with --into, the folder of the new sets
    pub(crate) out: PathBuf,
    /// The set
    pub(crate) dir: PathBuf,
    /// Samples of these ranges
    #[arg(long, value_name = "A..B,...", value_delimiter = ',')]
    pub(crate) samples: Vec<SampleRange>,
    /// Samples of these classes, by name or number; the list of classes stays as it is
    #[arg(long, value_name = "CLASS,...", value_delimiter = ',')]
    pub(crate) classes: Vec<String>,
    /// Number these classes from 0, and list no others
    #[arg(long, requires = "classes")]
    pub(crate) renumber: bool,
    /// Samples with one of these values in an extra column; several conditions must all hold
    #[arg(long = "where", value_name = "COLUMN=N,...")]
    pub(crate) conditions: Vec<Condition>,
    /// Divide the samples at random in these shares; what they leave of 1 is left out
    #[arg(long, value_name = "SHARE,...", value_delimiter = ',', requires = "into")]
    pub(crate) split: Vec<f64>,
    /// The names of the parts
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', requires = "split")]
    pub(crate) into: Vec<String>,
    /// Another seed divides otherwise
    #[arg(long, default_value_t = 0, requires = "split")]
    pub(crate) seed: u64,
    /// Divide every class by these shares
    #[arg(long, requires = "split", conflicts_with = "split_by")]
    pub(crate) stratify: bool,
    /// Keep samples of equal values in this extra column together
    #[arg(long, value_name = "COLUMN", requires = "split")]
    pub(crate) split_by: Option<String>,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}
