//! The list of all framings, with their names in a recipe.

use serde::{Deserialize, Serialize};
use tonic_shard::{FrameShape, Width};

use crate::events::SensorSize;
use crate::fault::{Checked, ensure};
use crate::framing::rule::EventFraming;
use crate::framing::{ToAveragedTimesurface, ToBinaRep, ToFrame, ToImage, ToTimesurface, ToVoxelGrid};
use crate::signature::Signature;

/// Maximum number of cells of a frame or a sensor. Each worker keeps one counter per cell.
pub(crate) const MAX_CELLS: u64 = 1 << 28;

/// How events become frames. In TOML, a framing without a `name` is a `ToFrame`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name")]
pub enum Framing {
    /// Time surfaces of the events, averaged per cell (HATS).
    ToAveragedTimesurface(ToAveragedTimesurface),
    /// One binary number per cell, with one bit per slice.
    ToBinaRep(ToBinaRep),
    /// Event counts of the whole sample, in one frame.
    ToImage(ToImage),
    /// Exponentially decayed time since each pixel's last event.
    ToTimesurface(ToTimesurface),
    /// Sums of polarities, interpolated between neighbouring time bins.
    ToVoxelGrid(ToVoxelGrid),
    /// Event counts per slice.
    #[serde(untagged)]
    ToFrame(ToFrame),
}

/// The signatures of all framings.
pub(crate) const FRAMINGS: [Signature; 6] = [
    ToFrame::SIGNATURE,
    ToImage::SIGNATURE,
    ToBinaRep::SIGNATURE,
    ToTimesurface::SIGNATURE,
    ToAveragedTimesurface::SIGNATURE,
    ToVoxelGrid::SIGNATURE,
];

impl Framing {
    /// The framing as a trait object.
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

    /// Checks that the parameters are valid for a sensor.
    ///
    /// # Errors
    /// The invalid parameter, with what was expected and what was found.
    pub fn check_sensor(&self, sensor: SensorSize) -> Checked {
        self.rule().check_sensor(sensor)?;
        let shape = self.shape(sensor);
        ensure(shape.cells() <= MAX_CELLS, "", "frames of at most 2^28 cells", shape)
    }

    /// Whether one event can be in several frames.
    pub fn overlaps(&self) -> bool {
        self.rule().overlaps()
    }

    /// Time from one frame to the next in microseconds; `None` if it is not constant.
    pub fn frame_time(&self) -> Option<f64> {
        self.rule().frame_time()
    }

    /// Type of the values: float32 for surfaces, uint8 for counts. A conversion widens the type of counts if a larger
    /// count needs it.
    pub fn values(&self) -> Width {
        self.rule().values()
    }

    /// Shape of a frame of `sensor`.
    pub fn shape(&self, sensor: SensorSize) -> FrameShape {
        self.rule().shape(sensor)
    }
}
