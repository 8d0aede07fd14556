//! Event transforms, with Tonic's names, parameters and defaults. All are deterministic.
//!
//! ```text
//! named, rule      the list of transforms; the trait that every transform implements
//! space, time      transforms of coordinates and polarity, and of times
//! filter           transforms that drop events
//! downsampling     EventDownsampling, which sums the events of several pixels
//! ```
//!
//! To add a transform, write a type that implements [`rule::EventTransform`], and add its variant, match arm and
//! signature to `named.rs`.

mod downsampling;
mod filter;
mod named;
mod rule;
mod space;
mod time;

pub(crate) use downsampling::EventDownsampling;
pub(crate) use filter::{Decimation, Denoise, DropPixel, RefractoryPeriod};
pub(crate) use named::TRANSFORMS;
pub use named::Transform;
pub(crate) use rule::BlockStep;
pub(crate) use space::{CenterCrop, Downsample, MergePolarities};
pub(crate) use time::{CropTime, TimeAlignment, TimeSkew};
