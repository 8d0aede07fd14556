//! Decides which fields of an open file are t, x, y and p, refuses files where that is not clear, and finds out how a
//! file stores the polarities on and off. The parts for this are in [`columns`](super::columns).
//!
//! ```text
//! survey                       finds the fields by their names, shapes and numbers
//! boxes                        recognises files of bounding boxes, which contain no events
//! two_times                    compares t with other fields of times, such as `t_ns`
//! unusable                     finds fields that have the name of a column but the wrong type or shape
//! unnamed                      makes the error for a file whose fields have no usual names
//! left_over                    lists the arrays that are not used
//! polarities                   checks how a file stores on and off
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
