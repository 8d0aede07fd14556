//! Transforms that drop single events, or all events of a pixel, exactly as Tonic does.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::events::{Events, SensorSize};
use crate::fault::{Checked, ensure};
use crate::signature::{Kind, Parameter, Signature};
use crate::transform::rule::{BlockStep, EventTransform, each_by_itself};
use tonic_shard::{Ledger, largest};

/// Makes an array (H, W) of `value`. H and W are just large enough for the largest y and x of `events`.
fn per_pixel<T: Clone>(events: &Events, value: T) -> Array2<T> {
    let size = |column: &[u16]| largest(column).map_or(0, |v| usize::from(v) + 1);
    Array2::from_elem((size(&events.y), size(&events.x)), value)
}

fn of_sensor<T: Clone>(sensor: SensorSize, value: T) -> Array2<T> {
    Array2::from_elem((sensor.height as usize, sensor.width as usize), value)
}

/// Pixel of event `i` as (y, x).
fn pixel(events: &Events, i: usize) -> [usize; 2] {
    [events.y[i].into(), events.x[i].into()]
}

/// Keeps the events for which `keep` returns true, and counts the others as filtered. Calls `keep` in order of time.
fn filter(events: &mut Events, ledger: &mut Ledger, mut keep: impl FnMut(&Events, usize) -> bool) {
    let before = events.len();
    let kept: Vec<bool> = (0..before).map(|i| keep(events, i)).collect();
    events.retain(|_, i| kept[i]);
    ledger.filtered += (before - events.len()) as u64;
}

/// Tonic's `Denoise`: drops an event if none of the four neighbouring pixels had an event during the last
/// `filter_time` microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denoise {
    /// For this many microseconds after an event, events of its four neighbouring pixels are kept.
    pub filter_time: f64,
}

impl Denoise {
    pub(super) const SIGNATURE: Signature = Signature {
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
    fn check(&self) -> Checked {
        let time = self.filter_time;
        ensure(time >= 0.0 && time.is_finite(), "filter_time", "microseconds, at least 0", time)
    }

    fn apply(&self, events: &mut Events, _: SensorSize, ledger: &mut Ledger) -> Checked {
        // As in Tonic, every pixel counts as having fired at time 0, except pixels beyond the sample's largest x and y.
        let mut until = per_pixel(events, self.filter_time);
        filter(events, ledger, |events, i| {
            let ([y, x], t) = (pixel(events, i), events.t[i] as f64);
            until[[y, x]] = t + self.filter_time;
            let fired = |y: usize, x: usize| until.get([y, x]).is_some_and(|&until| until > t);
            (x > 0 && fired(y, x - 1)) || fired(y, x + 1) || (y > 0 && fired(y - 1, x)) || fired(y + 1, x)
        });
        Ok(())
    }
}

/// Tonic's `Decimation`: keeps every `n`th event of each pixel, counted over both polarities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decimation {
    /// Of every `n` events of a pixel, only the last is kept.
    pub n: u32,
}

impl Decimation {
    pub(super) const SIGNATURE: Signature = Signature {
        name: "Decimation",
        about: "keep every nth event of each pixel",
        parameters: &[Parameter::required("n", Kind::Count, "one of every n events of a pixel is kept")],
    };
}

impl Decimation {
    /// Whether the next event of a pixel is kept. `seen` is the number of events of the pixel since its last kept
    /// event.
    fn keeps(&self, seen: &mut u32) -> bool {
        *seen = (*seen + 1) % self.n;
        *seen == 0
    }
}

impl EventTransform for Decimation {
    fn check(&self) -> Checked {
        ensure(self.n >= 1, "n", "at least 1", self.n)
    }

    fn apply(&self, events: &mut Events, _: SensorSize, ledger: &mut Ledger) -> Checked {
        let mut seen = per_pixel(events, 0_u32);
        filter(events, ledger, |events, i| self.keeps(&mut seen[pixel(events, i)]));
        Ok(())
    }

    fn in_blocks(&self, sensor: SensorSize) -> Option<BlockStep<'_>> {
        let mut seen = of_sensor(sensor, 0_u32);
        Some(Box::new(move |events, ledger| {
            filter(events, ledger, |events, i| self.keeps(&mut seen[pixel(events, i)]));
            Ok(())
        }))
    }
}

/// Tonic's `DropPixel`: drops all events of listed pixels, or of pixels with too many events per second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropPixel {
    /// Pixels to drop, as (x, y). `None` if `hot_pixel_frequency` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinates: Option<Vec<[u32; 2]>>,
    /// Maximum number of events per second of a pixel, on average over the duration of the sample. Pixels with more are
    /// dropped. `None` if `coordinates` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hot_pixel_frequency: Option<f64>,
}

impl DropPixel {
    pub(super) const SIGNATURE: Signature = Signature {
        name: "DropPixel",
        about: "drop all events of listed pixels, or of those that fire too often",
        parameters: &[
            Parameter::optional("coordinates", Kind::Pixels, "the pixels"),
            Parameter::optional(
                "hot_pixel_frequency",
                Kind::Number,
                "or: events per second above which a pixel is dropped",
            ),
        ],
    };
}

impl EventTransform for DropPixel {
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
        let mut dropped = per_pixel(events, false);
        for &[x, y] in self.coordinates.iter().flatten() {
            if let Some(dropped) = dropped.get_mut([y as usize, x as usize]) {
                *dropped = true;
            }
        }
        if let Some(hertz) = self.hot_pixel_frequency {
            // If the duration is 0, no events are allowed and every pixel is dropped.
            let allowed = hertz * (i128::from(*last) - i128::from(*first)) as f64 * 1e-6;
            let mut counts = per_pixel(events, 0_u64);
            (0..events.len()).for_each(|i| counts[pixel(events, i)] += 1);
            dropped = counts.mapv(|n| n as f64 > allowed);
        }
        filter(events, ledger, |events, i| !dropped[pixel(events, i)]);
        Ok(())
    }

    fn in_blocks(&self, sensor: SensorSize) -> Option<BlockStep<'_>> {
        // The frequency of a pixel is known only at the end.
        self.hot_pixel_frequency.is_none().then(|| each_by_itself(self, sensor))
    }
}

/// Tonic's `RefractoryPeriod`: drops an event if the previous event of its pixel, kept or dropped, was at most `delta`
/// earlier.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefractoryPeriod {
    /// Refractory period in microseconds.
    pub delta: f64,
}

impl RefractoryPeriod {
    pub(super) const SIGNATURE: Signature = Signature {
        name: "RefractoryPeriod",
        about: "drop events that follow another of their pixel within delta microseconds",
        parameters: &[Parameter::required(
            "delta",
            Kind::FixedNumber,
            "microseconds after an event in which others are dropped",
        )],
    };
}

impl RefractoryPeriod {
    /// Whether an event at time `t` is kept. `last` is the time of the pixel's previous event, and is set to `t`.
    fn keeps(&self, last: &mut f64, t: i64) -> bool {
        let t = t as f64;
        let before = std::mem::replace(last, t);
        t - before > self.delta
    }
}

impl EventTransform for RefractoryPeriod {
    fn check(&self) -> Checked {
        ensure(self.delta >= 0.0 && self.delta.is_finite(), "delta", "microseconds, at least 0", self.delta)
    }

    fn apply(&self, events: &mut Events, _: SensorSize, ledger: &mut Ledger) -> Checked {
        // As in Tonic, every pixel counts as having fired at -delta. So a first event at time 0 is dropped.
        let mut last = per_pixel(events, -self.delta);
        filter(events, ledger, |events, i| self.keeps(&mut last[pixel(events, i)], events.t[i]));
        Ok(())
    }

    fn in_blocks(&self, sensor: SensorSize) -> Option<BlockStep<'_>> {
        let mut last = of_sensor(sensor, -self.delta);
        Some(Box::new(move |events, ledger| {
            filter(events, ledger, |events, i| self.keeps(&mut last[pixel(events, i)], events.t[i]));
            Ok(())
        }))
    }
}
