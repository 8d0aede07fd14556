//! Transforms that drop single events or pixels.
//!
//! Tonic's rules are kept to the last event, the odd ones too: they are in the comments, because they look like slips.

use serde::{Deserialize, Serialize};

use super::super::events::{Events, SensorSize};
use super::super::known::{Checked, Kind, Known, Parameter, ensure};
use super::EventTransform;
use crate::shard::Ledger;

/// A value for each pixel of the rectangle that a sample's events span.
struct Pixels<T> {
    width: usize,
    height: usize,
    values: Vec<T>,
}

impl<T: Copy> Pixels<T> {
    fn of(events: &Events, value: T) -> Pixels<T> {
        let size = |column: &[u16]| column.iter().max().map_or(0, |&v| usize::from(v) + 1);
        let (width, height) = (size(&events.x), size(&events.y));
        Pixels { width, height, values: vec![value; width * height] }
    }

    /// Where event `i`'s pixel is among the values.
    fn index(&self, events: &Events, i: usize) -> usize {
        usize::from(events.y[i]) * self.width + usize::from(events.x[i])
    }
}

/// Keeps the events that `keep` marks, in one pass from the first to the last, and counts the others.
fn filter(events: &mut Events, ledger: &mut Ledger, mut keep: impl FnMut(&Events, usize) -> bool) {
    let before = events.len();
    let kept: Vec<bool> = (0..before).map(|i| keep(events, i)).collect();
    events.retain(|_, i| kept[i]);
    ledger.filtered += (before - events.len()) as u64;
}

/// Tonic's `Denoise`: drops events of whose four neighbours none fired within `filter_time` before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denoise {
    /// Microseconds for which an event lets its neighbours pass.
    pub filter_time: f64,
}

impl Denoise {
    pub(super) const KNOWN: Known = Known {
        name: "Denoise",
        about: "drop events none of whose four neighbours fired shortly before",
        parameters: &[Parameter::required(
            "filter_time",
            Kind::Number,
            "microseconds for which an event lets its neighbours pass",
        )],
    };
}

impl EventTransform for Denoise {
    fn known(&self) -> &'static Known {
        &Self::KNOWN
    }

    fn check(&self) -> Checked {
        let time = self.filter_time;
        ensure(time >= 0.0 && time.is_finite(), "filter_time", "microseconds, at least 0", time)
    }

    fn apply(&self, events: &mut Events, _: SensorSize, ledger: &mut Ledger) -> Checked {
        // Every pixel counts as having fired at time 0. Pixels beyond the outermost events have not.
        let mut until = Pixels::of(events, self.filter_time);
        filter(events, ledger, |events, i| {
            let (x, y, t) = (usize::from(events.x[i]), usize::from(events.y[i]), events.t[i] as f64);
            let (at, width) = (until.index(events, i), until.width);
            until.values[at] = t + self.filter_time;
            (x > 0 && until.values[at - 1] > t)
                || (x < width - 1 && until.values[at + 1] > t)
                || (y > 0 && until.values[at - width] > t)
                || (y < until.height - 1 && until.values[at + width] > t)
        });
        Ok(())
    }
}

/// Tonic's `Decimation`: keeps every `n`th event of each pixel, of whatever polarity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decimation {
    /// Of so many events of a pixel, the last is kept.
    pub n: u32,
}

impl Decimation {
    pub(super) const KNOWN: Known = Known {
        name: "Decimation",
        about: "keep every nth event of each pixel",
        parameters: &[Parameter::required("n", Kind::Count, "of so many events of a pixel, one is kept")],
    };
}

impl EventTransform for Decimation {
    fn known(&self) -> &'static Known {
        &Self::KNOWN
    }

    fn check(&self) -> Checked {
        ensure(self.n >= 1, "n", "at least 1", self.n)
    }

    fn apply(&self, events: &mut Events, _: SensorSize, ledger: &mut Ledger) -> Checked {
        let mut seen = Pixels::of(events, 0_u32);
        filter(events, ledger, |events, i| {
            let at = seen.index(events, i);
            seen.values[at] = (seen.values[at] + 1) % self.n;
            seen.values[at] == 0
        });
        Ok(())
    }
}

/// Tonic's `DropPixel`: drops all events of some pixels, which are listed, or which fire too often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropPixel {
    /// x and y of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinates: Option<Vec<[u32; 2]>>,
    /// Events a second, over a sample's duration, above which a pixel is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hot_pixel_frequency: Option<f64>,
}

impl DropPixel {
    pub(super) const KNOWN: Known = Known {
        name: "DropPixel",
        about: "drop all events of listed pixels, or of those that fire too often",
        parameters: &[
            Parameter::optional("coordinates", Kind::Pixels, "the pixels"),
            Parameter::optional(
                "hot_pixel_frequency",
                Kind::Number,
                "or: events a second above which a pixel is dropped",
            ),
        ],
    };
}

impl EventTransform for DropPixel {
    fn known(&self) -> &'static Known {
        &Self::KNOWN
    }

    fn check(&self) -> Checked {
        let one = "either coordinates or hot_pixel_frequency (for both, two steps)";
        match (&self.coordinates, self.hot_pixel_frequency) {
            (Some(_), None) => Ok(()),
            (None, Some(hertz)) => {
                ensure(hertz > 0.0 && hertz.is_finite(), "hot_pixel_frequency", "a positive number", hertz)
            }
            (None, None) => ensure(false, "", one, "neither"),
            (Some(_), Some(_)) => ensure(false, "", one, "both"),
        }
    }

    fn check_sensor(&self, sensor: SensorSize) -> Checked {
        let outside = |[x, y]: &&[u32; 2]| *x >= sensor.width || *y >= sensor.height;
        let expected = format!("[x, y] inside the sensor, {sensor}");
        let pixel = self.coordinates.iter().flatten().find(outside);
        pixel.map_or(Ok(()), |pixel| ensure(false, "coordinates", &expected, format!("{pixel:?}")))
    }

    fn apply(&self, events: &mut Events, _: SensorSize, ledger: &mut Ledger) -> Checked {
        let [Some(first), Some(last)] = [events.t.first(), events.t.last()] else { return Ok(()) };
        let mut dropped = Pixels::of(events, false);
        for &[x, y] in self.coordinates.iter().flatten() {
            let (x, y) = (x as usize, y as usize);
            if x < dropped.width && y < dropped.height {
                dropped.values[y * dropped.width + x] = true;
            }
        }
        if let Some(hertz) = self.hot_pixel_frequency {
            // A sample of no duration allows no events at all.
            let allowed = hertz * (i128::from(*last) - i128::from(*first)) as f64 * 1e-6;
            let mut counts = Pixels::of(events, 0_u64);
            (0..events.len()).for_each(|i| counts.values[dropped.index(events, i)] += 1);
            dropped.values = counts.values.iter().map(|&n| n as f64 > allowed).collect();
        }
        filter(events, ledger, |events, i| !dropped.values[dropped.index(events, i)]);
        Ok(())
    }
}

/// Tonic's `RefractoryPeriod`: drops events that follow another of their pixel, dropped ones too, within `delta`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefractoryPeriod {
    /// Microseconds, which are not enough.
    pub delta: f64,
}

impl RefractoryPeriod {
    pub(super) const KNOWN: Known = Known {
        name: "RefractoryPeriod",
        about: "drop events that follow another of their pixel within delta microseconds",
        parameters: &[Parameter::required(
            "delta",
            Kind::FixedNumber,
            "microseconds after an event in which others are dropped",
        )],
    };
}

impl EventTransform for RefractoryPeriod {
    fn known(&self) -> &'static Known {
        &Self::KNOWN
    }

    fn check(&self) -> Checked {
        ensure(self.delta >= 0.0 && self.delta.is_finite(), "delta", "microseconds, at least 0", self.delta)
    }

    fn apply(&self, events: &mut Events, _: SensorSize, ledger: &mut Ledger) -> Checked {
        // Every pixel counts as having fired at -delta: a first event at time 0 is dropped.
        let mut last = Pixels::of(events, -self.delta);
        filter(events, ledger, |events, i| {
            let (at, t) = (last.index(events, i), events.t[i] as f64);
            let before = std::mem::replace(&mut last.values[at], t);
            t - before > self.delta
        });
        Ok(())
    }
}
