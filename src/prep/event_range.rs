//! A range of a recording's events, as users write it and as error messages suggest it.

use std::ops::Range;
use std::str::FromStr;

/// A range of a recording's events: `A..B`, `A..` or `..B`. B is exclusive, and can lie beyond the recording's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRange {
    /// Index of the first event.
    pub start: u64,
    /// Index after the last event. `None` stands for the end of the recording.
    pub end: Option<u64>,
}

impl EventRange {
    /// Returns the indices of the range's events in a recording of `len` events.
    pub fn of(self, len: u64) -> Range<u64> {
        self.start..self.end.unwrap_or(len).min(len)
    }

    /// Returns the ranges of events before and after this range, in a recording of `len` events.
    pub(crate) fn others(self, len: u64) -> Vec<EventRange> {
        let Range { start, end } = self.of(len);
        let others = [(0, start), (end, len)].into_iter().filter(|(start, end)| start < end);
        others.map(|(start, end)| EventRange { start, end: Some(end) }).collect()
    }
}

impl std::fmt::Display for EventRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = if self.start == 0 { String::new() } else { self.start.to_string() };
        write!(f, "{start}..{}", self.end.map_or(String::new(), |end| end.to_string()))
    }
}

impl FromStr for EventRange {
    type Err = String;

    fn from_str(text: &str) -> Result<EventRange, String> {
        let (start, end) = tonic_base::parse_range(text)?;
        Ok(EventRange { start, end })
    }
}
