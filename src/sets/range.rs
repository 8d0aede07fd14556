//! Arguments that name samples and classes.

use std::ops::Range;
use std::str::FromStr;

use tonic_shard::ShardSet;

use crate::error::{BaseFault, Error, Result};

/// A range of samples: `A..B`, `A..` or `..B`. Sample B is not in the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRange {
    start: u64,
    end: Option<u64>,
}

impl SampleRange {
    /// Returns the indices of the samples, without a check that `set` has these samples.
    pub fn of(self, set: &ShardSet) -> Range<u64> {
        self.start..self.end.unwrap_or(set.len())
    }
}

impl FromStr for SampleRange {
    type Err = String;

    fn from_str(text: &str) -> Result<SampleRange, String> {
        let (start, end) = tonic_base::parse_range(text)?;
        Ok(SampleRange { start, end })
    }
}

/// Returns an error if the range is not inside the set.
pub(crate) fn check_range(set: &ShardSet, samples: &Range<u64>) -> Result<()> {
    if samples.start > samples.end || samples.end > set.len() {
        let got = format!("{}..{}", samples.start, samples.end);
        return Err(Error::usage("samples", format!("a range A..B within 0..{}", set.len()), got));
    }
    Ok(())
}

/// Returns the label of a class, given its name, or its label as text.
///
/// # Errors
/// [`tonic_base::Error::Usage`] for an unknown class.
pub fn class_number(set: &ShardSet, class: &str) -> Result<u32> {
    let classes = &set.manifest().description.classes;
    let by_name = classes.iter().position(|name| name == class);
    let by_number = || class.parse().ok().filter(|&n: &usize| n < classes.len());
    by_name.or_else(by_number).map(|n| n as u32).ok_or_else(|| {
        let expected = format!("a class's name, such as {}, or its number", classes.first().map_or("none", |c| c));
        Error::usage("class", expected, class)
    })
}
