//! The faults that were found in a recording's clock, and how messages describe them.

use crate::source::clock::wrap::Wrap;
use crate::source::unit::duration;

/// Events that are out of order, after which the times return to where they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::source) struct Jitter {
    /// Number of events out of order.
    pub events: u64,
    /// The largest step back, in microseconds.
    pub largest: i64,
    /// Index of the event after the largest step back.
    pub at: u64,
}

/// A jump of the clock: a reset, a gap, or stray events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) struct Break {
    /// Kind of the jump.
    pub kind: BreakKind,
    /// Index of the first event after the jump.
    pub at: u64,
    /// For stray events: the index after the last stray event. `None` for a reset or a gap.
    pub until: Option<u64>,
    /// Length of the jump, in microseconds.
    pub by: i64,
}

/// Kinds of [`Break`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum BreakKind {
    /// A step back, after which the times go on from the lower time.
    Reset,
    /// A jump ahead, after which the times go on from the higher time.
    Gap,
    /// Stray events whose times are ahead of all others.
    Ahead,
    /// Stray events whose times are behind all others.
    Behind,
}

/// How the events of a whole file are out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum Disorder {
    /// The times descend.
    Descending,
    /// The times step back this many times, each time by more than half of the recording's duration, and do not return.
    Sawtooth(u64),
    /// Most events are out of order, but the times always return.
    Shuffled,
}

/// What a pass over the times of a recording has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::source) struct Findings {
    /// Number of events.
    pub events: u64,
    /// The lowest and the highest time, in microseconds. Wraps are not undone. `None` without events.
    pub extent: Option<(i64, i64)>,
    /// Sum of all steps ahead, in microseconds.
    pub progress: i64,
    /// Events out of order. `None` if there are none.
    pub jitter: Option<Jitter>,
    /// The counter that wraps, if one does. All other findings are then about times whose wraps are not undone.
    pub wrap: Option<Wrap>,
    /// A counter that may have wrapped where the times step back. `None` if that is unlikely or certain.
    pub doubt: Option<Wrap>,
    /// How the whole file is out of order. `None` if it isn't.
    pub disorder: Option<Disorder>,
    /// Resets, gaps and stray events, in the order of their events.
    pub breaks: Vec<Break>,
    /// Index of the first event without a time, and the number of events without a time.
    pub missing: Option<(u64, u64)>,
    /// Long jumps that are only noted: gaps and stray events that a recording may have.
    pub pauses: Vec<Break>,
}

impl Jitter {
    /// Counts `events` more events that are out of order. The step back is `depth` microseconds, before event `at`.
    pub(super) fn add(&mut self, at: u64, depth: i64, events: u64) {
        self.events += events;
        if depth > self.largest {
            (self.largest, self.at) = (depth, at);
        }
    }

    /// Describes for a message how many events are out of order and by how much. `skipped` is the number of the file's
    /// events before the first event that was seen.
    pub(in crate::source) fn describe(&self, skipped: u64) -> String {
        let (events, at, largest) = (self.events, self.at + skipped, duration(self.largest as f64));
        format!("jitter: {events} events are out of order; the largest step back is {largest}, before event {at}")
    }

    /// Describes for a message a file in which most of the `events` events are out of order: how many, and by how much.
    pub(in crate::source) fn describe_disorder(&self, events: u64) -> String {
        let largest = duration(self.largest as f64);
        format!("disorder: {} of {events} events are out of place, by up to {largest}; they were sorted", self.events)
    }
}

impl Break {
    /// Describes the jump for a message: what happens, and at which event. `skipped` is the number of the file's events
    /// before the first event that was seen.
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
