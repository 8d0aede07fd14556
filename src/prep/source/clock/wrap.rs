//! Counters of few bits, which start again from their lowest value: how they are found, and how their wraps are undone.

use crate::source::unit::{TimeUnit, duration};

/// Bits of the counters that wrap.
const COUNTERS: std::ops::RangeInclusive<u32> = 16..=62;
/// Bits from which a step back alone tells a counter.
const RELATIVE: u32 = 20;
/// Maximum number of steps across the end of the counter that are listed.
const CROSSINGS: usize = 1 << 16;

/// A counter that starts again from its lowest value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source) struct Wrap {
    /// The period is 2 to the power of `bits` of this unit.
    unit: TimeUnit,
    bits: u32,
    /// The period in microseconds.
    pub(super) period: i64,
    /// The counter's lowest value, and the end of its values.
    floor: i64,
    ceiling: i64,
    /// Number of periods to add from each event on, up to the next in the list.
    pub(super) crossings: Vec<(u64, u32)>,
    /// Number of periods at the end of what was seen.
    pub(super) laps: u32,
    /// Whether there was a value that the counter cannot have, so that it is none.
    pub(super) exceeded: bool,
}

/// The times around a large step back, in microseconds.
pub(super) struct Around {
    /// Unit of the times in the file.
    pub unit: TimeUnit,
    /// Number of events before the step.
    pub events: u64,
    /// The lowest and the highest time before the step.
    pub low: i64,
    pub high: i64,
    /// The time from which it steps back, and that to which.
    pub from: i64,
    pub to: i64,
}

impl Wrap {
    /// The counter that wraps at a step back, if there is one.
    ///
    /// A counter of as many values as a power of two was close to its end and is close to its beginning. Or it was
    /// read relative to the first event, and the step back is just below a power of two. "Close" is relative to the
    /// usual time between events.
    pub(super) fn find(around: &Around) -> Option<Wrap> {
        let &Around { unit, events, low, high, from, to } = around;
        let mean = high.saturating_sub(low) / events.max(1) as i64;
        let counters = [TimeUnit::Microseconds, unit].map(|unit| COUNTERS.map(move |bits| (unit, bits)));
        let periods = counters.into_iter().flatten();
        let periods = periods.filter_map(|(unit, bits)| Some((unit, bits, unit.of_integer(1 << bits)?)));
        periods.filter(|(.., period)| *period > 0).find_map(|(unit, bits, period)| {
            let near = mean.saturating_mul(100).clamp(period / 1024, period / 64);
            let close = |floor: i64, ceiling: i64| {
                let inside = low >= floor && high < ceiling && to >= floor;
                inside && ceiling.saturating_sub(from).saturating_add(to.saturating_sub(floor)) <= near
            };
            let relative = || {
                let short = period.saturating_sub(from.saturating_sub(to));
                bits >= RELATIVE && high.saturating_sub(low) < period && (0..=period >> 12).contains(&short)
            };
            let (floor, ceiling) = if close(0, period) {
                (0, period)
            } else if close(-period / 2, period / 2) {
                (-period / 2, period / 2)
            } else if relative() {
                (i64::MIN, i64::MAX)
            } else {
                return None;
            };
            Some(Wrap { unit, bits, period, floor, ceiling, crossings: vec![(events, 1)], laps: 1, exceeded: false })
        })
    }

    /// Whether a value can be one of the counter.
    pub(super) fn holds(&self, raw: i64) -> bool {
        (self.floor..self.ceiling).contains(&raw)
    }

    /// Notes the step from one value to that of event `i`: across the counter's end, or back across it. An event belongs
    /// to the lap that brings it closest to the event before it.
    pub(super) fn cross(&mut self, i: u64, from: i64, to: i64) {
        self.exceeded |= !self.holds(to);
        let step = to.saturating_sub(from);
        let laps = if step < -(self.period / 2) {
            self.laps + 1
        } else if step > self.period / 2 && self.laps > 0 {
            self.laps - 1
        } else {
            return;
        };
        if self.crossings.len() < CROSSINGS {
            self.laps = laps;
            self.crossings.push((i, laps));
        }
    }

    /// The time that a value of the counter is after so many periods.
    pub(super) fn lift(&self, raw: i64, laps: u32) -> i64 {
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

    /// Says where the counter wraps and at what value.
    pub(in crate::source) fn describe(&self, skipped: u64) -> String {
        let (at, laps) = (self.crossings[0].0 + skipped, self.laps);
        let (bits, unit, period) = (self.bits, self.unit, duration(self.period as f64));
        let times = if laps == 1 { "once".into() } else { format!("{laps} times, first") };
        format!("wrap: its clock wraps at 2^{bits} {unit} ({period}), {times} before event {at}")
    }
}
