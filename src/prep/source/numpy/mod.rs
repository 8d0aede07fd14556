//! Reads NumPy files: structured arrays (`.npy`), and archives of columns or of one structured array (`.npz`).
//!
//! The fields are t, x, y and p, in any order and of any number types, as in Tonic's events and caches. y and p may be
//! missing.

mod array;
mod header;

pub(crate) use array::{EventArray, FieldLayout, NAMES, RecordLayout, is_number};
pub(crate) use header::read_header;
