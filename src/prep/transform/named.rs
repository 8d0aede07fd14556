//! The list of all transforms, with their names in a recipe.

use serde::{Deserialize, Serialize};

use crate::signature::Signature;
use crate::transform::rule::EventTransform;
use crate::transform::{
    CenterCrop, CropTime, Decimation, Denoise, Downsample, DropPixel, EventDownsampling, MergePolarities,
    RefractoryPeriod, TimeAlignment, TimeSkew,
};

/// A transform: one step of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name")]
pub enum Transform {
    /// Crops the sensor to its centre.
    CenterCrop(CenterCrop),
    /// Keeps the events between two times.
    CropTime(CropTime),
    /// Keeps every nth event of each pixel.
    Decimation(Decimation),
    /// Drops an event if none of the neighbouring pixels had a recent event.
    Denoise(Denoise),
    /// Drops all events of some pixels.
    DropPixel(DropPixel),
    /// Scales times and coordinates.
    Downsample(Downsample),
    /// Sums events in fewer, larger pixels. Each of these pixels emits new events.
    EventDownsampling(EventDownsampling),
    /// Merges all polarities into one.
    MergePolarities(MergePolarities),
    /// Drops events that come too soon after another event of the same pixel.
    RefractoryPeriod(RefractoryPeriod),
    /// Shifts times so that the first event is at 0.
    TimeAlignment(TimeAlignment),
    /// Scales and shifts times.
    TimeSkew(TimeSkew),
}

/// The signatures (names, parameters and defaults) of all transforms.
pub(crate) const TRANSFORMS: [Signature; 11] = [
    CenterCrop::SIGNATURE,
    CropTime::SIGNATURE,
    Decimation::SIGNATURE,
    Denoise::SIGNATURE,
    DropPixel::SIGNATURE,
    Downsample::SIGNATURE,
    EventDownsampling::SIGNATURE,
    MergePolarities::SIGNATURE,
    RefractoryPeriod::SIGNATURE,
    TimeAlignment::SIGNATURE,
    TimeSkew::SIGNATURE,
];

impl Transform {
    /// Name of the transform in Tonic and in recipes, and the transform as a trait object.
    fn named(&self) -> (&'static str, &dyn EventTransform) {
        match self {
            Transform::CenterCrop(t) => (CenterCrop::SIGNATURE.name, t),
            Transform::CropTime(t) => (CropTime::SIGNATURE.name, t),
            Transform::Decimation(t) => (Decimation::SIGNATURE.name, t),
            Transform::Denoise(t) => (Denoise::SIGNATURE.name, t),
            Transform::DropPixel(t) => (DropPixel::SIGNATURE.name, t),
            Transform::Downsample(t) => (Downsample::SIGNATURE.name, t),
            Transform::EventDownsampling(t) => (EventDownsampling::SIGNATURE.name, t),
            Transform::MergePolarities(t) => (MergePolarities::SIGNATURE.name, t),
            Transform::RefractoryPeriod(t) => (RefractoryPeriod::SIGNATURE.name, t),
            Transform::TimeAlignment(t) => (TimeAlignment::SIGNATURE.name, t),
            Transform::TimeSkew(t) => (TimeSkew::SIGNATURE.name, t),
        }
    }

    /// Name of the transform in Tonic and in recipes.
    pub fn name(&self) -> &'static str {
        self.named().0
    }

    pub(crate) fn step(&self) -> &dyn EventTransform {
        self.named().1
    }
}
