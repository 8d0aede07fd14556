//! Reads NumPy arrays: headers, types, and columns of numbers in the data.

mod array;
mod dtype;
mod header;
mod literal;
mod longdouble;
mod scalar;
mod tick;

pub(crate) use array::{EventArray, Lane};
pub(crate) use dtype::NumberKind;
pub(crate) use header::Header;
