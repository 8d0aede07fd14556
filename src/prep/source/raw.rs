//! Raw events as read from files: columns of various types, with the events of consecutive samples concatenated.
//!
//! Times are in microseconds, except float times of Heidelberg files (SHD, SSC) in seconds: [`RawSamples::admit`]
//! converts them.

use std::collections::BTreeSet;
use std::mem::take;
use std::ops::Range;
use std::sync::LazyLock;

use half::f16;

use crate::events::{Admitted, Events, SensorSize, admit, microseconds};
use crate::time_unit::TimeUnit;
use tonic_shard::largest;

/// Maximum number of events of a sample that is read as a whole.
pub(crate) const MAX_SAMPLE_EVENTS: u64 = 1 << 27;

/// The raw events of consecutive samples.
#[derive(Debug)]
pub struct RawSamples {
    /// Time of each event, (events,).
    pub times: Times,
    /// Pixel column or channel of each event, (events,), unchecked: it may lie outside the sensor.
    pub x: Coordinates,
    /// Pixel row of each event, (events,), unchecked: it may lie outside the sensor. `None` if the recording has no
    /// rows.
    pub y: Option<Coordinates>,
    /// Polarity of each event, (events,), unchecked. `None` if the recording has no polarities.
    pub p: Option<Coordinates>,
    /// Index of each sample's first event, and then the number of all events, (samples + 1,).
    pub offsets: Vec<usize>,
}

/// A column of times.
#[derive(Debug)]
pub enum Times {
    /// Seconds in float16.
    F16(Vec<f16>),
    /// Seconds in float32.
    F32(Vec<f32>),
    /// Seconds in float64.
    F64(Vec<f64>),
    /// Whole microseconds, all valid.
    Us(Vec<i64>),
    /// Whole microseconds. `None` for an event without a valid time.
    SomeUs(Vec<Option<i64>>),
}

/// A column of coordinates or polarities.
#[derive(Clone, Debug)]
pub enum Coordinates {
    /// Unsigned 8-bit integers, such as polarities and pixels of small sensors.
    U8(Vec<u8>),
    /// Unsigned 16-bit integers, such as the pixels in most files.
    U16(Vec<u16>),
    /// Integers of all other types, converted to 64 bits.
    I64(Vec<i64>),
}

impl Coordinates {
    pub(super) fn get(&self, i: usize) -> i64 {
        match self {
            Coordinates::U8(c) => c[i].into(),
            Coordinates::U16(c) => c[i].into(),
            Coordinates::I64(c) => c[i],
        }
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        match self {
            Coordinates::U8(c) => c.len(),
            Coordinates::U16(c) => c.len(),
            Coordinates::I64(c) => c.len(),
        }
    }

    /// Returns whether the column is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the largest entry below `i64::MAX`. The number `i64::MAX` stands for infinity. `None` if there is no
    /// such entry.
    pub fn max(&self) -> Option<i64> {
        match self {
            Coordinates::U8(c) => largest(c).map(i64::from),
            Coordinates::U16(c) => largest(c).map(i64::from),
            Coordinates::I64(c) => c.iter().filter(|&&n| n != i64::MAX).max().copied(),
        }
    }

    /// Returns the smallest entry. `None` if the column is empty.
    pub fn min(&self) -> Option<i64> {
        match self {
            Coordinates::U8(c) => c.iter().min().map(|&n| n.into()),
            Coordinates::U16(c) => c.iter().min().map(|&n| n.into()),
            Coordinates::I64(c) => c.iter().min().copied(),
        }
    }

    /// Returns the different entries of the column, at most 64 of them.
    pub(super) fn distinct(&self) -> BTreeSet<i64> {
        const MOST: usize = 64;
        let (mut found, mut last) = (BTreeSet::new(), None);
        for n in (0..self.len()).map(|i| self.get(i)) {
            if last != Some(n) && found.len() < MOST {
                found.insert(n);
            }
            last = Some(n);
        }
        found
    }

    /// Subtracts `origin`, the coordinate of the first pixel, from every entry.
    pub(super) fn minus_origin(self, origin: u8) -> Coordinates {
        if origin == 0 {
            return self;
        }
        match self {
            Coordinates::U8(c) if c.iter().all(|&n| n >= origin) => {
                Coordinates::U8(c.into_iter().map(|n| n - origin).collect())
            }
            Coordinates::U16(c) if c.iter().all(|&n| n >= origin.into()) => {
                Coordinates::U16(c.into_iter().map(|n| n - u16::from(origin)).collect())
            }
            other => Coordinates::I64((0..other.len()).map(|i| other.get(i).saturating_sub(origin.into())).collect()),
        }
    }

    /// Returns the entries of a range of events. `None` if an entry is not from 0 to `size` - 1.
    fn inside(&self, range: Range<usize>, size: u32) -> Option<Vec<u16>> {
        match self {
            Coordinates::U8(c) => {
                let column = &c[range];
                are_below(column, size).then(|| column.iter().map(|&v| v.into()).collect())
            }
            Coordinates::U16(c) => {
                let column = &c[range];
                are_below(column, size).then(|| column.to_vec())
            }
            Coordinates::I64(c) => {
                let column = &c[range];
                let inside = column.iter().all(|v| (0..i64::from(size)).contains(v));
                inside.then(|| column.iter().map(|&v| v as u16).collect())
            }
        }
    }

    /// Returns the entries of a range of events as bytes, like [`Coordinates::inside`]. `size` must be at most 256.
    fn inside_bytes(&self, range: Range<usize>, size: u32) -> Option<Vec<u8>> {
        match self {
            Coordinates::U8(c) => {
                let column = &c[range];
                are_below(column, size).then(|| column.to_vec())
            }
            column => Some(column.inside(range, size)?.into_iter().map(|v| v as u8).collect()),
        }
    }

    /// Concatenates columns, which may have different types.
    pub fn concatenate(columns: &[&Coordinates]) -> Coordinates {
        let narrow: Option<Vec<&Vec<u8>>> =
            columns.iter().map(|c| if let Coordinates::U8(c) = c { Some(c) } else { None }).collect();
        let usual: Option<Vec<&Vec<u16>>> =
            columns.iter().map(|c| if let Coordinates::U16(c) = c { Some(c) } else { None }).collect();
        match (narrow, usual) {
            (Some(columns), _) => Coordinates::U8(columns.into_iter().flatten().copied().collect()),
            (_, Some(columns)) => Coordinates::U16(columns.into_iter().flatten().copied().collect()),
            _ => Coordinates::I64(columns.iter().flat_map(|c| (0..c.len()).map(|i| c.get(i))).collect()),
        }
    }

    /// Returns the entries as 16-bit integers. `None` if one doesn't fit.
    pub(super) fn into_u16(self) -> Option<Vec<u16>> {
        match self {
            Coordinates::U16(c) => Some(c),
            c => (0..c.len()).map(|i| c.get(i).try_into().ok()).collect(),
        }
    }

    /// Returns the entries in a range of indices.
    pub(super) fn part(&self, range: Range<usize>) -> Coordinates {
        match self {
            Coordinates::U8(c) => Coordinates::U8(c[range].to_vec()),
            Coordinates::U16(c) => Coordinates::U16(c[range].to_vec()),
            Coordinates::I64(c) => Coordinates::I64(c[range].to_vec()),
        }
    }

    /// Returns the entries at the given indices, in the order of `places`.
    pub fn pick(&self, places: impl Iterator<Item = usize>) -> Coordinates {
        match self {
            Coordinates::U8(c) => Coordinates::U8(places.map(|i| c[i]).collect()),
            Coordinates::U16(c) => Coordinates::U16(places.map(|i| c[i]).collect()),
            Coordinates::I64(c) => Coordinates::I64(places.map(|i| c[i]).collect()),
        }
    }
}

/// Returns whether all entries are below `size`, which is at least 1.
fn are_below<T: Copy + Ord + Into<u32>>(column: &[T], size: u32) -> bool {
    largest(column).is_none_or(|largest| largest.into() < size)
}

impl RawSamples {
    /// Returns the number of samples.
    pub fn samples(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Returns the number of events of sample `i`.
    pub fn count(&self, i: usize) -> u64 {
        (self.offsets[i + 1] - self.offsets[i]) as u64
    }

    /// Checks the raw events of sample `i` against `sensor`. Returns the valid events, sorted by time, and counts of
    /// the invalid ones.
    pub fn admit(&self, i: usize, sensor: SensorSize) -> Admitted {
        let range = self.offsets[i]..self.offsets[i + 1];
        self.faultless(range.clone(), sensor).map_or_else(|| self.sift(range, sensor), Admitted::all)
    }

    /// Like [`RawSamples::admit`], for a sample that is admitted only once: if it is the only one, its columns are moved
    /// instead of copied where that is possible.
    pub(crate) fn admit_once(&mut self, i: usize, sensor: SensorSize) -> Admitted {
        let moved = if self.samples() == 1 { self.moved(sensor) } else { None };
        moved.map_or_else(|| self.admit(i, sensor), Admitted::all)
    }

    /// Moves the columns out, if they have the types of [`Events`] and all events lie inside the sensor.
    fn moved(&mut self, sensor: SensorSize) -> Option<Events> {
        let RawSamples { times: Times::Us(t), x: Coordinates::U16(x), y: Some(Coordinates::U16(y)), p, .. } = self
        else {
            return None;
        };
        let Some(Coordinates::U8(p)) = p else { return None };
        let are_inside = are_below(x, sensor.width) && are_below(y, sensor.height) && are_below(p, sensor.polarities);
        are_inside.then(|| Events { t: take(t), x: take(x), y: take(y), p: take(p) })
    }

    /// Fast path, column by column: returns the events if all have a valid time and lie inside the sensor, else `None`.
    fn faultless(&self, range: Range<usize>, sensor: SensorSize) -> Option<Events> {
        let column = |column: &Option<Coordinates>, size: u32| match column {
            Some(column) => column.inside(range.clone(), size),
            None => Some(vec![0; range.len()]),
        };
        Some(Events {
            t: self.times.microseconds(range.clone())?,
            x: self.x.inside(range.clone(), sensor.width)?,
            y: column(&self.y, sensor.height)?,
            p: match &self.p {
                Some(p) => p.inside_bytes(range.clone(), sensor.polarities)?,
                None => vec![0; range.len()],
            },
        })
    }

    /// Slow path, event by event: returns the valid events, and counts of the invalid ones.
    fn sift(&self, range: Range<usize>, sensor: SensorSize) -> Admitted {
        match &self.times {
            Times::F16(t) => self.admit_with(range.clone(), t[range].iter().map(|&t| microseconds(t.to_f64())), sensor),
            Times::F32(t) => self.admit_with(range.clone(), t[range].iter().map(|&t| microseconds(t.into())), sensor),
            Times::F64(t) => self.admit_with(range.clone(), t[range].iter().map(|&t| microseconds(t)), sensor),
            Times::Us(t) => self.admit_with(range.clone(), t[range].iter().map(|&t| Some(t)), sensor),
            Times::SomeUs(t) => self.admit_with(range.clone(), t[range].iter().copied(), sensor),
        }
    }

    fn admit_with(
        &self,
        range: Range<usize>,
        times: impl ExactSizeIterator<Item = Option<i64>>,
        sensor: SensorSize,
    ) -> Admitted {
        match (&self.x, &self.y, &self.p) {
            (Coordinates::U16(x), None, None) => admit(sensor, times.zip(&x[range]).map(|(t, &x)| (t, x.into(), 0, 0))),
            (Coordinates::U16(x), Some(Coordinates::U16(y)), Some(Coordinates::U8(p))) => {
                let pixels = x[range.clone()].iter().zip(&y[range.clone()]).zip(&p[range]);
                admit(sensor, times.zip(pixels).map(|(t, ((&x, &y), &p))| (t, x.into(), y.into(), p.into())))
            }
            (x, y, p) => {
                let at = |column: &Option<Coordinates>, i| column.as_ref().map_or(0, |column| column.get(i));
                admit(sensor, times.zip(range).map(|(t, i)| (t, x.get(i), at(y, i), at(p, i))))
            }
        }
    }
}

/// The number that stands for an invalid time.
const NO_TIME: i64 = i64::MIN;

/// The result of [`microseconds`] for each float16 value, indexed by the value's bits.
static F16_MICROSECONDS: LazyLock<Vec<i64>> = LazyLock::new(|| {
    let number = |bits| microseconds(f16::from_bits(bits).to_f64()).unwrap_or(NO_TIME);
    (0..=u16::MAX).map(number).collect()
});

impl Times {
    /// Converts floats in `unit` to microseconds. Seconds stay as they are.
    pub(super) fn of_unit(self, unit: TimeUnit) -> Times {
        if unit == TimeUnit::Seconds {
            return self;
        }
        let some = |times: &mut dyn Iterator<Item = f64>| Times::SomeUs(times.map(|t| unit.of_float(t)).collect());
        match self {
            Times::F16(t) => some(&mut t.into_iter().map(f16::to_f64)),
            Times::F32(t) => some(&mut t.into_iter().map(f64::from)),
            Times::F64(t) => some(&mut t.into_iter()),
            times => times,
        }
    }

    /// Returns the time of event `i` in microseconds. `None` if the time is invalid.
    pub(super) fn get(&self, i: usize) -> Option<i64> {
        match self {
            Times::F16(t) => microseconds(t[i].to_f64()),
            Times::F32(t) => microseconds(t[i].into()),
            Times::F64(t) => microseconds(t[i]),
            Times::Us(t) => Some(t[i]),
            Times::SomeUs(t) => t[i],
        }
    }

    /// Returns whether a range of events is in order of time. An event without a time can make the result false.
    pub(super) fn are_sorted(&self, range: Range<usize>) -> bool {
        match self {
            // Float16 numbers that are not negative have the same order as their bits.
            Times::F16(t) if t[range.clone()].iter().all(|t| t.to_bits() >> 15 == 0) => {
                t[range].windows(2).all(|pair| pair[0].to_bits() <= pair[1].to_bits())
            }
            Times::F16(t) => t[range].is_sorted(),
            Times::F32(t) => t[range].is_sorted(),
            Times::F64(t) => t[range].is_sorted(),
            Times::Us(t) => t[range].is_sorted(),
            Times::SomeUs(t) => t[range].is_sorted(),
        }
    }

    /// Returns the times in microseconds, with the times of the events in `range` replaced by `us`. Invalid times stay
    /// invalid.
    pub(super) fn replaced(self, range: Range<usize>, us: &[i64]) -> Times {
        let mut times: Vec<Option<i64>> = (0..self.len()).map(|i| self.get(i)).collect();
        times[range.clone()].iter_mut().zip(us).for_each(|(time, us)| *time = time.and(Some(*us)));
        Times::SomeUs(times)
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Times::F16(t) => t.len(),
            Times::F32(t) => t.len(),
            Times::F64(t) => t.len(),
            Times::Us(t) => t.len(),
            Times::SomeUs(t) => t.len(),
        }
    }

    /// Returns whether all events of a range have the same time in the file. Always false for [`Times::Us`] and
    /// [`Times::SomeUs`].
    pub(super) fn are_one(&self, range: Range<usize>) -> bool {
        fn equal<T: PartialEq>(times: &[T]) -> bool {
            times.windows(2).all(|pair| pair[0] == pair[1])
        }
        match self {
            Times::F16(t) => equal(&t[range]),
            Times::F32(t) => equal(&t[range]),
            Times::F64(t) => equal(&t[range]),
            Times::Us(_) | Times::SomeUs(_) => false,
        }
    }

    /// Returns the times of a range of events in microseconds. `None` if any of them is invalid.
    fn microseconds(&self, range: Range<usize>) -> Option<Vec<i64>> {
        let seconds = |t: f64| microseconds(t).unwrap_or(NO_TIME);
        let times: Vec<i64> = match self {
            Times::F16(t) => {
                let table = &F16_MICROSECONDS[..];
                t[range].iter().map(|t| table[usize::from(t.to_bits())]).collect()
            }
            Times::F32(t) => t[range].iter().map(|&t| seconds(t.into())).collect(),
            Times::F64(t) => t[range].iter().map(|&t| seconds(t)).collect(),
            Times::Us(t) => return Some(t[range].to_vec()),
            Times::SomeUs(t) => return t[range].iter().copied().collect(),
        };
        (!times.contains(&NO_TIME)).then_some(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_every_type_are_sorted_by_value() {
        for (values, sorted) in [
            (&[0.0, 0.5, 0.5, 2.0][..], true),
            (&[0.5, 0.25], false),
            (&[-2.0, -1.0, -0.0, 0.0, 1.0], true),
            (&[-1.0, -2.0], false),
            (&[1.0, -1.0], false),
            (&[], true),
        ] {
            let all = [
                Times::F16(values.iter().map(|&t| f16::from_f64(t)).collect()),
                Times::F32(values.iter().map(|&t| t as f32).collect()),
                Times::F64(values.to_vec()),
                Times::Us(values.iter().map(|&t| (t * 1e6) as i64).collect()),
            ];
            assert!(all.iter().all(|times| times.are_sorted(0..values.len()) == sorted), "{values:?}");
        }
    }
}
