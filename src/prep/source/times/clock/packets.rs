//! Recognises packets with two halves that cover the same times, such as one for each polarity. The step back between
//! the halves looks like a clock that starts again.

/// The ranges of time that a recording covers twice, because of a large step back from the end of the range to its
/// start. If the ranges follow each other and cover most of the recording, they are packets with two halves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Packets {
    spans: u64,
    /// End of the last range of time of which the file has events twice, in two places. In microseconds.
    end: i64,
    /// Sum of the lengths of all such ranges of time, in microseconds.
    covered: i64,
    /// Whether one of the ranges of time that are covered twice begins before the end of the range before it.
    overlap: bool,
}

impl Packets {
    /// Adds a range of time that is covered twice, because of a step back from `end` to `start`. If it overlaps the
    /// range before it by at most `small` microseconds, that doesn't count as an overlap.
    pub(crate) fn add(&mut self, start: i64, end: i64, small: i64) {
        self.overlap |= self.spans > 0 && start < self.end.saturating_sub(small);
        self.covered = self.covered.saturating_add(end.saturating_sub(start));
        (self.spans, self.end) = (self.spans + 1, end);
    }

    /// Returns whether packets with two halves cover most of a recording of `span` microseconds. If a clock starts
    /// again twice instead, it starts at about the same time, so that the ranges overlap.
    pub(crate) fn are_all(&self, span: i64) -> bool {
        self.spans > 1 && !self.overlap && self.covered >= span / 2
    }
}
