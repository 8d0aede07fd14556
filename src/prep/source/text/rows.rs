//! The columns of a text, and two ways to parse a line of it: a line whose cells are plain numbers in one pass over its
//! bytes, every other line split into cells.

use crate::source::columns::{Numbers, Role};
use crate::source::text::cells::{Cell, number_at, split, whole_at};
use crate::time_unit::TimeUnit;

/// How the numbers of a column are stored. A column begins with the narrowest type that fits its first rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Store {
    /// The column is not used.
    Skip,
    /// Integers: `u16` for coordinates, `i8` of at least -1 for polarities. Not used for times.
    Narrow,
    /// Integers of 64 bits.
    Wide,
    /// Numbers with a decimal point, in 64 bits.
    Float,
    /// Words for polarities, in lower case: OFF, then ON.
    Words(&'static str, &'static str),
}

/// A column of a text.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// Name of the column for messages.
    pub(crate) name: String,
    pub(crate) role: Option<Role>,
    pub(crate) store: Store,
    /// Whether a comma in a number begins its decimals.
    pub(crate) has_comma: bool,
}

/// What all rows of a text have in common.
#[derive(Clone, Debug)]
pub(crate) struct RowFormat {
    pub(crate) slots: Vec<Slot>,
    /// The byte between cells. `None` for white space.
    pub(crate) separator: Option<u8>,
    /// The byte that begins a comment.
    pub(crate) comment: u8,
    /// The line with the names of the columns. It may occur again, where texts were joined.
    pub(crate) header: Option<String>,
    pub(crate) unit: TimeUnit,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wrong {
    /// A number does not fit the type of its column. The values are the index of the column, and the type that the
    /// number needs.
    Store(usize, Store),
    /// The line is not a row of events. The values are:
    ///
    /// - the index of the column, or `None` if the line as a whole is wrong;
    /// - what was expected;
    /// - what the line has instead.
    Line(Option<usize>, String, String),
}

/// Columns of consecutive rows.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Times in microseconds.
    pub(crate) t: Vec<i64>,
    /// The times as they are in the text, if they are floats in a unit other than seconds.
    pub(crate) floats: Vec<f64>,
    pub(crate) x: Numbers,
    pub(crate) y: Option<Numbers>,
    pub(crate) p: Option<Numbers>,
    /// Number of lines, including lines without events.
    pub(crate) lines: u64,
    /// How often the header occurs again.
    pub(crate) headers: u64,
    /// What is wrong with the line after these rows.
    pub(crate) wrong: Option<Wrong>,
}

/// Makes an empty column with capacity for `most` numbers.
fn empty(store: Store, role: Role, most: usize) -> Numbers {
    match (store, role) {
        (Store::Float, _) => Numbers::F64(Vec::with_capacity(most)),
        (Store::Wide, _) => Numbers::I64(Vec::with_capacity(most)),
        (_, Role::P) => Numbers::I8(Vec::with_capacity(most)),
        _ => Numbers::U16(Vec::with_capacity(most)),
    }
}

/// Adds a number that fits the column. For a column of floats, `number` has the bits of the float.
#[inline(always)]
fn push(column: &mut Numbers, number: i64) {
    match column {
        Numbers::U16(column) => column.push(number as u16),
        Numbers::I8(column) => column.push(number as i8),
        Numbers::F64(column) => column.push(f64::from_bits(number as u64)),
        Numbers::I64(column) => column.push(number),
        _ => {}
    }
}

impl Rows {
    /// Makes empty columns. Their capacity is about the number of rows in `text`.
    pub(super) fn new(format: &RowFormat, text: &[u8]) -> Rows {
        let line = text.iter().position(|&byte| byte == b'\n').unwrap_or(text.len()) + 1;
        let most = text.len() / line * 9 / 8 + 1;
        let of = |role: Role| {
            format.slots.iter().find(|slot| slot.role == Some(role)).map(|slot| empty(slot.store, role, most))
        };
        let x = of(Role::X).unwrap_or(Numbers::U16(Vec::new()));
        let (y, p) = (of(Role::Y), of(Role::P));
        Rows { t: Vec::with_capacity(most), floats: Vec::new(), x, y, p, lines: 0, headers: 0, wrong: None }
    }

    #[inline(always)]
    pub(super) fn add(&mut self, t: i64, values: &[i64; 4], keeps_floats: bool) {
        self.t.push(t);
        if keeps_floats {
            self.floats.push(f64::from_bits(values[0] as u64));
        }
        push(&mut self.x, values[1]);
        if let Some(y) = &mut self.y {
            push(y, values[2]);
        }
        if let Some(p) = &mut self.p {
            push(p, values[3]);
        }
    }
}

/// Skips spaces and, if `has_tabs`, tabs.
#[inline(always)]
fn unspaced(mut text: &[u8], has_tabs: bool) -> &[u8] {
    while let [first, rest @ ..] = text
        && (*first == b' ' || has_tabs && *first == b'\t')
    {
        text = rest;
    }
    text
}

impl RowFormat {
    pub(super) fn keeps_floats(&self) -> bool {
        let is_float = |slot: &Slot| slot.role == Some(Role::T) && slot.store == Store::Float;
        self.unit != TimeUnit::Seconds && self.slots.iter().any(is_float)
    }

    pub(super) fn is_header(&self, line: &[u8]) -> bool {
        self.header.as_ref().is_some_and(|header| header.as_bytes() == line.trim_ascii())
    }

    /// Parses a line with plain numbers. Returns its time in microseconds, and the text after the line. `None` for any
    /// other line.
    #[inline(always)]
    pub(super) fn plain<'a>(&self, text: &'a [u8], values: &mut [i64; 4]) -> Option<(i64, &'a [u8])> {
        let (mut rest, mut time) = (text, 0);
        let (separator, spaced) = (self.separator.unwrap_or(b' '), self.separator.is_none());
        for (i, slot) in self.slots.iter().enumerate() {
            if i > 0 {
                let [first, after @ ..] = rest else { return None };
                if *first != separator && !(spaced && *first == b'\t') {
                    return None;
                }
                rest = after;
            }
            rest = unspaced(rest, spaced);
            let (value, after) = match slot.store {
                Store::Narrow | Store::Wide => whole_at(rest)?,
                Store::Float => {
                    let (number, after) = number_at(rest)?;
                    (number.to_bits() as i64, after)
                }
                Store::Skip => {
                    let is_end = |&byte: &u8| {
                        byte == separator
                            || matches!(byte, b'\n' | b'\r' | b'"')
                            || byte == self.comment
                            || spaced && byte == b'\t'
                    };
                    let end = rest.iter().position(is_end)?;
                    (0, &rest[end..])
                }
                Store::Words(off, on) => {
                    let end = rest.iter().position(|byte| !byte.is_ascii_alphabetic())?;
                    let word = &rest[..end];
                    let is_on = word.eq_ignore_ascii_case(on.as_bytes());
                    if !is_on && !word.eq_ignore_ascii_case(off.as_bytes()) {
                        return None;
                    }
                    (i64::from(is_on), &rest[end..])
                }
            };
            rest = after;
            match slot.role {
                Some(Role::T) => {
                    time = match slot.store {
                        Store::Float => self.unit.of_float(f64::from_bits(value as u64))?,
                        _ => self.unit.of_integer(value)?,
                    };
                    values[0] = value;
                }
                Some(role) if slot.store != Store::Narrow || is_narrow(role, value) => values[role as usize] = value,
                Some(_) => return None,
                None => {}
            }
        }
        rest = unspaced(rest, true);
        match rest {
            [b'\n', after @ ..] | [b'\r', b'\n', after @ ..] => Some((time, after)),
            _ => None,
        }
    }

    /// Parses any line. `line` has no line break at its end. Returns the time in microseconds. `None` for a line
    /// without events: a blank line, a comment, or the header.
    pub(super) fn line(&self, line: &[u8], values: &mut [i64; 4]) -> Result<Option<i64>, Wrong> {
        let cells = split(line, self.separator, self.comment);
        if self.is_header(line) {
            return Ok(None);
        }
        if cells.is_empty() {
            return match self.is_another_header(line) {
                true => Err(wrong(None, "the columns in the same order", shown(line))),
                false => Ok(None),
            };
        }
        if cells.len() != self.slots.len() {
            let got = format!("{} in {}", cells.len(), shown(line));
            return Err(wrong(None, format!("{} cells as in the other lines", self.slots.len()), got));
        }
        let mut time = 0;
        for (i, (slot, cell)) in self.slots.iter().zip(cells).enumerate() {
            let Some(role) = slot.role else { continue };
            let bad = |expected: &str| wrong(Some(i), expected, shown(cell));
            let found = Cell::of(cell, slot.has_comma);
            let value = match (slot.store, found) {
                (Store::Words(off, on), _) => {
                    let is = |word: &str| cell.eq_ignore_ascii_case(word.as_bytes());
                    let value = is(on).then_some(1).or(is(off).then_some(0));
                    value.ok_or_else(|| wrong(Some(i), format!("{off} or {on}"), shown(cell)))?
                }
                (Store::Float, Some(Cell::Float(number))) => number.to_bits() as i64,
                (Store::Float, Some(Cell::Whole(number))) => (number as f64).to_bits() as i64,
                (_, Some(Cell::Whole(number))) => number,
                (_, Some(Cell::Float(_))) => return Err(Wrong::Store(i, Store::Float)),
                (_, Some(Cell::Large)) => return Err(bad("a number of at most 64 bits")),
                (_, Some(Cell::Infinite)) => return Err(bad("a finite number")),
                (_, None) => return Err(bad("a number")),
            };
            if slot.store == Store::Narrow && !is_narrow(role, value) {
                return Err(Wrong::Store(i, Store::Wide));
            }
            if role == Role::T {
                let us = match slot.store {
                    Store::Float => self.unit.of_float(f64::from_bits(value as u64)),
                    _ => self.unit.of_integer(value),
                };
                time = us.ok_or_else(|| {
                    wrong(Some(i), format!("a time in {} that fits 64 bits in us", self.unit), shown(cell))
                })?;
            }
            values[role as usize] = value;
        }
        Ok(Some(time))
    }

    /// Returns whether a comment is a header with the columns in another order.
    fn is_another_header(&self, comment: &[u8]) -> bool {
        let text = comment.trim_ascii_start();
        let text = &text[text.iter().take_while(|byte| matches!(byte, b'#' | b'%')).count()..];
        let names = split(text, self.separator, 0);
        let role = |name: &&[u8]| Role::of(&String::from_utf8_lossy(name));
        names.len() == self.slots.len()
            && names.iter().filter(|name| role(name).is_some()).count() > 1
            && names.iter().map(role).ne(self.slots.iter().map(|slot| Role::of(&slot.name)))
    }
}

/// Returns whether a coordinate or a polarity fits a [narrow](Store::Narrow) column.
#[inline(always)]
pub(super) fn is_narrow(role: Role, value: i64) -> bool {
    match role {
        Role::T => true,
        Role::P => (-1..=127).contains(&value),
        _ => (0..1 << 16).contains(&value),
    }
}

fn wrong(column: Option<usize>, expected: impl Into<String>, got: String) -> Wrong {
    Wrong::Line(column, expected.into(), got)
}

/// Returns the beginning of a line or a cell, in quotes.
fn shown(text: &[u8]) -> String {
    const SHOWN: usize = 60;
    let text: String = String::from_utf8_lossy(text).chars().take(SHOWN).collect();
    format!("{text:?}")
}
