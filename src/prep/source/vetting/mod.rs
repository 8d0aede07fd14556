//! Checks whether the times of recordings are plausible, and says what is wrong with them.
//!
//! ```text
//! vet                          checks the times of a recording
//! vet_blocks                   checks the times of a recording that is one large sample
//! rows                         checks the times of spoken samples, which are rows of a file
//! sorting                      finds out whether the events are sorted by something other than time
//! trouble                      makes errors and notes about the clock and the order of events
//! ```

mod rows;
mod sorting;
mod trouble;
mod vet;
mod vet_blocks;

pub(crate) use rows::{RowClocks, probe};
pub(crate) use vet::{
    COUNTED, TOO_SHORT, compare, implausible, lasts, lasts_without_gaps, vet, vet_all, vet_ends, vet_small,
    vet_unwrapped,
};
pub(crate) use vet_blocks::{Vetted, blocks, vet_in_blocks};
