//! How the times of a file are read: the unit that it gives, and the clock that they came from.
//!
//! ```text
//! told_unit                    the unit that a file's attributes give
//! timeline                     how times are read: unit, range of events, wraps of the clock
//! clock                        finds what is wrong with a clock
//! ```

mod clock;
mod timeline;
mod told_unit;

pub(crate) use clock::{Break, BreakKind, Clock, Disorder, FEW, Findings, Scatter, Wrap};
pub(crate) use timeline::Timeline;
pub(crate) use told_unit::{Entry, Told, attribute_text, find as find_told, told_unit};
