//! Columns of numbers. A column uses 1, 2 or 4 bytes per number, as few as possible.

use serde::{Deserialize, Serialize};

/// The largest number; `None` if there is none. The compiler vectorizes this loop, but not [`Iterator::max`].
#[inline]
pub fn largest<T: Copy + Ord>(numbers: &[T]) -> Option<T> {
    let (&first, rest) = numbers.split_first()?;
    Some(rest.iter().fold(first, |largest, &n| if n > largest { n } else { largest }))
}

/// Type of the numbers in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Width {
    /// Unsigned integers of one byte, up to 255.
    U8,
    /// Unsigned integers of two bytes, up to 65,535.
    U16,
    /// Unsigned integers of four bytes, up to 4,294,967,295.
    U32,
    /// Float32, for the values of time surfaces and similar frames.
    F32,
}

impl Width {
    /// The narrowest integer width for numbers up to `max`.
    pub fn holding(max: u32) -> Width {
        match max {
            0..=0xff => Width::U8,
            0x100..=0xffff => Width::U16,
            _ => Width::U32,
        }
    }

    /// Bytes per number.
    pub fn bytes(self) -> usize {
        match self {
            Width::U8 => 1,
            Width::U16 => 2,
            Width::U32 | Width::F32 => 4,
        }
    }

    /// The largest integer that fits; 0 for [`Width::F32`].
    pub fn max(self) -> u32 {
        match self {
            Width::U8 => u8::MAX.into(),
            Width::U16 => u16::MAX.into(),
            Width::U32 => u32::MAX,
            Width::F32 => 0,
        }
    }

    /// Code of this width in the header of a shard: the bytes per number, plus 0x10 for float32.
    pub fn code(self) -> u8 {
        match self {
            Width::F32 => 0x14,
            _ => self.bytes() as u8,
        }
    }

    /// Returns the width with this code, or `None` for an unknown code.
    pub fn from_code(code: u8) -> Option<Width> {
        [Width::U8, Width::U16, Width::U32, Width::F32].into_iter().find(|width| width.code() == code)
    }
}

/// A borrowed column of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Column<'a> {
    /// One byte per number.
    U8(&'a [u8]),
    /// Two bytes per number.
    U16(&'a [u16]),
    /// Four bytes per number.
    U32(&'a [u32]),
    /// Float32: values of time surfaces and similar frames.
    F32(&'a [f32]),
}

/// Evaluates `$body` for a column of any width, with `$slice` as the slice or vector of its numbers. `$kind` is the
/// enum of the column, `Column` or `ColumnBuf`.
#[doc(hidden)]
#[macro_export]
macro_rules! each_width {
    ($column:expr, $kind:ident, $slice:ident => $body:expr) => {
        match $column {
            $kind::U8($slice) => $body,
            $kind::U16($slice) => $body,
            $kind::U32($slice) => $body,
            $kind::F32($slice) => $body,
        }
    };
}

impl<'a> Column<'a> {
    /// How many numbers the column has.
    pub fn len(self) -> usize {
        each_width!(self, Column, s => s.len())
    }

    /// Whether the column has no numbers.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Width of the numbers.
    pub fn width(self) -> Width {
        match self {
            Column::U8(_) => Width::U8,
            Column::U16(_) => Width::U16,
            Column::U32(_) => Width::U32,
            Column::F32(_) => Width::F32,
        }
    }

    /// The numbers as u32. Float32 values lose their fractional part.
    pub fn iter(self) -> Box<dyn Iterator<Item = u32> + 'a> {
        match self {
            Column::U8(s) => Box::new(s.iter().map(|&v| v.into())),
            Column::U16(s) => Box::new(s.iter().map(|&v| v.into())),
            Column::U32(s) => Box::new(s.iter().copied()),
            Column::F32(s) => Box::new(s.iter().map(|&v| v as u32)),
        }
    }

    /// The numbers as f64, exactly.
    pub fn values(self) -> Box<dyn Iterator<Item = f64> + 'a> {
        each_width!(self, Column, s => Box::new(s.iter().map(|&v| f64::from(v))))
    }

    /// Replaces the content of `out` with the numbers as u32.
    pub fn widen_into(self, out: &mut Vec<u32>) {
        out.clear();
        match self {
            Column::U8(s) => out.extend(s.iter().copied().map(u32::from)),
            Column::U16(s) => out.extend(s.iter().copied().map(u32::from)),
            Column::U32(s) => out.extend_from_slice(s),
            Column::F32(_) => out.extend(self.iter()),
        }
    }

    /// Sum of the integers; 0 for a float32 column.
    pub fn sum(self) -> u64 {
        match self {
            Column::F32(_) => 0,
            _ => self.iter().map(u64::from).sum(),
        }
    }

    /// The largest integer; `None` if the column is empty or float32.
    pub fn max(self) -> Option<u32> {
        match self {
            Column::U8(s) => largest(s).map(u32::from),
            Column::U16(s) => largest(s).map(u32::from),
            Column::U32(s) => largest(s),
            Column::F32(_) => None,
        }
    }

    pub(crate) fn slice(self, from: usize, to: usize) -> Column<'a> {
        match self {
            Column::U8(s) => Column::U8(&s[from..to]),
            Column::U16(s) => Column::U16(&s[from..to]),
            Column::U32(s) => Column::U32(&s[from..to]),
            Column::F32(s) => Column::F32(&s[from..to]),
        }
    }
}

/// An owned column of numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnBuf {
    /// One byte per number.
    U8(Vec<u8>),
    /// Two bytes per number.
    U16(Vec<u16>),
    /// Four bytes per number.
    U32(Vec<u32>),
    /// Float32: values of time surfaces and similar frames.
    F32(Vec<f32>),
}

/// Appends `number(n)` to `to` for each `n` in `from`.
fn narrow<N: Copy + Default>(to: &mut Vec<N>, from: &[u32], number: impl Fn(u32) -> N) {
    // The compiler vectorizes this loop, but not `Vec::extend`.
    let start = to.len();
    to.resize(start + from.len(), N::default());
    to[start..].iter_mut().zip(from).for_each(|(to, &from)| *to = number(from));
}

impl ColumnBuf {
    /// Creates an empty column for numbers of this width.
    pub fn new(width: Width) -> ColumnBuf {
        match width {
            Width::U8 => ColumnBuf::U8(Vec::new()),
            Width::U16 => ColumnBuf::U16(Vec::new()),
            Width::U32 => ColumnBuf::U32(Vec::new()),
            Width::F32 => ColumnBuf::F32(Vec::new()),
        }
    }

    /// Width of the numbers.
    pub fn width(&self) -> Width {
        self.view().width()
    }

    /// The whole column, borrowed.
    pub fn view(&self) -> Column<'_> {
        match self {
            ColumnBuf::U8(v) => Column::U8(v),
            ColumnBuf::U16(v) => Column::U16(v),
            ColumnBuf::U32(v) => Column::U32(v),
            ColumnBuf::F32(v) => Column::F32(v),
        }
    }

    /// How many numbers the column has.
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether the column has no numbers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all numbers, but keeps the allocated memory.
    pub fn clear(&mut self) {
        each_width!(self, ColumnBuf, v => v.clear());
    }

    /// Appends one number. If it doesn't fit, appends the largest number that fits.
    pub(crate) fn push(&mut self, value: u32) {
        match self {
            ColumnBuf::U8(v) => v.push(value.min(0xff) as u8),
            ColumnBuf::U16(v) => v.push(value.min(0xffff) as u16),
            ColumnBuf::U32(v) => v.push(value),
            ColumnBuf::F32(v) => v.push(value as f32),
        }
    }

    /// Appends the numbers of `column`. They must fit the width of `self`.
    pub(crate) fn extend(&mut self, column: Column<'_>) {
        match (self, column) {
            (ColumnBuf::U8(v), Column::U8(s)) => v.extend_from_slice(s),
            (ColumnBuf::U16(v), Column::U16(s)) => v.extend_from_slice(s),
            (ColumnBuf::U32(v), Column::U32(s)) => v.extend_from_slice(s),
            (ColumnBuf::F32(v), Column::F32(s)) => v.extend_from_slice(s),
            // Framing produces u32 columns, so most numbers of a new chunk take one of these two paths.
            (ColumnBuf::U8(v), Column::U32(s)) => narrow(v, s, |n| n as u8),
            (ColumnBuf::U16(v), Column::U32(s)) => narrow(v, s, |n| n as u16),
            (buf, column) => column.iter().for_each(|value| buf.push(value)),
        }
    }

    /// Appends the column to `out` as byte planes: first the lowest bytes of all numbers, then their second-lowest
    /// bytes, and so on.
    pub fn write_planes(&self, out: &mut Vec<u8>) {
        for byte in 0..self.width().bytes() {
            each_width!(self, ColumnBuf, v => out.extend(v.iter().map(|n| n.to_le_bytes()[byte])));
        }
    }
}
