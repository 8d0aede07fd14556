//! Commands in Python that save a copy of a recording in a form that this crate reads. Errors and notes show the
//! commands to the user.
//!
//! ```text
//! mended, heidelberg_mended        copies of HDF5 and NumPy files, of files in the Heidelberg layout
//! text_events, text_table          recognise a text with a row for each event, and make its command; read its rows
//! text_lines                       the lines of a text, one after the other
//! ```

mod heidelberg_mended;
mod mended;
pub(crate) mod text_events;
mod text_lines;
mod text_table;

pub(crate) use heidelberg_mended::{
    KEYS, LABELS, OddLabels, TIMES, UNITS, relabelled, rows_of_arrays, without_samples,
};
pub(crate) use mended::{On, literal, mended, unpickled, word_for_on};
