//! Counters of few bits, which start again from their lowest value: how they are found, and how their wraps are undone.

use crate::source::unit::{TimeUnit, duration};

/// Bits of the counters that wrap.
const COUNTERS: std::ops::RangeInclusive<u32> = 15..=62;
/// The shortest period, in microseconds.
const SHORTEST: i64 = 1 << 15;
/// Bits from which a single step back tells a counter that was read relative to something.
const RELATIVE: u32 = 20;
/// So many wraps tell a counter by how long its wraps take on average.
const SEVERAL: u32 = 3;
/// Maximum number of turns that are kept.
const TURNS: usize = 1 << 18;

/// A counter that starts again from its lowest value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source) struct Wrap {
    /// The period is 2 to the power of `bits` of this unit.
    unit: TimeUnit,
    bits: u32,
    /// The period in microseconds.
    period: i64,
    /// Number of periods to add from each event on, up to the next in the list.
    crossings: Vec<(u64, u32)>,
    /// Number of periods at the end of what was seen.
    laps: u32,
    /// The steps across the counter's end together, once undone: their number, and how long they take.
    across: (u32, i64),
}

/// The steps of a recording that can be those of a counter across its end: they are longer than half of all its times.
#[derive(Debug, Default)]
pub(super) struct Turns {
    steps: Vec<Turn>,
    /// Whether there were too many to keep.
    full: bool,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    /// The event after the step.
    at: u64,
    from: i64,
    to: i64,
}

impl Turns {
    /// Sees the step to event `at`. All times so far, in microseconds, are from `low` to `high`.
    pub(super) fn see(&mut self, at: u64, (from, to): (i64, i64), (low, high): (i64, i64)) {
        let step = to.abs_diff(from);
        if step > SHORTEST as u64 / 2 && step > high.abs_diff(low) / 2 {
            self.full |= self.steps.len() == TURNS;
            if !self.full {
                self.steps.push(Turn { at, from, to });
            }
        }
    }

    /// Number of turns back and ahead, in a recording whose times are from `low` to `high`.
    pub(super) fn count(&self, low: i64, high: i64) -> (usize, usize) {
        let long = self.steps.iter().filter(|turn| turn.to.abs_diff(turn.from) > high.abs_diff(low) / 2);
        let back = long.clone().filter(|turn| turn.to < turn.from).count();
        (back, long.count() - back)
    }

    /// The counter that wraps at the turns of a recording of `events` events from `low` to `high`; and whether that is
    /// certain. If not, its clock may have started again instead.
    ///
    /// A step across the end of a counter is a usual step of the recording, once the period is added. One or two wraps
    /// must be short also compared with the period, for a clock starts again anywhere. If a counter was read relative
    /// to something else than its lowest value, so must they all the more.
    pub(super) fn wrap(&self, unit: TimeUnit, events: u64, (low, high): (i64, i64)) -> Option<(Wrap, bool)> {
        if self.full || !self.steps.iter().any(|turn| turn.to < turn.from) {
            return None;
        }
        let units = if unit == TimeUnit::Microseconds { vec![unit] } else { vec![TimeUnit::Microseconds, unit] };
        let counters = units.into_iter().flat_map(|unit| COUNTERS.map(move |bits| (unit, bits)));
        let periods = counters.filter_map(|(unit, bits)| Some((unit, bits, unit.of_integer(1 << bits)?)));
        let possible = periods.filter(|(.., period)| *period >= SHORTEST && high.saturating_sub(low) < *period);
        let wraps = possible.filter_map(|(unit, bits, period)| {
            let mut wrap = Wrap { unit, bits, period, crossings: Vec::new(), laps: 0, across: (0, 0) };
            self.steps.iter().for_each(|turn| wrap.cross(turn));
            let (steps, lasting) = wrap.across;
            let (period, across) = (period as f64, lasting as f64 / f64::from(steps.max(1)));
            let mean = f64::from(wrap.laps) * period / events as f64;
            let aligned = (low >= 0 && high < wrap.period) || (low >= -wrap.period / 2 && high < wrap.period / 2);
            let several = wrap.laps >= SEVERAL;
            // A random moment lies in a step of two usual ones on average, and the average of many is near that.
            let usual = match several {
                true => ((2.0 + 4.0 / f64::from(wrap.laps).sqrt()) * mean).min(period / 8.0),
                false => (8.0 * mean).min(period / 16.0),
            };
            let longest = match aligned {
                true => usual.max((100.0 * mean).clamp(period / 1024.0, period / 64.0)),
                false if several => usual.max(period / 4096.0),
                false if bits >= RELATIVE => period / 4096.0,
                false => 0.0,
            };
            let possible = wrap.laps > 0 && (0.0..=period / 4.0).contains(&across);
            possible.then_some((wrap, across <= longest))
        });
        let wraps: Vec<(Wrap, bool)> = wraps.collect();
        wraps.iter().find(|(_, certain)| *certain).or(wraps.first()).cloned()
    }
}

impl Wrap {
    /// Follows a turn across the counter's end, or back across it. An event belongs to the lap that brings it closest
    /// to the event before it.
    fn cross(&mut self, turn: &Turn) {
        let step = turn.to.saturating_sub(turn.from);
        if step < -(self.period / 2) {
            self.laps += 1;
            self.across = (self.across.0 + 1, self.across.1.saturating_add(step.saturating_add(self.period)));
        } else if step > self.period / 2 && self.laps > 0 {
            self.laps -= 1;
        } else {
            return;
        }
        self.crossings.push((turn.at, self.laps));
    }

    /// The time that a value of the counter is after so many periods.
    fn lift(&self, raw: i64, laps: u32) -> i64 {
        // Of 2^k nanoseconds, the whole microseconds of all laps together are added.
        let ticks = i64::from(laps).checked_mul(1 << self.bits);
        raw.saturating_add(ticks.and_then(|ticks| self.unit.of_integer(ticks)).unwrap_or(i64::MAX))
    }

    /// Adds the periods to consecutive times, the first of which is that of event `first`.
    pub(in crate::source) fn unwrap(&self, first: u64, times: &mut [i64]) {
        let mut next = self.crossings.partition_point(|(at, _)| *at <= first);
        let mut laps = next.checked_sub(1).map_or(0, |i| self.crossings[i].1);
        for (i, time) in (first..).zip(times) {
            while let Some(&(_, more)) = self.crossings.get(next).filter(|(at, _)| *at <= i) {
                (laps, next) = (more, next + 1);
            }
            *time = self.lift(*time, laps);
        }
    }

    /// The first event of each lap but the first.
    pub(in crate::source) fn starts(&self) -> impl Iterator<Item = u64> {
        let mut most = 0;
        self.crossings
            .iter()
            .filter(move |(_, laps)| {
                let first = *laps > most;
                most = most.max(*laps);
                first
            })
            .map(|(at, _)| *at)
    }

    /// Says where the counter wraps and at what value.
    pub(in crate::source) fn describe(&self, skipped: u64) -> String {
        let (at, laps) = (self.crossings[0].0 + skipped, self.laps);
        let (bits, unit, period) = (self.bits, self.unit, duration(self.period as f64));
        let times = if laps == 1 { "once".into() } else { format!("{laps} times, first") };
        format!("wrap: its clock wraps at 2^{bits} {unit} ({period}), {times} before event {at}")
    }

    /// Says that the counter may have wrapped.
    pub(super) fn doubt(&self) -> String {
        let (bits, unit, across) =
            (self.bits, self.unit, duration(self.across.1 as f64 / f64::from(self.across.0.max(1))));
        format!("or a wrap of a counter of 2^{bits} {unit}, with {across} of silence there: it is not certain which")
    }
}
