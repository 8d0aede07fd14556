//! The parts of which [`fields`](super::fields) and the layouts make the columns of events: descriptions of a file's
//! arrays, the roles t, x, y and p that names and numbers suggest, and conversions of numbers.
//!
//! ```text
//! array_info, shape            describe the arrays of a file, before their data is read
//! roles, guess                 the roles t, x, y and p, suggested by the names of fields or by their numbers
//! field_text                   reads and writes the names of fields in a user's map of columns (`t=FIELD,...`)
//! numbers                      converts numbers of any type to times, coordinates and polarities
//! ```

mod array_info;
pub(crate) mod field_text;
mod guess;
mod numbers;
mod roles;
pub(crate) mod shape;

pub(crate) use array_info::{ArrayInfo, ArrayKind, MAX_ARRAYS, MAX_TEXT, MemberInfo, Survey, list};
pub(crate) use guess::{GUESSED_EVENTS, guess, guess_order};
pub use numbers::Numbers;
pub(crate) use numbers::{EventBlock, FAR_PIXEL, Fractions, NO_PIXEL, NO_POLARITY, Stamps};
pub use roles::TakenColumns;
pub(crate) use roles::{
    FieldPath, Fields, Part, Role, TakenField, UnusableField, assign, element, map_line, named_field, unit_in_name,
};
pub(crate) use shape::{MAX_COLUMNS, table};
