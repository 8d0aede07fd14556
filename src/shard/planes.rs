//! Byte planes, the layout of a column in a chunk: first the lowest bytes of all numbers, then their second-lowest
//! bytes, and so on.

use std::ops::Range;

use crate::column::ColumnBuf;

/// The numbers `start..end` of a column that is stored as byte planes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planes<'a> {
    planes: &'a [u8],
    /// Number of numbers in the whole column, which is the size of a plane in bytes.
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
            Some(bytes) => sum_bytes(bytes, |byte| byte),
            None => part.iter().map(u64::from).sum(),
        }
    }

    /// Sum of the next `n` numbers of `rest`, which are taken from it. Missing numbers count as 0.
    pub(crate) fn take_sum(rest: &mut Planes<'_>, n: usize) -> u64 {
        let end = rest.end.min(rest.start + n);
        let taken = Planes { end, ..*rest };
        rest.start = end;
        match taken.bytes() {
            Some(_) => eights(&taken.planes[taken.start..], taken.len()).map(sum_eight).sum(),
            None => taken.iter().map(u64::from).sum(),
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

/// Returns the sum of `part` over all bytes.
#[inline(always)]
pub(crate) fn sum_bytes(bytes: &[u8], part: impl Fn(u8) -> u8) -> u64 {
    // 2^16 bytes sum to less than 2^32, so the inner sum vectorizes with 32-bit lanes.
    bytes.chunks(1 << 16).map(|some| u64::from(some.iter().map(|&byte| u32::from(part(byte))).sum::<u32>())).sum()
}

/// Takes the first `n` bytes as numbers of eight bytes. The last number is filled up with zeros.
#[inline(always)]
pub(crate) fn eights(bytes: &[u8], n: usize) -> impl Iterator<Item = u64> {
    // For a few bytes, faster than a loop over bytes, whose end the processor cannot predict.
    (0..n).step_by(8).map(move |at| {
        let eight = match bytes[at..].first_chunk() {
            Some(&eight) => u64::from_le_bytes(eight),
            None => bytes[at..].iter().rev().fold(0, |eight, &byte| eight << u8::BITS | u64::from(byte)),
        };
        eight & u64::MAX >> (64 - 8 * (n - at).min(8))
    })
}

/// Returns the sum of the eight bytes of a number.
#[inline(always)]
pub(crate) fn sum_eight(eight: u64) -> u64 {
    const EVERY_OTHER: u64 = 0x00ff_00ff_00ff_00ff;
    let pairs = (eight & EVERY_OTHER) + (eight >> 8 & EVERY_OTHER);
    pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48
}
