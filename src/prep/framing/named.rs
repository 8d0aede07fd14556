//! The list of all framings, with their names in a recipe.

use serde::{Deserialize, Serialize};
use tonic_shard::{FrameShape, Width};

use crate::events::SensorSize;
use crate::fault::{Checked, ensure};
use crate::framing::rule::EventFraming;
use crate::framing::{FrameStream, ToAveragedTimesurface, ToBinaRep, ToFrame, ToImage, ToTimesurface, ToVoxelGrid};
use crate::signature::Signature;

/// Maximum number of cells of a frame or a sensor. Each worker needs memory for one counter per cell.
pub(crate) const MAX_CELLS: u64 = 1 << 28;

/// How events become frames. In TOML, a framing without a `name` is a `ToFrame`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name")]
pub enum Framing {
    /// Time surfaces of the events, averaged over each square of pixels (HATS).
    ToAveragedTimesurface(ToAveragedTimesurface),
    /// One binary number per cell. Each bit says whether the cell had an event in one slice of time.
    ToBinaRep(ToBinaRep),
    /// Event counts per cell over the whole sample, in one frame.
    ToImage(ToImage),
    /// Time since the last event of each cell, as a value that decays exponentially from 1 toward 0.
    ToTimesurface(ToTimesurface),
    /// Sums of polarities per pixel. The polarity of each event is divided between two neighbouring time bins.
    ToVoxelGrid(ToVoxelGrid),
    /// Event counts per cell, one frame per slice of the sample.
    #[serde(untagged)]
    ToFrame(ToFrame),
}

/// The signatures (names, parameters and defaults) of all framings.
pub(crate) const FRAMINGS: [Signature; 6] = [
    ToFrame::SIGNATURE,
    ToImage::SIGNATURE,
    ToBinaRep::SIGNATURE,
    ToTimesurface::SIGNATURE,
    ToAveragedTimesurface::SIGNATURE,
    ToVoxelGrid::SIGNATURE,
];

impl Framing {
    pub(crate) fn rule(&self) -> &dyn EventFraming {
        match self {
            Framing::ToAveragedTimesurface(f) => f,
            Framing::ToBinaRep(f) => f,
            Framing::ToFrame(f) => f,
            Framing::ToImage(f) => f,
            Framing::ToTimesurface(f) => f,
            Framing::ToVoxelGrid(f) => f,
        }
    }

    /// Name of the framing in Tonic and in recipes.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Framing::ToAveragedTimesurface(_) => ToAveragedTimesurface::SIGNATURE.name,
            Framing::ToBinaRep(_) => ToBinaRep::SIGNATURE.name,
            Framing::ToFrame(_) => ToFrame::SIGNATURE.name,
            Framing::ToImage(_) => ToImage::SIGNATURE.name,
            Framing::ToTimesurface(_) => ToTimesurface::SIGNATURE.name,
            Framing::ToVoxelGrid(_) => ToVoxelGrid::SIGNATURE.name,
        }
    }

    /// Checks that the parameters are valid for the events of `sensor`.
    ///
    /// # Errors
    /// A [`Fault`](crate::Fault) with the invalid parameter, what was expected and what was found.
    pub fn check_sensor(&self, sensor: SensorSize) -> Checked {
        self.rule().check_sensor(sensor)?;
        let shape = self.shape(sensor);
        ensure(shape.cells() <= MAX_CELLS, "", "frames of at most 2^28 cells", shape)
    }

    /// Whether one event can be in several frames.
    pub fn overlaps(&self) -> bool {
        self.rule().overlaps()
    }

    /// Time between the starts of consecutive frames, in microseconds. `None` if it depends on the sample.
    pub fn frame_time(&self) -> Option<f64> {
        self.rule().frame_time()
    }

    /// Returns an object that makes frames from blocks of events. `None` if the framing needs a whole sample at once.
    pub(crate) fn stream(&self, sensor: SensorSize) -> Option<FrameStream> {
        let windows = match self {
            Framing::ToFrame(rule) => rule.streamed(),
            Framing::ToImage(_) => ToFrame { n_event_bins: Some(1), ..ToFrame::default() }.streamed(),
            _ => None,
        };
        windows.map(|windows| FrameStream::new(sensor, windows))
    }

    /// Type of a cell's value: float32, or uint8 for event counts. A conversion stores larger counts in a wider type.
    pub fn values(&self) -> Width {
        self.rule().values()
    }

    /// Returns the shape of a frame, for events of `sensor`.
    pub fn shape(&self, sensor: SensorSize) -> FrameShape {
        self.rule().shape(sensor)
    }
}
