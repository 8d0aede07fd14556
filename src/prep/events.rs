//! Events in columns, as every source gives them and every transform takes them.

use serde::{Deserialize, Serialize};

use crate::frames::FrameShape;

/// The size of a sensor, in Tonic's order (W, H, P).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SensorSize {
    /// Pixels of a row, or channels of a cochlea.
    pub width: u32,
    /// Rows; a cochlea has one.
    pub height: u32,
    /// Polarities; a cochlea has one.
    pub polarities: u32,
}

impl SensorSize {
    /// The shape of its frames.
    pub fn frame_shape(self) -> FrameShape {
        FrameShape { polarities: self.polarities, height: self.height, width: self.width }
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

    /// `700` or `346,260,2`.
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

/// Events of one sample, a column a coordinate, times ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Microseconds.
    pub t: Vec<i64>,
    /// Pixel column or channel.
    pub x: Vec<u16>,
    /// Pixel row; zero for a cochlea.
    pub y: Vec<u16>,
    /// Polarity; zero where there is one only.
    pub p: Vec<u8>,
}

/// A raw event: its time in microseconds, if it is one, and x, y and p as the file has them.
pub type RawEvent = (Option<i64>, i64, i64, i64);

/// Raw events that were let in, and those that were not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// The events inside the sensor with a finite time, in order of time.
    pub events: Events,
    /// Events with a time that is no number, or beyond 64 bits of microseconds.
    pub non_finite: u64,
    /// Events outside the sensor.
    pub outside: u64,
    /// The first of those: its number, and its x, y and p.
    pub first_outside: Option<(u64, [i64; 3])>,
    /// Whether times were out of order, and were sorted.
    pub sorted: bool,
}

impl Admitted {
    /// All of `events` were let in, in whatever order they were.
    pub(super) fn all(mut events: Events) -> Admitted {
        let sorted = events.sort();
        Admitted { events, sorted, ..Admitted::default() }
    }
}

impl Events {
    /// How many.
    pub fn len(&self) -> usize {
        self.t.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.t.is_empty()
    }

    /// Event `i`'s cell in a frame of `sensor`: (p * H + y) * W + x.
    pub(super) fn cell(&self, i: usize, sensor: SensorSize) -> u32 {
        let row = u32::from(self.p[i]) * sensor.height + u32::from(self.y[i]);
        row * sensor.width + u32::from(self.x[i])
    }

    /// Keeps the events of which `keep(i)` is true.
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

    /// Keeps a range of the events.
    pub fn keep_range(&mut self, range: std::ops::Range<usize>) {
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

    /// Sorts by time, equal times in their order; whether that changed anything.
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

/// Lets in the raw events that have a time and lie inside the sensor, in order of time, and counts the others.
/// An event that fails both ways counts as non-finite.
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

/// Seconds to microseconds: `trunc(t * 1e6)`, `None` for a time that is no number or does not fit.
///
/// ```
/// use tonic_toolkit::prep::events::microseconds;
/// assert_eq!(microseconds(0.5), Some(500_000));
/// assert_eq!(microseconds(f64::NAN), None);
/// assert_eq!(microseconds(f64::INFINITY), None); // and not i64::MAX or i64::MIN
/// ```
pub fn microseconds(seconds: f64) -> Option<i64> {
    whole(seconds * 1e6)
}

/// A float without its fraction, `None` for one that is no number or does not fit 64 bits.
pub fn whole(number: f64) -> Option<i64> {
    // 2^63 is the first float64 that an i64 does not hold; its neighbour below does.
    let number = number.trunc();
    (number.abs() < 9_223_372_036_854_775_808.0).then_some(number as i64)
}
