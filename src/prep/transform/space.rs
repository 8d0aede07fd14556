//! Transforms of space.

use serde::{Deserialize, Serialize};

use super::super::events::{Events, SensorSize};

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
    #[serde(default = "ones")]
    pub spatial_factor: [f64; 2],
}

fn one() -> f64 {
    1.0
}

fn ones() -> [f64; 2] {
    [1.0; 2]
}

impl Downsample {
    pub(super) fn check(&self) -> std::result::Result<(), (&'static str, &'static str, String)> {
        let downward = |f: f64| f > 0.0 && f <= 1.0;
        let [fx, fy] = self.spatial_factor;
        if !(self.time_factor > 0.0 && self.time_factor.is_finite()) {
            return Err(("Downsample", "a positive time_factor", self.time_factor.to_string()));
        }
        if !downward(fx) || !downward(fy) {
            return Err(("Downsample", "spatial factors above 0, at most 1", format!("[{fx}, {fy}]")));
        }
        Ok(())
    }

    pub(super) fn apply(&self, events: &mut Events) {
        let [fx, fy] = self.spatial_factor;
        let scale = |column: &mut [u16], factor: f64| {
            if factor != 1.0 {
                column.iter_mut().for_each(|v| *v = (f64::from(*v) * factor) as u16);
            }
        };
        scale(&mut events.x, fx);
        scale(&mut events.y, fy);
        if self.time_factor != 1.0 {
            events.t.iter_mut().for_each(|t| *t = self.time(*t));
        }
    }

    pub(super) fn time(&self, t: i64) -> i64 {
        if self.time_factor == 1.0 { t } else { (t as f64 * self.time_factor) as i64 }
    }

    pub(super) fn sensor_after(&self, sensor: SensorSize) -> SensorSize {
        let [fx, fy] = self.spatial_factor;
        let last = |size: u32, factor: f64| (f64::from(size - 1) * factor) as u32 + 1;
        SensorSize { width: last(sensor.width, fx), height: last(sensor.height, fy), ..sensor }
    }
}
