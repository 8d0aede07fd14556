//! Tonic's four slicings of a sample: by time window, event count, time bins or event bins.
//!
//! A slice is a range of event indices. It has exactly the same events as in Tonic. To ensure this, the times of
//! windows are float64, as in Tonic. A window contains its start time but not its end time.

use std::borrow::Cow;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::signature::{Kind, Parameter, Signature};

/// Maximum number of frames of a sample, as a guard against corrupt times. At 4 ms per frame, these are 18 hours.
pub(crate) const MAX_FRAMES: u64 = 1 << 24;

/// Tonic's `ToFrame`. Exactly one of `time_window`, `event_count`, `n_time_bins` and `n_event_bins` must be given; the
/// others are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToFrame {
    /// Duration of a frame, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_window: Option<i64>,
    /// Number of events in a frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_count: Option<u64>,
    /// Number of frames into which the duration of each sample is divided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_time_bins: Option<u64>,
    /// Number of frames into which the events of each sample are divided. Each frame has the same number of events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_event_bins: Option<u64>,
    /// Overlap of neighbouring frames: in microseconds with `time_window`, in events with `event_count`, otherwise as a
    /// share of a bin.
    pub overlap: f64,
    /// Whether to keep a last frame that is too small: shorter than `time_window`, or with fewer events than
    /// `event_count`.
    pub include_incomplete: bool,
    /// Start of the first window in microseconds. With `None`, it is the time of the first event. Only allowed with
    /// `time_window`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<i64>,
    /// End of the time span that is divided into windows, in microseconds. With `None`, it is the time of the last
    /// event. Only allowed with `time_window`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<i64>,
    /// Sensor size that is expected after all transforms, (W, H, P). With `None`, any size is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensor_size: Option<[u32; 3]>,
}

impl ToFrame {
    pub(super) const SIGNATURE: Signature = Signature {
        name: "ToFrame",
        about: "count the events of each slice; exactly one of the first four is given",
        parameters: &[
            Parameter::optional("time_window", Kind::Whole, "microseconds a frame"),
            Parameter::optional("event_count", Kind::Count, "or: events per frame"),
            Parameter::optional("n_time_bins", Kind::Count, "or: frames per sample, of equal time"),
            Parameter::optional("n_event_bins", Kind::Count, "or: frames per sample, of equally many events"),
            Parameter::with("overlap", Kind::Number, "0.0", "of neighbours: microseconds, events, or a share of a bin"),
            Parameter::with(
                "include_incomplete",
                Kind::Flag,
                "false",
                "whether the last, shorter window or count is kept",
            ),
            Parameter::optional("start_time", Kind::Whole, "where the first window begins; else the first event"),
            Parameter::optional("end_time", Kind::Whole, "where the last one ends; else the last event"),
            Parameter::SENSOR_SIZE,
        ],
    };

    /// Returns the range of event indices of each frame. `t` has the event times in microseconds, ascending. It must
    /// not be empty.
    ///
    /// # Errors
    /// The number of frames, if it is above [`MAX_FRAMES`].
    pub(super) fn slices(&self, t: &[i64]) -> Result<Vec<Range<usize>>, f64> {
        let events = |start: u64, count: u64| {
            let clamp = |i: u64| i.min(t.len() as u64) as usize;
            clamp(start)..clamp(start.saturating_add(count))
        };
        if let Some(windows) = self.windows() {
            return Ok(windows.slices(t)?.collect());
        }
        if let Some(count) = self.event_count {
            let (total, stride) = (t.len() as u64, count as f64 - self.overlap);
            let frames = bounded(count_strides(total, count, self.overlap, self.include_incomplete))?;
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

    /// The time windows, if the frames are sliced by `time_window`.
    pub(super) fn windows(&self) -> Option<TimeWindows> {
        let &ToFrame { overlap, include_incomplete, start_time, end_time, .. } = self;
        let window = self.time_window? as f64;
        Some(TimeWindows { window, overlap, include_incomplete, start_time, end_time })
    }

    /// The windows of this framing. `None` if they cannot be computed before all events of the sample are known.
    pub(super) fn streamed(&self) -> Option<FrameWindows> {
        let &ToFrame { overlap, include_incomplete, .. } = self;
        let counted = self.event_count.map(|count| FrameWindows::Events { count, overlap, include_incomplete });
        let all = (self.n_event_bins == Some(1)).then_some(FrameWindows::All);
        self.windows().map(FrameWindows::Time).or(counted).or(all)
    }

    /// Fixed number of frames per sample, if the parameters give it.
    pub(super) fn bins(&self) -> Option<u64> {
        self.n_time_bins.or(self.n_event_bins)
    }
}

/// Time windows of equal duration, as in Tonic's `slice_events_by_time`. All times are in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimeWindows {
    pub window: f64,
    pub overlap: f64,
    pub include_incomplete: bool,
    pub start_time: Option<i64>,
    pub end_time: Option<i64>,
}

impl TimeWindows {
    /// Returns the range of event indices of each window. `t` has the event times in microseconds, ascending. It must
    /// not be empty.
    ///
    /// # Errors
    /// The number of windows, if it is above [`MAX_FRAMES`].
    pub(crate) fn slices<'a>(
        &self,
        t: &'a [i64],
    ) -> Result<impl ExactSizeIterator<Item = Range<usize>> + use<'a>, f64> {
        let (start, end) = self.span(t[0], t[t.len() - 1]);
        let (window, stride) = (self.window, self.window - self.overlap);
        let frames = bounded(self.count(end - start))? as usize;
        let mut slicer = Slicer::of(t);
        Ok((0..frames).map(move |i| slicer.slice(i as f64 * stride + start, window)))
    }

    /// Start and end of the time that is divided into windows. `first` and `last` are the times of the sample's first
    /// and last event.
    fn span(&self, first: i64, last: i64) -> (f64, f64) {
        (self.start_time.unwrap_or(first) as f64, self.end_time.unwrap_or(last) as f64)
    }

    /// Number of windows in `duration` microseconds, at least 1.
    fn count(&self, duration: f64) -> f64 {
        let strides = (duration - self.window) / (self.window - self.overlap);
        let n = if self.include_incomplete { strides.ceil() } else { strides.floor() } + 1.0;
        n.max(1.0)
    }

    /// Maximum number of windows per sample. `None` if there is no maximum, or if it is above [`MAX_FRAMES`]. `span` is
    /// the first and last possible time in microseconds.
    pub(crate) fn limit(&self, span: Option<(i64, i64)>) -> Option<u64> {
        let start = self.start_time.or(span.map(|(lo, _)| lo))?;
        let end = self.end_time.or(span.map(|(_, hi)| hi))?;
        bounded(self.count(end as f64 - start as f64)).ok()
    }
}

/// Windows for events that come in blocks: ranges of times in microseconds, or ranges of event indices.
#[derive(Clone, Copy, Debug)]
pub(super) enum FrameWindows {
    /// Windows of equal duration.
    Time(TimeWindows),
    /// Windows of `count` events, of which `overlap` are in the next window too.
    Events { count: u64, overlap: f64, include_incomplete: bool },
    /// One window with all events.
    All,
}

impl FrameWindows {
    /// Returns the positions of consecutive events: their times `t` or, if the windows are ranges of indices, their
    /// indices in the sample. `before` is the index of the first event.
    pub(super) fn places<'a>(&self, t: &'a [i64], before: u64) -> Cow<'a, [i64]> {
        match self {
            FrameWindows::Time(_) => t.into(),
            FrameWindows::Events { .. } | FrameWindows::All => {
                (before as i64..before as i64 + t.len() as i64).collect::<Vec<_>>().into()
            }
        }
    }

    /// Start and end of window `number`. `first` is the time or index of the sample's first event.
    pub(super) fn bounds(&self, first: i64, number: u64) -> (Bound, Bound) {
        match *self {
            FrameWindows::Time(windows) => {
                let (from, _) = windows.span(first, 0);
                let from = number as f64 * (windows.window - windows.overlap) + from;
                (Bound::of(from), Bound::of(from + windows.window))
            }
            FrameWindows::Events { count, overlap, .. } => {
                let start = (number as f64 * (count as f64 - overlap)) as u64;
                (Bound::index(start), Bound::index(start.saturating_add(count)))
            }
            FrameWindows::All if number == 0 => (Bound::index(0), Bound::index(u64::MAX)),
            FrameWindows::All => (Bound::index(u64::MAX), Bound::index(u64::MAX)),
        }
    }

    /// Number of windows of the sample, if an `end_time` is given. Otherwise `None`. `first` is the time or index of
    /// the sample's first event.
    pub(super) fn fixed_count(&self, first: i64) -> Option<f64> {
        match *self {
            FrameWindows::Time(TimeWindows { end_time: Some(_), .. }) => Some(self.count(first, first, 1)),
            _ => None,
        }
    }

    /// Number of windows of a sample with `events` events, at least 1. `first` and `last` are the times or indices of
    /// its first and last event.
    pub(super) fn count(&self, first: i64, last: i64, events: u64) -> f64 {
        match *self {
            FrameWindows::Time(windows) => {
                let (start, end) = windows.span(first, last);
                windows.count(end - start)
            }
            FrameWindows::Events { count, overlap, include_incomplete } => {
                count_strides(events, count, overlap, include_incomplete)
            }
            FrameWindows::All => 1.0,
        }
    }
}

/// Number of windows of `count` events in a sample of `total` events, at least 1.
fn count_strides(total: u64, count: u64, overlap: f64, include_incomplete: bool) -> f64 {
    let strides = total.saturating_sub(count) as f64 / (count as f64 - overlap);
    if include_incomplete { strides.ceil() + 1.0 } else { strides.floor() + 1.0 }
}

/// Start or end of a window: a time in microseconds, or the index of an event in the sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// The bound as an integer, rounded up. `None` if it is 2^53 or more in magnitude, because float64 lacks some
    /// integers there.
    whole: Option<i64>,
    time: f64,
}

impl Bound {
    fn of(time: f64) -> Bound {
        /// Below this number, float64 represents every integer exactly, so times can be compared as integers.
        const EXACT: f64 = (1_u64 << 53) as f64;
        let first = time.ceil();
        Bound { whole: (first.abs() < EXACT).then_some(first as i64), time }
    }

    fn index(index: u64) -> Bound {
        Bound { whole: Some(index.min(i64::MAX as u64) as i64), time: 0.0 }
    }

    /// Whether an event with this time or index is at or after the bound.
    #[inline]
    pub(super) fn is_reached_by(self, place: i64) -> bool {
        match self.whole {
            Some(first) => place >= first,
            None => place as f64 >= self.time,
        }
    }
}

/// Finds the events of one window after another. The starts and the ends of the windows must ascend.
struct Slicer<'a> {
    t: &'a [i64],
    last: Range<usize>,
    end_time: f64,
}

impl Slicer<'_> {
    fn of(t: &[i64]) -> Slicer<'_> {
        Slicer { t, last: 0..0, end_time: f64::INFINITY }
    }

    /// Range of the indices of the events with `from <= t < from + window`.
    fn slice(&mut self, from: f64, window: f64) -> Range<usize> {
        // If this window doesn't overlap the last one, all events before the last one's end are also before this
        // window's start.
        let known = if from >= self.end_time { self.last.end } else { self.last.start };
        self.end_time = from + window;
        self.last = before(self.t, known, from)..before(self.t, self.last.end, self.end_time);
        self.last.clone()
    }
}

/// Counts the events that are in at least one slice. Slices can overlap for two reasons, as in Tonic: the user asked
/// for an overlap, or the times are so large that float64 cannot tell two windows apart.
#[derive(Default)]
pub(super) struct Sliced {
    /// Index after the last event in the slices so far.
    end: usize,
}

impl Sliced {
    /// Returns how many events of the next slice were in no slice before. Slices must be in ascending order.
    pub(super) fn new_in(&mut self, slice: &Range<usize>) -> u64 {
        let new = slice.end.saturating_sub(slice.start.max(self.end));
        self.end = self.end.max(slice.end);
        new as u64
    }
}

/// Number of events with a time before `time`. The caller knows that the first `known` events are among them.
fn before(t: &[i64], known: usize, time: f64) -> usize {
    let (rest, bound) = (&t[known..], Bound::of(time));
    let more = match bound.whole {
        Some(first) => rest.iter().position(|&t| t >= first),
        None => rest.iter().position(|&t| bound.is_reached_by(t)),
    };
    known + more.unwrap_or(rest.len())
}

fn bounded(frames: f64) -> Result<u64, f64> {
    if frames <= MAX_FRAMES as f64 { Ok(frames as u64) } else { Err(frames) }
}
