//! The traits that every framing implements, and the type of the frames of one sample.

use tonic_shard::{ColumnBuf, FrameShape, Width};

use crate::events::{Events, SensorSize};
use crate::fault::{Checked, Fault};
use crate::framing::slicing::MAX_FRAMES;

/// Maximum number of nonzero cells of a sample, over all its frames. So many cells take two gigabytes.
const MAX_ENTRIES: usize = 1 << 28;

/// A framing with its parameters.
pub(crate) trait EventFraming {
    /// Checks that the parameters are valid for any sensor. The `place` of a fault is a parameter's name, or empty.
    fn check(&self) -> Checked {
        Ok(())
    }

    fn check_sensor(&self, _sensor: SensorSize) -> Checked {
        Ok(())
    }

    /// Parameter `sensor_size`, (W, H, P). `None` if it is absent.
    fn sensor_size(&self) -> Option<[u32; 3]> {
        None
    }

    /// Whether one event can be in several frames.
    fn overlaps(&self) -> bool {
        false
    }

    /// Maximum number of frames per sample. `None` if there is no maximum, or if it is above [`MAX_FRAMES`]. `span` is
    /// the first and last possible time in microseconds.
    fn frame_limit(&self, span: Option<(i64, i64)>, sensor: SensorSize) -> Option<u64>;

    /// Time between the starts of consecutive frames, in microseconds. `None` if it depends on the sample.
    fn frame_time(&self) -> Option<f64> {
        None
    }

    /// Type of a cell's value: float32, or uint8 for event counts. A conversion stores larger counts in a wider type.
    fn values(&self) -> Width {
        Width::F32
    }

    fn shape(&self, sensor: SensorSize) -> FrameShape {
        sensor.frame_shape()
    }

    /// Builds the object that makes frames from events of `sensor`. Each thread needs an object of its own.
    fn maker(&self, sensor: SensorSize) -> Box<dyn MakeFrames>;
}

/// Makes the frames of samples, one sample at a time.
pub(crate) trait MakeFrames {
    /// Writes the frames of one sample to `out`, which must be empty. A sample without events gets empty frames: the
    /// framing's fixed number of frames, or else one.
    ///
    /// # Errors
    /// If the sample has more than [`MAX_FRAMES`] frames; for `ToFrame` and `ToTimesurface`, also if its frames have
    /// more than [`MAX_ENTRIES`] nonzero cells in all.
    fn frame(&mut self, events: &Events, out: &mut FramedSample) -> Checked;
}

/// The sparse frames of one sample. The first three fields are the arguments of [`tonic_shard::SparseFrames::push`].
#[derive(Clone, Debug, PartialEq)]
pub struct FramedSample {
    /// Number of nonzero cells of each frame.
    pub frame_sizes: Vec<u32>,
    /// Indices of the nonzero cells, frame after frame. They ascend within a frame.
    pub cells: Vec<u32>,
    /// Value of each cell in `cells`: a number of events or, if the framing doesn't count events, a float32.
    pub counts: ColumnBuf,
    /// Number of events that are in at least one frame.
    pub binned: u64,
    /// Number of events that are in no frame.
    pub cut: u64,
}

pub(super) fn too_many(frames: f64) -> Fault {
    let expected = format!("at most {MAX_FRAMES} frames (crop the time, take longer windows, or give the time_unit)");
    Fault::new("frames", expected, format!("{frames:.0}"))
}

/// Returns an error if a sample has more than [`MAX_ENTRIES`] nonzero cells.
pub(super) fn check_entries(entries: usize) -> Checked {
    let expected = "at most 2^28 entries a sample (crop the time, or take fewer frames)";
    if entries <= MAX_ENTRIES { Ok(()) } else { Err(Fault::new("frames", expected, entries)) }
}

impl FramedSample {
    /// Appends one frame of float32 values, given as (cell, value) in ascending order of cells. Leaves out values of 0.
    pub(super) fn push_surface(&mut self, surface: impl Iterator<Item = (u32, f32)>) {
        let ColumnBuf::F32(values) = &mut self.counts else { unreachable!("Framer takes float32 for surfaces") };
        let first = self.cells.len();
        for (cell, value) in surface.filter(|(_, value)| *value != 0.0) {
            self.cells.push(cell);
            values.push(value);
        }
        self.frame_sizes.push((self.cells.len() - first) as u32);
    }
}
