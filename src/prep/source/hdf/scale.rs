//! Finds packed numbers, as in NetCDF: the stored numbers are not the values, but have a scale factor or an offset.
//! Numbers with an offset are refused.

use std::path::Path;

use hdf5::Dataset;

use crate::error::{Error, Result};

/// Name of the attribute with the scale factor of packed numbers: value = stored number * scale_factor + add_offset.
const SCALE: &str = "scale_factor";
const OFFSET: &str = "add_offset";

/// Returns the scale factor of the dataset `name`. `None` if it has no scale factor, or the factor 1. The caller
/// decides what the factor means: for times, it can be the length of a tick.
///
/// # Errors
/// [`Error::WrongType`] for numbers with an offset.
pub(super) fn scale_of(path: &Path, dataset: &Dataset, name: &str) -> Result<Option<f64>> {
    let number = |attribute: &str| dataset.attr(attribute).ok()?.read_raw::<f64>().ok()?.first().copied();
    match number(OFFSET).filter(|value| *value != 0.0) {
        Some(offset) => Err(refusal(path, name, OFFSET, offset)),
        None => Ok(number(SCALE).filter(|value| *value != 1.0)),
    }
}

/// Makes the error for numbers that have the scale factor `scale`.
pub(crate) fn scaled(path: &Path, name: &str, scale: f64) -> Error {
    refusal(path, name, SCALE, scale)
}

fn refusal(path: &Path, name: &str, attribute: &str, value: f64) -> Error {
    let got = format!("packed numbers, with the attribute {attribute:?} of {value}");
    Error::wrong_type(path, name, "numbers that are the values", got)
}
