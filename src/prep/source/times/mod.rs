//! Finds the unit of a recording's times, and the faults of the clock that made the times.
//!
//! ```text
//! told_unit, entries           finds the unit of times in entries of a file
//! timeline                     settings for reading times: the unit, the range of events, wraps of the clock to undo
//! clock                        finds the faults of a clock in its times
//! ```

mod clock;
mod entries;
mod timeline;
mod told_unit;

pub(crate) use clock::{Break, BreakKind, Clock, Disorder, FEW, Findings, Scatter, Wrap};
pub(crate) use entries::{Entry, one_text};
pub(crate) use timeline::Timeline;
pub(crate) use told_unit::{Told, ToldUnit, find as find_told, told_unit};
