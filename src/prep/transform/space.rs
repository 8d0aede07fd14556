//! Transforms of place and polarity.

use serde::{Deserialize, Serialize};

use super::super::events::{Events, SensorSize};
use super::super::known::{Checked, Kind, Known, Parameter, ensure};
use super::time::{skew, skewed};
use super::{EventTransform, Span, one_or_two};
use crate::shard::Ledger;

/// The most pixels of a row or column: coordinates are 16 bits.
const MAX_SIZE: u32 = 1 << 16;

/// Tonic's `CenterCrop`: keeps the middle of the sensor; a size beyond the sensor's moves the events to its middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CenterCrop {
    /// The sensor before, if the recipe says it: it is held against the recording's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor_size: Option<[u32; 3]>,
    /// Width and height after.
    #[serde(deserialize_with = "one_or_two")]
    pub size: [u32; 2],
}

impl CenterCrop {
    pub(super) const KNOWN: Known = Known {
        name: "CenterCrop",
        about: "keep the middle of the sensor (a larger size adds a margin)",
        parameters: &[
            Parameter::required("size", Kind::Sizes, "pixels kept, or added as a margin"),
            Parameter::optional("sensor_size", Kind::Sensor, "the sensor at this step, to be checked"),
        ],
    };

    /// How far everything moves toward the origin; negative where a margin is added.
    fn offset(before: u32, after: u32) -> i64 {
        (i64::from(before) - i64::from(after)).div_euclid(2)
    }
}

impl EventTransform for CenterCrop {
    fn known(&self) -> &'static Known {
        &Self::KNOWN
    }

    fn check(&self) -> Checked {
        let inside = self.size.iter().all(|size| (1..=MAX_SIZE).contains(size));
        ensure(inside, "size", "sizes from 1 to 65536", format!("{:?}", self.size))
    }

    fn sensor_size(&self) -> Option<[u32; 3]> {
        self.sensor_size
    }

    fn sensor_after(&self, sensor: SensorSize) -> SensorSize {
        let [width, height] = self.size;
        SensorSize { width, height, ..sensor }
    }

    fn apply(&self, events: &mut Events, sensor: SensorSize, ledger: &mut Ledger) -> Checked {
        let before = events.len();
        let [width, height] = self.size;
        let (dx, dy) = (CenterCrop::offset(sensor.width, width), CenterCrop::offset(sensor.height, height));
        let keeps = |v: u16, offset: i64, size: u32| {
            let first = offset.max(0);
            (first..first + i64::from(size)).contains(&i64::from(v))
        };
        events.retain(|events, i| keeps(events.x[i], dx, width) && keeps(events.y[i], dy, height));
        events.x.iter_mut().for_each(|x| *x = (i64::from(*x) - dx) as u16);
        events.y.iter_mut().for_each(|y| *y = (i64::from(*y) - dy) as u16);
        ledger.cropped += (before - events.len()) as u64;
        Ok(())
    }
}

/// Tonic's `Downsample`: times and coordinates times a factor each, in float64, truncated toward zero.
///
/// Integer arithmetic (`x * n / 700`) gives other channels for 35 of the 700 target sizes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Downsample {
    /// What times are multiplied with.
    #[serde(default = "one")]
    pub time_factor: f64,
    /// What x and y are multiplied with.
    #[serde(default = "ones", deserialize_with = "one_or_two")]
    pub spatial_factor: [f64; 2],
    /// The sensor before, if the recipe says it: it is held against the recording's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor_size: Option<[u32; 3]>,
    /// Width and height after, instead of `spatial_factor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_size: Option<[u32; 2]>,
}

fn one() -> f64 {
    1.0
}

fn ones() -> [f64; 2] {
    [1.0; 2]
}

impl Default for Downsample {
    fn default() -> Downsample {
        Downsample { time_factor: 1.0, spatial_factor: [1.0; 2], sensor_size: None, target_size: None }
    }
}

impl Downsample {
    pub(super) const KNOWN: Known = Known {
        name: "Downsample",
        about: "multiply times and coordinates, without dropping events",
        parameters: &[
            Parameter::with("time_factor", Kind::Number, "1.0", "what times are multiplied with"),
            Parameter::with("spatial_factor", Kind::Numbers, "1.0", "what x and y are multiplied with, at most 1"),
            Parameter::optional("sensor_size", Kind::Sensor, "the sensor at this step, to be checked"),
            Parameter::optional("target_size", Kind::Size, "or: the sensor to arrive at"),
        ],
    };

    fn factors(&self, sensor: SensorSize) -> [f64; 2] {
        self.target_size.map_or(self.spatial_factor, |target| spatial_factors(target, sensor))
    }
}

/// What x and y of `sensor` are multiplied with for a sensor of `target` size.
pub(super) fn spatial_factors([width, height]: [u32; 2], sensor: SensorSize) -> [f64; 2] {
    [f64::from(width) / f64::from(sensor.width), f64::from(height) / f64::from(sensor.height)]
}

/// Whether a target is a sensor at all.
pub(super) fn check_target(target: [u32; 2]) -> Checked {
    ensure(target.iter().all(|&size| size >= 1), "target_size", "sizes of at least 1", format!("{target:?}"))
}

/// Whether a target is no larger than the sensor before.
pub(super) fn check_target_within(target: [u32; 2], sensor: SensorSize) -> Checked {
    let expected = format!("at most the sensor's [{}, {}]", sensor.width, sensor.height);
    let fits = target[0] <= sensor.width && target[1] <= sensor.height;
    ensure(fits, "target_size", &expected, format!("{target:?}"))
}

impl EventTransform for Downsample {
    fn known(&self) -> &'static Known {
        &Self::KNOWN
    }

    fn check(&self) -> Checked {
        let [fx, fy] = self.spatial_factor;
        let downward = |f: f64| f > 0.0 && f <= 1.0;
        let (time, pair) = (self.time_factor, format!("[{fx}, {fy}]"));
        ensure(time > 0.0 && time.is_finite(), "time_factor", "a positive number", time)?;
        ensure(downward(fx) && downward(fy), "spatial_factor", "factors above 0, at most 1", &pair)?;
        self.target_size.map_or(Ok(()), check_target)?;
        let twice = self.target_size.is_some() && self.spatial_factor != ones();
        ensure(!twice, "spatial_factor", "none beside target_size, which is used instead", pair)
    }

    fn check_sensor(&self, sensor: SensorSize) -> Checked {
        self.target_size.map_or(Ok(()), |target| check_target_within(target, sensor))
    }

    fn sensor_size(&self) -> Option<[u32; 3]> {
        self.sensor_size
    }

    fn sensor_after(&self, sensor: SensorSize) -> SensorSize {
        let [fx, fy] = self.factors(sensor);
        let last = |size: u32, factor: f64| (f64::from(size - 1) * factor) as u32 + 1;
        let [width, height] = self.target_size.unwrap_or([last(sensor.width, fx), last(sensor.height, fy)]);
        SensorSize { width, height, ..sensor }
    }

    fn span_after(&self, span: Option<Span>) -> Option<Span> {
        let (lo, hi) = span?;
        Some((skewed(lo, self.time_factor, 0.0)?, skewed(hi, self.time_factor, 0.0)?))
    }

    fn apply(&self, events: &mut Events, sensor: SensorSize, ledger: &mut Ledger) -> Checked {
        let [fx, fy] = self.factors(sensor);
        // A product a pixel of the sensor instead of one an event, of which there are more.
        let scale = |column: &mut [u16], size: u32, factor: f64| {
            if factor != 1.0 {
                let scaled: Vec<u16> = (0..size).map(|v| (f64::from(v) * factor) as u16).collect();
                column.iter_mut().for_each(|v| *v = scaled[usize::from(*v)]);
            }
        };
        scale(&mut events.x, sensor.width, fx);
        scale(&mut events.y, sensor.height, fy);
        if self.time_factor != 1.0 {
            ledger.non_finite += skew(events, self.time_factor, 0.0);
        }
        Ok(())
    }
}

/// Tonic's `MergePolarities`: all polarities become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergePolarities {}

impl MergePolarities {
    pub(super) const KNOWN: Known =
        Known { name: "MergePolarities", about: "make all polarities one", parameters: &[] };
}

impl EventTransform for MergePolarities {
    fn known(&self) -> &'static Known {
        &Self::KNOWN
    }

    fn sensor_after(&self, sensor: SensorSize) -> SensorSize {
        SensorSize { polarities: 1, ..sensor }
    }

    fn apply(&self, events: &mut Events, _: SensorSize, _: &mut Ledger) -> Checked {
        events.p.fill(0);
        Ok(())
    }
}
