//! Exports the network of a run as NumPy arrays.

use std::path::{Path, PathBuf};

use tonic_report::{Elements, NamedArray, write_npz};

use crate::error::{Error, Result};
use crate::network::{read_arrays, read_model};
use crate::run::config::Config;
use crate::run::folder::{BEST, MODEL};
use crate::run::sums;

/// Returns the path of a run's model file. If `best` is true, this is the file with the network of the best epoch.
/// Otherwise, it is the file with the network after the last epoch.
///
/// # Errors
/// The errors of reading the configuration; [`Corrupt`](tonic_base::Error::Corrupt) if the file has changed.
pub fn model_file(run: &Path, best: bool) -> Result<PathBuf> {
    let name = if best { BEST } else { MODEL };
    let config = Config::read(run)?;
    sums::check(run, name)?;
    crate::run::read_network(run, &config, name)?;
    Ok(run.join(name))
}

/// Writes the tensors of a model file to an `.npz` file, with the same names and shapes. The array `tonic_toolkit` has
/// the description of the network: the bytes of a JSON text.
///
/// # Errors
/// [`Error::Model`]; [`Io`](tonic_base::Error::Io).
pub fn export_npz(model: &Path, path: &Path) -> Result<()> {
    read_model(model)?;
    let (description, tensors) = read_arrays(model)?;
    let array = |(name, shape, values): (String, Vec<usize>, Vec<f32>)| -> NamedArray {
        (name, shape.into_iter().map(|n| n as u64).collect(), Elements::F32(values))
    };
    let mut arrays: Vec<NamedArray> = tensors.into_iter().map(array).collect();
    arrays.push(("tonic_toolkit".into(), vec![description.len() as u64], Elements::U8(description.into_bytes())));
    write_npz(path, &arrays).map_err(Error::from)
}
