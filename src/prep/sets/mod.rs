//! What can be done with sets that exist: said, shown, compared, joined, divided, mended.

pub mod cat;
pub mod diff;
pub mod export;
pub mod info;
pub mod list;
pub mod merge;
pub mod remake;
pub mod repair;
pub mod selection;
pub mod show;
pub mod split;
pub mod stats;
mod stats_page;
pub mod subset;

pub use diff::diff;
pub use merge::merge;
pub use remake::repair_from;
pub use repair::{Donor, holds_set, repair};
pub use selection::Output;
pub use show::Shown;
pub use split::Split;
pub use stats::stats;
pub use subset::{Choice, Condition, subset};

use std::ops::Range;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::shard::ShardSet;

/// A failure to write to standard output.
fn said(error: std::io::Error) -> Error {
    Error::io("standard output", "write")(error)
}

/// A count, or a surface's value with as many digits as a float32 has.
fn digits(value: f64) -> String {
    if value.fract() == 0.0 { value.to_string() } else { (value as f32).to_string() }
}

/// Samples `A..B`, `A..` or `..B`, B not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRange {
    start: u64,
    end: Option<u64>,
}

impl SampleRange {
    /// The range in a set.
    pub fn of(self, set: &ShardSet) -> Range<u64> {
        self.start..self.end.unwrap_or(set.len())
    }
}

impl FromStr for SampleRange {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<SampleRange, String> {
        let parse = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is no number of a sample"));
        let (start, end) = text.split_once("..").ok_or("expected A..B, such as 0..10")?;
        let start = if start.is_empty() { 0 } else { parse(start)? };
        Ok(SampleRange { start, end: if end.is_empty() { None } else { Some(parse(end)?) } })
    }
}

/// Refuses a range that has samples which the set has not.
fn check_range(set: &ShardSet, samples: &Range<u64>) -> Result<()> {
    if samples.start > samples.end || samples.end > set.len() {
        let got = format!("{}..{}", samples.start, samples.end);
        return Err(Error::usage("--samples", format!("a range A..B within 0..{}", set.len()), got));
    }
    Ok(())
}

/// The number of a class that is given by its name or its number.
///
/// # Errors
/// [`Error::Usage`] for one that the set has not.
pub fn class_number(set: &ShardSet, class: &str) -> Result<u32> {
    let classes = &set.manifest().description.classes;
    let by_name = classes.iter().position(|name| name == class);
    let by_number = || class.parse().ok().filter(|&n: &usize| n < classes.len());
    by_name.or_else(by_number).map(|n| n as u32).ok_or_else(|| {
        let expected = format!("a class's name, such as {}, or its number", classes.first().map_or("none", |c| c));
        Error::usage("class", expected, class)
    })
}
