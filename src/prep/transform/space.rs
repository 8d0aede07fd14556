//! Transforms of coordinates and polarity.

use serde::{Deserialize, Serialize};

use crate::events::{Events, SensorSize};
use crate::fault::{Checked, ensure};
use crate::signature::{Kind, Parameter, Signature};
use crate::transform::rule::{BlockStep, EventTransform, TimeSpan, each_by_itself, one_or_two};
use crate::transform::time::{skew, skewed};
use tonic_shard::Ledger;

/// Maximum width or height of a sensor, because coordinates have 16 bits.
const MAX_SIZE: u32 = 1 << 16;

/// Tonic's `CenterCrop`: keeps the centre of the sensor. If `size` is larger, the events move to the centre of the
/// larger sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CenterCrop {
    /// Sensor size that is expected before this transform, (W, H, P). With `None`, any size is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor_size: Option<[u32; 3]>,
    /// Width and height of the output sensor, in pixels.
    #[serde(deserialize_with = "one_or_two")]
    pub size: [u32; 2],
}

impl CenterCrop {
    pub(super) const SIGNATURE: Signature = Signature {
        name: "CenterCrop",
        about: "keep the middle of the sensor (a larger size adds a margin)",
        parameters: &[
            Parameter::required("size", Kind::Sizes, "width and height of the output sensor, in pixels"),
            Parameter::SENSOR_SIZE,
        ],
    };

    /// Returns the number that is subtracted from each coordinate. It is negative if the sensor grows.
    fn offset(before: u32, after: u32) -> i64 {
        (i64::from(before) - i64::from(after)).div_euclid(2)
    }
}

impl EventTransform for CenterCrop {
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

    fn in_blocks(&self, sensor: SensorSize) -> Option<BlockStep<'_>> {
        Some(each_by_itself(self, sensor))
    }
}

/// Tonic's `Downsample`: multiplies times and coordinates by factors in float64, and truncates toward zero. Integer
/// arithmetic would give other results than Tonic.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Downsample {
    /// Factor for times.
    #[serde(default = "one")]
    pub time_factor: f64,
    /// Factors for x and y.
    #[serde(default = "ones", deserialize_with = "one_or_two")]
    pub spatial_factor: [f64; 2],
    /// Sensor size that is expected before this transform, (W, H, P). With `None`, any size is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor_size: Option<[u32; 3]>,
    /// Width and height of the output sensor, in pixels. If `None`, `spatial_factor` determines them.
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
    pub(super) const SIGNATURE: Signature = Signature {
        name: "Downsample",
        about: "multiply times and coordinates, without dropping events",
        parameters: &[
            Parameter::with("time_factor", Kind::Number, "1.0", "what times are multiplied with"),
            Parameter::with("spatial_factor", Kind::Numbers, "1.0", "what x and y are multiplied with, at most 1"),
            Parameter::SENSOR_SIZE,
            Parameter::optional("target_size", Kind::Size, "or: the sensor to arrive at"),
        ],
    };

    fn factors(&self, sensor: SensorSize) -> [f64; 2] {
        self.target_size.map_or(self.spatial_factor, |target| spatial_factors(target, sensor))
    }
}

/// Factors for x and y that scale `sensor` to `width` and `height`.
pub(super) fn spatial_factors([width, height]: [u32; 2], sensor: SensorSize) -> [f64; 2] {
    [f64::from(width) / f64::from(sensor.width), f64::from(height) / f64::from(sensor.height)]
}

pub(super) fn check_target(target: [u32; 2]) -> Checked {
    ensure(target.iter().all(|&size| size >= 1), "target_size", "sizes of at least 1", format!("{target:?}"))
}

pub(super) fn check_target_within(target: [u32; 2], sensor: SensorSize) -> Checked {
    let expected = format!("at most the sensor's [{}, {}]", sensor.width, sensor.height);
    let fits = target[0] <= sensor.width && target[1] <= sensor.height;
    ensure(fits, "target_size", &expected, format!("{target:?}"))
}

impl EventTransform for Downsample {
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

    fn span_after(&self, span: Option<TimeSpan>) -> Option<TimeSpan> {
        let (lo, hi) = span?;
        Some((skewed(lo, self.time_factor, 0.0)?, skewed(hi, self.time_factor, 0.0)?))
    }

    fn apply(&self, events: &mut Events, sensor: SensorSize, ledger: &mut Ledger) -> Checked {
        let [fx, fy] = self.factors(sensor);
        // Scale each possible coordinate once and look it up, because there are more events than coordinates.
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

    fn in_blocks(&self, sensor: SensorSize) -> Option<BlockStep<'_>> {
        Some(each_by_itself(self, sensor))
    }
}

/// Tonic's `MergePolarities`: sets every polarity to 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergePolarities {}

impl MergePolarities {
    pub(super) const SIGNATURE: Signature =
        Signature { name: "MergePolarities", about: "make all polarities one", parameters: &[] };
}

impl EventTransform for MergePolarities {
    fn sensor_after(&self, sensor: SensorSize) -> SensorSize {
        SensorSize { polarities: 1, ..sensor }
    }

    fn apply(&self, events: &mut Events, _: SensorSize, _: &mut Ledger) -> Checked {
        events.p.fill(0);
        Ok(())
    }

    fn in_blocks(&self, sensor: SensorSize) -> Option<BlockStep<'_>> {
        Some(each_by_itself(self, sensor))
    }
}
