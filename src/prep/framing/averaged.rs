//! Tonic's `ToAveragedTimesurface`: histograms of averaged time surfaces (HATS), Sironi et al. 2018.
//!
//! The sensor is divided into cells, which are squares of `cell_size` by `cell_size` pixels. Each event has a surface:
//! an image of the pixels around it that shows earlier events of the same polarity and cell. The value of an earlier
//! event decays with its age. Each cell gives one frame: for each polarity, the mean surface of its events. The output
//! has the shape (cells, P, surface_size, surface_size).

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::events::{Events, SensorSize};
use crate::fault::{Checked, ensure};
use crate::framing::exp::exp_nonpositive;
use crate::framing::rule::{EventFraming, FramedSample, MakeFrames};
use crate::framing::slicing::MAX_FRAMES;
use crate::signature::{Kind, Parameter, Signature};
use tonic_shard::FrameShape;

/// How the value of an event in a surface decays with the age of the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// The value decays exponentially: it is e^-(age / tau).
    #[default]
    Exp,
    /// The value decays linearly: it is 1 - age / (3 tau), which is negative for ages above 3 tau.
    Lin,
}

/// Tonic's `ToAveragedTimesurface`: averaged time surfaces, one frame for each square of the sensor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToAveragedTimesurface {
    /// Width and height of a surface, in pixels: an odd number, at most `cell_size`.
    pub surface_size: u32,
    /// Width and height of a cell (a square of the sensor), in pixels.
    pub cell_size: u32,
    /// Maximum age of an earlier event in microseconds. A surface shows no older events, and no events before time 0.
    pub time_window: f64,
    /// Time constant tau of the decay, in microseconds.
    pub tau: f64,
    /// How the value of an event in a surface decays with the age of the event.
    pub decay: Decay,
    /// Sensor size that is expected after all transforms, (W, H, P). With `None`, any size is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensor_size: Option<[u32; 3]>,
}

impl Default for ToAveragedTimesurface {
    fn default() -> ToAveragedTimesurface {
        let (surface_size, cell_size, time_window, tau) = (5, 10, 1000.0, 100.0);
        ToAveragedTimesurface { surface_size, cell_size, time_window, tau, decay: Decay::Exp, sensor_size: None }
    }
}

impl ToAveragedTimesurface {
    pub(super) const SIGNATURE: Signature = Signature {
        name: "ToAveragedTimesurface",
        about: "the mean of what each event sees of the earlier ones around it; a frame for each cell of the sensor",
        parameters: &[
            Parameter::with("surface_size", Kind::Count, "5", "pixels along a side of a surface, odd"),
            Parameter::with("cell_size", Kind::Count, "10", "pixels along a side of a cell"),
            Parameter::with("time_window", Kind::Number, "1000.0", "microseconds for which an event sees back"),
            Parameter::with("tau", Kind::Number, "100.0", "microseconds of the decay"),
            Parameter::with("decay", Kind::Word(&["exp", "lin"]), "\"exp\"", "how an event fades"),
            Parameter::SENSOR_SIZE,
        ],
    };

    /// Number of cells (squares of the sensor) along the width and along the height.
    fn grid(&self, sensor: SensorSize) -> [u32; 2] {
        [sensor.width.div_ceil(self.cell_size), sensor.height.div_ceil(self.cell_size)]
    }

    fn cells(&self, sensor: SensorSize) -> u64 {
        self.grid(sensor).into_iter().map(u64::from).product()
    }

    /// Returns the value of an earlier event in a surface. `age` is the event's age in microseconds, at least 0.
    fn trace(&self, age: f64) -> f64 {
        match self.decay {
            Decay::Exp => exp_nonpositive(-age / self.tau),
            Decay::Lin => 1.0 - age / (3.0 * self.tau),
        }
    }
}

impl EventFraming for ToAveragedTimesurface {
    fn check(&self) -> Checked {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        ensure(self.cell_size >= 1, "cell_size", "at least 1", self.cell_size)?;
        let fits = self.surface_size % 2 == 1 && self.surface_size <= self.cell_size;
        let expected = format!("an odd size, at most the cell_size of {}", self.cell_size);
        ensure(fits, "surface_size", &expected, self.surface_size)?;
        let window = self.time_window;
        ensure(window >= 0.0 && window.is_finite(), "time_window", "microseconds, at least 0", window)?;
        ensure(positive(self.tau), "tau", "a positive number of microseconds", self.tau)?;
        // The value of the oldest event that a surface can show must fit a float32.
        let fits = (self.trace(window) as f32).is_finite();
        ensure(fits, "tau", "microseconds that do not vanish beside the time_window", self.tau)
    }

    fn check_sensor(&self, sensor: SensorSize) -> Checked {
        let cells = self.cells(sensor);
        ensure(cells <= MAX_FRAMES, "cell_size", "at most 16777216 cells, each a frame", cells)
    }

    fn sensor_size(&self) -> Option<[u32; 3]> {
        self.sensor_size
    }

    fn frame_limit(&self, _: Option<(i64, i64)>, sensor: SensorSize) -> Option<u64> {
        Some(self.cells(sensor))
    }

    fn shape(&self, sensor: SensorSize) -> FrameShape {
        FrameShape { polarities: sensor.polarities, height: self.surface_size, width: self.surface_size }
    }

    fn maker(&self, sensor: SensorSize) -> Box<dyn MakeFrames> {
        let memories = self.cells(sensor) as usize * sensor.polarities as usize;
        let surface = Array2::zeros([self.surface_size as usize; 2]);
        Box::new(Memories { sensor, rule: *self, starts: vec![0; memories + 1], surface, touched: Vec::new() })
    }
}

/// Makes the frames of [`ToAveragedTimesurface`]. The paper's word for the events of one cell and polarity is "memory".
struct Memories {
    sensor: SensorSize,
    rule: ToAveragedTimesurface,
    /// Item `cell * P + p` is the position of the first event of this cell and polarity in the order that
    /// [`Memories::sorted`] returns. The last item is the number of all events.
    starts: Vec<u32>,
    /// Sum of the surfaces of the events of one cell and one polarity, (surface_size, surface_size).
    surface: Array2<f64>,
    /// Flat indices of the elements of `surface` to which a value was added, with repetitions.
    touched: Vec<u32>,
}

impl Memories {
    fn memory(&self, events: &Events, i: usize) -> usize {
        let [columns, _] = self.rule.grid(self.sensor);
        let (row, column) =
            (u32::from(events.y[i]) / self.rule.cell_size, u32::from(events.x[i]) / self.rule.cell_size);
        ((row * columns + column) * self.sensor.polarities + u32::from(events.p[i])) as usize
    }

    /// Returns the indices of the events, sorted by cell, polarity and time. Also sets `starts`.
    fn sorted(&mut self, events: &Events) -> Vec<u32> {
        self.starts.fill(0);
        for i in 0..events.len() {
            let memory = self.memory(events, i);
            self.starts[memory + 1] += 1;
        }
        (1..self.starts.len()).for_each(|m| self.starts[m] += self.starts[m - 1]);
        let mut next = self.starts.clone();
        let mut sorted = vec![0; events.len()];
        for i in 0..events.len() {
            let place = &mut next[self.memory(events, i)];
            sorted[*place as usize] = i as u32;
            *place += 1;
        }
        sorted
    }

    /// Adds the surfaces of some events to `self.surface`. `memory` has the indices of these events, which are of the
    /// same cell and polarity.
    fn sum(&mut self, events: &Events, memory: &[u32]) {
        let half = self.rule.surface_size as i32 / 2;
        let surface = self.surface.as_slice_mut().expect("an array in standard layout");
        let mut add = |dx: i32, dy: i32, value: f64| {
            let at = ((dy + half) * self.rule.surface_size as i32 + dx + half) as u32;
            surface[at as usize] += value;
            self.touched.push(at);
        };
        for (n, &i) in memory.iter().enumerate() {
            let (t, x, y) = (events.t[i as usize], i32::from(events.x[i as usize]), i32::from(events.y[i as usize]));
            let since = (t as f64 - self.rule.time_window).max(0.0);
            add(0, 0, 1.0);
            for &j in memory[..n].iter().rev() {
                let before = events.t[j as usize];
                let trace = self.rule.trace((i128::from(t) - i128::from(before)) as f64);
                if (before as f64) < since || trace == 0.0 && self.rule.decay == Decay::Exp {
                    break;
                }
                let (dx, dy) = (i32::from(events.x[j as usize]) - x, i32::from(events.y[j as usize]) - y);
                if dx.abs() <= half && dy.abs() <= half {
                    add(dx, dy, trace);
                }
            }
        }
    }
}

impl MakeFrames for Memories {
    fn frame(&mut self, events: &Events, out: &mut FramedSample) -> Checked {
        let sorted = self.sorted(events);
        let polarities = self.sensor.polarities;
        let size = self.surface.len() as u32;
        let mut frame = Vec::new();
        for cell in 0..self.rule.cells(self.sensor) as usize {
            frame.clear();
            for p in 0..polarities {
                let memory = cell * polarities as usize + p as usize;
                let memory = &sorted[self.starts[memory] as usize..self.starts[memory + 1] as usize];
                self.sum(events, memory);
                self.touched.sort_unstable();
                self.touched.dedup();
                let mean = |sum: f64| (sum / memory.len() as f64) as f32;
                let surface = self.surface.as_slice_mut().expect("an array in standard layout");
                frame.extend(
                    self.touched.drain(..).map(|at| (p * size + at, mean(std::mem::take(&mut surface[at as usize])))),
                );
            }
            out.push_surface(frame.iter().copied());
        }
        out.binned = events.len() as u64;
        Ok(())
    }
}
