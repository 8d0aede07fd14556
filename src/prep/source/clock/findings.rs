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

/// A step of the clock that events alone do not explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) struct Break {
    /// What happens.
    pub kind: BreakKind,
    /// Index of the first event after it.
    pub at: u64,
    /// The index after the last of stray events.
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
    /// Stray events that are ahead of all others.
    Ahead,
    /// Stray events that are behind all others.
    Behind,
}

/// How the events of a file are in no order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum Disorder {
    /// From the last to the first.
    Descending,
    /// They step back so many times, by more than half of the recording, and do not return.
    Sawtooth(u64),
    /// Most events are out of place, but return.
    Shuffled,
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
    /// The counter that wraps. What else was found is of times with wraps.
    pub wrap: Option<Wrap>,
    /// What a counter that may have wrapped would have lost.
    pub doubt: Option<String>,
    /// How the whole file is out of order.
    pub disorder: Option<Disorder>,
    /// Resets, gaps and strays, in the order of their events.
    pub breaks: Vec<Break>,
    /// The first event without a time, and the number of such events.
    pub missing: Option<(u64, u64)>,
    /// Gaps and strays that a recording may have.
    pub pauses: Vec<Break>,
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

    /// Says the same of a file of `events` events in no order.
    pub(in crate::source) fn describe_disorder(&self, events: u64) -> String {
        let largest = duration(self.largest as f64);
        format!("disorder: {} of {events} events are out of place, by up to {largest}; they were sorted", self.events)
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
            (kind, Some(until)) => {
                let side = if kind == BreakKind::Behind { "behind" } else { "ahead of" };
                let last = until + skipped - 1;
                let events = if last == at { format!("event {at} is") } else { format!("events {at} to {last} are") };
                format!("stray time: {events} {by} {side} all others")
            }
            (_, None) => format!("gap: {by} pass between event {} and event {at}", at - 1),
        }
    }
}
