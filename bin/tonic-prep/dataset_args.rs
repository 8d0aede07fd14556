//! Names of data sets, and the commands that convert them.

#[cfg(feature = "remote")]
use std::path::Path;

use tonic_base::{BaseFault, Error as BaseError};
use tonic_prep::Dataset;

#[cfg(feature = "remote")]
use crate::quoted::{quoted, quoted_path};

/// Returns the data set with this name.
pub(crate) fn dataset(name: &str) -> Result<&'static Dataset, BaseError> {
    Dataset::named(name).ok_or_else(|| BaseError::usage("NAME", format!("one of {}", Dataset::names()), name))
}

/// Returns a `convert` command for each name in `splits`. A name is the name of a split or of a recording. `dir` is the
/// folder of the data set `set`.
#[cfg(feature = "remote")]
pub(crate) fn next_commands(set: &Dataset, dir: &Path, splits: &[String]) -> Vec<String> {
    let (name, dir) = (&set.name, quoted_path(dir));
    let convert = format!("tonic-prep convert --dataset {name} {dir} -o shards/{name}");
    // A data set with only one split needs no --split.
    let is_all = |split: &String| matches!(&set.splits[..], [only] if only.name == *split);
    let of_split = |split: &String| match is_all(split) {
        true => convert.clone(),
        false => format!("{convert}-{split} --split {}", quoted(split)),
    };
    splits.iter().map(of_split).collect()
}
