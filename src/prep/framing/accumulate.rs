//! Frames from slices of events: counts per cell (`ToFrame`, `ToImage`) and bit codes (`ToBinaRep`).

use serde::{Deserialize, Serialize};

use crate::events::{Events, SensorSize};
use crate::fault::{Checked, ensure};
use crate::framing::cells::Cells;
use crate::framing::rule::{EventFraming, FramedSample, MakeFrames, check_entries, too_many};
use crate::framing::slicing::{MAX_FRAMES, Sliced, ToFrame};
use crate::signature::{Kind, Parameter, Signature};
use tonic_shard::{ColumnBuf, Width};

impl EventFraming for ToFrame {
    fn check(&self) -> Checked {
        let slicings = [
            self.time_window.map(|n| n as f64),
            self.event_count.map(|n| n as f64),
            self.n_time_bins.map(|n| n as f64),
            self.n_event_bins.map(|n| n as f64),
        ];
        let given: Vec<f64> = slicings.into_iter().flatten().collect();
        let expected = "exactly one of time_window, event_count, n_time_bins, n_event_bins";
        ensure(given.len() == 1, "", expected, format!("{} of them", given.len()))?;
        let size = given[0];
        ensure(size >= 1.0, "", "a window, count or number of bins of at least 1", size)?;
        let bins = self.bins();
        ensure(bins.is_none_or(|n| n <= MAX_FRAMES), "", "at most 16777216 bins", size)?;
        let largest = if bins.is_some() { 1.0 } else { size };
        let fits = (0.0..largest).contains(&self.overlap);
        ensure(fits, "overlap", "an overlap from 0 to below the window, count, or 1 bin", self.overlap)?;
        let bounds = self.start_time.is_some() || self.end_time.is_some();
        let idle = bounds && self.time_window.is_none();
        ensure(!idle, "", "start_time and end_time with time_window only", "another slicing")
    }

    fn sensor_size(&self) -> Option<[u32; 3]> {
        self.sensor_size
    }

    fn overlaps(&self) -> bool {
        self.overlap > 0.0
    }

    fn frame_limit(&self, span: Option<(i64, i64)>, _: SensorSize) -> Option<u64> {
        self.windows().map_or(self.bins(), |windows| windows.limit(span))
    }

    fn frame_time(&self) -> Option<f64> {
        self.time_window.map(|window| window as f64 - self.overlap)
    }

    fn values(&self) -> Width {
        Width::U8
    }

    fn maker(&self, sensor: SensorSize) -> Box<dyn MakeFrames> {
        Box::new(Counts { sensor, to_frame: *self, counters: Cells::new(sensor) })
    }
}

/// Tonic's `ToImage`: counts all events of a sample in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToImage {
    /// Sensor size that is expected after all transforms, (W, H, P). With `None`, any size is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor_size: Option<[u32; 3]>,
}

impl ToImage {
    pub(super) const SIGNATURE: Signature = Signature {
        name: "ToImage",
        about: "count all events of a sample in one frame",
        parameters: &[Parameter::SENSOR_SIZE],
    };
}

impl EventFraming for ToImage {
    fn sensor_size(&self) -> Option<[u32; 3]> {
        self.sensor_size
    }

    fn frame_limit(&self, _: Option<(i64, i64)>, _: SensorSize) -> Option<u64> {
        Some(1)
    }

    fn values(&self) -> Width {
        Width::U8
    }

    fn maker(&self, sensor: SensorSize) -> Box<dyn MakeFrames> {
        ToFrame { n_event_bins: Some(1), ..ToFrame::default() }.maker(sensor)
    }
}

/// Tonic's `ToBinaRep`, applied to the frames of `ToFrame` with `n_time_bins = n_frames * n_bits`.
///
/// The value of a cell is a binary number of `n_bits` bits, divided by its maximum 2^n_bits - 1. Each bit stands for a
/// slice of time, the highest bit for the first slice. A bit is 1 if the cell had an event in this slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToBinaRep {
    /// Number of frames per sample.
    #[serde(default = "one")]
    pub n_frames: u32,
    /// Number of slices per frame, 2 to 24. Each slice is one bit.
    #[serde(default = "eight")]
    pub n_bits: u32,
}

fn one() -> u32 {
    1
}

fn eight() -> u32 {
    8
}

impl ToBinaRep {
    pub(super) const SIGNATURE: Signature = Signature {
        name: "ToBinaRep",
        about: "whether cells had events in consecutive slices of equal time, as the bits of one number",
        parameters: &[
            Parameter::with("n_frames", Kind::Count, "1", "frames per sample"),
            Parameter::with("n_bits", Kind::Count, "8", "slices a frame, 2 to 24"),
        ],
    };

    fn slices(&self) -> u64 {
        u64::from(self.n_frames) * u64::from(self.n_bits)
    }
}

impl EventFraming for ToBinaRep {
    fn check(&self) -> Checked {
        ensure(self.n_frames >= 1, "n_frames", "at least 1", self.n_frames)?;
        ensure((2..=24).contains(&self.n_bits), "n_bits", "2 to 24, which is what float32 holds", self.n_bits)?;
        ensure(self.slices() <= MAX_FRAMES, "n_frames", "at most 16777216 slices, n_frames * n_bits", self.slices())
    }

    fn frame_limit(&self, _: Option<(i64, i64)>, _: SensorSize) -> Option<u64> {
        Some(self.n_frames.into())
    }

    fn maker(&self, sensor: SensorSize) -> Box<dyn MakeFrames> {
        let to_frame = ToFrame { n_time_bins: Some(self.slices()), ..ToFrame::default() };
        Box::new(Bits { sensor, to_frame, n_bits: self.n_bits, bits: Cells::new(sensor) })
    }
}

/// Makes frames of event counts, one per slice.
struct Counts {
    sensor: SensorSize,
    to_frame: ToFrame,
    counters: Cells,
}

impl MakeFrames for Counts {
    fn frame(&mut self, events: &Events, out: &mut FramedSample) -> Checked {
        if events.is_empty() {
            out.frame_sizes.resize(self.to_frame.bins().unwrap_or(1) as usize, 0);
            return Ok(());
        }
        let ColumnBuf::U32(counts) = &mut out.counts else { unreachable!("Framer takes uint32 for counts") };
        let mut sliced = Sliced::default();
        for slice in self.to_frame.slices(&events.t).map_err(too_many)? {
            let first = out.cells.len();
            if self.sensor.height == 1 && self.sensor.polarities == 1 {
                self.counters.count(events.x[slice.clone()].iter().map(|&x| x.into()));
            } else {
                self.counters.count(events.cells(slice.clone(), self.sensor));
            }
            self.counters.drain(|cell, count| {
                out.cells.push(cell);
                counts.push(count);
            });
            out.frame_sizes.push((out.cells.len() - first) as u32);
            out.binned += sliced.new_in(&slice);
            check_entries(out.cells.len())?;
        }
        out.cut = events.len() as u64 - out.binned;
        Ok(())
    }
}

/// Makes the frames of [`ToBinaRep`].
struct Bits {
    sensor: SensorSize,
    to_frame: ToFrame,
    n_bits: u32,
    bits: Cells,
}

impl MakeFrames for Bits {
    fn frame(&mut self, events: &Events, out: &mut FramedSample) -> Checked {
        let slices = if events.is_empty() {
            vec![0..0; self.to_frame.bins().unwrap_or(1) as usize]
        } else {
            self.to_frame.slices(&events.t).map_err(too_many)?
        };
        let largest = ((1_u32 << self.n_bits) - 1) as f32;
        let (mut cells, mut sliced) = (Vec::new(), Sliced::default());
        for frame in slices.chunks(self.n_bits as usize) {
            for (slice, bit) in frame.iter().zip((0..self.n_bits).rev()) {
                for cell in events.cells(slice.clone(), self.sensor) {
                    *self.bits.counter(cell) |= 1 << bit;
                }
                out.binned += sliced.new_in(slice);
            }
            self.bits.drain(|cell, bits| cells.push((cell, bits as f32 / largest)));
            out.push_surface(cells.drain(..));
        }
        out.cut = events.len() as u64 - out.binned;
        Ok(())
    }
}
