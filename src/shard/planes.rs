//! Byte planes, the layout of a column in a chunk: first the lowest bytes of all numbers, then their second-lowest
//! bytes, and so on.

use std::ops::Range;

use crate::column::ColumnBuf;

/// The numbers `start..end` of a column that is stored as byte planes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planes<'a> {
    planes: &'a [u8],
    /// Number of numbers in the whole column. A byte plane has one byte of each number, so this is also the size of a
    /// plane in bytes.
    stride: usize,
    start: usize,
    end: usize,
}

impl<'a> Planes<'a> {
    pub(crate) fn of(planes: &'a [u8], numbers: usize) -> Planes<'a> {
        Planes { planes, stride: numbers, start: 0, end: numbers }
    }

    /// Returns the numbers `start..end`, counted from the start of the whole column.
    pub(crate) fn slice(self, start: u32, end: u32) -> Planes<'a> {
        Planes { start: start as usize, end: end as usize, ..self }
    }

    pub(crate) fn len(self) -> usize {
        self.end - self.start
    }

    /// The numbers as a slice if each has one byte; `None` for wider numbers.
    pub(crate) fn bytes(self) -> Option<&'a [u8]> {
        (self.planes.len() == self.stride).then(|| &self.planes[self.start..self.end])
    }

    /// The numbers as u32. A float32 becomes its bit pattern.
    pub(crate) fn iter(self) -> impl Iterator<Item = u32> + use<'a> {
        (self.start..self.end).map(move |at| {
            let low = self.planes[at].into();
            if self.stride == self.planes.len() { low } else { low | self.high_bytes(at) }
        })
    }

    /// The number at index `at`, with its lowest byte set to 0.
    fn high_bytes(self, at: usize) -> u32 {
        let planes = self.planes.chunks_exact(self.stride).skip(1);
        planes.zip([8, 16, 24]).fold(0, |number, (plane, shift)| number | u32::from(plane[at]) << shift)
    }

    /// Sum of the numbers in `range`, counted from the start of the whole column.
    pub(crate) fn sum(self, range: Range<usize>) -> u64 {
        let part = Planes { start: range.start, end: range.end, ..self };
        match part.bytes() {
            // A block of 2^16 bytes sums to less than 2^32, so that the inner sum vectorizes with 32-bit lanes.
            Some(bytes) => {
                bytes.chunks(1 << 16).map(|some| u64::from(some.iter().map(|&b| u32::from(b)).sum::<u32>())).sum()
            }
            None => part.iter().map(u64::from).sum(),
        }
    }

    pub(crate) fn append_to(self, column: &mut ColumnBuf) {
        match (column, self.bytes()) {
            (ColumnBuf::U8(to), Some(bytes)) => to.extend_from_slice(bytes),
            (ColumnBuf::U8(to), None) => to.extend(self.iter().map(|n| n as u8)),
            (ColumnBuf::U16(to), _) => to.extend(self.iter().map(|n| n as u16)),
            (ColumnBuf::U32(to), _) => to.extend(self.iter()),
            (ColumnBuf::F32(to), _) => to.extend(self.iter().map(f32::from_bits)),
        }
    }
}
