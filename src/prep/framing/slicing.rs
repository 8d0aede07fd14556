//! Tonic's four ways to cut a recording into frames, with its rules to the last event.
//!
//! Slices are ranges of event indices. Window times are computed in float64 and found by left binary search, as Tonic
//! does through NumPy, so that the same events fall between the same windows.

use std::ops::Range;

use serde::{Deserialize, Serialize};

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
}

impl ToFrame {
    /// Whether the parameters make sense; what was expected and got, if not.
    ///
    /// # Errors
    /// The parameter at fault.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let ways = [
            self.time_window.map(|n| n as f64),
            self.event_count.map(|n| n as f64),
            self.n_time_bins.map(|n| n as f64),
            self.n_event_bins.map(|n| n as f64),
        ];
        let given: Vec<f64> = ways.into_iter().flatten().collect();
        let [size] = given[..] else {
            let expected = "exactly one of time_window, event_count, n_time_bins, n_event_bins";
            return Err((expected, format!("{} of them", given.len())));
        };
        if size < 1.0 {
            return Err(("a window, count or number of bins of at least 1", size.to_string()));
        }
        let bins = self.n_time_bins.or(self.n_event_bins);
        if bins.is_some_and(|n| n > MAX_FRAMES) {
            return Err(("at most 16777216 bins", size.to_string()));
        }
        let largest = if bins.is_some() { 1.0 } else { size };
        if !(0.0..largest).contains(&self.overlap) {
            return Err(("an overlap from 0 to below the window, count, or 1 bin", self.overlap.to_string()));
        }
        if self.time_window.is_none() && (self.start_time.is_some() || self.end_time.is_some()) {
            return Err(("start_time and end_time with time_window only", "another slicing".into()));
        }
        Ok(())
    }

    /// Whether an event can be in several frames.
    pub fn overlaps(&self) -> bool {
        self.overlap > 0.0
    }

    /// The slices of events at times `t` (ascending, not empty), or the number of frames where it is beyond
    /// [`MAX_FRAMES`].
    pub(super) fn slices(&self, t: &[i64]) -> Result<Vec<Range<usize>>, f64> {
        let at = |time: f64| t.partition_point(|&t| (t as f64) < time);
        let events = |start: u64, count: u64| {
            let clamp = |i: u64| i.min(t.len() as u64) as usize;
            clamp(start)..clamp(start.saturating_add(count))
        };
        if let Some(window) = self.time_window {
            let start = self.start_time.unwrap_or(t[0]);
            let end = self.end_time.unwrap_or(t[t.len() - 1]);
            let (window, n) = (window as f64, self.windows(end as f64 - start as f64));
            let stride = window - self.overlap;
            let frames = bounded(n)?;
            let starts = (0..frames).map(|i| i as f64 * stride + start as f64);
            return Ok(starts.map(|from| at(from)..at(from + window)).collect());
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
            let starts = (0..bins).map(|i| i as f64 * stride + t[0] as f64);
            return Ok(starts.map(|from| at(from)..at(from + window)).collect());
        }
        let bins = self.n_event_bins.unwrap_or(1);
        let count = ((t.len() as u64 / bins) as f64 * (1.0 + self.overlap)) as u64;
        let stride = (count as f64 * (1.0 - self.overlap)) as u64;
        Ok((0..bins).map(|i| events(i * stride, count)).collect())
    }

    /// How many windows a duration has: at least one.
    fn windows(&self, duration: f64) -> f64 {
        let window = self.time_window.unwrap_or(1) as f64;
        let strides = (duration - window) / (window - self.overlap);
        let n = if self.include_incomplete { strides.ceil() } else { strides.floor() } + 1.0;
        n.max(1.0)
    }

    /// The frames of a sample without events: as many as the slicing gives whatever comes, else one.
    pub(super) fn frames_of_nothing(&self) -> u64 {
        self.n_time_bins.or(self.n_event_bins).unwrap_or(1)
    }

    /// The most frames of a sample whose times lie in `span` (microseconds, both inclusive).
    pub fn frame_limit(&self, span: Option<(i64, i64)>) -> Option<u64> {
        if self.event_count.is_some() {
            return None;
        }
        if self.time_window.is_none() {
            return self.n_time_bins.or(self.n_event_bins);
        }
        let start = self.start_time.or(span.map(|(lo, _)| lo))?;
        let end = self.end_time.or(span.map(|(_, hi)| hi))?;
        bounded(self.windows(end as f64 - start as f64)).ok()
    }
}

fn bounded(frames: f64) -> Result<u64, f64> {
    if frames <= MAX_FRAMES as f64 { Ok(frames as u64) } else { Err(frames) }
}
