//! A part of a set: the chunks that one of several machines converts. Merging all parts gives the same set as a
//! conversion without parts.

use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A part of a set: consecutive chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Number of the part, from 1.
    pub index: u32,
    /// Number of parts that the set is divided into.
    pub of: u32,
}

impl Part {
    /// Whether `index` is from 1 to `of`.
    pub fn is_valid(self) -> bool {
        (1..=self.of).contains(&self.index)
    }

    /// Range of this part's chunks in a whole set of `chunks` chunks. Part sizes differ by at most one chunk. A part
    /// can be empty.
    ///
    /// ```
    /// use tonic_shard::Part;
    ///
    /// let shares = [1, 2, 3].map(|index| Part { index, of: 3 }.chunks(10));
    /// assert_eq!(shares, [0..3, 3..6, 6..10]);
    /// ```
    pub fn chunks(self, chunks: u64) -> Range<u64> {
        let border = |i: u32| (u128::from(chunks) * u128::from(i) / u128::from(self.of.max(1))) as u64;
        border(self.index.saturating_sub(1))..border(self.index)
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "part {} of {}", self.index, self.of)
    }
}

impl FromStr for Part {
    type Err = String;

    /// Parses `INDEX/OF`, such as `2/4`.
    fn from_str(text: &str) -> Result<Part, String> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let part = numbers.map(|(index, of)| Part { index, of }).filter(|part| part.is_valid());
        part.ok_or_else(|| "expected I/N, such as 1/4 for the first of four parts".into())
    }
}
