//! Columns of small unsigned integers, at the narrowest width that holds them.
//!
//! Cells and counts are small, and training is bound by the bytes it moves: a column of one-byte numbers stays one.

use serde::{Deserialize, Serialize};

/// The bytes that one number of a column takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Width {
    /// One byte, up to 255.
    U8,
    /// Two bytes, up to 65,535.
    U16,
    /// Four bytes, up to 4,294,967,295.
    U32,
}

impl Width {
    /// The narrowest width that holds `max`.
    pub fn holding(max: u32) -> Width {
        match max {
            0..=0xff => Width::U8,
            0x100..=0xffff => Width::U16,
            _ => Width::U32,
        }
    }

    /// Bytes a number.
    pub fn bytes(self) -> usize {
        match self {
            Width::U8 => 1,
            Width::U16 => 2,
            Width::U32 => 4,
        }
    }

    /// The largest number it holds.
    pub fn max(self) -> u32 {
        match self {
            Width::U8 => u8::MAX.into(),
            Width::U16 => u16::MAX.into(),
            Width::U32 => u32::MAX,
        }
    }

    /// The width of `bytes` bytes, if there is one.
    pub fn from_bytes(bytes: u8) -> Option<Width> {
        match bytes {
            1 => Some(Width::U8),
            2 => Some(Width::U16),
            4 => Some(Width::U32),
            _ => None,
        }
    }
}

/// A borrowed column, at its width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Column<'a> {
    /// One byte a number.
    U8(&'a [u8]),
    /// Two bytes a number.
    U16(&'a [u16]),
    /// Four bytes a number.
    U32(&'a [u32]),
}

/// Runs an expression over a column's slice, whatever its width.
macro_rules! each_width {
    ($column:expr, $kind:ident, $slice:ident => $body:expr) => {
        match $column {
            $kind::U8($slice) => $body,
            $kind::U16($slice) => $body,
            $kind::U32($slice) => $body,
        }
    };
}
pub(crate) use each_width;

impl<'a> Column<'a> {
    /// How many numbers.
    pub fn len(self) -> usize {
        each_width!(self, Column, s => s.len())
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The numbers, widened.
    pub fn iter(self) -> Box<dyn Iterator<Item = u32> + 'a> {
        match self {
            Column::U8(s) => Box::new(s.iter().map(|&v| v.into())),
            Column::U16(s) => Box::new(s.iter().map(|&v| v.into())),
            Column::U32(s) => Box::new(s.iter().copied()),
        }
    }

    /// Replaces `out` by the numbers, widened: for loops that run over them many times.
    pub fn widen_into(self, out: &mut Vec<u32>) {
        out.clear();
        match self {
            Column::U8(s) => out.extend(s.iter().copied().map(u32::from)),
            Column::U16(s) => out.extend(s.iter().copied().map(u32::from)),
            Column::U32(s) => out.extend_from_slice(s),
        }
    }

    /// Their sum.
    pub fn sum(self) -> u64 {
        each_width!(self, Column, s => s.iter().map(|&v| u64::from(v)).sum())
    }

    /// The largest, or `None` of none.
    pub fn max(self) -> Option<u32> {
        match self {
            Column::U8(s) => s.iter().max().map(|&v| v.into()),
            Column::U16(s) => s.iter().max().map(|&v| v.into()),
            Column::U32(s) => s.iter().max().copied(),
        }
    }

    pub(crate) fn slice(self, from: usize, to: usize) -> Column<'a> {
        match self {
            Column::U8(s) => Column::U8(&s[from..to]),
            Column::U16(s) => Column::U16(&s[from..to]),
            Column::U32(s) => Column::U32(&s[from..to]),
        }
    }
}

/// An owned column, at its width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnBuf {
    /// One byte a number.
    U8(Vec<u8>),
    /// Two bytes a number.
    U16(Vec<u16>),
    /// Four bytes a number.
    U32(Vec<u32>),
}

impl ColumnBuf {
    /// An empty column of `width`.
    pub fn new(width: Width) -> ColumnBuf {
        match width {
            Width::U8 => ColumnBuf::U8(Vec::new()),
            Width::U16 => ColumnBuf::U16(Vec::new()),
            Width::U32 => ColumnBuf::U32(Vec::new()),
        }
    }

    /// Its width.
    pub fn width(&self) -> Width {
        match self {
            ColumnBuf::U8(_) => Width::U8,
            ColumnBuf::U16(_) => Width::U16,
            ColumnBuf::U32(_) => Width::U32,
        }
    }

    /// All of it, borrowed.
    pub fn view(&self) -> Column<'_> {
        match self {
            ColumnBuf::U8(v) => Column::U8(v),
            ColumnBuf::U16(v) => Column::U16(v),
            ColumnBuf::U32(v) => Column::U32(v),
        }
    }

    /// How many numbers.
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the numbers and keeps the memory.
    pub fn clear(&mut self) {
        each_width!(self, ColumnBuf, v => v.clear())
    }

    /// Appends one number that the column's width is known to hold; a larger one saturates, which the caller has
    /// excluded ([`SparseFrames::push`] checks before it appends).
    pub(crate) fn push(&mut self, value: u32) {
        match self {
            ColumnBuf::U8(v) => v.push(value.min(0xff) as u8),
            ColumnBuf::U16(v) => v.push(value.min(0xffff) as u16),
            ColumnBuf::U32(v) => v.push(value),
        }
    }

    /// Appends a column of the same or a narrower width.
    pub(crate) fn extend(&mut self, column: Column<'_>) {
        match (self, column) {
            (ColumnBuf::U8(v), Column::U8(s)) => v.extend_from_slice(s),
            (ColumnBuf::U16(v), Column::U16(s)) => v.extend_from_slice(s),
            (ColumnBuf::U32(v), Column::U32(s)) => v.extend_from_slice(s),
            (buf, column) => column.iter().for_each(|value| buf.push(value)),
        }
    }

    /// Appends little-endian bytes, a whole number of numbers.
    pub fn extend_le_bytes(&mut self, bytes: &[u8]) {
        match self {
            ColumnBuf::U8(v) => v.extend_from_slice(bytes),
            ColumnBuf::U16(v) => v.extend(bytes.as_chunks().0.iter().map(|&b| u16::from_le_bytes(b))),
            ColumnBuf::U32(v) => v.extend(bytes.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b))),
        }
    }

    /// Appends the column's little-endian bytes to `out`.
    pub fn write_le_bytes(&self, out: &mut Vec<u8>) {
        match self {
            ColumnBuf::U8(v) => out.extend_from_slice(v),
            ColumnBuf::U16(v) => v.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes())),
            ColumnBuf::U32(v) => v.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes())),
        }
    }
}
