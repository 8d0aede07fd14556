//! Sweeps: many runs with different settings, and the table that compares runs.

mod comparison;
mod options;
mod picture;
mod plan;
mod summary;
mod table;

pub use comparison::{Comparison, RunGroup, Spread};
pub use options::{RunOption, read_options};
pub use plan::{PlannedRun, RUNS, Sweep};
pub use summary::{BestEpoch, RunState, RunSummary, TestScore};
