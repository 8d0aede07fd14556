//! Raw events, as files have them: columns of whatever type, of consecutive samples one after another.
//!
//! Sources read columns and leave all arithmetic to the workers, which admit the events sample by sample.

use std::ops::Range;
use std::sync::LazyLock;

use half::f16;

use super::super::events::{Admitted, Events, SensorSize, admit, microseconds};

/// The raw events of consecutive samples.
#[derive(Debug)]
pub struct RawSamples {
    /// When.
    pub times: Times,
    /// Pixel column or channel.
    pub x: Coordinates,
    /// Pixel row; none for a cochlea.
    pub y: Option<Coordinates>,
    /// Polarity; none where there is one only.
    pub p: Option<Coordinates>,
    /// Where each sample's events begin, and the end: one more than samples.
    pub offsets: Vec<usize>,
}

/// A column of times.
#[derive(Debug)]
pub enum Times {
    /// Seconds.
    F16(Vec<f16>),
    /// Seconds.
    F32(Vec<f32>),
    /// Seconds.
    F64(Vec<f64>),
    /// Microseconds.
    Us(Vec<i64>),
    /// Microseconds, where some events have a time that is none.
    SomeUs(Vec<Option<i64>>),
}

/// A column of coordinates or polarities.
#[derive(Clone, Debug)]
pub enum Coordinates {
    /// Polarities, and the pixels of small sensors.
    U8(Vec<u8>),
    /// As most files have them.
    U16(Vec<u16>),
    /// Every other integer type.
    I64(Vec<i64>),
}

impl Coordinates {
    fn get(&self, i: usize) -> i64 {
        match self {
            Coordinates::U8(c) => c[i].into(),
            Coordinates::U16(c) => c[i].into(),
            Coordinates::I64(c) => c[i],
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Coordinates::U8(c) => c.len(),
            Coordinates::U16(c) => c.len(),
            Coordinates::I64(c) => c.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The largest; `None` of none.
    pub fn max(&self) -> Option<i64> {
        match self {
            Coordinates::U8(c) => c.iter().max().map(|&n| n.into()),
            Coordinates::U16(c) => c.iter().max().map(|&n| n.into()),
            Coordinates::I64(c) => c.iter().max().copied(),
        }
    }

    /// Those of a range of events, if all of them are below `size`.
    fn inside(&self, range: Range<usize>, size: u32) -> Option<Vec<u16>> {
        match self {
            Coordinates::U8(c) => {
                let column = &c[range];
                column.iter().all(|&v| u32::from(v) < size).then(|| column.iter().map(|&v| v.into()).collect())
            }
            Coordinates::U16(c) => {
                let column = &c[range];
                let largest = column.iter().copied().max().unwrap_or(0);
                (u32::from(largest) < size).then(|| column.to_vec())
            }
            Coordinates::I64(c) => {
                let column = &c[range];
                let inside = column.iter().all(|v| (0..i64::from(size)).contains(v));
                inside.then(|| column.iter().map(|&v| v as u16).collect())
            }
        }
    }

    /// Columns of whatever types, one after another.
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

    /// Those at these places, in this order.
    pub fn pick(&self, places: impl Iterator<Item = usize>) -> Coordinates {
        match self {
            Coordinates::U8(c) => Coordinates::U8(places.map(|i| c[i]).collect()),
            Coordinates::U16(c) => Coordinates::U16(places.map(|i| c[i]).collect()),
            Coordinates::I64(c) => Coordinates::I64(places.map(|i| c[i]).collect()),
        }
    }
}

impl RawSamples {
    /// How many samples these are.
    pub fn samples(&self) -> usize {
        self.offsets.len() - 1
    }

    /// How many events sample `i` of these has.
    pub fn count(&self, i: usize) -> u64 {
        (self.offsets[i + 1] - self.offsets[i]) as u64
    }

    /// Sample `i` of these, as events of `sensor`.
    pub fn admit(&self, i: usize, sensor: SensorSize) -> Admitted {
        let range = self.offsets[i]..self.offsets[i + 1];
        self.faultless(range.clone(), sensor).map_or_else(|| self.sift(range, sensor), Admitted::all)
    }

    /// The events, column by column, if all of them have a time and lie inside the sensor, as almost always.
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
                Some(p) => p.inside(range.clone(), sensor.polarities)?.into_iter().map(|p| p as u8).collect(),
                None => vec![0; range.len()],
            },
        })
    }

    /// The events one by one: those that can be let in, and a count of the others.
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

/// What stands for no time where times are numbers.
const NO_TIME: i64 = i64::MIN;

/// [`microseconds`] of each float16, of which there are 65,536, because a sample has thousands of them.
static F16_MICROSECONDS: LazyLock<Vec<i64>> = LazyLock::new(|| {
    let number = |bits| microseconds(f16::from_bits(bits).to_f64()).unwrap_or(NO_TIME);
    (0..=u16::MAX).map(number).collect()
});

impl Times {
    /// The times of a range of events, if all of them are times.
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
