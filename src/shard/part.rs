//! A part of a set: what one of several machines converts, so that all of them merge into the set converted whole.

use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::manifest::SetDescription;

/// One of `of` parts of a set: a contiguous share of its chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which, from 1.
    pub index: u32,
    /// Of how many.
    pub of: u32,
}

impl Part {
    /// Whether there is such a part.
    pub fn is_valid(self) -> bool {
        (1..=self.of).contains(&self.index)
    }

    /// Its chunks, of a set of `chunks`: shares differ by one chunk at most, and some are empty where parts outnumber
    /// chunks.
    ///
    /// ```
    /// use tonic_toolkit::shard::part::Part;
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

    /// `2/4`.
    fn from_str(text: &str) -> Result<Part, String> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let part = numbers.map(|(index, of)| Part { index, of }).filter(|part| part.is_valid());
        part.ok_or_else(|| "expected I/N, such as 1/4 for the first of four parts".into())
    }
}

impl SetDescription {
    /// Samples of a range of its chunks.
    pub fn samples_of(&self, chunks: Range<u64>) -> Range<u64> {
        let first = |chunk: u64| chunk.saturating_mul(self.chunk_samples.into()).min(self.samples);
        first(chunks.start)..first(chunks.end)
    }

    /// Chunks of `chunk_samples` instead, in shards that stay about as large.
    pub fn resize_chunks(&mut self, chunk_samples: u32) {
        let shard_samples = u64::from(self.shard_chunks) * u64::from(self.chunk_samples);
        self.shard_chunks = (shard_samples / u64::from(chunk_samples.max(1))).clamp(1, 1 << 20) as u32;
        self.chunk_samples = chunk_samples.max(1);
    }

    /// What a part of this set is, all of whose samples come from its sources in their order. Every source stays in the
    /// list, with the samples that the part has of it.
    pub fn into_part(mut self, part: Part) -> SetDescription {
        let range = self.samples_of(part.chunks(self.chunks()));
        let mut first = 0;
        for source in &mut self.sources {
            let end = first + source.samples;
            source.samples = end.min(range.end).saturating_sub(first.max(range.start));
            first = end;
        }
        self.samples = range.end - range.start;
        self.part = Some(part);
        self
    }
}
