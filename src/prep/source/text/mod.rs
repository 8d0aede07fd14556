//! Texts with a row of cells for each event, such as CSV.
//!
//! ```text
//! table                        finds the rows, the header and the kinds of columns in the first lines
//! parse                        parses lines into columns of numbers, with the next two
//! delimited                    parses many rows of plain numbers at once
//! rows                         parses a line: of plain numbers in one pass, any other from its cells
//! cells                        splits a line into cells, and parses the numbers in them
//! ```

mod cells;
mod delimited;
mod parse;
mod rows;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use parse::parse_rows;
pub(crate) use rows::{RowFormat, Rows, Slot, Store, Wrong};
pub(crate) use table::{Kind, MARK, Table, bracketed, role_of, size_in_name};
