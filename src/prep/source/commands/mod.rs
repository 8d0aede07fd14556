//! Commands in Python that save a copy of a recording in a form that this crate reads. Errors and notes show them.

mod heidelberg_mended;
mod mended;
pub(crate) mod text_events;
mod text_lines;
mod text_table;

pub(crate) use heidelberg_mended::{
    KEYS, LABELS, OddLabels, TIMES, UNITS, relabelled, rows_of_arrays, without_samples,
};
pub(crate) use mended::{On, literal, mended, unpickled, word_for_on};
