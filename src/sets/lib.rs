#![doc = include_str!("README.md")]

// info, list, stats, diff       describe, list, measure and compare sets; stats_page draws the statistics
// show, cat, export             a sample as a picture, as text, as NumPy files; sample, range: which sample
// merge, subset, split          sets from other sets; selection writes the selected samples
// repair, other_copy, remake    repairs a set from a copy, or from its recordings
// card, lock_file               describes a set for people; says which sets a project uses
// text, error                   printed text; errors

mod card;
mod cat;
mod diff;
mod error;
mod export;
pub mod info;
pub mod list;
mod lock_file;
mod merge;
mod other_copy;
mod range;
mod remake;
mod repair;
mod sample;
mod selection;
mod show;
mod split;
mod stats;
mod stats_page;
mod subset;
mod text;

pub use card::Card;
pub use diff::{Difference, SampleDifference, diff};
pub use error::{Error, Result};
pub use export::{Exported, export_npy};
pub use lock_file::{LockFile, LockedSet, directory_name, name_of};
pub use merge::merge;
pub use range::{SampleRange, class_number};
pub use remake::repair_from;
pub use repair::{Donor, Remake, Repaired, holds_set, repair};
pub use sample::Sample;
pub use selection::Output;
pub use show::{frame_length, frame_seconds};
pub use split::Split;
pub use stats::{Distribution, Stats, stats};
pub use subset::{Condition, Filter, subset};
