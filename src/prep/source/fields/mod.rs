//! Finds which fields of a file are t, x, y and p, and how it stores on and off.
//!
//! ```text
//! survey                       finds the fields by their names, shapes and numbers
//! boxes                        files of bounding boxes, which are no events
//! two_times                    fields of times with a unit in their names, next to the times
//! unusable, unnamed, left_over fields that don't fit, files without usual names, arrays that are not used
//! polarities                   how a file stores on and off
//! ```

mod boxes;
pub(crate) mod left_over;
mod polarities;
pub(crate) mod survey;
mod two_times;
mod unnamed;
pub(crate) mod unusable;

pub(crate) use left_over::elsewhere;
pub(crate) use polarities::{Polarities, listed, odd_polarities};
pub(crate) use two_times::check_times;
pub(crate) use unusable::unusable;
