//! Tonic's four ways to cut a recording into frames, with its rules to the last event.
//!
//! Slices are ranges of event indices. Window times are computed in float64 and found by left binary search, as Tonic
//! does through NumPy, so that the same events fall between the same windows.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::super::known::{Checked, Kind, Known, Parameter, ensure};

/// The most frames of a sample: 2^24 of them are 18 hours at 4 ms. A stray time must not become a flood of frames.
pub const MAX_FRAMES: u64 = 1 << 24;

/// Tonic's `ToFrame`. Exactly one of `time_window`, `event_count`, `n_time_bins`, `n_event_bins` is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToFrame {
    /// Microseconds a frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_window: Option<i64>,
    /// Events a frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_count: Option<u64>,
    /// Frames a sample, of equal time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_time_bins: Option<u64>,
    /// Frames a sample, of equally many events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_event_bins: Option<u64>,
    /// Overlap of neighbours: microseconds, events, or a share of a bin.
    pub overlap: f64,
    /// Whether the last frame, of less than a window or count, is kept.
    pub include_incomplete: bool,
    /// Where the first window begins, in microseconds; the first event's time if not given. With `time_window`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<i64>,
    /// Where the duration ends, in microseconds; the last event's time if not given. With `time_window`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<i64>,
    /// The sensor, if the recipe says it: it is held against the one after all transforms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensor_size: Option<[u32; 3]>,
}

impl ToFrame {
    pub(super) const KNOWN: Known = Known {
        name: "ToFrame",
        about: "count the events of each slice; exactly one of the first four is given",
        parameters: &[
            Parameter::optional("time_window", Kind::Whole, "microseconds a frame"),
            Parameter::optional("event_count", Kind::Count, "or: events a frame"),
            Parameter::optional("n_time_bins", Kind::Count, "or: frames a sample, of equal time"),
            Parameter::optional("n_event_bins", Kind::Count, "or: frames a sample, of equally many events"),
            Parameter::with("overlap", Kind::Number, "0.0", "of neighbours: microseconds, events, or a share of a bin"),
            Parameter::with(
                "include_incomplete",
                Kind::Flag,
                "false",
                "whether the last, shorter window or count is kept",
            ),
            Parameter::optional("start_time", Kind::Whole, "where the first window begins; else the first event"),
            Parameter::optional("end_time", Kind::Whole, "where the last one ends; else the last event"),
            Parameter::optional("sensor_size", Kind::Sensor, "the sensor at this step, to be checked"),
        ],
    };

    /// Whether the parameters make sense.
    pub(super) fn check(&self) -> Checked {
        let ways = [
            self.time_window.map(|n| n as f64),
            self.event_count.map(|n| n as f64),
            self.n_time_bins.map(|n| n as f64),
            self.n_event_bins.map(|n| n as f64),
        ];
        let given: Vec<f64> = ways.into_iter().flatten().collect();
        let expected = "exactly one of time_window, event_count, n_time_bins, n_event_bins";
        ensure(given.len() == 1, "", expected, format!("{} of them", given.len()))?;
        let size = given[0];
        ensure(size >= 1.0, "", "a window, count or number of bins of at least 1", size)?;
        let bins = self.n_time_bins.or(self.n_event_bins);
        ensure(bins.is_none_or(|n| n <= MAX_FRAMES), "", "at most 16777216 bins", size)?;
        let largest = if bins.is_some() { 1.0 } else { size };
        let fits = (0.0..largest).contains(&self.overlap);
        ensure(fits, "overlap", "an overlap from 0 to below the window, count, or 1 bin", self.overlap)?;
        let bounds = self.start_time.is_some() || self.end_time.is_some();
        let idle = bounds && self.time_window.is_none();
        ensure(!idle, "", "start_time and end_time with time_window only", "another slicing")
    }

    /// Whether an event can be in several frames.
    pub fn overlaps(&self) -> bool {
        self.overlap > 0.0
    }

    /// The slices of events at times `t` (ascending, not empty), or the number of frames where it is beyond
    /// [`MAX_FRAMES`].
    pub(super) fn slices(&self, t: &[i64]) -> Result<Vec<Range<usize>>, f64> {
        let events = |start: u64, count: u64| {
            let clamp = |i: u64| i.min(t.len() as u64) as usize;
            clamp(start)..clamp(start.saturating_add(count))
        };
        if let Some(windows) = self.windows() {
            return Ok(windows.slices(t)?.collect());
        }
        if let Some(count) = self.event_count {
            let total = t.len() as u64;
            let stride = count as f64 - self.overlap;
            let count = count.min(total);
            let strides = (total - count) as f64 / stride;
            let frames = bounded(if self.include_incomplete { strides.ceil() } else { strides.floor() } + 1.0)?;
            return Ok((0..frames).map(|i| events((i as f64 * stride) as u64, count)).collect());
        }
        if let Some(bins) = self.n_time_bins {
            let duration = t[t.len() - 1].saturating_sub(t[0]);
            let window = (duration / bins as i64) as f64 * (1.0 + self.overlap);
            let stride = window * (1.0 - self.overlap);
            let mut slicer = Slicer::of(t);
            return Ok((0..bins).map(|i| slicer.slice(i as f64 * stride + t[0] as f64, window)).collect());
        }
        let bins = self.n_event_bins.unwrap_or(1);
        let count = ((t.len() as u64 / bins) as f64 * (1.0 + self.overlap)) as u64;
        let stride = (count as f64 * (1.0 - self.overlap)) as u64;
        Ok((0..bins).map(|i| events(i * stride, count)).collect())
    }

    fn windows(&self) -> Option<TimeWindows> {
        let &ToFrame { overlap, include_incomplete, start_time, end_time, .. } = self;
        let window = self.time_window? as f64;
        Some(TimeWindows { window, overlap, include_incomplete, start_time, end_time })
    }

    /// The frames of a sample without events: as many as the slicing gives whatever comes, else one.
    pub(super) fn frames_of_nothing(&self) -> u64 {
        self.n_time_bins.or(self.n_event_bins).unwrap_or(1)
    }

    /// The most frames of a sample whose times lie in `span` (microseconds, both inclusive).
    pub fn frame_limit(&self, span: Option<(i64, i64)>) -> Option<u64> {
        match self.windows() {
            Some(windows) => windows.limit(span),
            None => self.n_time_bins.or(self.n_event_bins),
        }
    }
}

/// Windows of equal length along time, in microseconds that need not be whole: Tonic's `slice_events_by_time`.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::prep) struct TimeWindows {
    pub window: f64,
    pub overlap: f64,
    pub include_incomplete: bool,
    pub start_time: Option<i64>,
    pub end_time: Option<i64>,
}

impl TimeWindows {
    /// The slices of events at times `t` (ascending, not empty), or their number where it is beyond [`MAX_FRAMES`].
    pub fn slices<'a>(&self, t: &'a [i64]) -> Result<impl ExactSizeIterator<Item = Range<usize>> + use<'a>, f64> {
        let start = self.start_time.unwrap_or(t[0]) as f64;
        let end = self.end_time.unwrap_or(t[t.len() - 1]) as f64;
        let (window, stride) = (self.window, self.window - self.overlap);
        let frames = bounded(self.count(end - start))? as usize;
        let mut slicer = Slicer::of(t);
        Ok((0..frames).map(move |i| slicer.slice(i as f64 * stride + start, window)))
    }

    /// How many windows a duration has: at least one.
    fn count(&self, duration: f64) -> f64 {
        let strides = (duration - self.window) / (self.window - self.overlap);
        let n = if self.include_incomplete { strides.ceil() } else { strides.floor() } + 1.0;
        n.max(1.0)
    }

    /// The most windows of a sample whose times lie in `span` (both inclusive).
    pub fn limit(&self, span: Option<(i64, i64)>) -> Option<u64> {
        let start = self.start_time.or(span.map(|(lo, _)| lo))?;
        let end = self.end_time.or(span.map(|(_, hi)| hi))?;
        bounded(self.count(end as f64 - start as f64)).ok()
    }
}

/// Slices of one window after another: no begins or ends before the last one did, so each event is looked at twice.
struct Slicer<'a> {
    t: &'a [i64],
    last: Range<usize>,
    end_time: f64,
}

impl Slicer<'_> {
    fn of(t: &[i64]) -> Slicer<'_> {
        Slicer { t, last: 0..0, end_time: f64::INFINITY }
    }

    /// The events of `from <= t < from + window`.
    fn slice(&mut self, from: f64, window: f64) -> Range<usize> {
        // Windows that do not overlap begin where the last one ended, or after.
        let known = if from >= self.end_time { self.last.end } else { self.last.start };
        self.end_time = from + window;
        self.last = before(self.t, known, from)..before(self.t, self.last.end, self.end_time);
        self.last.clone()
    }
}

/// How many events come before a time, of which the first `known` are known to.
fn before(t: &[i64], known: usize, time: f64) -> usize {
    /// Up to here every whole number is a float64, and a time before one is a time before the next whole number.
    const EXACT: f64 = (1_u64 << 53) as f64;
    let first = time.ceil();
    let rest = &t[known..];
    let more = if first.abs() < EXACT {
        let first = first as i64;
        rest.iter().position(|&t| t >= first)
    } else {
        rest.iter().position(|&t| t as f64 >= time)
    };
    known + more.unwrap_or(rest.len())
}

fn bounded(frames: f64) -> Result<u64, f64> {
    if frames <= MAX_FRAMES as f64 { Ok(frames as u64) } else { Err(frames) }
}
