//! Transforms of events, under Tonic's names, with its parameters, and the [`Recipe`] that orders them.
//!
//! All are deterministic: random augmentation belongs to training, where every epoch sees another draw. A transform is
//! a type of its own that implements `EventTransform`; to add one, give it a variant, an arm and a place in the list.

mod downsampling;
mod filter;
mod recipe;
mod space;
mod time;

use serde::{Deserialize, Deserializer, Serialize};

use super::events::{Events, SensorSize};
use super::framing;
use super::known::Known;
use crate::shard::Ledger;

pub use super::known::{Checked, Fault};
pub use downsampling::EventDownsampling;
pub use filter::{Decimation, Denoise, DropPixel, RefractoryPeriod};
pub use recipe::Recipe;
pub use space::{CenterCrop, Downsample, MergePolarities};
pub use time::{CropTime, TimeAlignment, TimeSkew};

/// Times in microseconds, the first and the last that there can be.
pub type Span = (i64, i64);

/// One step of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name")]
pub enum Transform {
    /// Keeps the middle of the sensor.
    CenterCrop(CenterCrop),
    /// Keeps a span of time.
    CropTime(CropTime),
    /// Keeps every nth event of a pixel.
    Decimation(Decimation),
    /// Drops events without neighbours.
    Denoise(Denoise),
    /// Silences pixels.
    DropPixel(DropPixel),
    /// Multiplies times and coordinates.
    Downsample(Downsample),
    /// Emits fewer events for fewer pixels.
    EventDownsampling(EventDownsampling),
    /// Makes all polarities one.
    MergePolarities(MergePolarities),
    /// Drops events that follow too soon.
    RefractoryPeriod(RefractoryPeriod),
    /// Lets the first event be at time zero.
    TimeAlignment(TimeAlignment),
    /// Multiplies and shifts times.
    TimeSkew(TimeSkew),
}

const TRANSFORMS: [Known; 11] = [
    CenterCrop::KNOWN,
    CropTime::KNOWN,
    Decimation::KNOWN,
    Denoise::KNOWN,
    DropPixel::KNOWN,
    Downsample::KNOWN,
    EventDownsampling::KNOWN,
    MergePolarities::KNOWN,
    RefractoryPeriod::KNOWN,
    TimeAlignment::KNOWN,
    TimeSkew::KNOWN,
];

/// What a recipe can name: the transforms of `[[transform]]`, then the framings of `[frames]`.
pub fn known() -> [&'static [Known]; 2] {
    [&TRANSFORMS, &framing::FRAMINGS]
}

/// What all transforms do.
trait EventTransform {
    /// Its entry in the list.
    fn known(&self) -> &'static Known;

    /// Whether the parameters make sense on their own; the fault's place is the parameter.
    fn check(&self) -> Checked {
        Ok(())
    }

    /// Whether they make sense for a sensor.
    fn check_sensor(&self, _sensor: SensorSize) -> Checked {
        Ok(())
    }

    /// Tonic's `sensor_size`, where the recipe gives it.
    fn sensor_size(&self) -> Option<[u32; 3]> {
        None
    }

    /// The sensor of the events that come out.
    fn sensor_after(&self, sensor: SensorSize) -> SensorSize {
        sensor
    }

    /// The times that can come out, of the times that can come in, where something bounds them.
    fn span_after(&self, span: Option<Span>) -> Option<Span> {
        span
    }

    /// Transforms the events of one sample, which are in order of time before and after, and counts what it drops.
    fn apply(&self, events: &mut Events, sensor: SensorSize, ledger: &mut Ledger) -> Checked;
}

impl Transform {
    fn step(&self) -> &dyn EventTransform {
        match self {
            Transform::CenterCrop(t) => t,
            Transform::CropTime(t) => t,
            Transform::Decimation(t) => t,
            Transform::Denoise(t) => t,
            Transform::DropPixel(t) => t,
            Transform::Downsample(t) => t,
            Transform::EventDownsampling(t) => t,
            Transform::MergePolarities(t) => t,
            Transform::RefractoryPeriod(t) => t,
            Transform::TimeAlignment(t) => t,
            Transform::TimeSkew(t) => t,
        }
    }

    /// Tonic's name.
    pub fn name(&self) -> &'static str {
        self.step().known().name
    }
}

/// A pair, where Tonic takes one value for both.
fn one_or_two<'de, D: Deserializer<'de>, T: Deserialize<'de> + Copy>(deserializer: D) -> Result<[T; 2], D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<T> {
        One(T),
        Two([T; 2]),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::One(value) => [value, value],
        Either::Two(pair) => pair,
    })
}
