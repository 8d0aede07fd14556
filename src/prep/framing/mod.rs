//! Framing: events become sparse frames, the last step of a recipe.
//!
//! A framing is a type of its own that implements `EventFraming`; to add one, give it a variant, an arm and a place in
//! the list.

mod accumulate;
mod averaged;
mod cells;
mod exp;
mod slicing;
mod surfaces;

use serde::{Deserialize, Serialize};

use super::events::{Events, SensorSize};
use super::known::{Checked, Fault, Known, ensure};
use crate::column::{ColumnBuf, Width};
use crate::frames::FrameShape;

pub use accumulate::{ToBinaRep, ToImage};
pub use averaged::{Decay, ToAveragedTimesurface};
pub(super) use slicing::TimeWindows;
pub use slicing::{MAX_FRAMES, ToFrame};
pub use surfaces::{ToTimesurface, ToVoxelGrid};

/// The most cells of a frame: a worker keeps a number for each.
const MAX_CELLS: u64 = 1 << 28;

/// The most entries of a sample: two gigabytes of them.
const MAX_ENTRIES: usize = 1 << 28;

/// How events become frames. In TOML a framing without a `name` is a [`ToFrame`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name")]
pub enum Framing {
    /// The mean of what each event sees of those before it, cell by cell.
    ToAveragedTimesurface(ToAveragedTimesurface),
    /// Bits of consecutive slices as one number.
    ToBinaRep(ToBinaRep),
    /// Counts of all events.
    ToImage(ToImage),
    /// How long ago each pixel fired.
    ToTimesurface(ToTimesurface),
    /// Polarities, spread over neighbouring bins of time.
    ToVoxelGrid(ToVoxelGrid),
    /// Counts of the events in each slice of time.
    #[serde(untagged)]
    ToFrame(ToFrame),
}

pub(super) const FRAMINGS: [Known; 6] = [
    ToFrame::KNOWN,
    ToImage::KNOWN,
    ToBinaRep::KNOWN,
    ToTimesurface::KNOWN,
    ToAveragedTimesurface::KNOWN,
    ToVoxelGrid::KNOWN,
];

/// What all framings do.
trait EventFraming {
    /// Whether the parameters make sense; the fault's place is the parameter.
    fn check(&self) -> Checked;

    /// Whether they make sense for a sensor.
    fn check_sensor(&self, _sensor: SensorSize) -> Checked {
        Ok(())
    }

    /// Tonic's `sensor_size`, where the recipe gives it.
    fn sensor_size(&self) -> Option<[u32; 3]>;

    /// Whether an event can be in several frames.
    fn overlaps(&self) -> bool {
        false
    }

    /// The most frames of a sample of `sensor` whose times lie in `span`.
    fn frame_limit(&self, span: Option<(i64, i64)>, sensor: SensorSize) -> Option<u64>;

    /// Microseconds from one frame to the next, where they are all the same.
    fn frame_time(&self) -> Option<f64> {
        None
    }

    /// What the frames hold.
    fn values(&self) -> Width {
        Width::F32
    }

    /// The shape of the frames of a sensor.
    fn shape(&self, sensor: SensorSize) -> FrameShape {
        sensor.frame_shape()
    }

    /// What makes the frames.
    fn way(&self, sensor: SensorSize) -> Box<dyn MakeFrames>;
}

/// Makes the frames of one sample after another.
trait MakeFrames {
    /// The frames of one sample, into `out`, which is empty. Without events, one empty frame, or as many as there are
    /// whatever comes.
    ///
    /// # Errors
    /// More frames than [`MAX_FRAMES`], or far too much in them.
    fn frame(&mut self, events: &Events, out: &mut FramedSample) -> Checked;
}

impl Framing {
    fn rule(&self) -> &dyn EventFraming {
        match self {
            Framing::ToAveragedTimesurface(f) => f,
            Framing::ToBinaRep(f) => f,
            Framing::ToFrame(f) => f,
            Framing::ToImage(f) => f,
            Framing::ToTimesurface(f) => f,
            Framing::ToVoxelGrid(f) => f,
        }
    }

    /// Whether the parameters make sense.
    ///
    /// # Errors
    /// The parameter at fault, what was expected and what was found.
    pub fn check(&self) -> Checked {
        self.rule().check()
    }

    /// Whether they make sense for a sensor.
    ///
    /// # Errors
    /// As [`Framing::check`].
    pub fn check_sensor(&self, sensor: SensorSize) -> Checked {
        self.rule().check_sensor(sensor)?;
        let shape = self.shape(sensor);
        ensure(shape.cells() <= MAX_CELLS, "", "frames of at most 2^28 cells", shape)
    }

    /// Tonic's `sensor_size`, where the recipe gives it.
    pub fn sensor_size(&self) -> Option<[u32; 3]> {
        self.rule().sensor_size()
    }

    /// Whether an event can be in several frames.
    pub fn overlaps(&self) -> bool {
        self.rule().overlaps()
    }

    /// The most frames of a sample of `sensor` whose times lie in `span` (microseconds, both inclusive).
    pub fn frame_limit(&self, span: Option<(i64, i64)>, sensor: SensorSize) -> Option<u64> {
        self.rule().frame_limit(span, sensor)
    }

    /// Microseconds from one frame to the next, where they are all the same.
    pub fn frame_time(&self) -> Option<f64> {
        self.rule().frame_time()
    }

    /// What the frames hold: float32 for surfaces, else counts, the narrowest to begin with.
    pub fn values(&self) -> Width {
        self.rule().values()
    }

    /// The shape of the frames of a sensor.
    pub fn shape(&self, sensor: SensorSize) -> FrameShape {
        self.rule().shape(sensor)
    }
}

/// One sample's frames, as [`crate::frames::SparseFrames::push`] takes them.
#[derive(Clone, Debug, PartialEq)]
pub struct FramedSample {
    /// Occupied cells of each frame.
    pub frame_sizes: Vec<u32>,
    /// Their indices, ascending within a frame.
    pub cells: Vec<u32>,
    /// Events in each, or its value.
    pub counts: ColumnBuf,
    /// Events in at least one frame.
    pub binned: u64,
    /// Events in none.
    pub cut: u64,
}

/// The fault of a sample that would have so many frames.
fn too_many(frames: f64) -> Fault {
    let expected = format!("at most {MAX_FRAMES} frames (crop the time, or take longer windows)");
    Fault::new("frames", expected, format!("{frames:.0}"))
}

/// Whether a sample of so many entries may grow on, or would fill the memory.
fn check_entries(entries: usize) -> Checked {
    let expected = "at most 2^28 entries a sample (crop the time, or take fewer frames)";
    if entries <= MAX_ENTRIES { Ok(()) } else { Err(Fault::new("frames", expected, entries)) }
}

impl FramedSample {
    /// Appends a frame of a surface: its cells, ascending, and their values. Those that are 0 are left out.
    fn push_surface(&mut self, surface: impl Iterator<Item = (u32, f32)>) {
        let ColumnBuf::F32(values) = &mut self.counts else { return };
        let first = self.cells.len();
        for (cell, value) in surface.filter(|(_, value)| *value != 0.0) {
            self.cells.push(cell);
            values.push(value);
        }
        self.frame_sizes.push((self.cells.len() - first) as u32);
    }
}

/// Makes frames; one a thread, because it keeps the state of every cell of the sensor.
pub struct Framer {
    way: Box<dyn MakeFrames>,
    sample: FramedSample,
}

impl Framer {
    /// For frames of `sensor`.
    pub fn new(sensor: SensorSize, framing: &Framing) -> Framer {
        let counts = ColumnBuf::new(if framing.values() == Width::F32 { Width::F32 } else { Width::U32 });
        let sample = FramedSample { frame_sizes: Vec::new(), cells: Vec::new(), counts, binned: 0, cut: 0 };
        Framer { way: framing.rule().way(sensor), sample }
    }

    /// The frames of one sample. Without events, one empty frame (or the fixed number of bins).
    ///
    /// # Errors
    /// More frames than [`MAX_FRAMES`], or far too much in them, as windows that overlap or surfaces that fade slowly make.
    pub fn frame(&mut self, events: &Events) -> Checked<&FramedSample> {
        let out = &mut self.sample;
        out.frame_sizes.clear();
        out.cells.clear();
        out.counts.clear();
        (out.binned, out.cut) = (0, 0);
        self.way.frame(events, out)?;
        Ok(&self.sample)
    }
}
