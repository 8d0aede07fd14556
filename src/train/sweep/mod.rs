//! Sweeps: many runs with different settings, and the table that compares runs.
//!
//! ```text
//! grid         plans a sweep: a run for every combination of options
//! summary      the result of one run
//! comparison   the results of many runs, in groups that differ only in the seed
//! table        a comparison as text and as CSV
//! picture      a comparison as curves
//! ```

mod comparison;
mod grid;
mod picture;
mod summary;
mod table;

pub use comparison::{Comparison, RunGroup, Spread};
pub use grid::{PlannedRun, RUNS, Sweep};
pub use summary::{BestEpoch, RunState, RunSummary, TestScore};
