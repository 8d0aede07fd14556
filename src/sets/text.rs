//! Helpers for printed text.

use crate::error::{BaseFault, Error};

/// Makes the error for a failed write to standard output.
pub(crate) fn stdout_error(error: std::io::Error) -> Error {
    Error::io("standard output", "write")(error)
}

/// Formats the value of a cell: a count, or a float32 with as many digits as float32 needs.
pub(crate) fn digits(value: f64) -> String {
    if value.fract() == 0.0 { value.to_string() } else { (value as f32).to_string() }
}
