//! The faults that were found in a recording's clock, and how messages describe them.

use crate::source::times::clock::clusters::Scatter;
use crate::source::times::clock::wrap::Wrap;
use crate::time_unit::duration;

/// Events that are out of order for a short while. After them, the times continue from where they were before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Jitter {
    pub events: u64,
    /// The largest step back, in microseconds.
    pub largest: i64,
    /// Index of the event after the largest step back.
    pub at: u64,
}

/// A jump of the clock: a reset, a gap, or the jump to stray events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Break {
    pub kind: BreakKind,
    /// Index of the first event after the jump. For stray events: the index of the first stray event.
    pub at: u64,
    /// For stray events: the index of the first event after them. `None` for a reset or a gap.
    pub until: Option<u64>,
    /// Length of the jump, in microseconds.
    pub by: i64,
}

/// What a [`Break`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreakKind {
    /// A step back, after which the times continue from the lower time.
    Reset,
    /// A jump ahead, after which the times continue from the higher time.
    Gap,
    /// Stray events whose times are later than all others.
    Ahead,
    /// Stray events whose times are earlier than all others.
    Behind,
}

/// How the events of a whole file are out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disorder {
    /// Nearly all steps from one event to the next go back.
    Descending,
    /// The times step back again and again without returning. The value is the number of steps back that are longer
    /// than half of the recording's duration.
    Sawtooth(u64),
    /// More than half of the events are out of order.
    Shuffled,
    /// Some events are out of order by more than a minute and more than 100 times the mean step.
    Late,
}

/// What a pass over the times of a recording has found. All times are as in the file, before wraps are undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub events: u64,
    /// The lowest and the highest time, in microseconds. `None` if there are no events.
    pub extent: Option<(i64, i64)>,
    /// Sum of the steps ahead in microseconds, without those that only undo a step back.
    pub progress: i64,
    /// How many events are out of order, and by how much. `None` if all events are in order.
    pub jitter: Option<Jitter>,
    /// The wraps of the clock's counter, if they are certain.
    pub wrap: Option<Wrap>,
    /// The wraps of the clock's counter, if they are possible but not certain.
    pub doubt: Option<Wrap>,
    /// How the events of the whole file are out of order. `None` if they are in order, apart from single faults.
    pub disorder: Option<Disorder>,
    /// Stray events or other clocks all over the recording. If there are any, `breaks` is unreliable.
    pub scatter: Option<Scatter>,
    /// Resets, gaps and stray events, sorted by the index of their first event.
    pub breaks: Vec<Break>,
    /// Index of the first event without a time, and the number of such events. `None` if every event has a time.
    pub missing: Option<(u64, u64)>,
    /// Long jumps forward. In a spoken sample, they are faults. In a recording of a camera, they are pauses, for
    /// example between trials.
    pub pauses: Vec<Break>,
}

impl Findings {
    /// Returns the wrap that is undone if the user `asked` to undo wraps, and refused otherwise:
    ///
    /// - the certain wrap, if there is one;
    /// - otherwise, a likely wrap, if the clock has no resets, gaps or stray events. If the user `asked`, the clock may
    ///   have resets.
    pub(crate) fn wraps(&self, asked: bool) -> Option<&Wrap> {
        let resets = self.breaks.iter().all(|found| found.kind == BreakKind::Reset);
        let likely = |wrap: &&Wrap| wrap.likely && (self.breaks.is_empty() || asked && resets);
        self.wrap.as_ref().or(self.doubt.as_ref().filter(likely))
    }

    /// Returns a copy of these findings in which each reset counts as one event out of order. The copy has no doubtful
    /// wrap and no scatter.
    pub(crate) fn without_resets(&self) -> Findings {
        let mut found = self.clone();
        let mut jitter = found.jitter.unwrap_or_default();
        for reset in found.breaks.extract_if(.., |found| found.kind == BreakKind::Reset) {
            jitter.add(reset.at, reset.by, 1);
        }
        Findings { jitter: Some(jitter), doubt: None, scatter: None, ..found }
    }
}

impl Jitter {
    /// Adds `events` events that a step back of `depth` microseconds puts out of order. `at` is the index of the event
    /// after the step.
    pub(crate) fn add(&mut self, at: u64, depth: i64, events: u64) {
        self.events += events;
        if depth > self.largest {
            (self.largest, self.at) = (depth, at);
        }
    }

    /// Describes the jitter for a message. `skipped` is the number of events in the file before the range that is used.
    pub(crate) fn describe(&self, skipped: u64) -> String {
        let (events, at, largest) = (self.events, self.at + skipped, duration(self.largest as f64));
        format!("jitter: {events} events are out of order; the largest step back is {largest}, before event {at}")
    }

    /// Describes the disorder for a message. `events` is the number of events in the file.
    pub(crate) fn describe_disorder(&self, events: u64) -> String {
        let largest = duration(self.largest as f64);
        format!("disorder: {} of {events} events are out of place, by up to {largest}; they were sorted", self.events)
    }
}

impl Scatter {
    /// Describes the scatter for a message. `events` is the number of all events. `skipped` is the number of events in
    /// the file before the range that is used.
    pub(crate) fn describe(&self, events: u64, skipped: u64) -> String {
        let (others, hole, at) = (self.others, duration(self.hole as f64), self.at + skipped);
        let what = if self.clocks.len() > 1 { "second clock" } else { "stray time" };
        format!("{what}: {others} of {events} events are {hole} or more from the others, the first is event {at}")
    }
}

impl Break {
    /// Describes the jump for a message. `skipped` is the number of events in the file before the range that is used.
    pub(crate) fn describe(&self, skipped: u64) -> String {
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
