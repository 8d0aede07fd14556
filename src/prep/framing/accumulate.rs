//! Counting: the events of each slice, cell by cell, without a dense frame.

use super::super::events::{Events, SensorSize};
use super::slicing::ToFrame;

/// One sample's frames, as [`crate::frames::SparseFrames::push`] takes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FramedSample {
    /// Occupied cells of each frame.
    pub frame_sizes: Vec<u32>,
    /// Their indices, ascending within a frame.
    pub cells: Vec<u32>,
    /// Events in each.
    pub counts: Vec<u32>,
    /// Events in at least one frame.
    pub binned: u64,
    /// Events in none.
    pub cut: u64,
}

/// Makes frames; one a thread, because it keeps a counter for every cell of the sensor.
#[derive(Clone, Debug)]
pub struct Accumulator {
    sensor: SensorSize,
    to_frame: ToFrame,
    counters: Vec<u32>,
    sample: FramedSample,
}

impl Accumulator {
    /// For frames of `sensor`, cut by `to_frame`.
    pub fn new(sensor: SensorSize, to_frame: ToFrame) -> Accumulator {
        let counters = vec![0; sensor.frame_shape().cells() as usize];
        Accumulator { sensor, to_frame, counters, sample: FramedSample::default() }
    }

    /// The frames of one sample. Without events, one empty frame (or the fixed number of bins).
    ///
    /// # Errors
    /// The number of frames, where it is beyond [`super::MAX_FRAMES`].
    pub fn frame(&mut self, events: &Events) -> Result<&FramedSample, f64> {
        let out = &mut self.sample;
        out.frame_sizes.clear();
        out.cells.clear();
        out.counts.clear();
        (out.binned, out.cut) = (0, 0);
        if events.is_empty() {
            out.frame_sizes.resize(self.to_frame.frames_of_nothing() as usize, 0);
            return Ok(&self.sample);
        }
        let (width, height) = (self.sensor.width, self.sensor.height);
        let mut seen = 0; // slices ascend, so the events before this one that are in any slice have been counted
        for slice in self.to_frame.slices(&events.t)? {
            let first = out.cells.len();
            for i in slice.clone() {
                let row = u32::from(events.p[i]) * height + u32::from(events.y[i]);
                let cell = row * width + u32::from(events.x[i]);
                let counter = &mut self.counters[cell as usize];
                if *counter == 0 {
                    out.cells.push(cell);
                }
                *counter += 1;
            }
            let cells = &mut out.cells[first..];
            cells.sort_unstable();
            out.counts.extend(cells.iter().map(|&cell| std::mem::take(&mut self.counters[cell as usize])));
            out.frame_sizes.push(cells.len() as u32);
            out.binned += slice.end.saturating_sub(slice.start.max(seen)) as u64;
            seen = seen.max(slice.end);
        }
        out.cut = events.len() as u64 - out.binned;
        Ok(&self.sample)
    }
}
