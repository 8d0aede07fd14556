//! Tonic's `EventDownsampling`: each output pixel sums the events of several input pixels and emits new events.
//!
//! In the ledger of a sample, this transform counts all its input events as filtered. It adds its output events to
//! `events_in`.

use serde::{Deserialize, Serialize};

use crate::events::{Events, SensorSize};
use crate::fault::{Checked, Fault, ensure};
use crate::framing::{MAX_FRAMES, TimeWindows};
use crate::signature::{Kind, Parameter, Signature};
use crate::transform::rule::{EventTransform, TimeSpan};
use crate::transform::space::{check_target, check_target_within, spatial_factors};
use tonic_shard::Ledger;

/// Maximum number of events that the transform emits per sample. They take about a gigabyte. If `noise_threshold` is 0,
/// this limit also applies to the number of steps times the number of output pixels.
const MAX_EVENTS: u64 = 1 << 26;

/// Tonic's `EventDownsampling`, from Ghosh et al. 2023, "Insect-inspired Spatio-temporal Downsampling of Event-based
/// Input". Output times count from the first input event.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventDownsampling {
    /// Sensor size that is expected before this transform, (W, H, P). With `None`, any size is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor_size: Option<[u32; 3]>,
    /// Width and height of the output sensor, in pixels.
    pub target_size: [u32; 2],
    /// What makes an output pixel emit an event.
    pub downsampling_method: Method,
    /// Duration of a time step, in milliseconds.
    pub dt: f64,
    /// An output pixel fires when it has at least this many more events of one polarity than of the other. With 0, it
    /// fires at every step: for the polarity with more events or, if the numbers are equal, for both.
    #[serde(default)]
    pub noise_threshold: u32,
    /// Number of integrator steps in each step of `dt`. Only allowed with [`Method::Differentiator`]. `None` means 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differentiator_time_bins: Option<u32>,
}

/// What makes an output pixel emit an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// A pixel emits an event when it has at least `noise_threshold` more events of one polarity than of the other.
    /// Then the pixel counts from 0 again.
    Integrator,
    /// A pixel emits an event when its integrator fires more often in a step of `dt` than in the previous step.
    Differentiator,
}

impl EventDownsampling {
    pub(super) const SIGNATURE: Signature = Signature {
        name: "EventDownsampling",
        about: "integrate the events of neighbouring pixels and emit fewer of fewer pixels",
        parameters: &[
            Parameter::required("target_size", Kind::Size, "the sensor to arrive at"),
            Parameter::required(
                "downsampling_method",
                Kind::Word(&["integrator", "differentiator"]),
                "what makes an event: a surplus of one polarity, or its growth",
            ),
            Parameter::required("dt", Kind::Number, "milliseconds a step"),
            Parameter::with("noise_threshold", Kind::Count, "0", "events by which one polarity outnumbers the other"),
            Parameter::with("differentiator_time_bins", Kind::Count, "2", "steps of the integrator in dt"),
            Parameter::SENSOR_SIZE,
        ],
    };

    /// Number of integrator steps in each step of `dt`.
    fn bins(&self) -> u32 {
        match self.downsampling_method {
            Method::Integrator => 1,
            Method::Differentiator => self.differentiator_time_bins.unwrap_or(2),
        }
    }
}

impl EventTransform for EventDownsampling {
    fn check(&self) -> Checked {
        check_target(self.target_size)?;
        let step = self.dt / f64::from(self.bins().max(1)) * 1000.0;
        ensure(step > 0.0 && step.is_finite(), "dt", "a positive number of milliseconds", self.dt)?;
        let Some(bins) = self.differentiator_time_bins else { return Ok(()) };
        ensure(bins >= 1, "differentiator_time_bins", "at least 1", bins)?;
        let differentiates = self.downsampling_method == Method::Differentiator;
        ensure(differentiates, "differentiator_time_bins", "none with downsampling_method = \"integrator\"", bins)
    }

    fn check_sensor(&self, sensor: SensorSize) -> Checked {
        ensure(sensor.polarities == 2, "", "a sensor of two polarities, ON and OFF", sensor)?;
        check_target_within(self.target_size, sensor)
    }

    fn sensor_size(&self) -> Option<[u32; 3]> {
        self.sensor_size
    }

    fn sensor_after(&self, sensor: SensorSize) -> SensorSize {
        let [width, height] = self.target_size;
        SensorSize { width, height, ..sensor }
    }

    fn span_after(&self, span: Option<TimeSpan>) -> Option<TimeSpan> {
        span.map(|(lo, hi)| (0, hi.saturating_sub(lo).max(0)))
    }

    fn apply(&self, events: &mut Events, sensor: SensorSize, ledger: &mut Ledger) -> Checked {
        if events.is_empty() {
            return Ok(());
        }
        let mut emitted = Emitted { events: Events::default(), width: self.target_size[0] };
        match self.downsampling_method {
            Method::Integrator => {
                let dt = self.dt * 1000.0;
                self.integrate(events, sensor, dt, |step, spikes| {
                    let time = (step as f64 * dt) as i64;
                    let on = spikes.iter().filter(|s| s.on).map(|s| (s.cell, 1));
                    let off = spikes.iter().filter(|s| s.off).map(|s| (s.cell, 0));
                    emitted.push(time, on.chain(off))
                })?;
            }
            Method::Differentiator => {
                let dt = self.dt * 1000.0;
                let small = self.dt / f64::from(self.bins()) * 1000.0;
                let mut differences = Differences::default();
                self.integrate(events, sensor, small, |step, spikes| {
                    let frame = floor_divided(step as f64 * small, dt) as u64;
                    differences.add(frame, spikes, |frame, cells| emitted.push((frame as f64 * dt) as i64, cells))
                })?;
                differences.finish(|frame, cells| emitted.push((frame as f64 * dt) as i64, cells))?;
            }
        }
        ledger.filtered += events.len() as u64;
        ledger.events_in += emitted.events.len() as u64;
        *events = emitted.events;
        Ok(())
    }
}

/// An output pixel that fires in a time step, and the polarities of its events.
struct Spike {
    cell: u32,
    on: bool,
    off: bool,
}

impl EventDownsampling {
    /// Sums events in steps of `dt` microseconds. Calls `spikes` with the index of each step in which pixels fire, and
    /// with these pixels, sorted by row and then by column.
    fn integrate(
        &self,
        events: &Events,
        sensor: SensorSize,
        dt: f64,
        mut spikes: impl FnMut(u64, &[Spike]) -> Checked,
    ) -> Checked {
        let windows = TimeWindows { window: dt, ..TimeWindows::default() };
        let slices = windows.slices(&events.t).map_err(|steps| {
            Fault::new("dt", format!("at most {MAX_FRAMES} steps a sample"), format!("{steps:.0}, of {dt} us each"))
        })?;
        let [width, height] = self.target_size;
        let (cells, threshold) = (width * height, i64::from(self.noise_threshold));
        let looks = slices.len() as u64 * u64::from(cells);
        let expected = "at least 1, a longer dt or a smaller target_size: at 0 every pixel fires at every step";
        ensure(threshold > 0 || looks <= MAX_EVENTS, "noise_threshold", expected, format!("{} steps", slices.len()))?;

        let [fx, fy] = spatial_factors(self.target_size, sensor);
        let mut potentials = vec![0_i64; cells as usize];
        let (mut touched, mut fired) = (Vec::new(), Vec::new());
        for (step, slice) in slices.enumerate() {
            touched.clear();
            for i in slice {
                let row = (f64::from(events.y[i]) * fy) as u32;
                let cell = row * width + (f64::from(events.x[i]) * fx) as u32;
                potentials[cell as usize] += if events.p[i] == 0 { -1 } else { 1 };
                touched.push(cell);
            }
            if threshold == 0 {
                touched.clear();
                touched.extend(0..cells);
            } else {
                touched.sort_unstable();
                touched.dedup();
            }
            fired.clear();
            for &cell in &touched {
                let potential = &mut potentials[cell as usize];
                let spike = Spike { cell, on: *potential >= threshold, off: -*potential >= threshold };
                if spike.on || spike.off {
                    *potential = 0;
                    fired.push(spike);
                }
            }
            if !fired.is_empty() {
                spikes(step as u64, &fired)?;
            }
        }
        Ok(())
    }
}

/// Finds the pixels and polarities that have more spikes in a frame (one step of `dt`) than in the previous frame.
#[derive(Default)]
struct Differences {
    /// Index of the current frame, from 0.
    frame: u64,
    /// `2 * cell + polarity` for each spike of the current frame.
    spikes: Vec<u32>,
    /// `2 * cell + polarity` for each spike of the previous frame, ascending.
    before: Vec<u32>,
}

impl Differences {
    fn add(&mut self, frame: u64, spikes: &[Spike], mut emit: impl FnMut(u64, Grown<'_>) -> Checked) -> Checked {
        if frame > self.frame {
            self.finish(&mut emit)?;
            self.before = std::mem::take(&mut self.spikes);
            if frame > self.frame + 1 {
                self.before.clear();
            }
            self.frame = frame;
        }
        for spike in spikes {
            self.spikes.extend(spike.off.then_some(2 * spike.cell));
            self.spikes.extend(spike.on.then_some(2 * spike.cell + 1));
        }
        Ok(())
    }

    /// Ends the current frame. Unless it is frame 0, calls `emit` with the index of the previous frame, and with the
    /// pixels and polarities that have more spikes in the current frame.
    fn finish(&mut self, mut emit: impl FnMut(u64, Grown<'_>) -> Checked) -> Checked {
        self.spikes.sort_unstable();
        if self.frame == 0 { Ok(()) } else { emit(self.frame - 1, Grown { now: &self.spikes, before: &self.before }) }
    }
}

/// Iterates over the pairs (cell, polarity) with more spikes in `now` than in `before`. Both lists are sorted and have
/// `2 * cell + polarity` for each spike.
struct Grown<'a> {
    now: &'a [u32],
    before: &'a [u32],
}

impl Iterator for Grown<'_> {
    type Item = (u32, u8);

    fn next(&mut self) -> Option<(u32, u8)> {
        while let [spike, ..] = *self.now {
            let now = self.now.partition_point(|s| s <= &spike);
            self.now = &self.now[now..];
            self.before = &self.before[self.before.partition_point(|s| s < &spike)..];
            if now > self.before.partition_point(|s| s <= &spike) {
                return Some((spike / 2, (spike % 2) as u8));
            }
        }
        None
    }
}

/// The events that one sample has emitted so far.
struct Emitted {
    events: Events,
    width: u32,
}

impl Emitted {
    fn push(&mut self, time: i64, spikes: impl Iterator<Item = (u32, u8)>) -> Checked {
        for (cell, polarity) in spikes {
            self.events.t.push(time);
            self.events.x.push((cell % self.width) as u16);
            self.events.y.push((cell / self.width) as u16);
            self.events.p.push(polarity);
        }
        let events = self.events.len() as u64;
        ensure(events <= MAX_EVENTS, "dt", &format!("at most {MAX_EVENTS} emitted events a sample"), events)
    }
}

/// Divides positive floats as Python's `//` does: the floor of the exact quotient.
fn floor_divided(a: f64, b: f64) -> f64 {
    let quotient = (a - a % b) / b;
    let floor = quotient.floor();
    if quotient - floor > 0.5 { floor + 1.0 } else { floor }
}
