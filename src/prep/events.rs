//! Events in columns: time, x, y and polarity.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use tonic_shard::FrameShape;

/// The size of a sensor, in Tonic's order (W, H, P).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SensorSize {
    /// Pixels per row, or channels of a cochlea.
    pub width: u32,
    /// Number of rows. A cochlea has one.
    pub height: u32,
    /// Number of polarities. A cochlea has one.
    pub polarities: u32,
}

impl SensorSize {
    /// Shape of a frame that has one cell per pixel and polarity of this sensor.
    pub fn frame_shape(self) -> FrameShape {
        FrameShape { polarities: self.polarities, height: self.height, width: self.width }
    }

    /// Makes a sensor of `width` columns and `height` rows. `None` if one of these numbers is 0 or above 65,536.
    pub(crate) fn plausible(width: u64, height: u64, polarities: u32) -> Option<SensorSize> {
        let side = |n: u64| u32::try_from(n).ok().filter(|n| (1..=65_536).contains(n));
        Some(SensorSize { width: side(width)?, height: side(height)?, polarities })
    }

    fn contains(self, x: i64, y: i64, p: i64) -> bool {
        let inside = |v: i64, size: u32| (0..i64::from(size)).contains(&v);
        inside(x, self.width) && inside(y, self.height) && inside(p, self.polarities)
    }
}

impl std::fmt::Display for SensorSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.width, self.height, self.polarities)
    }
}

impl std::str::FromStr for SensorSize {
    type Err = String;

    /// Parses a size such as `700` or `346,260,2`.
    fn from_str(text: &str) -> Result<SensorSize, String> {
        let numbers: Option<Vec<u32>> =
            text.split(',').map(|n| n.parse().ok().filter(|n| (1..=65536).contains(n))).collect();
        let sensor = match numbers.as_deref() {
            Some([width]) => SensorSize { width: *width, height: 1, polarities: 1 },
            Some([width, height, polarities]) if *polarities <= 256 => {
                SensorSize { width: *width, height: *height, polarities: *polarities }
            }
            _ => return Err("expected W or W,H,P, such as 700 or 346,260,2".into()),
        };
        if sensor.frame_shape().cells() > 1 << 28 { Err("expected at most 2^28 cells".into()) } else { Ok(sensor) }
    }
}

/// The events of one sample as columns, in ascending order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Time in microseconds.
    pub t: Vec<i64>,
    /// Pixel column or channel.
    pub x: Vec<u16>,
    /// Pixel row. 0 for a cochlea.
    pub y: Vec<u16>,
    /// Polarity. 0 if the sensor has only one.
    pub p: Vec<u8>,
}

/// An event before it is checked: (time in microseconds, x, y, p). The time is `None` if it is invalid in the file.
pub type RawEvent = (Option<i64>, i64, i64, i64);

/// The result of [`admit`]: the valid events, and the numbers of events that were left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// The events that have a valid time and are inside the sensor, in ascending order of time.
    pub events: Events,
    /// Number of events whose time is NaN, infinite, or does not fit an `i64` in microseconds.
    pub non_finite: u64,
    /// Number of events outside the sensor.
    pub outside: u64,
    /// The first event outside the sensor: its index among the raw events, and its x, y and p.
    pub first_outside: Option<(u64, [i64; 3])>,
    /// Whether the valid events were out of order and had to be sorted.
    pub sorted: bool,
}

impl Admitted {
    /// Takes all events as valid, and sorts them by time if they are out of order.
    pub(super) fn all(mut events: Events) -> Admitted {
        let sorted = events.sort();
        Admitted { events, sorted, ..Admitted::default() }
    }
}

impl Events {
    /// Number of events.
    pub fn len(&self) -> usize {
        self.t.len()
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.t.is_empty()
    }

    /// Index of each event's cell in a frame of `sensor`, (p * H + y) * W + x, for the events in a range of indices.
    pub(super) fn cells(&self, range: Range<usize>, sensor: SensorSize) -> impl Iterator<Item = u32> {
        let pixels = self.x[range.clone()].iter().zip(&self.y[range.clone()]).zip(&self.p[range]);
        pixels.map(move |((&x, &y), &p)| (u32::from(p) * sensor.height + u32::from(y)) * sensor.width + u32::from(x))
    }

    /// Keeps the events for which `keep` returns true. `keep` is called with all events and the index of one event.
    pub fn retain(&mut self, keep: impl Fn(&Events, usize) -> bool) {
        let mut kept = 0;
        for i in 0..self.len() {
            if keep(self, i) {
                self.t[kept] = self.t[i];
                self.x[kept] = self.x[i];
                self.y[kept] = self.y[i];
                self.p[kept] = self.p[i];
                kept += 1;
            }
        }
        self.truncate(kept);
    }

    /// Iterates over the events as (time, x, y, polarity).
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, u16, u16, u8)> {
        let pixels = self.x.iter().zip(&self.y).zip(&self.p);
        self.t.iter().zip(pixels).map(|(&t, ((&x, &y), &p))| (t, x, y, p))
    }

    pub(super) fn push(&mut self, t: i64, x: u16, y: u16, p: u8) {
        self.t.push(t);
        self.x.push(x);
        self.y.push(y);
        self.p.push(p);
    }

    /// Keeps the events whose indices are in `range`, and drops all others.
    pub fn keep_range(&mut self, range: Range<usize>) {
        self.truncate(range.end);
        self.t.drain(..range.start);
        self.x.drain(..range.start);
        self.y.drain(..range.start);
        self.p.drain(..range.start);
    }

    fn truncate(&mut self, len: usize) {
        self.t.truncate(len);
        self.x.truncate(len);
        self.y.truncate(len);
        self.p.truncate(len);
    }

    fn with_capacity(n: usize) -> Events {
        Events {
            t: Vec::with_capacity(n),
            x: Vec::with_capacity(n),
            y: Vec::with_capacity(n),
            p: Vec::with_capacity(n),
        }
    }

    /// Sorts the events by time. Events of equal time keep their order. Returns whether the events were out of order.
    pub(super) fn sort(&mut self) -> bool {
        if self.t.is_sorted() {
            return false;
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|&i| self.t[i]);
        self.t = order.iter().map(|&i| self.t[i]).collect();
        self.x = order.iter().map(|&i| self.x[i]).collect();
        self.y = order.iter().map(|&i| self.y[i]).collect();
        self.p = order.iter().map(|&i| self.p[i]).collect();
        true
    }
}

/// Keeps the raw events that have a valid time and are inside the sensor, sorts them by time, and counts the others. If
/// both the time and the coordinates are wrong, the event counts as `non_finite`.
pub fn admit(sensor: SensorSize, raw: impl ExactSizeIterator<Item = RawEvent>) -> Admitted {
    let mut admitted = Admitted { events: Events::with_capacity(raw.len()), ..Admitted::default() };
    let events = &mut admitted.events;
    for (i, (t, x, y, p)) in raw.enumerate() {
        match t {
            None => admitted.non_finite += 1,
            Some(t) if sensor.contains(x, y, p) => {
                events.t.push(t);
                events.x.push(x as u16);
                events.y.push(y as u16);
                events.p.push(p as u8);
            }
            Some(_) => {
                admitted.outside += 1;
                admitted.first_outside.get_or_insert((i as u64, [x, y, p]));
            }
        }
    }
    admitted.sorted = events.sort();
    admitted
}

/// Converts seconds to whole microseconds, truncated. `None` if the result is not finite or does not fit an `i64`.
pub(crate) fn microseconds(seconds: f64) -> Option<i64> {
    whole(seconds * 1e6)
}

/// Truncates a float to an integer. `None` if it is not finite or does not fit an `i64`.
pub(crate) fn whole(number: f64) -> Option<i64> {
    // 2^63 is the first float64 above i64::MAX. The next smaller float64 fits.
    let number = number.trunc();
    (number.abs() < 9_223_372_036_854_775_808.0).then_some(number as i64)
}
