//! Commands in Python that save a copy of a recording in a form that this crate reads. Errors and notes show the
//! commands to the user.
//!
//! ```text
//! mended                           commands for HDF5 and NumPy files
//! heidelberg_mended                commands for files in the Heidelberg layout
//! text_events                      recognises a text with a row for each event, and makes the command for it
//! text_table                       finds the rows in the first lines of a text
//! text_lines                       reads all lines of a text
//! ```

mod heidelberg_mended;
mod mended;
pub(crate) mod text_events;
mod text_lines;
mod text_table;

pub(crate) use heidelberg_mended::{
    KEYS, LABELS, OddLabels, TIMES, UNITS, relabelled, rows_of_arrays, without_samples,
};
pub(crate) use mended::{On, literal, mended, once, unpickled, word_for_on};
