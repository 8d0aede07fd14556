//! Columns of numbers in the types that files have, and what becomes of them: times in whole microseconds, pixels and
//! polarities.

use super::raw::{Coordinates, RawSamples, Times};
use super::unit::TimeUnit;

/// A column as a file has it. Types that event files use are read as they are, the rarer ones widened.
#[derive(Clone, Debug)]
pub enum Numbers {
    /// Unsigned bytes, and booleans.
    U8(Vec<u8>),
    /// Signed bytes.
    I8(Vec<i8>),
    /// Two unsigned bytes.
    U16(Vec<u16>),
    /// Four unsigned bytes.
    U32(Vec<u32>),
    /// Eight unsigned bytes.
    U64(Vec<u64>),
    /// Every other integer.
    I64(Vec<i64>),
    /// Floats.
    F64(Vec<f64>),
}

/// Runs an expression over a column's vector, whatever its type.
macro_rules! each {
    ($numbers:expr, $vec:ident => $body:expr) => {
        match $numbers {
            Numbers::U8($vec) => $body,
            Numbers::I8($vec) => $body,
            Numbers::U16($vec) => $body,
            Numbers::U32($vec) => $body,
            Numbers::U64($vec) => $body,
            Numbers::I64($vec) => $body,
            Numbers::F64($vec) => $body,
        }
    };
}

impl Numbers {
    /// How many.
    pub fn len(&self) -> usize {
        each!(self, v => v.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As times.
    pub fn times(self, unit: TimeUnit) -> Stamps {
        fn fallible(times: impl Iterator<Item = Option<i64>>) -> Stamps {
            let mut stamps = Stamps::default();
            for (i, time) in times.enumerate() {
                stamps.us.push(time.unwrap_or_else(|| {
                    stamps.missing.push(i);
                    0
                }));
            }
            stamps
        }
        let integers = |times: &mut dyn Iterator<Item = i64>| fallible(times.map(|t| unit.of_integer(t)));
        match (self, unit) {
            (Numbers::I64(us), TimeUnit::Microseconds) => Stamps { us, missing: Vec::new() },
            (Numbers::U32(t), TimeUnit::Microseconds) => {
                Stamps { us: t.into_iter().map(i64::from).collect(), missing: Vec::new() }
            }
            (Numbers::F64(t), _) => fallible(t.into_iter().map(|t| unit.of_float(t))),
            (Numbers::U64(t), _) => fallible(t.into_iter().map(|t| unit.of_integer(i64::try_from(t).ok()?))),
            (Numbers::U8(t), _) => integers(&mut t.into_iter().map(i64::from)),
            (Numbers::I8(t), _) => integers(&mut t.into_iter().map(i64::from)),
            (Numbers::U16(t), _) => integers(&mut t.into_iter().map(i64::from)),
            (Numbers::U32(t), _) => integers(&mut t.into_iter().map(i64::from)),
            (Numbers::I64(t), _) => integers(&mut t.into_iter()),
        }
    }

    /// As pixels: of a float, the pixel that it lies in; a number beyond 64 bits is outside every sensor.
    pub fn pixels(self) -> Coordinates {
        match self {
            Numbers::U8(v) => Coordinates::U8(v),
            Numbers::U16(v) => Coordinates::U16(v),
            Numbers::I8(v) => Coordinates::I64(v.into_iter().map(i64::from).collect()),
            Numbers::U32(v) => Coordinates::I64(v.into_iter().map(i64::from).collect()),
            Numbers::U64(v) => Coordinates::I64(v.into_iter().map(|n| n.try_into().unwrap_or(i64::MAX)).collect()),
            Numbers::I64(v) => Coordinates::I64(v),
            Numbers::F64(v) => Coordinates::I64(v.into_iter().map(pixel).collect()),
        }
    }

    /// As polarities: -1 is off as 0 is, 1 is on, and every other number stays what it is, outside the sensor.
    pub fn polarities(self) -> Coordinates {
        fn narrowed(numbers: impl Iterator<Item = i64> + Clone) -> Coordinates {
            let numbers = numbers.map(|n| if n == -1 { 0 } else { n });
            let narrow: Option<Vec<u8>> = numbers.clone().map(|n| u8::try_from(n).ok()).collect();
            narrow.map_or_else(|| Coordinates::I64(numbers.collect()), Coordinates::U8)
        }
        match self {
            Numbers::I8(v) => narrowed(v.iter().map(|&n| n.into())),
            Numbers::I64(v) => narrowed(v.iter().copied()),
            // A fraction is no polarity.
            Numbers::F64(v) => narrowed(v.iter().map(|&n| if n.fract() == 0.0 { n as i64 } else { i64::MIN })),
            other => match other.pixels() {
                Coordinates::U16(v) => narrowed(v.iter().map(|&n| n.into())),
                Coordinates::I64(v) => narrowed(v.iter().copied()),
                narrow => narrow,
            },
        }
    }
}

/// The pixel that a float lies in; far outside every sensor for one that is no number.
fn pixel(n: f64) -> i64 {
    if n.is_nan() { i64::MIN } else { n.floor() as i64 }
}

/// Times in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Stamps {
    /// The times; 0 where there is none.
    pub us: Vec<i64>,
    /// The places without a time, ascending.
    pub missing: Vec<usize>,
}

impl Stamps {
    /// Gives every event without a time that of the event before it, the first ones that of the first with a time:
    /// they stay where they are when recordings are sorted and cut.
    pub fn places(&self, before: Option<i64>) -> std::borrow::Cow<'_, [i64]> {
        if self.missing.is_empty() {
            return self.us.as_slice().into();
        }
        let mut places = self.us.clone();
        let first_missing = self.missing.iter().enumerate().take_while(|&(n, &i)| n == i).count();
        let mut last = before.or(self.us.get(first_missing).copied()).unwrap_or(0);
        let mut missing = self.missing.iter().copied().peekable();
        for (i, place) in places.iter_mut().enumerate() {
            if missing.next_if_eq(&i).is_some() { *place = last } else { last = *place }
        }
        places.into()
    }
}

impl Stamps {
    /// The first time of a range that is one.
    pub fn first(&self, range: std::ops::Range<usize>) -> Option<i64> {
        let missing = |i: &usize| self.missing.binary_search(i).is_ok();
        range.into_iter().find(|i| !missing(i)).map(|i| self.us[i])
    }
}

/// Consecutive events of one recording.
#[derive(Clone, Debug)]
pub struct Block {
    /// When.
    pub t: Stamps,
    /// Pixel column or channel.
    pub x: Coordinates,
    /// Pixel row.
    pub y: Option<Coordinates>,
    /// Polarity.
    pub p: Option<Coordinates>,
}

impl Block {
    /// How many events.
    pub fn len(&self) -> usize {
        self.t.us.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The events at these places, in this order.
    pub fn pick(&self, places: impl Iterator<Item = usize> + Clone) -> Block {
        let t = Stamps {
            us: places.clone().map(|i| self.t.us[i]).collect(),
            missing: match self.t.missing.is_empty() {
                true => Vec::new(),
                false => {
                    let none = |&(_, i): &(usize, usize)| self.t.missing.binary_search(&i).is_ok();
                    places.clone().enumerate().filter(none).map(|(to, _)| to).collect()
                }
            },
        };
        let column = |c: &Option<Coordinates>| c.as_ref().map(|c| c.pick(places.clone()));
        Block { t, x: self.x.pick(places.clone()), y: column(&self.y), p: column(&self.p) }
    }

    /// Blocks of one recording, one after another.
    pub fn concatenate(blocks: Vec<Block>) -> Block {
        let mut t = Stamps::default();
        for block in &blocks {
            let before = t.us.len();
            t.missing.extend(block.t.missing.iter().map(|i| i + before));
            t.us.extend_from_slice(&block.t.us);
        }
        let column = |of: fn(&Block) -> Option<&Coordinates>| {
            let columns: Option<Vec<&Coordinates>> = blocks.iter().map(of).collect();
            columns.filter(|columns| !columns.is_empty()).map(|columns| Coordinates::concatenate(&columns))
        };
        let x = column(|block| Some(&block.x)).unwrap_or_else(|| Coordinates::U8(Vec::new()));
        Block { t, x, y: column(|block| block.y.as_ref()), p: column(|block| block.p.as_ref()) }
    }

    /// Samples of these lengths, one after another, whose times start at `origins`.
    pub fn into_samples(self, lengths: &[usize], origins: &[Option<i64>]) -> RawSamples {
        let Stamps { mut us, mut missing } = self.t;
        let mut offsets = Vec::with_capacity(lengths.len() + 1);
        offsets.push(0);
        let mut late = Vec::new();
        for (&length, &origin) in lengths.iter().zip(origins) {
            let start = offsets[offsets.len() - 1];
            offsets.push(start + length);
            let origin = origin.unwrap_or(0);
            if origin == 0 {
                continue;
            }
            for (i, t) in us[start..start + length].iter_mut().enumerate() {
                match t.checked_sub(origin) {
                    Some(after) => *t = after,
                    None => late.push(start + i),
                }
            }
        }
        if !late.is_empty() {
            missing.append(&mut late);
            missing.sort_unstable();
            missing.dedup();
        }
        let times = if missing.is_empty() {
            Times::Us(us)
        } else {
            let mut times: Vec<Option<i64>> = us.into_iter().map(Some).collect();
            missing.into_iter().for_each(|i| times[i] = None);
            Times::SomeUs(times)
        };
        RawSamples { times, x: self.x, y: self.y, p: self.p, offsets }
    }
}
