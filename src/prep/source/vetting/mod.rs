//! Checks whether the times of recordings are plausible, and says what is wrong with them.
//!
//! ```text
//! vet, vet_blocks, rows        the times of a recording, of a large recording, of rows of speech
//! sorting, trouble             the order of events; errors and notes about the clock and the order
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
pub(crate) use vet_blocks::{blocks, vet_in_blocks};
