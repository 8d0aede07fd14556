//! Looks at the polarities of a recording. Off is -1 in some files and 0 in others, so a file with both and no 1 does not
//! tell which of its events are on.

use std::path::Path;

use crate::error::{Error, Remedy, Result};
use crate::events::SensorSize;
use crate::source::numbers::Numbers;

/// Which polarities there are.
#[derive(Debug, Default)]
pub(super) struct Polarities {
    zero: bool,
    /// As it is stored: -1, or an unsigned number of all ones.
    minus_one: Option<i128>,
    one: bool,
}

impl Polarities {
    /// Adds polarities.
    pub(super) fn add(&mut self, numbers: &Numbers) {
        fn there<T: PartialEq>(numbers: &[T], values: [T; 3]) -> [bool; 3] {
            values.map(|value| numbers.contains(&value))
        }
        let (stored, [zero, minus_one, one]) = match numbers {
            Numbers::U8(v) => (u8::MAX.into(), there(v, [0, u8::MAX, 1])),
            Numbers::U16(v) => (u16::MAX.into(), there(v, [0, u16::MAX, 1])),
            Numbers::U32(v) => (u32::MAX.into(), there(v, [0, u32::MAX, 1])),
            Numbers::U64(v) => (u64::MAX.into(), there(v, [0, u64::MAX, 1])),
            Numbers::I8(v) => (-1, there(v, [0, -1, 1])),
            Numbers::I64(v) => (-1, there(v, [0, -1, 1])),
            Numbers::F64(v) => (-1, there(v, [0.0, -1.0, 1.0])),
            Numbers::Times(v) => (-1, there(v, [Some(0), Some(-1), Some(1)])),
        };
        self.zero |= zero;
        self.minus_one = self.minus_one.or(minus_one.then_some(stored));
        self.one |= one;
    }

    /// Whether no more events can change the verdict: one of them is on.
    pub(super) fn are_settled(&self) -> bool {
        self.one
    }

    /// Whether it cannot be told which are on, unless a 1 follows.
    pub(super) fn are_doubtful(&self) -> bool {
        self.zero && self.minus_one.is_some() && !self.one
    }

    /// Checks the polarities of a recording. A sensor of one polarity needs none.
    ///
    /// # Errors
    /// [`Error::Columns`] for 0 and -1 without 1.
    pub(super) fn judge(&self, path: &Path, field: &str, sensor: Option<SensorSize>) -> Result<()> {
        let one = sensor.is_some_and(|sensor| sensor.polarities == 1);
        let Some(minus_one) = self.minus_one.filter(|_| self.are_doubtful() && !one) else { return Ok(()) };
        let unsigned = if minus_one == -1 { "" } else { ", which stands for -1" };
        Err(Error::Columns {
            path: path.into(),
            place: field.into(),
            expected: "polarities -1 or 0 for off and 1 for on".into(),
            got: format!("0 and {minus_one}{unsigned}, and no 1: save those that are on as 1"),
            remedies: sensor.map(|s| Remedy::Sensor(format!("{},{},1", s.width, s.height))).into_iter().collect(),
        })
    }
}
