//! Byte planes, the layout of a column in a chunk: first the lowest bytes of all numbers, then their second-lowest
//! bytes, and so on.

use std::ops::Range;

use crate::column::ColumnBuf;

/// The numbers `start..end` of a column that is stored as byte planes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planes<'a> {
    planes: &'a [u8],
    /// Length of the whole column. This is also the size of a plane in bytes.
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

    /// Removes the first `n` numbers from `rest` and returns their sum. If `rest` has fewer numbers, removes all of
    /// them.
    #[inline(always)]
    pub(crate) fn take_sum(rest: &mut Planes<'_>, n: usize) -> u64 {
        let end = rest.end.min(rest.start + n);
        let taken = Planes { end, ..*rest };
        rest.start = end;
        match taken.bytes() {
            Some(bytes) => match taken.planes[taken.start..].first_chunk() {
                Some(&eight) if n <= 8 => sum_eight(u64::from_le_bytes(eight) & MASKS[bytes.len()][0]),
                _ => sum_bytes(bytes, |byte| byte),
            },
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

/// Returns the sum of `part(byte)` over all bytes.
#[inline(always)]
pub(crate) fn sum_bytes(bytes: &[u8], part: impl Fn(u8) -> u8) -> u64 {
    // 2^16 bytes sum to less than 2^32, so the inner sum vectorizes with 32-bit lanes.
    bytes.chunks(1 << 16).map(|some| u64::from(some.iter().map(|&byte| u32::from(part(byte))).sum::<u32>())).sum()
}

/// 32 bytes, as four words.
pub(crate) type Block = [u64; 4];

const BLOCK: usize = 32;

/// `MASKS[n]` keeps the first `n` bytes of a block.
const MASKS: [Block; BLOCK + 1] = {
    let mut masks = [[0; 4]; BLOCK + 1];
    let mut at = 0;
    while at < 4 * (BLOCK + 1) {
        let (n, word) = (at / 4, at % 4);
        let kept = n.saturating_sub(8 * word);
        masks[n][word] = if kept < 8 { (1 << (8 * kept)) - 1 } else { u64::MAX };
        at += 1;
    }
    masks
};

/// Calls `each` with blocks of the first `n` bytes. The last block is filled up with zeros.
#[inline(always)]
pub(crate) fn each_block(bytes: &[u8], n: usize, mut each: impl FnMut(Block)) {
    let mut at = 0;
    loop {
        // Read whole blocks and mask them, because the processor cannot predict where a loop over the bytes of a frame
        // ends. Most frames have fewer than 32 bytes.
        let block = bytes[at..].first_chunk().map_or_else(|| padded(&bytes[at..]), |&block| block);
        let (words, mask) = (block.as_chunks().0, &MASKS[(n - at).min(BLOCK)]);
        each(std::array::from_fn(|i| u64::from_le_bytes(words[i]) & mask[i]));
        at += BLOCK;
        if at >= n {
            break;
        }
    }
}

/// Returns a block that starts with `bytes` and ends with zeros. `bytes` is shorter than a block.
#[cold]
fn padded(bytes: &[u8]) -> [u8; BLOCK] {
    std::array::from_fn(|i| bytes.get(i).copied().unwrap_or(0))
}

/// Returns the sum of the eight bytes of a number.
#[inline(always)]
pub(crate) fn sum_eight(eight: u64) -> u64 {
    const EVERY_OTHER: u64 = 0x00ff_00ff_00ff_00ff;
    let pairs = (eight & EVERY_OTHER) + (eight >> 8 & EVERY_OTHER);
    pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48
}
