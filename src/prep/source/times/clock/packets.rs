//! Recognises packets with two halves that cover the same times, such as one half for each polarity. The step back
//! between the halves looks like a clock that starts again.

/// The ranges of time that a recording covers twice: the times step back from the end of such a range to its start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Packets {
    spans: u64,
    /// End of the last range of time that the recording covers twice, in microseconds.
    end: i64,
    /// Total length of the ranges of time that the recording covers twice, in microseconds.
    covered: i64,
    /// Whether one of these ranges overlaps the range added before it.
    overlap: bool,
}

impl Packets {
    /// Adds the range of time from `start` to `end`, which is covered twice. If it overlaps the range added just before
    /// by at most `small` microseconds, the overlap is ignored.
    pub(crate) fn add(&mut self, start: i64, end: i64, small: i64) {
        self.overlap |= self.spans > 0 && start < self.end.saturating_sub(small);
        self.covered = self.covered.saturating_add(end.saturating_sub(start));
        (self.spans, self.end) = (self.spans + 1, end);
    }

    /// Returns whether packets with two halves cover at least half of a recording of `span` microseconds, without
    /// overlaps. After several restarts of the clock, the ranges would overlap.
    pub(crate) fn are_all(&self, span: i64) -> bool {
        self.spans > 1 && !self.overlap && self.covered >= span / 2
    }
}
