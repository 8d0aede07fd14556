//! Finds what is wrong with a recording's clock, in one pass over its times.
//!
//! | finding | what the times do | an example |
//! |---|---|---|
//! | jitter | step back a little, or for a few events, and return | packets out of order: -99 ms for 5 events |
//! | wrap | step back by 2^n ticks of the counter, and continue | a counter of 24 bits, after 16.8 s |
//! | reset | step back and continue from there | the camera was started again |
//! | gap | jump ahead by far more than the rest of the recording lasts | the first events are from long before |
//! | stray | jump as far as a gap for a few events, or step back far for a block of events | one damaged time |
//! | scatter | go back and forth between ranges that are far apart | damaged times all over the file; two clocks |
//! | disorder | descend, or step back again and again without returning | a file whose events are sorted by pixel |
//!
//! ```text
//! judge      decides at the end of the pass which steps are faults
//! wrap       finds a counter that wraps, and undoes the wraps
//! packets    recognises packets with two halves that cover the same times; a clock that starts again looks like that
//! bounds     constants (durations, numbers of events) that several of these files share
//! clusters   recognises stray events and other clocks by the values of their times
//! swapped    recognises blocks of events that swapped their places in the file
//! findings   what was found, and how messages describe it
//! ```

mod bounds;
mod clusters;
mod findings;
mod judge;
mod packets;
mod swapped;
mod wrap;

pub(crate) use bounds::FEW;
pub(crate) use clusters::Scatter;
pub(crate) use findings::{Break, BreakKind, Disorder, Findings, Jitter};
pub(crate) use wrap::Wrap;

use crate::time_unit::TimeUnit;
use bounds::{MINUTE, ORDERED, PAUSE};
use clusters::Clusters;
use packets::Packets;
use swapped::Segments;
use wrap::Turns;

/// Number of consecutive events whose times are processed as one block.
const BLOCK: usize = 1024;
/// A block that is not calm is processed in parts of this many consecutive events.
const PART: usize = 32;
/// A block of times is calm if it has no steps back, and all its steps are shorter than this power of two, in
/// microseconds. A calm block is processed as a whole.
const CALM: u64 = 1 << 10;
/// A step back is small if it is at most an eighth of the recording's duration. This eighth is limited to the range
/// given here, in microseconds. A small step back always counts as jitter.
const SMALL: (i64, i64) = (1_000, 100_000);
/// If more than this many events in order follow a step back, the times are no longer expected to return. In
/// recordings of fewer than 1,024 events, this number is a sixteenth of the number of events, but at least
/// [`ORDERED`].
const SETTLED: u64 = 64;
/// Longest step back, in microseconds, that counts as jitter if only a few events follow it near the end of a
/// recording. It must also be at most an eighth of the recording's duration.
const LATE: i64 = 1_000_000;
const HOUR: i64 = 60 * MINUTE;
/// Maximum number of possible gaps that are kept. It is also the maximum number of resets, and of stray blocks.
const LISTED: usize = 16;

/// Looks for faults of a recording's clock in one pass over its times.
#[derive(Debug)]
pub(crate) struct Clock {
    unit: TimeUnit,
    /// If a run (see [`Run`]) has more than this many events in order, the times are no longer expected to return to
    /// the run before it.
    settled: u64,
    /// The first times of the recording, at most [`BLOCK`].
    first: Vec<i64>,
    /// Number of events processed so far.
    seen: u64,
    /// Time of the last event processed, in microseconds.
    previous: i64,
    /// The lowest time so far, in microseconds.
    low: i64,
    /// The highest time so far, in microseconds.
    high: i64,
    /// Sum of the steps ahead in microseconds, without those that only undo a step back.
    progress: i64,
    /// The run (see [`Run`]) to which the last event belongs.
    run: Run,
    /// The run before the current one (see [`Run`]). `None` if the times are no longer expected to return to it.
    left: Option<Run>,
    /// The last large jump ahead. `None` if the times have stepped back to their values before this jump.
    leap: Option<Leap>,
    jitter: Jitter,
    turns: Turns,
    /// Number of steps ahead, including very small ones.
    ahead: u64,
    /// Number of steps back, including very small ones.
    backward: u64,
    /// Number of steps back that are not small (see [`SMALL`]).
    deep: u64,
    /// Steps back from which the times did not jump ahead again. Each has the run (see [`Run`]) after the step, and the
    /// number of events in the run before it.
    resets: Vec<(Break, Run, u64)>,
    /// The [`LISTED`] longest jumps: jumps ahead, and jumps back after which the times returned.
    gaps: Vec<Break>,
    packets: Packets,
    segments: Segments,
    clusters: Clusters,
    /// Jumps to stray blocks: consecutive events whose times are far behind the times around them. Each has the number
    /// of events in the block. At most [`LISTED`] are kept.
    blocks: Vec<(Break, u64)>,
    /// Index of the first event without a time, and the number of such events. `None` if every event has a time.
    missing: Option<(u64, u64)>,
}

/// A large jump ahead from one event to the next. Times are in microseconds.
#[derive(Clone, Copy, Debug)]
struct Leap {
    /// Index of the event after the jump.
    at: u64,
    /// Time of the event before the jump.
    from: i64,
    by: i64,
}

/// A run: the events from one large step back to the next. A large step back does not begin a new run if it comes
/// soon after another large step back, or if it only undoes a jump ahead.
#[derive(Clone, Copy, Debug)]
struct Run {
    at: u64,
    start: i64,
    low: i64,
    high: i64,
    events: u64,
    /// Number of large steps back inside the run.
    steps: u64,
}

impl Clock {
    /// Starts a pass over the times of a file. `unit` is the unit in which the file stores them.
    pub(crate) fn new(unit: TimeUnit) -> Clock {
        let run = Run::new(0, 0);
        Clock {
            unit,
            settled: SETTLED,
            first: Vec::new(),
            seen: 0,
            previous: 0,
            low: 0,
            high: 0,
            progress: 0,
            run,
            left: None,
            leap: None,
            jitter: Jitter::default(),
            turns: Turns::default(),
            ahead: 0,
            backward: 0,
            deep: 0,
            resets: Vec::new(),
            gaps: Vec::new(),
            packets: Packets::default(),
            segments: Segments::default(),
            clusters: Clusters::default(),
            blocks: Vec::new(),
            missing: None,
        }
    }

    /// Counts events without a time. `missing` has their indices in the slice `times` that is passed to the next call
    /// of [`Clock::see`].
    pub(crate) fn miss(&mut self, missing: &[usize]) {
        if let Some(&first) = missing.first() {
            let (at, before) = self.missing.unwrap_or((self.seen + first as u64, 0));
            self.missing = Some((at, before + missing.len() as u64));
        }
    }

    /// Processes the next times of the recording, in microseconds.
    pub(crate) fn see(&mut self, times: &[i64]) {
        self.first.extend(times.iter().take(BLOCK - self.first.len()));
        for block in times.chunks(BLOCK) {
            if self.passes(block) {
                continue;
            }
            for part in block.chunks(PART) {
                if !self.passes(part) {
                    part.iter().for_each(|&time| self.step(time));
                }
            }
        }
    }

    /// If a block of times continues the current run in short steps ahead, processes it as a whole and returns `true`.
    /// Otherwise, does nothing and returns `false`.
    fn passes(&mut self, block: &[i64]) -> bool {
        let [first, .., last] = *block else { return false };
        if self.seen == 0 || self.previous != self.run.high || last < self.previous {
            return false;
        }
        // If a difference overflows 64 bits and still looks calm, the last time is below the previous one. The check
        // above excludes that.
        let mut steps = first.wrapping_sub(self.previous) as u64;
        for (a, b) in block.iter().zip(&block[1..]) {
            steps |= b.wrapping_sub(*a) as u64;
        }
        let near_left = self.left.is_some_and(|left| last >= left.high.saturating_sub(self.small()));
        if steps >= CALM || near_left {
            return false;
        }
        let events = block.len() as u64;
        self.progress = self.progress.saturating_add(last - self.previous);
        self.run.events += events;
        self.run.high = last;
        self.ahead += events;
        (self.previous, self.high) = (last, self.high.max(last));
        self.seen += events;
        self.segments.extend_to(last);
        self.clusters.extend_to(last, events);
        true
    }

    fn step(&mut self, time: i64) {
        if self.seen == 0 {
            (self.previous, self.low, self.high) = (time, time, time);
            self.run = Run::new(0, time);
        }
        (self.low, self.high) = (self.low.min(time), self.high.max(time));
        self.segments.see(time);
        self.clusters.see(self.seen, time);
        self.turns.see(self.seen, (self.previous, time), (self.low, self.high));
        self.ahead += u64::from(time > self.previous);
        self.backward += u64::from(time < self.previous);
        self.run.events += 1;
        if time >= self.run.high {
            self.go_on(time)
        } else {
            self.go_back(time)
        }
        self.previous = time;
        self.seen += 1;
    }

    fn go_on(&mut self, time: i64) {
        let small = self.small();
        let jump = time.saturating_sub(self.run.high);
        if let Some(left) = self.left.filter(|left| time >= left.high.saturating_sub(small)) {
            let depth = left.high.saturating_sub(self.run.low);
            self.left = None;
            if jump >= depth / 4 || !self.run.is_settled(self.settled) {
                let late = self.run.events - 1;
                let block = Break { kind: BreakKind::Behind, at: self.run.at, until: Some(self.seen), by: depth };
                if self.blocks.len() < LISTED && late > ORDERED && jump >= depth / 2 && self.is_far(depth) {
                    self.blocks.push((block, late));
                } else {
                    self.leave(block, late);
                }
                self.run = Run { events: left.events + self.run.events, ..left };
                if time >= left.high {
                    self.advance(time, time.saturating_sub(left.high));
                }
                return;
            }
            self.reset(left);
        }
        self.advance(time, jump);
    }

    /// Returns whether the current run is a stray block, and not a late packet. `depth` is how far the run is behind
    /// the times before it, in microseconds.
    fn is_far(&self, depth: i64) -> bool {
        let Run { low, high, .. } = self.run;
        let fits = |leap: Leap| {
            low >= leap.from.saturating_sub(SMALL.0)
                && high <= leap.from.saturating_add(leap.by).saturating_add(SMALL.0)
        };
        let one = low == high && low == self.low;
        (depth > LATE || one) && !self.run.is_rough(self.settled) && !self.leap.is_some_and(fits)
    }

    fn advance(&mut self, time: i64, jump: i64) {
        if jump > self.small() {
            self.leap = Some(Leap { at: self.seen, from: self.run.high, by: jump });
        }
        self.leave(Break { kind: BreakKind::Gap, at: self.seen, until: None, by: jump }, 0);
        self.progress = self.progress.saturating_add(jump);
        self.run.high = time;
    }

    /// Keeps the [`LISTED`] longest jumps above [`PAUSE`] as possible gaps. A jump that is not kept counts as jitter if
    /// the times returned after it. In this case, `late` events are out of order, or all events before the return if
    /// `late` is 0.
    fn leave(&mut self, jump: Break, late: u64) {
        let mut small = (jump.by <= PAUSE).then_some(jump);
        if small.is_none() {
            self.gaps.push(jump);
            if self.gaps.len() > LISTED {
                let least = (0..self.gaps.len()).min_by_key(|&i| self.gaps[i].by);
                small = least.map(|i| self.gaps.remove(i));
            }
        }
        if let Some(Break { at, by, until: Some(until), .. }) = small {
            self.jitter.add(at, by, if late > 0 { late } else { until - at });
        }
    }

    /// Records the step back from the run `left` to the current run as a possible reset of the clock. Only the first
    /// [`LISTED`] possible resets are kept.
    fn reset(&mut self, left: Run) {
        let by = left.high.saturating_sub(self.run.start);
        let reset = Break { kind: BreakKind::Reset, at: self.run.at, until: None, by };
        self.resets.push((reset, self.run, left.events));
        self.resets.truncate(LISTED);
    }

    fn go_back(&mut self, time: i64) {
        let (small, depth) = (self.small(), self.run.high.saturating_sub(time));
        self.run.low = self.run.low.min(time);
        if depth <= small {
            // If the times may still return to the run before, these events are counted when the times return.
            if self.left.is_none() {
                self.jitter.add(self.seen, depth, 1);
            }
            return;
        }
        self.deep += 1;
        self.packets.add(time, self.run.high, small);
        // The times step back to where they jumped ahead: the events in between were early.
        let early = |leap: &Leap| time >= leap.from.saturating_sub(SMALL.0) && depth <= leap.by.saturating_mul(3);
        if let Some(Leap { at, .. }) = self.leap.filter(early) {
            self.leap = None;
            match self.gaps.last_mut().filter(|gap| gap.at == at) {
                Some(gap) => (gap.kind, gap.until) = (BreakKind::Ahead, Some(self.seen)),
                None => self.jitter.add(self.seen, depth, self.seen - at),
            }
            self.run.steps += 1;
            self.run.high = time;
        } else if self.left.is_none() || self.run.is_settled(self.settled) {
            self.run.events -= 1;
            if let Some(left) = self.left {
                self.reset(left);
            }
            self.left = Some(self.run);
            self.run = Run { events: 1, ..Run::new(self.seen, time) };
        } else {
            self.run.steps += 1;
            self.run.high = time;
        }
    }

    /// Returns the length in microseconds up to which a step back always counts as jitter (see [`SMALL`]).
    fn small(&self) -> i64 {
        (self.high.saturating_sub(self.low) / 8).clamp(SMALL.0, SMALL.1)
    }
}

impl Findings {
    /// Returns the findings about all `times` of a recording, in microseconds. `unit` is the unit of the times in the
    /// file.
    pub(crate) fn of(unit: TimeUnit, times: &[i64]) -> Findings {
        let mut clock = Clock::new(unit);
        clock.see(times);
        clock.finish()
    }
}

impl Run {
    fn new(at: u64, time: i64) -> Run {
        Run { at, start: time, low: time, high: time, events: 0, steps: 0 }
    }

    /// Returns whether the run has more than `settled` events, and these are in order.
    fn is_settled(&self, settled: u64) -> bool {
        self.events > settled && !self.is_rough(settled)
    }

    /// Returns whether the times of the run have no order: more than one large step back per `settled` events.
    fn is_rough(&self, settled: u64) -> bool {
        self.steps > 0 && self.steps * settled > self.events
    }
}

#[cfg(test)]
mod tests;
