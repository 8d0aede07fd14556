//! Reads NumPy arrays: headers, types, and columns of numbers in the data.

mod array;
mod dtype;
mod header;
mod literal;
mod scalar;

pub(crate) use array::{EventArray, Lane};
pub(crate) use dtype::NumberKind;
pub(crate) use header::Header;
