//! Time surfaces and voxel grids over the whole sensor. As in Tonic, values are computed in float64 and then rounded to
//! float32.

use ndarray::{Array2, Array3};
use serde::{Deserialize, Serialize};

use crate::events::{Events, SensorSize};
use crate::fault::{Checked, ensure};
use crate::framing::exp::exp_nonpositive;
use crate::framing::rule::{EventFraming, FramedSample, MakeFrames, check_entries, too_many};
use crate::framing::slicing::{MAX_FRAMES, Sliced, TimeWindows};
use crate::signature::{Kind, Parameter, Signature};
use tonic_shard::FrameShape;

/// Tonic's `ToTimesurface`: one frame per time window. The value of a cell is e^-(age / tau). The age is the time from
/// the cell's last event to the end of the window.
///
/// As in Tonic, the end of a window is the time of the first event plus a multiple of `dt`, even if windows overlap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToTimesurface {
    /// Duration of a window, in microseconds.
    pub dt: f64,
    /// Time constant tau of the decay, in microseconds: in this time, a value decays from 1 to 1/e.
    pub tau: f64,
    /// Overlap of neighbouring windows, in microseconds.
    #[serde(default)]
    pub overlap: f64,
    /// Whether to keep a last window that is shorter than `dt`.
    #[serde(default)]
    pub include_incomplete: bool,
    /// Sensor size that is expected after all transforms, (W, H, P). With `None`, any size is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor_size: Option<[u32; 3]>,
}

impl ToTimesurface {
    pub(super) const SIGNATURE: Signature = Signature {
        name: "ToTimesurface",
        about: "how long ago each cell fired, decaying exponentially, at the end of each window",
        parameters: &[
            Parameter::required("dt", Kind::Number, "microseconds a window"),
            Parameter::required("tau", Kind::Number, "microseconds in which a value decays to 1/e"),
            Parameter::with("overlap", Kind::Number, "0.0", "of neighbouring windows, microseconds"),
            Parameter::with("include_incomplete", Kind::Flag, "false", "whether the last, shorter window is kept"),
            Parameter::SENSOR_SIZE,
        ],
    };

    fn windows(&self) -> TimeWindows {
        let &ToTimesurface { dt: window, overlap, include_incomplete, .. } = self;
        TimeWindows { window, overlap, include_incomplete, ..TimeWindows::default() }
    }
}

impl EventFraming for ToTimesurface {
    fn check(&self) -> Checked {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        ensure(positive(self.dt), "dt", "a positive number of microseconds", self.dt)?;
        ensure(positive(self.tau), "tau", "a positive number of microseconds", self.tau)?;
        ensure((0.0..self.dt).contains(&self.overlap), "overlap", "an overlap from 0 to below dt", self.overlap)
    }

    fn sensor_size(&self) -> Option<[u32; 3]> {
        self.sensor_size
    }

    fn overlaps(&self) -> bool {
        self.overlap > 0.0
    }

    fn frame_limit(&self, span: Option<(i64, i64)>, _: SensorSize) -> Option<u64> {
        self.windows().limit(span)
    }

    fn frame_time(&self) -> Option<f64> {
        Some(self.dt - self.overlap)
    }

    fn maker(&self, sensor: SensorSize) -> Box<dyn MakeFrames> {
        let last = Array3::from_elem(sensor.frame_shape().dims(), f64::NEG_INFINITY);
        Box::new(LastTimes { sensor, rule: *self, last, fired: Vec::new() })
    }
}

/// Makes the frames of [`ToTimesurface`].
struct LastTimes {
    sensor: SensorSize,
    rule: ToTimesurface,
    /// Time of each cell's last event in microseconds, (P, H, W). Negative infinity for a cell whose value is 0.
    last: Array3<f64>,
    /// Indices of the cells whose value is above 0, ascending.
    fired: Vec<u32>,
}

impl MakeFrames for LastTimes {
    fn frame(&mut self, events: &Events, out: &mut FramedSample) -> Checked {
        if events.is_empty() {
            out.frame_sizes.push(0);
            return Ok(());
        }
        let start = events.t[0] as f64;
        let last = self.last.as_slice_mut().expect("an array in standard layout");
        let mut sliced = Sliced::default();
        for (frame, slice) in self.rule.windows().slices(&events.t).map_err(too_many)?.enumerate() {
            let before = self.fired.len();
            for (cell, &t) in events.cells(slice.clone(), self.sensor).zip(&events.t[slice.clone()]) {
                if last[cell as usize] == f64::NEG_INFINITY {
                    self.fired.push(cell);
                }
                last[cell as usize] = t as f64;
            }
            if self.fired.len() > before {
                self.fired.sort_unstable();
            }
            // The overlap changes only the slices. As in Tonic, windows end at multiples of dt after the first event.
            let end = (frame + 1) as f64 * self.rule.dt + start;
            let first = out.cells.len();
            out.push_surface(self.fired.iter().map(|&cell| {
                let value = exp_nonpositive(-(end - last[cell as usize]) / self.rule.tau) as f32;
                if value == 0.0 {
                    last[cell as usize] = f64::NEG_INFINITY;
                }
                (cell, value)
            }));
            self.fired.clear();
            self.fired.extend_from_slice(&out.cells[first..]);
            out.binned += sliced.new_in(&slice);
            check_entries(out.cells.len())?;
        }
        self.fired.drain(..).for_each(|cell| last[cell as usize] = f64::NEG_INFINITY);
        out.cut = events.len() as u64 - out.binned;
        Ok(())
    }
}

/// Tonic's `ToVoxelGrid`: each event adds its polarity, +1 or -1, to its pixel. The polarity is divided between two
/// neighbouring time bins: the bin that is closer to the event gets more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToVoxelGrid {
    /// Number of time bins per sample. Each bin is one frame.
    pub n_time_bins: u32,
    /// Sensor size that is expected after all transforms, (W, H, P). With `None`, any size is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor_size: Option<[u32; 3]>,
}

impl ToVoxelGrid {
    pub(super) const SIGNATURE: Signature = Signature {
        name: "ToVoxelGrid",
        about: "polarities (+1, -1), each shared between two neighbouring bins of equal time",
        parameters: &[Parameter::required("n_time_bins", Kind::Count, "frames per sample"), Parameter::SENSOR_SIZE],
    };
}

impl EventFraming for ToVoxelGrid {
    fn check(&self) -> Checked {
        let inside = (1..=MAX_FRAMES).contains(&self.n_time_bins.into());
        ensure(inside, "n_time_bins", "at least 1, at most 16777216", self.n_time_bins)
    }

    fn check_sensor(&self, sensor: SensorSize) -> Checked {
        ensure(sensor.polarities == 2, "", "a sensor of two polarities, ON and OFF", sensor)
    }

    fn sensor_size(&self) -> Option<[u32; 3]> {
        self.sensor_size
    }

    fn overlaps(&self) -> bool {
        true
    }

    fn frame_limit(&self, _: Option<(i64, i64)>, _: SensorSize) -> Option<u64> {
        Some(self.n_time_bins.into())
    }

    fn shape(&self, sensor: SensorSize) -> FrameShape {
        FrameShape { polarities: 1, ..sensor.frame_shape() }
    }

    fn maker(&self, sensor: SensorSize) -> Box<dyn MakeFrames> {
        let sums = Array2::zeros([sensor.height as usize, sensor.width as usize]);
        Box::new(Voxels { bins: self.n_time_bins, sums, cells: Vec::new() })
    }
}

/// Makes the frames of [`ToVoxelGrid`], one time bin at a time.
struct Voxels {
    bins: u32,
    /// Value of each pixel in the current time bin, (H, W).
    sums: Array2<f64>,
    /// Flat indices of the elements of `sums` to which a value was added, with repetitions.
    cells: Vec<u32>,
}

impl Voxels {
    fn add(&mut self, events: &Events, i: usize, share: f64) {
        let (y, x) = (usize::from(events.y[i]), usize::from(events.x[i]));
        self.sums[[y, x]] += if events.p[i] == 0 { -share } else { share };
        self.cells.push((y * self.sums.ncols() + x) as u32);
    }
}

impl MakeFrames for Voxels {
    fn frame(&mut self, events: &Events, out: &mut FramedSample) -> Checked {
        let [Some(&first), Some(&last)] = [events.t.first(), events.t.last()] else {
            out.frame_sizes.resize(self.bins as usize, 0);
            return Ok(());
        };
        let duration = (i128::from(last) - i128::from(first)) as f64;
        // If all events have the same time, they lie at the start of the first bin. Tonic would divide by zero here.
        let place = |i: usize| {
            let since = events.t[i] as f64 - first as f64;
            if duration > 0.0 { f64::from(self.bins) * since / duration } else { 0.0 }
        };
        let places: Vec<f64> = (0..events.len()).map(place).collect();
        let mut before = 0..0;
        for bin in 0..self.bins {
            let end = before.end + places[before.end..].partition_point(|&place| place < f64::from(bin) + 1.0);
            let own = before.end..end;
            // Add in Tonic's order, so that sums that nearly cancel have the same bits.
            own.clone().for_each(|i| self.add(events, i, 1.0 - places[i].fract()));
            before.for_each(|i| self.add(events, i, places[i].fract()));
            self.cells.sort_unstable();
            self.cells.dedup();
            let sums = self.sums.as_slice_mut().expect("an array in standard layout");
            out.push_surface(self.cells.drain(..).map(|cell| (cell, std::mem::take(&mut sums[cell as usize]) as f32)));
            before = own;
        }
        out.binned = before.end as u64;
        out.cut = events.len() as u64 - out.binned;
        Ok(())
    }
}
