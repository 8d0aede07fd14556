//! Transforms of event times.

use serde::{Deserialize, Serialize};

use crate::events::{Events, SensorSize};
use crate::fault::{Checked, ensure};
use crate::signature::{Kind, Parameter, Signature};
use crate::transform::rule::{BlockStep, EventTransform, TimeSpan, each_by_itself};
use tonic_shard::Ledger;

/// 2^63, the first float64 above `i64::MAX`.
const BEYOND: f64 = 9_223_372_036_854_775_808.0;

/// Tonic's `CropTime`: keeps events whose time t is in `min <= t <= max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CropTime {
    /// Lowest time that is kept, in microseconds.
    #[serde(default)]
    pub min: i64,
    /// Highest time that is kept, in microseconds; `None` if there is no upper bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
}

impl CropTime {
    pub(super) const SIGNATURE: Signature = Signature {
        name: "CropTime",
        about: "keep min <= t <= max, in microseconds",
        parameters: &[
            Parameter::with("min", Kind::Whole, "0", "first time kept, microseconds"),
            Parameter::optional("max", Kind::Whole, "last time kept, microseconds"),
        ],
    };
}

impl EventTransform for CropTime {
    fn check(&self) -> Checked {
        let max = self.max.unwrap_or(i64::MAX);
        ensure(max >= self.min, "", "max of at least min", format!("min {}, max {max}", self.min))
    }

    fn span_after(&self, span: Option<TimeSpan>) -> Option<TimeSpan> {
        match (span, self.max) {
            (Some((lo, hi)), Some(max)) => Some((lo.max(self.min), hi.min(max))),
            (Some((lo, hi)), None) => Some((lo.max(self.min), hi)),
            (None, Some(max)) => Some((self.min, max)),
            (None, None) => None,
        }
    }

    fn apply(&self, events: &mut Events, _: SensorSize, ledger: &mut Ledger) -> Checked {
        let before = events.len();
        let start = events.t.partition_point(|&t| t < self.min);
        let end = self.max.map_or(before, |max| events.t.partition_point(|&t| t <= max)).max(start);
        events.keep_range(start..end);
        ledger.cropped += (before - events.len()) as u64;
        Ok(())
    }

    fn in_blocks(&self, sensor: SensorSize) -> Option<BlockStep<'_>> {
        Some(each_by_itself(self, sensor))
    }
}

/// Tonic's `TimeAlignment`: shifts times so that the first event is at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeAlignment {}

impl TimeAlignment {
    pub(super) const SIGNATURE: Signature =
        Signature { name: "TimeAlignment", about: "let the first event happen at time zero", parameters: &[] };
}

impl EventTransform for TimeAlignment {
    fn span_after(&self, span: Option<TimeSpan>) -> Option<TimeSpan> {
        span.map(|(lo, hi)| (0, hi.saturating_sub(lo).max(0)))
    }

    fn apply(&self, events: &mut Events, _: SensorSize, ledger: &mut Ledger) -> Checked {
        if let Some(&first) = events.t.first() {
            ledger.non_finite += change(events, |t| t.checked_sub(first));
        }
        Ok(())
    }

    fn in_blocks(&self, _: SensorSize) -> Option<BlockStep<'_>> {
        let mut origin = None;
        Some(Box::new(move |events, ledger| {
            if let Some(&first) = events.t.first() {
                let origin = *origin.get_or_insert(first);
                ledger.non_finite += change(events, |t| t.checked_sub(origin));
            }
            Ok(())
        }))
    }
}

/// Tonic's `TimeSkew`: replaces each time `t` by `t * coefficient + offset`, truncated toward zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeSkew {
    /// Factor for times. With a negative factor, later events get earlier times.
    pub coefficient: f64,
    /// Time in microseconds that is added after the multiplication.
    #[serde(default)]
    pub offset: f64,
}

impl TimeSkew {
    pub(super) const SIGNATURE: Signature = Signature {
        name: "TimeSkew",
        about: "multiply times and shift them",
        parameters: &[
            Parameter::required("coefficient", Kind::FixedNumber, "what times are multiplied with"),
            Parameter::with("offset", Kind::FixedNumber, "0.0", "microseconds added after that"),
        ],
    };
}

impl EventTransform for TimeSkew {
    fn check(&self) -> Checked {
        ensure(self.coefficient.is_finite(), "coefficient", "a finite number", self.coefficient)?;
        ensure(self.offset.is_finite(), "offset", "a finite number", self.offset)
    }

    fn span_after(&self, span: Option<TimeSpan>) -> Option<TimeSpan> {
        let (lo, hi) = span?;
        let (a, b) = (skewed(lo, self.coefficient, self.offset)?, skewed(hi, self.coefficient, self.offset)?);
        Some((a.min(b), a.max(b)))
    }

    fn apply(&self, events: &mut Events, _: SensorSize, ledger: &mut Ledger) -> Checked {
        ledger.non_finite += skew(events, self.coefficient, self.offset);
        if self.coefficient < 0.0 {
            events.sort();
        }
        Ok(())
    }

    fn in_blocks(&self, sensor: SensorSize) -> Option<BlockStep<'_>> {
        // A negative coefficient reverses the order of all events.
        (self.coefficient >= 0.0).then(|| each_by_itself(self, sensor))
    }
}

/// Returns `t * coefficient + offset`, truncated toward zero, or `None` if it does not fit an `i64`. As in Tonic,
/// computes in integers if `coefficient` and `offset` are whole numbers, or else in float64.
pub(super) fn skewed(t: i64, coefficient: f64, offset: f64) -> Option<i64> {
    let whole = |v: f64| (v.fract() == 0.0 && v.abs() < BEYOND).then_some(v as i128);
    if let (Some(coefficient), Some(offset)) = (whole(coefficient), whole(offset)) {
        return i64::try_from(i128::from(t) * coefficient + offset).ok();
    }
    let time = (t as f64 * coefficient + offset).trunc();
    (time.abs() < BEYOND).then_some(time as i64)
}

/// Replaces each time by the result of [`skewed`]. Drops events for which it is `None`, and returns their number.
pub(super) fn skew(events: &mut Events, coefficient: f64, offset: f64) -> u64 {
    change(events, |t| skewed(t, coefficient, offset))
}

/// Replaces each time `t` by `time(t)`. Drops events for which `time` returns `None`, and returns their number.
fn change(events: &mut Events, time: impl Fn(i64) -> Option<i64>) -> u64 {
    let before = events.len();
    events.retain(|events, i| time(events.t[i]).is_some());
    events.t.iter_mut().for_each(|t| *t = time(*t).unwrap_or(*t));
    (before - events.len()) as u64
}
