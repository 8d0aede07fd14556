//! Tonic's `EventDownsampling`: fewer pixels, which integrate the events of many and emit events of their own.
//!
//! The events that come out are not those that went in, so the ledger counts the old ones as filtered and the new ones
//! as come in: every event, read or emitted, is accounted for once.

use serde::{Deserialize, Serialize};

use super::super::events::{Events, SensorSize};
use super::super::framing::{MAX_FRAMES, TimeWindows};
use super::super::known::{Checked, Fault, Kind, Known, Parameter, ensure};
use super::space::{check_target, check_target_within, spatial_factors};
use super::{EventTransform, Span};
use crate::shard::Ledger;

/// The most events that a sample may become, and the most pixels that are looked at for it: about a gigabyte.
const MAX_EVENTS: u64 = 1 << 26;

/// Tonic's `EventDownsampling`, after Ghosh et al. 2023, "Insect-inspired Spatio-temporal Downsampling of Event-based
/// Input". Times are counted from the first event.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventDownsampling {
    /// The sensor before, if the recipe says it: it is held against the recording's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor_size: Option<[u32; 3]>,
    /// Width and height after.
    pub target_size: [u32; 2],
    /// What makes an event.
    pub downsampling_method: Method,
    /// Milliseconds a step.
    pub dt: f64,
    /// By how many events one polarity has to outnumber the other before a pixel fires. At 0 every silent pixel fires
    /// at every step, both ways.
    #[serde(default)]
    pub noise_threshold: u32,
    /// Steps of the integrator in `dt`, for the differentiator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differentiator_time_bins: Option<u32>,
}

/// What makes an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// A pixel's surplus of one polarity, summed over time, that reaches the threshold.
    Integrator,
    /// More of those than in the step before.
    Differentiator,
}

impl EventDownsampling {
    pub(super) const KNOWN: Known = Known {
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
            Parameter::optional("sensor_size", Kind::Sensor, "the sensor at this step, to be checked"),
        ],
    };

    /// Steps of the integrator in `dt`.
    fn bins(&self) -> u32 {
        match self.downsampling_method {
            Method::Integrator => 1,
            Method::Differentiator => self.differentiator_time_bins.unwrap_or(2),
        }
    }
}

impl EventTransform for EventDownsampling {
    fn known(&self) -> &'static Known {
        &Self::KNOWN
    }

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

    fn span_after(&self, span: Option<Span>) -> Option<Span> {
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

/// A pixel that fires in a step; at a threshold of 0, both ways.
struct Spike {
    cell: u32,
    on: bool,
    off: bool,
}

impl EventDownsampling {
    /// Runs the integrator in steps of `dt` microseconds; `spikes` gets the number of each step that has some, and the
    /// pixels, by row and column.
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

/// How often each pixel fires each way, frame by frame, and where that grows from one frame to the next.
#[derive(Default)]
struct Differences {
    /// The frame that is being filled.
    frame: u64,
    /// `2 * cell + polarity` of each spike in it.
    spikes: Vec<u32>,
    /// Those of the frame before, sorted.
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

    /// Ends a frame. Growth bears the time of the frame before, so the first frame, which has none, emits nothing.
    fn finish(&mut self, mut emit: impl FnMut(u64, Grown<'_>) -> Checked) -> Checked {
        self.spikes.sort_unstable();
        if self.frame == 0 { Ok(()) } else { emit(self.frame - 1, Grown { now: &self.spikes, before: &self.before }) }
    }
}

/// The pixels and polarities that fire more often than before, of two sorted lists of spikes.
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

/// The events that came out.
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

/// Python's `//` of positive numbers: the floor of the true quotient, where dividing rounds up to the next integer.
fn floor_divided(a: f64, b: f64) -> f64 {
    let quotient = (a - a % b) / b;
    let floor = quotient.floor();
    if quotient - floor > 0.5 { floor + 1.0 } else { floor }
}
