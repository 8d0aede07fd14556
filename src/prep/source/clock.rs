//! Tells what is wrong with a recording's clock, in one pass over its times.
//!
//! | finding | what the times do | an example |
//! |---|---|---|
//! | jitter | step back a little, or for a few events, and return | packets out of order: -99 ms for 5 events |
//! | wrap | step back by a power of two of ticks, and go on | a counter of 24 bits, after 16.8 s |
//! | reset | step back and go on from there | the camera was started again |
//! | gap | jump ahead by far more than the recording lasts otherwise | stale events at its head |
//! | stray | jump by that much for a few events | one damaged time |
//! | disorder | descend, or step back again and again without returning | a file in the order of its pixels |
//!
//! The pass needs constant memory, apart from a few bytes for each wrap. Blocks of calm times, which is nearly all of
//! them, cost one comparison an event.

mod findings;
mod wrap;

pub(super) use findings::{Break, BreakKind, Disorder, Findings, Jitter};
pub(super) use wrap::Wrap;

use crate::source::unit::TimeUnit;
use wrap::Turns;

/// Events that are tested together.
const BLOCK: usize = 1024;
/// A block is calm if no step reaches this power of two, in microseconds.
const CALM: u64 = 1 << 10;
/// Bounds of the step back that is jitter wherever it occurs, in microseconds. In between, an eighth of the recording.
const SMALL: (i64, i64) = (1_000, 100_000);
/// After this many events in order, a run of times that stepped back has settled there.
const SETTLED: u64 = 64;
/// The step back of a few events at the end that may be jitter: an eighth of the recording, and at most this.
const LATE: i64 = 1_000_000;
/// Jumps that are noted if they are longer than all the rest of the recording, in microseconds.
const PAUSE: i64 = 2_000_000;
/// Jumps that may be gaps, in microseconds.
const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
/// Maximum number of gaps and resets that are listed.
const LISTED: usize = 16;

/// A pass over the times of a recording.
#[derive(Debug)]
pub(super) struct Clock {
    unit: TimeUnit,
    /// Number of events seen.
    seen: u64,
    /// The last time.
    previous: i64,
    /// The lowest and the highest time.
    low: i64,
    high: i64,
    /// Sum of all steps ahead.
    progress: i64,
    /// The events since the last large step back, or all.
    run: Run,
    /// The run before that step, while the times may still return to it.
    left: Option<Run>,
    /// The last jump ahead.
    leap: Option<Leap>,
    jitter: Jitter,
    turns: Turns,
    /// Number of steps ahead and of steps back, however small.
    ahead: u64,
    backward: u64,
    /// Steps back that did not return, each with the run that begins there.
    resets: Vec<(Break, Run)>,
    /// The largest jumps ahead, and the largest jumps back that return.
    gaps: Vec<Break>,
    missing: Option<(u64, u64)>,
}

/// A large step forward in time from one event to the next. Times in microseconds.
#[derive(Clone, Copy, Debug)]
struct Leap {
    /// The event after it.
    at: u64,
    /// The time before it.
    from: i64,
    by: i64,
}

/// Events whose times go on from each other.
#[derive(Clone, Copy, Debug)]
struct Run {
    at: u64,
    start: i64,
    low: i64,
    high: i64,
    events: u64,
    /// Number of large steps back within the run.
    steps: u64,
}

impl Clock {
    /// A pass over times that a file has in `unit`.
    pub(super) fn new(unit: TimeUnit) -> Clock {
        let run = Run::new(0, 0);
        Clock {
            unit,
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
            resets: Vec::new(),
            gaps: Vec::new(),
            missing: None,
        }
    }

    /// Notes which of the next events, which are yet to be seen, have no time: their indices among these.
    pub(super) fn miss(&mut self, missing: &[usize]) {
        if let Some(&first) = missing.first() {
            let (at, before) = self.missing.unwrap_or((self.seen + first as u64, 0));
            self.missing = Some((at, before + missing.len() as u64));
        }
    }

    /// Sees the next times of the recording, in microseconds.
    pub(super) fn see(&mut self, times: &[i64]) {
        for block in times.chunks(BLOCK) {
            if !self.passes(block) {
                block.iter().for_each(|&time| self.step(time));
            }
        }
    }

    /// Sees a block at once if it is calm and goes on from the last event. Returns whether it is.
    fn passes(&mut self, block: &[i64]) -> bool {
        let [first, .., last] = *block else { return false };
        if self.seen == 0 || self.previous != self.run.high || last < self.previous {
            return false;
        }
        // A difference that wraps around 64 bits could only look calm if the last time were below the first.
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
        true
    }

    fn step(&mut self, time: i64) {
        if self.seen == 0 {
            (self.previous, self.low, self.high) = (time, time, time);
            self.run = Run::new(0, time);
        }
        (self.low, self.high) = (self.low.min(time), self.high.max(time));
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
            if jump >= depth / 4 || !self.run.is_settled() {
                let kind = BreakKind::Behind;
                self.leave(Break { kind, at: self.run.at, until: Some(self.seen), by: depth }, self.run.events - 1);
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

    fn advance(&mut self, time: i64, jump: i64) {
        if jump > self.small() {
            self.leap = Some(Leap { at: self.seen, from: self.run.high, by: jump });
        }
        self.leave(Break { kind: BreakKind::Gap, at: self.seen, until: None, by: jump }, 0);
        self.progress = self.progress.saturating_add(jump);
        self.run.high = time;
    }

    /// Lists a large jump. A smaller one, of `late` events, is jitter.
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

    /// The times of this run did not return to where the run before it was.
    fn reset(&mut self, left: Run) {
        let by = left.high.saturating_sub(self.run.start);
        self.resets.push((Break { kind: BreakKind::Reset, at: self.run.at, until: None, by }, self.run));
        self.resets.truncate(LISTED);
    }

    fn go_back(&mut self, time: i64) {
        let (small, depth) = (self.small(), self.run.high.saturating_sub(time));
        self.run.low = self.run.low.min(time);
        if depth <= small {
            // In a run that may return, the events are counted when it does.
            if self.left.is_none() {
                self.jitter.add(self.seen, depth, 1);
            }
            return;
        }
        // Back to where the times jumped ahead: those in between were early.
        let early = |leap: &Leap| time >= leap.from.saturating_sub(SMALL.0) && depth <= leap.by.saturating_mul(3);
        if let Some(Leap { at, .. }) = self.leap.filter(early) {
            self.leap = None;
            match self.gaps.last_mut().filter(|gap| gap.at == at) {
                Some(gap) => (gap.kind, gap.until) = (BreakKind::Ahead, Some(self.seen)),
                None => self.jitter.add(self.seen, depth, self.seen - at),
            }
            self.run.steps += 1;
            self.run.high = time;
        } else if self.left.is_none() || self.run.is_settled() {
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

    /// The largest step back that is jitter whatever follows: an eighth of the time so far, within [`SMALL`].
    fn small(&self) -> i64 {
        (self.high.saturating_sub(self.low) / 8).clamp(SMALL.0, SMALL.1)
    }

    /// What was found.
    pub(super) fn finish(mut self) -> Findings {
        let span = self.high.saturating_sub(self.low);
        let silent = self.gaps.iter().filter(|gap| gap.kind != BreakKind::Behind);
        let (number, rest) = silent.fold((1, self.progress), |(n, rest), gap| (n + 1, rest.saturating_sub(gap.by)));
        let mean = rest / self.seen.saturating_sub(number).max(1) as i64;
        if let Some(left) = self.left {
            let (until, by) = (Some(self.seen), left.high.saturating_sub(self.run.low));
            let last = Break { kind: BreakKind::Behind, at: self.run.at, until, by };
            let few = self.run.events <= SETTLED && self.run.events <= left.events / 8;
            if self.run.is_rough() || few && (is_gap(by, rest, mean) || by <= (span / 8).min(LATE)) {
                self.leave(last, self.run.events);
            } else {
                self.reset(left);
            }
        }
        let (small, mut jitter) = ((span / 8).min(SMALL.1), self.jitter);
        let (mut breaks, mut pauses) = (Vec::new(), Vec::new());
        for (reset, run) in self.resets {
            let depth = reset.by.saturating_add(run.start).saturating_sub(run.low);
            if reset.at <= SETTLED && is_gap(reset.by, rest, mean) {
                // All others begin anew after the first few, which are from elsewhere.
                breaks.push(Break { kind: BreakKind::Ahead, at: 0, until: Some(reset.at), ..reset });
            } else if reset.by > small {
                breaks.push(reset);
            } else {
                jitter.add(reset.at, depth, run.events);
            }
        }
        for gap in self.gaps {
            let stray = match gap.until {
                None if gap.at == 1 => Break { kind: BreakKind::Behind, at: 0, until: Some(1), ..gap },
                None if gap.at + 1 == self.seen => Break { kind: BreakKind::Ahead, until: Some(self.seen), ..gap },
                _ => gap,
            };
            match gap.until {
                _ if is_gap(gap.by, rest, mean) && (stray.until.is_some() || gap.by > MINUTE) => breaks.push(stray),
                _ if gap.by > rest => pauses.push(stray),
                Some(until) => jitter.add(gap.at, gap.by, until - gap.at),
                None => {}
            }
        }
        breaks.sort_by_key(|found| found.at);
        pauses.sort_by_key(|found| found.at);
        let wrap = self.turns.wrap(self.unit, self.seen, (self.low, self.high));
        let (back, ahead) = self.turns.count(self.low, self.high);
        let disorder = if self.backward > 10 * self.ahead.max(1) {
            Some(Disorder::Descending)
        } else if back >= 3 && back > 2 * ahead.max(breaks.len()) {
            Some(Disorder::Sawtooth(back as u64))
        } else {
            (2 * jitter.events > self.seen).then_some(Disorder::Shuffled)
        };
        let (wrap, doubt) = match wrap {
            Some((wrap, true)) => (Some(wrap), None),
            Some((wrap, false)) if !breaks.is_empty() || disorder.is_some() => (None, Some(wrap.doubt())),
            _ => (None, None),
        };
        Findings {
            events: self.seen,
            extent: (self.seen > 0).then_some((self.low, self.high)),
            jitter: (jitter.events > 0).then_some(Jitter { events: jitter.events.min(self.seen), ..jitter }),
            wrap,
            doubt,
            disorder,
            breaks,
            missing: self.missing,
            pauses,
        }
    }
}

impl Findings {
    /// What is found of all times of a recording, in microseconds, that a file has in `unit`.
    pub(super) fn of(unit: TimeUnit, times: &[i64]) -> Findings {
        let mut clock = Clock::new(unit);
        clock.see(times);
        clock.finish()
    }
}

/// Whether a jump is a gap, in a recording that lasts `rest` microseconds without its gaps, with `mean`
/// microseconds between its events.
///
/// The background activity of a running sensor never ends: there are events every few milliseconds, in darkness too. So
/// no recording is silent for ten times as long as all the rest of it, unless the sensor was stopped for less than a
/// minute, nor for more than an hour and a hundred times its usual step. Stray events need no minute.
fn is_gap(jump: i64, rest: i64, mean: i64) -> bool {
    jump > rest.saturating_mul(10) || (jump > HOUR && jump > mean.saturating_mul(100))
}

impl Run {
    fn new(at: u64, time: i64) -> Run {
        Run { at, start: time, low: time, high: time, events: 0, steps: 0 }
    }

    /// Whether its times go on from where it began.
    fn is_settled(&self) -> bool {
        self.events > SETTLED && !self.is_rough()
    }

    /// Whether the run has so many steps back that its times have no order.
    fn is_rough(&self) -> bool {
        self.steps > 0 && self.steps * SETTLED > self.events
    }
}

#[cfg(test)]
mod tests;
