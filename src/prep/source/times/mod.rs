//! Times of events: their unit, whether they are plausible, and the clock that they were taken from.
//!
//! ```text
//! unit, told_unit              units of time; the unit that a file's attributes tell
//! timeline, event_range        how times are read: unit, range of events, wraps of the clock
//! vet, vet_blocks, rows        whether times fit the layout: of a recording, of a large one, of rows of speech
//! clock, sorting, trouble      what is wrong with a clock or an order, and which errors and notes that makes
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
pub(crate) use vet::{implausible, vet, vet_all, vet_ends, vet_small, vet_unwrapped};
pub(crate) use vet_blocks::{blocks, vet_in_blocks};
