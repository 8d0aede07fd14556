//! Finds and undoes the wraps of a recording's time counter: after its highest value, a counter starts again from its
//! lowest.

use crate::time_unit::{TimeUnit, duration};

/// The numbers of bits that a counter can have.
const COUNTERS: std::ops::RangeInclusive<u32> = 15..=62;
/// The shortest period that a counter can have, in microseconds.
const SHORTEST: i64 = 1 << 15;
/// The numbers of bits that counters usually have.
const USUAL: [u32; 3] = [16, 24, 32];
/// If a counter wraps only once or twice, and an offset may have been added to its values, the wraps are certain only
/// if the counter has at least this many bits.
const RELATIVE: u32 = 20;
/// If a counter wraps at least this often, the steps across its end are compared with the recording's usual steps.
/// Otherwise, they are compared with the counter's period.
const SEVERAL: u32 = 3;
/// A silence (a time without events) of up to this many microseconds is usual in any recording.
const SILENCE: f64 = 100_000.0;
/// Maximum number of turns (possible wraps) that are kept.
const TURNS: usize = 1 << 18;

/// A time counter that wraps (starts again from its lowest value after its highest), and the events at which it wraps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrap {
    /// Unit of the counter. The period of the counter is 2^`bits` of these units.
    unit: TimeUnit,
    bits: u32,
    /// The counter's period in microseconds.
    period: i64,
    /// Pairs of the index of an event and a number of periods. From this event to the event of the next pair, this
    /// number of periods is added to the times.
    crossings: Vec<(u64, u32)>,
    /// Number of periods that are added to the time of the last event.
    laps: u32,
    /// Number of steps across the counter's end, and the sum of their lengths. The lengths are in microseconds,
    /// measured with the wraps undone.
    across: (u32, i64),
    /// Whether the counter has a usual number of bits (see [`USUAL`]), and the only step back goes from near the top of
    /// the counter to near 0.
    pub(crate) likely: bool,
}

/// The turns of a recording: steps ahead or back that may be wraps of a counter. A turn is longer than half of the
/// range of all times before it.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    steps: Vec<Turn>,
    /// Whether there were more than [`TURNS`] turns. If so, `steps` has only the first of them.
    full: bool,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Index of the event after the turn.
    at: u64,
    from: i64,
    to: i64,
}

impl Turns {
    /// Adds the step between two times, in microseconds, if the step may be a wrap. `at` is the index of the event
    /// after the step. `low` and `high` are the lowest and the highest time so far.
    pub(crate) fn see(&mut self, at: u64, (from, to): (i64, i64), (low, high): (i64, i64)) {
        let step = to.abs_diff(from);
        if step > SHORTEST as u64 / 2 && step > high.abs_diff(low) / 2 {
            self.full |= self.steps.len() == TURNS;
            if !self.full {
                self.steps.push(Turn { at, from, to });
            }
        }
    }

    /// Returns the number of turns (possible wraps) that go back, and the number of turns that go ahead. `low` and
    /// `high` are the lowest and the highest time of the recording. Ignores turns of at most half of the range between
    /// these times.
    pub(crate) fn count(&self, low: i64, high: i64) -> (usize, usize) {
        let long = self.steps.iter().filter(|turn| turn.to.abs_diff(turn.from) > high.abs_diff(low) / 2);
        let back = long.clone().filter(|turn| turn.to < turn.from).count();
        (back, long.count() - back)
    }

    /// Finds the counter whose wraps explain the turns (possible wraps) of a recording. Also returns whether the wraps
    /// are certain. `None` if no counter fits.
    ///
    /// `low` and `high` are the lowest and the highest time of the `events` events, and `ends` are their first and last
    /// time, in microseconds. `unit` is the unit in which the file stores its times.
    pub(crate) fn wrap(
        &self,
        unit: TimeUnit,
        events: u64,
        (low, high): (i64, i64),
        ends: (i64, i64),
    ) -> Option<(Wrap, bool)> {
        if self.full || !self.steps.iter().any(|turn| turn.to < turn.from) {
            return None;
        }
        let units = if unit == TimeUnit::Microseconds { vec![unit] } else { vec![TimeUnit::Microseconds, unit] };
        let counters = units.into_iter().flat_map(|unit| COUNTERS.map(move |bits| (unit, bits)));
        let periods = counters.filter_map(|(unit, bits)| Some((unit, bits, unit.of_integer(1 << bits)?)));
        let possible = periods.filter(|(.., period)| *period >= SHORTEST && high.saturating_sub(low) < *period);
        let wraps = possible.filter_map(|(unit, bits, period)| {
            let mut wrap = Wrap { unit, bits, period, crossings: Vec::new(), laps: 0, across: (0, 0), likely: false };
            self.steps.iter().for_each(|turn| wrap.cross(turn));
            let near = |turn: &Turn| turn.from >= period - period / 8 && (0..=period / 8).contains(&turn.to);
            wrap.likely = USUAL.contains(&bits) && low >= 0 && matches!(&self.steps[..], [.., turn] if near(turn));
            wrap.likely &= wrap.crossings.len() == 1;
            let (steps, lasting) = wrap.across;
            let (period, across) = (period as f64, lasting as f64 / f64::from(steps.max(1)));
            let lasts = (ends.1.saturating_sub(ends.0)) as f64 + f64::from(wrap.laps) * period;
            let mean = lasts / events.max(2) as f64;
            let aligned = (low >= 0 && high < wrap.period) || (low >= -wrap.period / 2 && high < wrap.period / 2);
            let several = wrap.laps >= SEVERAL;
            // A random moment, such as a wrap, lies in a step that is on average twice as long as the mean step. Over
            // many wraps, the average of these steps is close to twice the mean step.
            let usual = match several {
                true => ((2.0 + 4.0 / f64::from(wrap.laps).sqrt()) * mean).min(period / 8.0),
                false => (period / 1024.0).min(SILENCE),
            };
            let longest = match aligned {
                true => usual.max(((events / 4).min(100) as f64 * mean).min(period / 64.0)),
                false if several => usual.max(period / 4096.0),
                false if bits >= RELATIVE => period / 4096.0,
                false => 0.0,
            };
            let possible = wrap.laps > 0 && (0.0..=period / 4.0).contains(&across);
            possible.then_some((wrap, across <= longest))
        });
        let wraps: Vec<(Wrap, bool)> = wraps.collect();
        let likely = || wraps.iter().find(|(wrap, _)| wrap.likely);
        wraps.iter().find(|(_, certain)| *certain).or_else(likely).or(wraps.first()).cloned()
    }
}

impl Wrap {
    /// Adds a turn of more than half a period to `crossings`. After a turn back, one more period is added to the times.
    /// After a turn ahead, one less.
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

    /// Returns the time `raw` plus `laps` periods of the counter, in microseconds.
    fn lift(&self, raw: i64, laps: u32) -> i64 {
        // A period of 2^k nanoseconds is multiplied by the laps before it is rounded to whole microseconds.
        let ticks = i64::from(laps).checked_mul(1 << self.bits);
        raw.saturating_add(ticks.and_then(|ticks| self.unit.of_integer(ticks)).unwrap_or(i64::MAX))
    }

    /// Undoes the wraps in the times of consecutive events, in microseconds. `first` is the index of the first event.
    pub(crate) fn unwrap(&self, first: u64, times: &mut [i64]) {
        let mut next = self.crossings.partition_point(|(at, _)| *at <= first);
        let mut laps = next.checked_sub(1).map_or(0, |i| self.crossings[i].1);
        for (i, time) in (first..).zip(times) {
            while let Some(&(_, more)) = self.crossings.get(next).filter(|(at, _)| *at <= i) {
                (laps, next) = (more, next + 1);
            }
            *time = self.lift(*time, laps);
        }
    }

    /// For each period of the counter except the first, returns the index of its first event.
    pub(crate) fn starts(&self) -> impl Iterator<Item = u64> {
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

    /// Returns the text of a message about probable wraps. `skipped` is the number of events in the file before the
    /// range that is used.
    pub(crate) fn describe_likely(&self, skipped: u64) -> String {
        let across = duration(self.across.1 as f64);
        format!("likely {}, if that is {across} of silence and not events in another order", self.describe(skipped))
    }

    /// Returns the text of a message about the wraps. `skipped` is the number of events in the file before the range
    /// that is used.
    pub(crate) fn describe(&self, skipped: u64) -> String {
        let (at, laps) = (self.crossings[0].0 + skipped, self.laps);
        let (bits, unit, period) = (self.bits, self.unit, duration(self.period as f64));
        let times = if laps == 1 { "once".into() } else { format!("{laps} times, first") };
        format!("wrap: its clock wraps at 2^{bits} {unit} ({period}), {times} before event {at}")
    }

    /// Returns the counter's period in `unit`, as a number without the name of the unit.
    pub(crate) fn period_in(&self, unit: TimeUnit) -> String {
        ((1_i64 << self.bits) as f64 * (self.unit.microseconds() / unit.microseconds())).to_string()
    }

    /// Returns whether a time is in the second half of the counter's period.
    pub(crate) fn is_late(&self, time: i64) -> bool {
        time > self.period / 2
    }

    /// Returns the text for a message about a step back that may be a wrap of this counter.
    pub(crate) fn doubt(&self) -> String {
        let (bits, unit, across) =
            (self.bits, self.unit, duration(self.across.1 as f64 / f64::from(self.across.0.max(1))));
        format!("or a wrap of a counter of 2^{bits} {unit}, with {across} of silence there: it is not certain which")
    }
}
