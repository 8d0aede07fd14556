//! Commands in Python that save a copy of a recording in a form that this crate reads. Errors and notes show the
//! commands to the user.
//!
//! ```text
//! mended                           commands for HDF5, NumPy and MATLAB files
//! heidelberg_mended                commands for files in the Heidelberg layout
//! ```

mod heidelberg_mended;
mod mended;

pub(crate) use heidelberg_mended::{
    KEYS, LABELS, OddLabels, TIMES, UNITS, relabelled, rows_of_arrays, without_samples,
};
pub(crate) use mended::{On, WORDS, literal, mended, once, unpickled, word_for_on};
