//! Converts errors of the Rust crates to Python exceptions. Their texts are those that the command-line programs
//! print.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyFileExistsError, PyKeyboardInterrupt, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use tonic_base::{Error as BaseError, printable_lines};
use tonic_prep::Error as PrepError;
use tonic_shard::Error;

create_exception!(
    tonic_shards,
    CorruptError,
    PyException,
    "A set is damaged or incomplete: the text names file, place, expected and got."
);
create_exception!(
    tonic_shards,
    IncompatibleError,
    PyException,
    "A set has a format version that this package doesn't read, or isn't the set that was expected."
);

/// The exception for an error of recordings, recipes and conversions.
pub(crate) fn prep_exception(error: PrepError) -> PyErr {
    let text = printable_lines(&error.to_string()).into_owned();
    match error {
        PrepError::Shard(error) => exception(error),
        PrepError::Base(error) => base_exception(error, text),
        _ => PyValueError::new_err(text),
    }
}

/// The exception for an error of a set.
pub(crate) fn exception(error: Error) -> PyErr {
    // A traceback prints the text as it is, and the text can have names that were read from files.
    let text = printable_lines(&error.to_string()).into_owned();
    match error {
        Error::Incomplete { .. } => CorruptError::new_err(text),
        Error::Incompatible { .. } | Error::Mismatch { .. } => IncompatibleError::new_err(text),
        Error::Base(error) => base_exception(error, text),
        _ => PyValueError::new_err(text),
    }
}

fn base_exception(error: BaseError, text: String) -> PyErr {
    match error {
        BaseError::Corrupt { .. } => CorruptError::new_err(text),
        // OSError chooses its subclass by the error number: FileNotFoundError, PermissionError.
        BaseError::Io { source, .. } => match source.raw_os_error() {
            Some(number) => PyOSError::new_err((number, text)),
            None => PyOSError::new_err(text),
        },
        BaseError::Usage { .. } | BaseError::Unavailable { .. } => PyValueError::new_err(text),
        BaseError::Exists { .. } => PyFileExistsError::new_err(text),
        BaseError::Interrupted { .. } => PyKeyboardInterrupt::new_err(text),
        _ => PyRuntimeError::new_err(text),
    }
}

/// Makes the ValueError for an argument whose value is not accepted.
pub(crate) fn refused(what: &str, expected: &str, got: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(format!("{what}: expected {expected}, got {got}"))
}
