//! Times of events: their unit, whether they are plausible, and the clock that gave them.
//!
//! ```text
//! unit, told_unit              units of time; the unit that a file's attributes give
//! timeline, event_range        how times are read: unit, range of events, wraps of the clock
//! vet, vet_blocks, rows        whether times are plausible: of a recording, of a large recording, of rows of speech
//! clock, sorting, trouble      what is wrong with a clock or with the order of events; the errors and notes about it
//! ```

mod clock;
mod event_range;
mod rows;
mod sorting;
mod timeline;
mod told_unit;
mod trouble;
mod unit;
mod vet;
mod vet_blocks;

pub(crate) use clock::{Clock, Findings, Wrap};
pub use event_range::EventRange;
pub(crate) use rows::{RowClocks, probe};
pub(crate) use timeline::Timeline;
pub(crate) use told_unit::{Entry, Told, attribute_text, find as find_told, told_unit};
pub use unit::TimeUnit;
pub(crate) use unit::duration;
pub(crate) use vet::{
    COUNTED, TOO_SHORT, compare, implausible, lasts, lasts_without_gaps, vet, vet_all, vet_ends, vet_small,
    vet_unwrapped,
};
pub(crate) use vet_blocks::{blocks, vet_in_blocks};
