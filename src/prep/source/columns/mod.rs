//! Columns of events: the arrays of a file, the roles t, x, y and p of their fields, and the numbers in them.
//!
//! ```text
//! array_info, shape            describes the arrays of a file, before their data is read
//! roles, guess                 the four columns, by the names of fields or by the numbers in them
//! field_text                   names of fields in a map
//! numbers                      columns of numbers of any type, and their conversion
//! ```

mod array_info;
pub(crate) mod field_text;
mod guess;
mod numbers;
mod roles;
pub(crate) mod shape;

pub(crate) use array_info::{ArrayInfo, ArrayKind, MemberInfo, Survey, list};
pub(crate) use guess::{GUESSED_EVENTS, guess, guess_order};
pub(crate) use numbers::{EventBlock, FAR_PIXEL, Fractions, NO_PIXEL, NO_POLARITY, Numbers, Stamps};
pub use roles::TakenColumns;
pub(crate) use roles::{
    FieldPath, Fields, Part, Role, TakenField, UnusableField, assign, element, map_line, named_field, unit_in_name,
};
pub(crate) use shape::{MAX_COLUMNS, table};
