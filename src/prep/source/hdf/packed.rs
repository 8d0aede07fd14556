//! Refuses datasets whose stored numbers are not the values: packed numbers, as in NetCDF, and MATLAB's empty arrays.

use std::path::Path;

use hdf5::Dataset;

use crate::error::{Error, Result};

/// Attributes of packed numbers, and their values if numbers are not packed: value = stored * scale_factor + add_offset.
const PACKED: [(&str, f64); 2] = [("scale_factor", 1.0), ("add_offset", 0.0)];

/// Checks the attributes of the dataset `name`.
///
/// # Errors
/// [`Error::WrongType`] for packed numbers; [`Error::NoEvents`] for an empty array of MATLAB, which stores its shape.
pub(super) fn check(path: &Path, dataset: &Dataset, name: &str) -> Result<()> {
    let number = |attribute: &str| dataset.attr(attribute).ok()?.read_raw::<f64>().ok()?.first().copied();
    if number("MATLAB_empty").is_some_and(|is| is != 0.0) {
        return Err(Error::NoEvents { path: path.into(), got: format!("an empty array of MATLAB, {name}") });
    }
    for (attribute, usual) in PACKED {
        if let Some(value) = number(attribute).filter(|value| *value != usual) {
            let got = format!("packed numbers, with the attribute {attribute:?} of {value}");
            return Err(Error::wrong_type(path, name, "numbers that are the values", got));
        }
    }
    Ok(())
}
