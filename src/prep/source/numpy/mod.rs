//! Reads NumPy arrays: headers, types, and columns of numbers in the data.
//!
//! ```text
//! header, literal              the header of an array, and the Python literals in it
//! dtype, tick, longdouble      types of elements, units of dates and durations, C's long double
//! array, scalar                columns of numbers in an array; the only entry of an array with one entry
//! ```

mod array;
mod dtype;
mod header;
mod literal;
mod longdouble;
mod scalar;
mod tick;

pub(crate) use array::{ArrayData, EventArray, Lane};
pub(crate) use dtype::{DType, Number, NumberKind};
pub(crate) use header::Header;
