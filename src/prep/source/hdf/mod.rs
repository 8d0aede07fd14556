//! Reads HDF5 files: opens them, reads ranges of columns and records, and makes errors that name the cause.

mod column;
mod file;
mod records;

pub(crate) use column::NumberColumn;
pub(crate) use file::{
    contents, damaged, dataset, describe, descriptor, last_words, open, open_cached, strings, unreadable,
};
pub(crate) use records::Records;
