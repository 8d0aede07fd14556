//! Recipes: what is done to the events of every sample, in order, and how they become frames.
//!
//! Transforms bear Tonic's names and take its parameters. All are deterministic: random augmentation belongs to
//! training, where every epoch sees another draw.

mod space;
mod time;

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::events::{Events, SensorSize};
use super::framing::ToFrame;
use crate::error::{Error, Result};
use crate::shard::Ledger;

pub use space::Downsample;
pub use time::CropTime;

/// The random transforms of Tonic, refused by name.
const RANDOM: [&str; 12] = [
    "DropEvent",
    "DropEventByTime",
    "DropEventByArea",
    "RandomCrop",
    "RandomDropPixel",
    "RandomFlipLR",
    "RandomFlipPolarity",
    "RandomFlipUD",
    "RandomTimeReversal",
    "SpatialJitter",
    "TimeJitter",
    "UniformNoise",
];

/// An ordered list of transforms, and the framing at its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What happens to the events, in order.
    #[serde(default, rename = "transform")]
    pub transforms: Vec<Transform>,
    /// How they become frames.
    pub frames: ToFrame,
}

/// One step of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name")]
pub enum Transform {
    /// Multiplies times and coordinates.
    Downsample(Downsample),
    /// Keeps a span of time.
    CropTime(CropTime),
}

impl Recipe {
    /// The reference recipe: 100 channels of 700, one second, frames of 4 ms, the last one kept.
    pub fn reference() -> Recipe {
        Recipe::of(SensorSize { width: 700, height: 1, polarities: 1 }, Some(100), Some(1_000_000), 4_000)
    }

    /// The recipe of `--channels`, `--crop-time` and `--time-window` (microseconds).
    pub fn of(sensor: SensorSize, channels: Option<u32>, crop_time: Option<i64>, time_window: i64) -> Recipe {
        let mut transforms = Vec::new();
        if let Some(channels) = channels {
            let factor = f64::from(channels) / f64::from(sensor.width);
            transforms.push(Transform::Downsample(Downsample { time_factor: 1.0, spatial_factor: [factor, 1.0] }));
        }
        if let Some(max) = crop_time {
            transforms.push(Transform::CropTime(CropTime { min: 0, max: Some(max) }));
        }
        let frames = ToFrame { time_window: Some(time_window), include_incomplete: true, ..ToFrame::default() };
        Recipe { transforms, frames }
    }

    /// Reads a recipe from TOML.
    ///
    /// # Errors
    /// [`Error::BadRecipe`], which for a random transform says where it belongs.
    pub fn parse(path: Option<&Path>, text: &str) -> Result<Recipe> {
        let bad = |place: &str, expected: &str, got: String| Error::BadRecipe {
            path: path.map(Into::into),
            place: place.into(),
            expected: expected.into(),
            got,
        };
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| bad("TOML", "a table", e.to_string()))?;
        let steps = table.get("transform").and_then(toml::Value::as_array);
        let names = steps.into_iter().flatten().filter_map(|t| t.get("name")?.as_str());
        if let Some(name) = names.into_iter().find(|name| RANDOM.contains(name)) {
            let expected = "deterministic transforms (random augmentation belongs to training, fresh every epoch)";
            return Err(bad("transform", expected, name.into()));
        }
        let recipe: Recipe = toml::from_str(text).map_err(|e| bad("TOML", "transforms and [frames]", e.to_string()))?;
        recipe.frames.check().map_err(|(expected, got)| bad("frames", expected, got))?;
        for transform in &recipe.transforms {
            let checked = match transform {
                Transform::Downsample(t) => t.check(),
                Transform::CropTime(t) => t.check(),
            };
            checked.map_err(|(place, expected, got)| bad(place, expected, got))?;
        }
        Ok(recipe)
    }

    /// The recipe as TOML, which [`Recipe::parse`] reads back to the same recipe.
    ///
    /// # Panics
    /// Never: a recipe has nothing that TOML cannot say.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe is TOML")
    }

    /// The sensor after all transforms: the shape of the frames.
    pub fn sensor_after(&self, sensor: SensorSize) -> SensorSize {
        self.transforms.iter().fold(sensor, |sensor, transform| match transform {
            Transform::Downsample(t) => t.sensor_after(sensor),
            Transform::CropTime(_) => sensor,
        })
    }

    /// Applies the transforms to one sample's events, and counts what they drop.
    pub fn apply(&self, events: &mut Events, ledger: &mut Ledger) {
        for transform in &self.transforms {
            match transform {
                Transform::Downsample(t) => t.apply(events),
                Transform::CropTime(t) => ledger.cropped += t.apply(events),
            }
        }
    }

    /// The most frames that any sample can get, if the recipe bounds them.
    pub fn frame_limit(&self) -> Option<u64> {
        let span = self.transforms.iter().fold(None, |span, transform| match transform {
            Transform::Downsample(t) => span.map(|(lo, hi)| (t.time(lo), t.time(hi))),
            Transform::CropTime(t) => t.span_after(span),
        });
        self.frames.frame_limit(span)
    }
}
