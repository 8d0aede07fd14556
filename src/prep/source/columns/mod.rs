//! Columns of events: which fields of a file are t, x, y and p, and the numbers in them.
//!
//! ```text
//! array_info, shape            describes the arrays of a file, before their data is read
//! boxes                        files of bounding boxes, which are no events
//! two_times                    fields of times with a unit in their names, next to the times
//! roles, survey, guess         the four columns, and the fields of a file that are used for them
//! field_text                   names of fields in a map
//! unusable, unnamed, left_over fields that don't fit, files without usual names, arrays that are not used
//! numbers                      columns of numbers of any type, and their conversion
//! polarities                   how a file stores on and off
//! ```

mod array_info;
mod boxes;
pub(crate) mod field_text;
mod guess;
pub(crate) mod left_over;
mod numbers;
mod polarities;
mod roles;
pub(crate) mod shape;
pub(crate) mod survey;
mod two_times;
mod unnamed;
pub(crate) mod unusable;

pub(crate) use array_info::{ArrayInfo, ArrayKind, MemberInfo, Survey, list};
pub(crate) use guess::{GUESSED_EVENTS, guess_order};
pub(crate) use left_over::elsewhere;
pub(crate) use numbers::{EventBlock, FAR_PIXEL, Fractions, NO_PIXEL, Numbers, Stamps};
pub(crate) use polarities::{Polarities, listed, odd_polarities};
pub use roles::TakenColumns;
pub(crate) use roles::{FieldPath, Fields, Part, Role, TakenField, UnusableField, element, map_line, named_field};
pub(crate) use shape::{MAX_COLUMNS, table};
pub(crate) use two_times::{check_times, unit_in_name};
pub(crate) use unusable::unusable;
