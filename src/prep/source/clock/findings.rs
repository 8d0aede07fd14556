//! What was found of a recording's clock, and how it is said.

use crate::source::clock::wrap::Wrap;
use crate::source::unit::duration;

/// Events out of order that return to where they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::source) struct Jitter {
    /// Number of events out of place.
    pub events: u64,
    /// The largest step back, in microseconds.
    pub largest: i64,
    /// The event before which it is.
    pub at: u64,
}

/// A place where the clock does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) struct Break {
    /// What happens.
    pub kind: BreakKind,
    /// Index of the first event after it.
    pub at: u64,
    /// Of events whose times are ahead of all others: the index after the last of them.
    pub until: Option<u64>,
    /// By how many microseconds.
    pub by: i64,
}

/// Kinds of [`Break`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum BreakKind {
    /// A step back that does not return.
    Reset,
    /// A jump ahead.
    Gap,
}

/// What a pass over the times has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::source) struct Findings {
    /// Number of events.
    pub events: u64,
    /// The lowest and the highest time, in microseconds, with the periods of wraps added.
    pub extent: Option<(i64, i64)>,
    /// Events out of order. `None` if there are none.
    pub jitter: Option<Jitter>,
    /// The counter that wraps.
    pub wrap: Option<Wrap>,
    /// Resets and gaps, in the order of their events.
    pub breaks: Vec<Break>,
}

impl Jitter {
    /// Counts events out of place, by `depth` microseconds.
    pub(super) fn add(&mut self, at: u64, depth: i64, events: u64) {
        self.events += events;
        if depth > self.largest {
            (self.largest, self.at) = (depth, at);
        }
    }

    /// Says how many events are out of order and by how much. Events before the first seen one are `skipped`.
    pub(in crate::source) fn describe(&self, skipped: u64) -> String {
        let (events, at, largest) = (self.events, self.at + skipped, duration(self.largest as f64));
        format!("jitter: {events} events are out of order; the largest step back is {largest}, before event {at}")
    }
}

impl Break {
    /// Says what happens at which event. Events before the first seen one are `skipped`.
    pub(in crate::source) fn describe(&self, skipped: u64) -> String {
        let (at, by) = (self.at + skipped, duration(self.by as f64));
        match (self.kind, self.until) {
            (BreakKind::Reset, _) => {
                format!("reset: the times step back by {by} before event {at} and go on from there")
            }
            (BreakKind::Gap, None) => format!("gap: {by} pass between event {} and event {at}", at - 1),
            (BreakKind::Gap, Some(until)) => {
                format!("gap: events {at} to {} are {by} ahead of all others", until + skipped - 1)
            }
        }
    }
}
