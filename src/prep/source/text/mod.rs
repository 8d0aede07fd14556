//! Texts with a row of cells for each event, such as CSV.
//!
//! ```text
//! table                        finds the rows, the header and the kinds of columns in the first lines
//! rows                         parses lines into columns of numbers
//! cells                        splits a line into cells, and parses the numbers in them
//! ```

mod cells;
mod rows;
mod table;

pub(crate) use rows::{RowFormat, Rows, Slot, Store, Wrong};
pub(crate) use table::{Kind, MARK, Table, bracketed, role_of, size_in_name};
