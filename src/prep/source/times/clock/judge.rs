//! Decides, after all times were seen, which steps are faults of the clock (gaps, resets, stray events), whether the
//! events are in order, and whether the counter wraps.

use crate::source::times::clock::findings::{Break, BreakKind, Disorder, Findings, Jitter};
use crate::source::times::clock::wrap::Wrap;
use crate::source::times::clock::{BLOCK, Clock, FEW, HOUR, LATE, MINUTE, ORDERED, SETTLED, SMALL};

impl Clock {
    /// Ends the pass over the times and returns the findings about the clock.
    pub(crate) fn finish(mut self) -> Findings {
        let settled = (self.seen / 16).clamp(ORDERED, SETTLED);
        if settled < self.settled {
            let mut again = Clock { settled, missing: self.missing, ..Clock::new(self.unit) };
            again.see(&self.first);
            return again.finish();
        }
        let mut breaks = self.judge_blocks();
        let usual = Usual::of(&self);
        self.judge_last_run(&usual);
        breaks.extend(self.judge_resets(&usual));
        let (gaps, mut pauses) = self.judge_gaps(&usual);
        breaks.extend(gaps);
        breaks.sort_by_key(|found| found.at);
        pauses.sort_by_key(|found| found.at);
        let mut disorder = self.disorder(breaks.len());
        let (wrap, mut doubt) = self.judge_wrap(!breaks.is_empty() || disorder.is_some());
        let wraps = wrap.is_some() || doubt.as_ref().is_some_and(|wrap| wrap.likely);
        let scatter = if wraps { None } else { std::mem::take(&mut self.clusters).scatter() };
        if scatter.is_some() {
            doubt = None;
        } else if disorder.is_none() && breaks.is_empty() && !wraps && self.is_late(&usual) {
            disorder = Some(Disorder::Late);
        }
        let jitter = Jitter { events: self.jitter.events.min(self.seen), ..self.jitter };
        Findings {
            events: self.seen,
            extent: (self.seen > 0).then_some((self.low, self.high)),
            progress: self.progress,
            jitter: (jitter.events > 0).then_some(jitter),
            wrap,
            doubt,
            disorder,
            scatter,
            breaks,
            missing: self.missing,
            pauses,
        }
    }

    /// Returns the time from the lowest to the highest time of the recording, in microseconds.
    fn span(&self) -> i64 {
        self.high.saturating_sub(self.low)
    }

    /// Returns whether the times are ordered, apart from a few large steps back.
    fn is_ordered(&self) -> bool {
        self.deep * ORDERED <= self.seen
    }

    /// Returns whether the order of the events is checked for faults. A recording of at most [`BLOCK`] events with many
    /// large steps back is not checked, but only sorted.
    fn has_order(&self) -> bool {
        self.is_ordered() || self.seen > BLOCK as u64
    }

    /// Returns whether the steps back are due to packets of events that are in the wrong order.
    fn is_swapped(&self) -> bool {
        self.seen >= FEW && self.segments.are_swapped(self.span() / self.seen as i64)
    }

    /// Returns whether some events are out of order by more than a minute and by more than 100 times the mean step.
    /// Returns `false` if packets of events explain this.
    fn is_late(&self, usual: &Usual) -> bool {
        let most = usual.mean.saturating_mul(100).max(MINUTE);
        self.jitter.largest > most && self.has_order() && !self.is_swapped() && !self.packets.are_all(self.span())
    }

    /// Returns the stray blocks of events. If the times of the recording are ordered, a block is stray if it is behind
    /// the times around it by more than an eighth of the recording's duration. Passes the other blocks to
    /// [`Clock::leave`].
    fn judge_blocks(&mut self) -> Vec<Break> {
        let (ordered, span) = (self.is_ordered() && !self.is_swapped(), self.span());
        let mut stray = Vec::new();
        for (block, late) in std::mem::take(&mut self.blocks) {
            if ordered && block.by > span / 8 { stray.push(block) } else { self.leave(block, late) }
        }
        stray
    }

    /// Judges the last step back, if the recording ended before the times had returned from this step.
    fn judge_last_run(&mut self, usual: &Usual) {
        let Some(left) = self.left else { return };
        let (until, by) = (Some(self.seen), left.high.saturating_sub(self.run.low));
        let last = Break { kind: BreakKind::Behind, at: self.run.at, until, by };
        let short = self.run.events <= self.settled && self.run.events <= left.events / 8;
        let late = usual.is_stray(by) || by <= (self.span() / 8).min(LATE);
        if self.run.is_rough(self.settled) || short && late {
            self.leave(last, self.run.events);
        } else {
            self.reset(left);
        }
    }

    /// Returns the resets, and the stray events at the start of the recording. Adds all other steps back to the jitter.
    fn judge_resets(&mut self, usual: &Usual) -> Vec<Break> {
        let (ordered, span, swapped) = (self.is_ordered(), self.span(), self.is_swapped());
        let mut breaks = Vec::new();
        for (reset, run, before) in std::mem::take(&mut self.resets) {
            let depth = reset.by.saturating_add(run.start).saturating_sub(run.low);
            let two = run.events.min(before) >= ORDERED || (before >= 2 * ORDERED && reset.by >= span - span / 8);
            let large = reset.by > (span / 8).min(SMALL.1);
            if swapped {
                self.jitter.add(reset.at, depth, run.events);
            } else if reset.at <= self.settled && usual.is_stray(reset.by) {
                // The first few events are stray: their times are far later than all others.
                breaks.push(Break { kind: BreakKind::Ahead, at: 0, until: Some(reset.at), ..reset });
            } else if large && (!usual.few() || two) && ordered && !self.packets.are_all(span) {
                breaks.push(reset);
            } else {
                self.jitter.add(reset.at, depth, run.events);
            }
        }
        breaks
    }

    /// Decides which of the longest jumps are faults (gaps and stray events) and which are pauses. Returns both lists.
    fn judge_gaps(&mut self, usual: &Usual) -> (Vec<Break>, Vec<Break>) {
        let (mut breaks, mut pauses, swapped) = (Vec::new(), Vec::new(), self.is_swapped());
        for gap in std::mem::take(&mut self.gaps) {
            let stray = match gap.until {
                None if gap.at == 1 && self.seen > 2 => Break { kind: BreakKind::Behind, at: 0, until: Some(1), ..gap },
                None if gap.at + 1 == self.seen && self.seen > 2 => {
                    Break { kind: BreakKind::Ahead, until: Some(self.seen), ..gap }
                }
                _ => gap,
            };
            match gap.until {
                _ if usual.is_gap(gap.by) && gap.by > MINUTE => breaks.push(stray),
                _ if usual.is_stray(gap.by) && stray.until.is_some() && !swapped => breaks.push(stray),
                _ if gap.by > usual.rest => pauses.push(stray),
                Some(until) => self.jitter.add(gap.at, gap.by, until - gap.at),
                None => {}
            }
        }
        (breaks, pauses)
    }

    /// Returns how the events of the whole file are out of order. `None` if they are in order, apart from single
    /// faults. `breaks` is the number of resets, gaps and stray events.
    fn disorder(&self, breaks: usize) -> Option<Disorder> {
        let (back, ahead) = self.turns.count(self.low, self.high);
        if self.backward > 10 * self.ahead.max(1) {
            Some(Disorder::Descending)
        } else if back >= 3 && back > 2 * ahead.max(breaks) && self.has_order() {
            Some(Disorder::Sawtooth(back as u64))
        } else {
            (2 * self.jitter.events > self.seen).then_some(Disorder::Shuffled)
        }
    }

    /// Finds the wrap of the clock's counter. Returns a certain wrap and a doubtful wrap; at least one of them is
    /// `None`. A doubtful wrap is returned only if it is likely, or if the clock has another fault (`faulty`).
    fn judge_wrap(&self, faulty: bool) -> (Option<Wrap>, Option<Wrap>) {
        let ends = (self.first.first().copied().unwrap_or(0), self.previous);
        match self.turns.wrap(self.unit, self.seen, (self.low, self.high), ends) {
            Some((wrap, true)) => (Some(wrap), None),
            Some((mut wrap, false)) => {
                wrap.likely &= self.deep == 1;
                (None, (wrap.likely || faulty).then_some(wrap))
            }
            None => (None, None),
        }
    }
}

/// The duration and the usual steps of a recording, in microseconds.
struct Usual {
    events: u64,
    /// Sum of the steps ahead.
    progress: i64,
    /// Time from the lowest to the highest time of the recording.
    span: i64,
    /// Duration of the recording without its long jumps ahead.
    rest: i64,
    /// Mean step ahead from one event to the next, without the long jumps ahead.
    mean: i64,
    /// The largest step between neighbouring times in sorted order. `None` if the order of the events is checked for
    /// faults (see [`Clock::has_order`]).
    hole: Option<i64>,
}

impl Usual {
    fn of(clock: &Clock) -> Usual {
        let silent = clock.gaps.iter().filter(|gap| gap.kind != BreakKind::Behind);
        let (number, rest) = silent.fold((1, clock.progress), |(n, rest), gap| (n + 1, rest.saturating_sub(gap.by)));
        let mean = rest / clock.seen.saturating_sub(number).max(1) as i64;
        let rest = if clock.seen < FEW { usual_steps(&clock.first) } else { rest };
        let hole = (!clock.has_order()).then(|| largest_step(clock.first.clone()));
        Usual { events: clock.seen, progress: clock.progress, span: clock.span(), rest, mean, hole }
    }

    fn few(&self) -> bool {
        self.events < FEW
    }

    /// Returns whether a jump is longer than the sensor can be silent.
    fn is_gap(&self, jump: i64) -> bool {
        match self.hole {
            Some(hole) => is_gap(jump.min(hole), self.span.saturating_sub(hole), self.span / self.events as i64),
            None if self.few() => {
                let others = self.events.saturating_sub(2).max(1) as i64;
                is_gap(jump, self.rest, self.progress.saturating_sub(jump) / others)
            }
            None => is_gap(jump, self.rest, self.mean),
        }
    }

    /// Returns whether a jump is long enough for stray events.
    fn is_stray(&self, jump: i64) -> bool {
        self.is_gap(jump) && (jump > MINUTE || !self.few())
    }
}

/// Returns whether a jump is longer than a running sensor can be silent. `rest` is the recording's duration without
/// gaps, and `mean` is its mean time between events, in microseconds.
fn is_gap(jump: i64, rest: i64, mean: i64) -> bool {
    // A running sensor has background activity: it makes events every few milliseconds, even in darkness.
    jump > rest.saturating_mul(10) || (jump > HOUR && jump > mean.saturating_mul(100))
}

/// Returns the sum of the positive steps from one time to the next. Leaves out the largest quarter of these steps,
/// which may be gaps.
fn usual_steps(times: &[i64]) -> i64 {
    let steps = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    let mut steps: Vec<i64> = steps.filter(|step| *step > 0).collect();
    steps.sort_unstable();
    let usual = steps.len() - steps.len() / 4;
    steps[..usual].iter().fold(0, |sum, step| sum.saturating_add(*step))
}

/// Returns the largest step between neighbouring times in sorted order.
fn largest_step(mut times: Vec<i64>) -> i64 {
    times.sort_unstable();
    times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or(0)
}
