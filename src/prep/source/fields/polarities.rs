//! Checks the polarities of a recording. Off is stored as -1 in some files and as 0 in others. If a file has both but
//! no 1, it is unknown which events are on.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::{Error, Result};
use crate::events::SensorSize;
use crate::remedy::Remedy;
use crate::source::columns::{NO_POLARITY, Numbers, Role, TakenColumns};
use crate::source::commands::{On, mended};
use crate::source::layout::Layout;

/// Maximum number of different float polarities that are kept for the error message.
const MOST_FLOATS: usize = 3;

/// Which polarities occur in a recording: 0, -1, 1 and, if the polarities are floats, other numbers.
#[derive(Debug, Default)]
pub(crate) struct Polarities {
    zero: bool,
    /// How -1 is stored: as -1, or as the largest number of an unsigned type. `None` if -1 does not occur.
    minus_one: Option<i128>,
    one: bool,
    /// Finite floats that occur, ascending: at most [`MOST_FLOATS`], among them the smallest and the largest.
    floats: Vec<f64>,
    fraction: bool,
    nan: bool,
}

impl Polarities {
    /// Adds the polarities that occur in `numbers`.
    pub(crate) fn add(&mut self, numbers: &Numbers) {
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
        if let Numbers::F64(numbers) = numbers {
            self.add_floats(numbers);
        }
    }

    fn add_floats(&mut self, numbers: &[f64]) {
        for &n in numbers {
            self.nan |= n.is_nan();
            self.fraction |= n.is_finite() && n.fract() != 0.0;
            if n.is_finite() && !self.floats.contains(&n) {
                // If there are more than three, keep the smallest and the largest.
                self.floats.push(n);
                self.floats.sort_by(f64::total_cmp);
                if self.floats.len() > MOST_FLOATS {
                    self.floats.remove(1);
                }
            }
        }
    }

    /// Returns whether a 1 has occurred. Then no more polarities need to be read.
    pub(crate) fn are_settled(&self) -> bool {
        self.one
    }

    /// Returns whether 0 and -1 have occurred but no 1, so that it is unknown which events are on.
    pub(crate) fn are_doubtful(&self) -> bool {
        self.zero && self.minus_one.is_some() && !self.one
    }

    /// Returns a note for the user that -1 and 0 are both taken as off, if the column `field` has -1, 0 and 1.
    pub(crate) fn note(&self, field: &str) -> Option<String> {
        let three = self.zero && self.one && self.minus_one == Some(-1);
        three.then(|| format!("{field} has -1, 0 and 1: both -1 and 0 are taken as off"))
    }

    /// Returns [`Error::Columns`] if it is unknown which events are on, unless the sensor has only one polarity.
    pub(crate) fn judge(
        &self,
        path: &Path,
        layout: Layout,
        taken: &TakenColumns,
        sensor: Option<SensorSize>,
    ) -> Result<()> {
        let one = sensor.is_some_and(|sensor| sensor.polarities == 1);
        if self.fraction && !self.one && !one {
            return Err(self.fractions(path, layout, taken));
        }
        let Some(minus_one) = self.minus_one.filter(|_| self.are_doubtful() && !one) else { return Ok(()) };
        let values = BTreeSet::from([0, minus_one]);
        let why = if minus_one == -1 { "" } else { ", which may stand for -1" };
        Err(odd_polarities(path, layout, taken, &values, format!("{}{why}, and no 1", listed(&values))))
    }

    /// Makes the error for polarities that are fractions.
    fn fractions(&self, path: &Path, layout: Layout, taken: &TakenColumns) -> Error {
        let nan = if self.nan { ", and NaN" } else { "" };
        let (least, most) = (self.floats[0], self.floats[self.floats.len() - 1]);
        let (on, what, how) = match self.floats[..] {
            [off, on] if !self.nan => {
                let how = format!("save the one that is on, probably {on}, as 1, and the other as 0");
                (Some(On::Second([off, on])), format!("{off} and {on}"), how)
            }
            _ if least < 0.0 && most > 0.0 => {
                let how = "save those that are on, probably those above 0, as 1, and the others as 0";
                (Some(On::Positive), format!("fractions from {least} to {most}{nan}"), how.into())
            }
            _ => {
                let how = "save those that are on as 1, and the others as 0";
                (None, format!("fractions from {least} to {most}{nan}"), how.into())
            }
        };
        odd(path, taken, format!("{what}: {how}"), |field| mended(path, layout, taken, field, on?))
    }
}

/// Makes the error for a recording in which it is unknown which events are on. `values` are the polarities that occur,
/// and `what` describes them in the message.
pub(crate) fn odd_polarities(
    path: &Path,
    layout: Layout,
    taken: &TakenColumns,
    values: &BTreeSet<i128>,
    what: String,
) -> Error {
    let two: Vec<&i128> = values.iter().filter(|&&n| n != NO_POLARITY).collect();
    let on = match two[..] {
        // 1 and -1. An unsigned type of 8, 16, 32 or 64 bits stores -1 as its largest number.
        [1, other] if [8, 16, 32, 64].iter().any(|bits| *other == (1 << bits) - 1) => Some(1),
        // The larger of two is probably on. If they are 0 and -1, it is unknown which is on.
        [_, &larger] if larger > 0 => Some(larger),
        _ => None,
    };
    let on = on.filter(|_| values.len() == 2);
    let known = values.contains(&NO_POLARITY) && values.contains(&1) && two.iter().all(|n| (-1..=1).contains(*n));
    let nan = match (two[..].first(), values.contains(&NO_POLARITY) && two.len() == 1) {
        (Some(&&on), true) if on > 0 => Some(on),
        _ => None,
    };
    let (on, how) = match on.filter(|_| nan.is_none()) {
        Some(on) => (Some(On::Number(on)), format!("save the one that is on, probably {on}, as 1, and the other as 0")),
        None if let Some(on) = nan => {
            (Some(On::NotNan(on)), format!("if NaN is off, save it as 0 and {on} as 1; fractions stop that"))
        }
        None if known => (
            Some(On::Known),
            "save a copy in which these have 0 or 1; or without them, which prints how many it leaves out".into(),
        ),
        None => (None, "save those that are on as 1, and the others as 0".into()),
    };
    odd(path, taken, format!("{what}: {how}"), |field| mended(path, layout, taken, field, on?))
}

/// Makes the error for polarities that cannot be used. `got` says what is wrong with them. `command` gets the field's
/// name and returns the command that saves a copy with usable polarities.
fn odd(path: &Path, taken: &TakenColumns, got: String, command: impl Fn(&str) -> Option<Remedy>) -> Error {
    let field = taken.fields[Role::P as usize].as_ref().map_or("p", |taken| &taken.field);
    Error::Columns {
        path: path.into(),
        place: field.into(),
        expected: "polarities -1 or 0 for off and 1 for on".into(),
        got,
        remedies: command(field).into_iter().collect(),
    }
}

/// Lists the first few of `values`, for a message.
pub(crate) fn listed(values: &BTreeSet<i128>) -> String {
    const MOST: usize = 6;
    let text = |&n: &i128| if n == NO_POLARITY { "fractions or NaN".into() } else { n.to_string() };
    let shown: Vec<String> = values.iter().take(MOST).map(text).collect();
    match (&shown[..], values.len() > MOST) {
        (shown, true) => format!("{} and others", shown.join(", ")),
        ([first @ .., last], false) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        (shown, false) => shown.concat(),
    }
}
