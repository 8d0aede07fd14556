//! Columns of numbers in the types found in files, and their conversion to times, coordinates and polarities.

use crate::events::Events;
use crate::source::raw::{Coordinates, RawSamples, Times};
use crate::time_unit::TimeUnit;

/// A column of numbers as read from a file. The common types stay as they are; other types are converted to wider ones.
#[derive(Clone, Debug)]
pub enum Numbers {
    /// 8-bit unsigned integers and booleans.
    U8(Vec<u8>),
    /// 8-bit signed integers.
    I8(Vec<i8>),
    /// 16-bit unsigned integers.
    U16(Vec<u16>),
    /// 32-bit unsigned integers.
    U32(Vec<u32>),
    /// 64-bit unsigned integers.
    U64(Vec<u64>),
    /// All other signed integers, widened to 64 bits.
    I64(Vec<i64>),
    /// Floats, widened to 64 bits.
    F64(Vec<f64>),
    /// Dates or durations, counted in the time unit that their NumPy type gives. `None` for NaT (not a time), and for
    /// values that do not fit 64 bits.
    Times(Vec<Option<i64>>),
}

/// The number that replaces a polarity if the polarity is a fraction, inf or NaN.
pub(crate) const NO_POLARITY: i128 = i64::MIN as i128;

/// The number that replaces a coordinate below the range of an `i64`, or NaN. It is outside every sensor.
pub(crate) const NO_PIXEL: i64 = i64::MIN;

/// The number that replaces a coordinate above the range of an `i64`. It is outside every sensor.
pub(crate) const FAR_PIXEL: i64 = i64::MAX;

/// Evaluates `$body` with `$vec` bound to the vector of the column, for every variant of [`Numbers`].
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
            Numbers::Times($vec) => $body,
        }
    };
}

impl Numbers {
    pub(crate) fn len(&self) -> usize {
        each!(self, v => v.len())
    }

    pub(crate) fn are_equal(&self) -> bool {
        each!(self, v => v.windows(2).all(|pair| pair[0] == pair[1]))
    }

    /// Returns NumPy's name of the type.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Numbers::U8(_) => "uint8",
            Numbers::I8(_) => "int8",
            Numbers::U16(_) => "uint16",
            Numbers::U32(_) => "uint32",
            Numbers::U64(_) => "uint64",
            Numbers::I64(_) => "int64",
            Numbers::F64(_) => "float64",
            Numbers::Times(_) => "datetime64",
        }
    }

    /// Describes the fractions in a column of times. `None` if all finite times are whole numbers.
    pub(crate) fn fractions(&self) -> Option<Fractions> {
        let Numbers::F64(numbers) = self else { return None };
        Fractions::of(numbers.iter().copied().filter(|n| n.is_finite()))
    }

    /// Converts a column of times in `unit` to microseconds. [`Stamps::missing`] lists NaN, NaT and times that do not
    /// fit 64 bits.
    pub(crate) fn times(self, unit: TimeUnit) -> Stamps {
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
            // NumPy's NaT is the least integer.
            (Numbers::I64(t), _) if t.contains(&i64::MIN) => {
                fallible(t.into_iter().map(|t| unit.of_integer(t).filter(|_| t != i64::MIN)))
            }
            (Numbers::I64(us), TimeUnit::Microseconds) => Stamps { us, missing: Vec::new() },
            (Numbers::U32(t), TimeUnit::Microseconds) => {
                Stamps { us: t.into_iter().map(i64::from).collect(), missing: Vec::new() }
            }
            (Numbers::Times(t), _) => fallible(t.into_iter().map(|t| unit.of_integer(t?))),
            (Numbers::F64(t), _) => fallible(t.into_iter().map(|t| unit.of_float(t))),
            (Numbers::U64(t), _) => fallible(t.into_iter().map(|t| unit.of_integer(i64::try_from(t).ok()?))),
            (Numbers::U8(t), _) => integers(&mut t.into_iter().map(i64::from)),
            (Numbers::I8(t), _) => integers(&mut t.into_iter().map(i64::from)),
            (Numbers::U16(t), _) => integers(&mut t.into_iter().map(i64::from)),
            (Numbers::U32(t), _) => integers(&mut t.into_iter().map(i64::from)),
            (Numbers::I64(t), _) => integers(&mut t.into_iter()),
        }
    }

    /// Converts the column to pixel coordinates. A float becomes the pixel that it lies in.
    pub(crate) fn pixels(self) -> Coordinates {
        match self {
            Numbers::U8(v) => Coordinates::U8(v),
            Numbers::U16(v) => Coordinates::U16(v),
            Numbers::I8(v) => Coordinates::I64(v.into_iter().map(i64::from).collect()),
            Numbers::U32(v) => Coordinates::I64(v.into_iter().map(i64::from).collect()),
            Numbers::U64(v) => Coordinates::I64(v.into_iter().map(|n| n.try_into().unwrap_or(FAR_PIXEL)).collect()),
            Numbers::I64(v) => Coordinates::I64(v),
            Numbers::Times(v) => Coordinates::I64(v.into_iter().map(|n| n.unwrap_or(NO_PIXEL)).collect()),
            Numbers::F64(v) => Coordinates::I64(v.into_iter().map(pixel).collect()),
        }
    }

    /// Converts the column to polarities. 0 and -1 become 0 (off), and 1 stays 1 (on). The largest number of an
    /// unsigned type counts as -1. A fraction, inf or NaN becomes [`NO_POLARITY`]. Other numbers are kept.
    pub(crate) fn polarities(self) -> Coordinates {
        fn narrowed(numbers: impl Iterator<Item = i64> + Clone) -> Coordinates {
            let numbers = numbers.map(|n| if n == -1 { 0 } else { n });
            let narrow: Option<Vec<u8>> = numbers.clone().map(|n| u8::try_from(n).ok()).collect();
            narrow.map_or_else(|| Coordinates::I64(numbers.collect()), Coordinates::U8)
        }
        match self {
            Numbers::I8(v) => narrowed(v.iter().map(|&n| n.into())),
            Numbers::I64(v) => narrowed(v.iter().copied()),
            Numbers::Times(v) => narrowed(v.iter().map(|n| n.unwrap_or(i64::MIN))),
            // A fraction is not a valid polarity.
            Numbers::F64(v) => narrowed(v.iter().map(|&n| if n.fract() == 0.0 { n as i64 } else { i64::MIN })),
            Numbers::U8(mut v) => {
                v.iter_mut().filter(|n| **n == u8::MAX).for_each(|n| *n = 0);
                Coordinates::U8(v)
            }
            Numbers::U16(v) => narrowed(v.iter().map(|&n| if n == u16::MAX { -1 } else { n.into() })),
            Numbers::U32(v) => narrowed(v.iter().map(|&n| if n == u32::MAX { -1 } else { n.into() })),
            Numbers::U64(v) => {
                narrowed(v.iter().map(|&n| if n == u64::MAX { -1 } else { n.try_into().unwrap_or(i64::MAX) }))
            }
        }
    }

    /// Converts the column to float64, for checks of its content. A missing date or duration becomes NaN.
    pub(crate) fn floats(self) -> Vec<f64> {
        match self {
            Numbers::U8(v) => v.into_iter().map(f64::from).collect(),
            Numbers::I8(v) => v.into_iter().map(f64::from).collect(),
            Numbers::U16(v) => v.into_iter().map(f64::from).collect(),
            Numbers::U32(v) => v.into_iter().map(f64::from).collect(),
            Numbers::U64(v) => v.into_iter().map(|n| n as f64).collect(),
            Numbers::I64(v) => v.into_iter().map(|n| n as f64).collect(),
            Numbers::F64(v) => v,
            Numbers::Times(v) => v.into_iter().map(|n| n.map_or(f64::NAN, |n| n as f64)).collect(),
        }
    }
}

/// Returns the pixel that a float lies in, or [`NO_PIXEL`] for NaN.
fn pixel(n: f64) -> i64 {
    if n.is_nan() { NO_PIXEL } else { n.floor() as i64 }
}

/// The fractions of a recording's times. Exists only if some times are not whole numbers in the unit of the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fractions {
    /// Last time minus first time, in the unit of the file.
    pub span: f64,
    /// Whether some times have more than three decimal places.
    pub fine: bool,
    /// Share of the times that have a fraction, from 0 to 1. Rounding errors of `seconds * 1e6` do not count.
    pub share: f64,
}

impl Fractions {
    /// Describes the fractions in `times`. `None` if all times are whole numbers.
    pub(crate) fn of(times: impl DoubleEndedIterator<Item = f64> + Clone) -> Option<Fractions> {
        let first = times.clone().next()?;
        let last = times.clone().next_back().unwrap_or(first);
        // Float32 has seven digits.
        let far =
            |time: f64, whole: f64| (time * whole - (time * whole).round()).abs() > 1e-3 + time.abs() * whole * 1e-7;
        let fractional = times.clone().any(|time| time.fract() != 0.0);
        let of_clock = times.clone().filter(|&time| has_fraction(time)).count();
        fractional.then(|| Fractions {
            span: last - first,
            fine: times.clone().any(|time| far(time, 1e3)),
            share: of_clock as f64 / times.clone().count() as f64,
        })
    }
}

/// Returns whether a time in microseconds has a fraction. The rounding error of `seconds * 1e6` does not count.
fn has_fraction(time: f64) -> bool {
    let off = |number: f64| (number - number.round()).abs();
    let single = time as f32;
    let step = if f64::from(single) == time { (single.next_up() - single).into() } else { time.next_up() - time };
    let (seconds, near_whole) = (time / 1e6, off(time) <= 1e-6 + 4.0 * step);
    let of_single = (f64::from(seconds as f32) / seconds - 1.0).abs() < 1e-14;
    // Float64 seconds since 1970, and differences of them, are multiples of 2^-22 s, and so of 2^-26 s (2^26 is
    // 67,108,864).
    !near_whole && !of_single && off(seconds * 67_108_864.0) > 1e-3
}

/// Times of events in microseconds. Some may be missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stamps {
    /// Time of each event in microseconds; 0 if it is missing.
    pub us: Vec<i64>,
    /// Indices of the events whose time is missing (not finite, or out of range), ascending.
    pub missing: Vec<usize>,
}

impl Stamps {
    /// Returns the time of each event. A missing time becomes the time of the previous event. A missing time at the
    /// start becomes `before` or, if `before` is `None`, the first time that is not missing.
    pub(crate) fn places(&self, before: Option<i64>) -> std::borrow::Cow<'_, [i64]> {
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
    /// Returns the times in a range of indices.
    pub(crate) fn part(&self, range: std::ops::Range<usize>) -> Stamps {
        let first = self.missing.partition_point(|&i| i < range.start);
        let missing = self.missing[first..].iter().take_while(|&&i| i < range.end);
        Stamps { missing: missing.map(|i| i - range.start).collect(), us: self.us[range].to_vec() }
    }

    /// Iterates over the times that are not missing.
    pub(crate) fn valid(&self) -> impl DoubleEndedIterator<Item = i64> + Clone {
        (0..self.us.len()).filter(|i| self.missing.binary_search(i).is_err()).map(|i| self.us[i])
    }

    /// Returns the first time in a range of indices that is not missing.
    pub(crate) fn first(&self, range: std::ops::Range<usize>) -> Option<i64> {
        let missing = |i: &usize| self.missing.binary_search(i).is_ok();
        range.into_iter().find(|i| !missing(i)).map(|i| self.us[i])
    }
}

/// Consecutive events of one recording, as columns.
#[derive(Clone, Debug)]
pub(crate) struct EventBlock {
    /// Time of each event in microseconds, (events,).
    pub t: Stamps,
    /// Pixel column or channel of each event, as in the file, (events,).
    pub x: Coordinates,
    /// Pixel row of each event, as in the file, (events,). `None` if the recording has no rows.
    pub y: Option<Coordinates>,
    /// Polarity of each event, (events,): 0 is off, 1 is on, others are not valid. `None` if the recording has no
    /// polarities.
    pub p: Option<Coordinates>,
}

impl EventBlock {
    /// Makes a block from the columns t, x, y and p of a file. t and x must not be `None`. The times are in `unit`.
    pub(crate) fn of(columns: [Option<Numbers>; 4], unit: TimeUnit) -> EventBlock {
        let none = || Numbers::U8(Vec::new());
        let [t, x, y, p] = columns;
        EventBlock {
            t: t.unwrap_or_else(none).times(unit),
            x: x.unwrap_or_else(none).pixels(),
            y: y.map(Numbers::pixels),
            p: p.map(Numbers::polarities),
        }
    }

    /// Returns the events as columns of the types in [`Events`]. `None` if a time or a column is missing, or if a
    /// number doesn't fit these types.
    pub(crate) fn into_events(self) -> Option<Events> {
        let EventBlock { t, x, y: Some(y), p: Some(p) } = self else { return None };
        let p = match p {
            Coordinates::U8(p) => p,
            p => (0..p.len()).map(|i| p.get(i).try_into().ok()).collect::<Option<_>>()?,
        };
        t.missing.is_empty().then_some(Events { t: t.us, x: x.into_u16()?, y: y.into_u16()?, p })
    }

    /// Returns the events in a range of indices.
    pub(crate) fn part(&self, range: std::ops::Range<usize>) -> EventBlock {
        let column = |c: &Option<Coordinates>| c.as_ref().map(|c| c.part(range.clone()));
        let (x, y, p) = (self.x.part(range.clone()), column(&self.y), column(&self.p));
        EventBlock { t: self.t.part(range), x, y, p }
    }

    /// Returns the events at the indices `places`, in that order.
    pub(crate) fn pick(&self, places: impl Iterator<Item = usize> + Clone) -> EventBlock {
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
        EventBlock { t, x: self.x.pick(places.clone()), y: column(&self.y), p: column(&self.p) }
    }

    /// Concatenates blocks in order. The result has the column y or p only if all blocks have it.
    pub(crate) fn concatenate(blocks: Vec<EventBlock>) -> EventBlock {
        let mut t = Stamps::default();
        for block in &blocks {
            let before = t.us.len();
            t.missing.extend(block.t.missing.iter().map(|i| i + before));
            t.us.extend_from_slice(&block.t.us);
        }
        let column = |of: fn(&EventBlock) -> Option<&Coordinates>| {
            let columns: Option<Vec<&Coordinates>> = blocks.iter().map(of).collect();
            columns.filter(|columns| !columns.is_empty()).map(|columns| Coordinates::concatenate(&columns))
        };
        let x = column(|block| Some(&block.x)).unwrap_or_else(|| Coordinates::U8(Vec::new()));
        EventBlock { t, x, y: column(|block| block.y.as_ref()), p: column(|block| block.p.as_ref()) }
    }

    /// Splits the block into consecutive samples. `lengths` has the number of events of each sample. `zeros` has a time
    /// in microseconds for each sample, which is subtracted from the sample's times, or `None` to keep the times.
    pub(crate) fn into_samples(self, lengths: &[usize], zeros: &[Option<i64>]) -> RawSamples {
        let Stamps { mut us, mut missing } = self.t;
        let mut offsets = Vec::with_capacity(lengths.len() + 1);
        offsets.push(0);
        let mut late = Vec::new();
        for (&length, &zero) in lengths.iter().zip(zeros) {
            let start = offsets[offsets.len() - 1];
            offsets.push(start + length);
            let zero = zero.unwrap_or(0);
            if zero == 0 {
                continue;
            }
            for (i, t) in us[start..start + length].iter_mut().enumerate() {
                match t.checked_sub(zero) {
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
