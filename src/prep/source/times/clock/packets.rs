//! Tells packets whose events come in two turns from a clock that starts again.

/// The spans of time that were covered twice, because of a large step back from the end of a span to its start. If they
/// follow each other and are most of the recording, its packets have their events in two parts, such as by polarity.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Packets {
    spans: u64,
    /// End of the last span, and the sum of all lengths, in microseconds.
    end: i64,
    covered: i64,
    /// Whether a span begins before the end of the one before it.
    overlap: bool,
}

impl Packets {
    /// Adds the span of a step back to `start` from `end`. Spans may overlap by `small`.
    pub(crate) fn add(&mut self, start: i64, end: i64, small: i64) {
        self.overlap |= self.spans > 0 && start < self.end.saturating_sub(small);
        self.covered = self.covered.saturating_add(end.saturating_sub(start));
        (self.spans, self.end) = (self.spans + 1, end);
    }

    /// Whether packets are most of a recording of `span` microseconds. A clock that starts again twice does so at the
    /// same time, so that the spans overlap.
    pub(crate) fn are_all(&self, span: i64) -> bool {
        self.spans > 1 && !self.overlap && self.covered >= span / 2
    }
}
