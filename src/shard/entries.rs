//! Packs the entries of a chunk. An entry is an occupied cell and its count. One byte holds the count and the gap,
//! which is the number of empty cells between this entry and the previous entry of the frame.
//!
//! The column `long_gaps` has the rest of each gap of 31 or more. The column `large_counts` has the rest of each count
//! of 8 or more.

use std::ops::Range;

use crate::column::largest;
use crate::frames::{Column, ColumnBuf, SparseFrames, Width, Widths};
use crate::planes::{each_block, sum_bytes, sum_eight};

/// Number of low bits of a packed byte that hold the gap. The high bits hold the count minus 1.
const GAP_BITS: u32 = 5;
/// Value of the gap bits for all gaps of 31 or more. The rest of the gap is in the column `long_gaps`.
const LONG_GAP: u8 = (1 << GAP_BITS) - 1;
/// Value of the count bits for all counts of 8 or more. The rest of the count is in the column `large_counts`.
const LARGE_COUNT: u8 = (1 << (8 - GAP_BITS)) - 1;

/// The packed entries (cells and counts) of a chunk, as three columns.
#[derive(Debug)]
pub(super) struct Packed {
    /// One byte per entry: its gap and its count.
    pub bytes: Vec<u8>,
    /// Each gap of 31 or more, minus 31.
    pub long_gaps: ColumnBuf,
    /// Each count of 8 or more, minus 8. For float32 frames: all values.
    pub large_counts: ColumnBuf,
}

/// Packs the cells and counts of `frames`. Counts must be at least 1.
pub(super) fn pack(frames: &SparseFrames) -> Packed {
    let mut packed = Packed::new(frames.widths());
    packed.bytes.reserve_exact(frames.cells.len());
    let sizes = frames.frame_sizes.view();
    match (frames.cells.view(), frames.counts.view()) {
        // Fast paths for the usual widths of cochleas and of small cameras, without widening the columns.
        (Column::U8(cells), Column::U8(counts)) => packed.fill(sizes, cells, counts),
        (Column::U16(cells), Column::U8(counts)) => packed.fill(sizes, cells, counts),
        (cells, Column::F32(_)) => {
            let ones = vec![1_u8; cells.len()];
            packed.fill(sizes, &cells.iter().collect::<Vec<u32>>(), &ones);
            packed.large_counts.extend(frames.counts.view());
        }
        (cells, counts) => {
            packed.fill(sizes, &cells.iter().collect::<Vec<u32>>(), &counts.iter().collect::<Vec<u32>>());
        }
    }
    packed
}

impl Packed {
    pub(super) fn new(widths: Widths) -> Packed {
        let (long_gaps, large_counts) = (ColumnBuf::new(widths.cells), ColumnBuf::new(widths.counts));
        Packed { bytes: Vec::new(), long_gaps, large_counts }
    }

    fn fill<C, N>(&mut self, frame_sizes: Column<'_>, cells: &[C], counts: &[N])
    where
        C: Copy + Into<u32>,
        N: Copy + Into<u32>,
    {
        for_each_frame(frame_sizes, |frame| self.push_frame(&cells[frame.clone()], &counts[frame]));
    }

    /// Packs the cells and counts of one frame. Cells must ascend; counts must be at least 1.
    pub(super) fn push_frame<C, N>(&mut self, cells: &[C], counts: &[N])
    where
        C: Copy + Into<u32>,
        N: Copy + Into<u32>,
    {
        let Packed { bytes, long_gaps, large_counts } = self;
        let mut next = 0;
        bytes.extend(cells.iter().zip(counts).map(|(&cell, &count)| {
            let (cell, count): (u32, u32) = (cell.into(), count.into());
            debug_assert!(count > 0);
            let (gap, more) = (cell - next, count.saturating_sub(1));
            next = cell + 1;
            if gap >= LONG_GAP.into() {
                long_gaps.push(gap - u32::from(LONG_GAP));
            }
            if more >= LARGE_COUNT.into() {
                large_counts.push(more - u32::from(LARGE_COUNT));
            }
            gap.min(LONG_GAP.into()) as u8 | (more.min(LARGE_COUNT.into()) as u8) << GAP_BITS
        }));
    }
}

/// Returns how many packed bytes have a gap of 31 or more.
pub(super) fn count_long_gaps(bytes: &[u8]) -> u32 {
    count(bytes, |byte| byte & LONG_GAP == LONG_GAP)
}

/// Returns how many packed bytes have a count of 8 or more.
pub(super) fn count_large_counts(bytes: &[u8]) -> u32 {
    count(bytes, |byte| byte >> GAP_BITS == LARGE_COUNT)
}

/// Returns the number of bytes for which `which` returns true.
fn count(bytes: &[u8], which: impl Fn(u8) -> bool) -> u32 {
    // The count of one block fits u8, so the compiler vectorizes the loop.
    bytes.chunks(255).map(|some| u32::from(some.iter().map(|&byte| u8::from(which(byte))).sum::<u8>())).sum()
}

/// Returns the sum of the counts in packed bytes. The sum does not include the column `large_counts`.
pub(super) fn sum_counts(bytes: &[u8]) -> u64 {
    bytes.len() as u64 + sum_bytes(bytes, |byte| byte >> GAP_BITS)
}

/// Returns the largest count in the packed bytes. A count of 8 or more is returned as 8. 0 if there are no bytes.
pub(super) fn largest_count(bytes: &[u8]) -> u32 {
    // The count is in the highest bits, so that the largest byte has the largest count.
    largest(bytes).map_or(0, |byte| u32::from(byte >> GAP_BITS) + 1)
}

/// Returns the sum of the gaps in the first `entries` packed bytes, and the number of long gaps (31 or more). The sum
/// does not include the column `long_gaps`.
#[inline(always)]
pub(super) fn sum_gaps(bytes: &[u8], entries: usize) -> (u64, usize) {
    const GAPS: u64 = u64::from_ne_bytes([LONG_GAP; 8]);
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (mut all, mut long) = (0, 0);
    each_block(bytes, entries, |block| {
        let gaps = block.map(|eight| eight & GAPS);
        let longs = gaps.map(|gaps| (gaps + ONES) >> GAP_BITS & ONES);
        // The sum of four gaps fits in a byte.
        all += sum_eight(gaps.iter().sum());
        long += sum_eight(longs.iter().sum()) as usize;
    });
    (all, long)
}

/// Returns the limit for the column `large_counts`: all its numbers must be smaller. `counts` is the width of the
/// unpacked counts.
pub(super) fn largest_beyond(counts: Width) -> u32 {
    counts.max() - u32::from(LARGE_COUNT)
}

/// Gap in the packed byte `byte`. Takes the rest of a long gap from `long_gaps`.
#[inline(always)]
pub(super) fn gap_of(byte: u8, long_gaps: &mut impl Iterator<Item = u32>) -> u64 {
    let gap = u64::from(byte & LONG_GAP);
    if byte & LONG_GAP == LONG_GAP { gap + u64::from(long_gaps.next().unwrap_or(0)) } else { gap }
}

/// Count in the packed byte `byte`. Takes the rest of a large count from `large_counts`.
#[inline(always)]
pub(super) fn count_of(byte: u8, large_counts: &mut impl Iterator<Item = u32>) -> u32 {
    let (more, rest) =
        (byte >> GAP_BITS, if byte >> GAP_BITS == LARGE_COUNT { large_counts.next().unwrap_or(0) } else { 0 });
    (u32::from(more) + 1).wrapping_add(rest)
}

/// Unpacks cells and appends them to `cells`. Returns whether all these cells are below `limit`.
pub(super) fn add_cells(
    mut bytes: &[u8],
    mut long_gaps: impl Iterator<Item = u32>,
    frame_sizes: impl Iterator<Item = usize>,
    limit: u64,
    cells: &mut ColumnBuf,
) -> bool {
    let mut largest = 0;
    // The running sum of a frame is 64 bits wide, so that it cannot wrap. Truncated cells are stored, but then the
    // function returns false and the caller discards them.
    macro_rules! sum_gaps {
        ($cells:ident, $number:ty) => {{
            let start = $cells.len();
            $cells.resize(start + bytes.len(), 0);
            let mut targets = &mut $cells[start..];
            for size in frame_sizes {
                let (frame, others) = bytes.split_at(size);
                let (to, after) = targets.split_at_mut(size);
                (bytes, targets) = (others, after);
                let mut next = 0;
                for (&byte, target) in frame.iter().zip(to) {
                    let cell = next + gap_of(byte, &mut long_gaps);
                    *target = cell as $number;
                    next = cell + 1;
                }
                largest = next.max(largest);
            }
        }};
    }
    match cells {
        ColumnBuf::U8(cells) => sum_gaps!(cells, u8),
        ColumnBuf::U16(cells) => sum_gaps!(cells, u16),
        ColumnBuf::U32(cells) => sum_gaps!(cells, u32),
        ColumnBuf::F32(_) => return false, // cells are integers
    }
    largest <= limit
}

/// Unpacks counts and appends them to `counts`. They must fit the width of `counts`.
pub(super) fn add_counts(bytes: &[u8], mut large_counts: impl Iterator<Item = u32>, counts: &mut ColumnBuf) {
    // Nearly all counts are small. The first loop, over all counts, is vectorized; the second corrects the large ones.
    macro_rules! widen {
        ($counts:ident, $number:ty) => {{
            let start = $counts.len();
            $counts.resize(start + bytes.len(), 0);
            let targets = &mut $counts[start..];
            targets.iter_mut().zip(bytes).for_each(|(target, &byte)| *target = <$number>::from(byte >> GAP_BITS) + 1);
            for (target, &byte) in targets.iter_mut().zip(bytes) {
                if byte >> GAP_BITS == LARGE_COUNT {
                    *target = count_of(byte, &mut large_counts) as $number;
                }
            }
        }};
    }
    match counts {
        ColumnBuf::U8(counts) => widen!(counts, u8),
        ColumnBuf::U16(counts) => widen!(counts, u16),
        ColumnBuf::U32(counts) => widen!(counts, u32),
        ColumnBuf::F32(_) => {} // a surface's values are not packed
    }
}

/// Calls `f` with the index range of each frame's entries.
fn for_each_frame(frame_sizes: Column<'_>, mut f: impl FnMut(Range<usize>)) {
    let mut start = 0;
    for size in frame_sizes.iter() {
        f(start..start + size as usize);
        start += size as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_many_bytes_equal_those_byte_by_byte() {
        let mut state = 1_u32;
        for len in (0..70).chain([1 << 16, (1 << 16) + 9, 200_001]) {
            let random = (0..len).map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Half of the bytes have a long gap and a large count.
                if state >> 31 == 1 { u8::MAX } else { (state >> 20) as u8 }
            });
            for bytes in [random.collect::<Vec<u8>>(), vec![0; len], vec![u8::MAX; len]] {
                let counts = |&byte| count_of(byte, &mut std::iter::empty());
                for used in [0, len / 2, len] {
                    let gaps = |bytes: &[u8]| bytes.iter().map(|&byte| gap_of(byte, &mut std::iter::empty())).sum();
                    let expected = (gaps(&bytes[..used]), count_long_gaps(&bytes[..used]) as usize);
                    assert_eq!(sum_gaps(&bytes, used), expected, "{used} of {len} bytes");
                }
                assert_eq!(sum_counts(&bytes), bytes.iter().map(counts).map(u64::from).sum::<u64>(), "{len} bytes");
                assert_eq!(largest_count(&bytes), bytes.iter().map(counts).max().unwrap_or(0), "{len} bytes");
            }
        }
    }
}
