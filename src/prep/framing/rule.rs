//! The traits that every framing implements, and the type for the frames of one sample.

use tonic_shard::{ColumnBuf, FrameShape, Width};

use crate::events::{Events, SensorSize};
use crate::fault::{Checked, Fault};
use crate::framing::slicing::MAX_FRAMES;

/// Maximum number of entries of a sample: about two gigabytes.
const MAX_ENTRIES: usize = 1 << 28;

/// The parameters of a framing: checks them, computes the geometry of the frames, and builds a frame maker.
pub(crate) trait EventFraming {
    /// Checks that the parameters are valid. The place of the fault is the parameter's name.
    fn check(&self) -> Checked {
        Ok(())
    }

    /// Checks that the parameters are valid for a sensor.
    fn check_sensor(&self, _sensor: SensorSize) -> Checked {
        Ok(())
    }

    /// Tonic's `sensor_size` parameter, (W, H, P); `None` if the recipe leaves it out.
    fn sensor_size(&self) -> Option<[u32; 3]> {
        None
    }

    /// Whether one event can be in several frames.
    fn overlaps(&self) -> bool {
        false
    }

    /// Maximum number of frames of a sample of `sensor` whose times lie in `span` (microseconds, both inclusive).
    /// `None` if there is no bound.
    fn frame_limit(&self, span: Option<(i64, i64)>, sensor: SensorSize) -> Option<u64>;

    /// Time from one frame to the next in microseconds; `None` if it is not constant.
    fn frame_time(&self) -> Option<f64> {
        None
    }

    /// Type of the values: float32 for surfaces, for counts uint8, with which a conversion starts and
    /// which it widens if need be.
    fn values(&self) -> Width {
        Width::F32
    }

    /// Shape of a frame of `sensor`.
    fn shape(&self, sensor: SensorSize) -> FrameShape {
        sensor.frame_shape()
    }

    /// Builds a frame maker for `sensor`. Each thread needs its own.
    fn maker(&self, sensor: SensorSize) -> Box<dyn MakeFrames>;
}

/// Makes the frames of one sample after another.
pub(crate) trait MakeFrames {
    /// Writes the frames of one sample to `out`, which must be empty. A sample without events has one empty frame, or
    /// the fixed number of frames if the framing has one.
    ///
    /// # Errors
    /// If the sample has more than [`MAX_FRAMES`] frames or [`MAX_ENTRIES`] entries.
    fn frame(&mut self, events: &Events, out: &mut FramedSample) -> Checked;
}

/// The sparse frames of one sample, as the columns that [`tonic_shard::SparseFrames::push`] takes.
#[derive(Clone, Debug, PartialEq)]
pub struct FramedSample {
    /// Number of nonzero cells of each frame.
    pub frame_sizes: Vec<u32>,
    /// Indices of the nonzero cells of all frames, ascending within a frame.
    pub cells: Vec<u32>,
    /// Event count or value of each of these cells.
    pub counts: ColumnBuf,
    /// Number of events in at least one frame.
    pub binned: u64,
    /// Number of events in no frame.
    pub cut: u64,
}

/// The fault for a sample with too many frames.
pub(super) fn too_many(frames: f64) -> Fault {
    let expected = format!("at most {MAX_FRAMES} frames (crop the time, take longer windows, or give the time_unit)");
    Fault::new("frames", expected, format!("{frames:.0}"))
}

/// Returns a fault if the sample has more than [`MAX_ENTRIES`] entries, which would fill the memory.
pub(super) fn check_entries(entries: usize) -> Checked {
    let expected = "at most 2^28 entries a sample (crop the time, or take fewer frames)";
    if entries <= MAX_ENTRIES { Ok(()) } else { Err(Fault::new("frames", expected, entries)) }
}

impl FramedSample {
    /// Appends the frame of a surface, given as (cell, value) in ascending order of cells. Values of 0 are left out.
    pub(super) fn push_surface(&mut self, surface: impl Iterator<Item = (u32, f32)>) {
        let ColumnBuf::F32(values) = &mut self.counts else { return };
        let first = self.cells.len();
        for (cell, value) in surface.filter(|(_, value)| *value != 0.0) {
            self.cells.push(cell);
            values.push(value);
        }
        self.frame_sizes.push((self.cells.len() - first) as u32);
    }
}
