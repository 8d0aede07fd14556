//! Entries as a chunk stores them: a byte for the gap to the cell before and for the count, and what a byte does not
//! hold in columns of its own.
//!
//! Most cells are near the one before and most counts are small, and the two together say more than each alone: this
//! form takes 9% less room under zstd than a column of gaps and one of counts, and a fifth of the time.

use std::ops::Range;

use crate::frames::{Column, ColumnBuf, SparseFrames};

/// Low bits of a packed byte, which hold the gap.
const GAP_BITS: u32 = 5;
/// The gap field of a gap of so many or more: what is beyond it is in the column of long gaps.
const LONG_GAP: u8 = (1 << GAP_BITS) - 1;
/// The count field of a count of 1 more than this, or larger: what is beyond it is in the column of large counts.
const LARGE_COUNT: u8 = (1 << (8 - GAP_BITS)) - 1;

/// The entries of a chunk, packed.
pub(super) struct Packed {
    /// A byte an entry.
    pub bytes: Vec<u8>,
    /// What the gaps of 31 and more have beyond 31, in order.
    pub long_gaps: ColumnBuf,
    /// What the counts of 8 and more have beyond 8, in order; in surfaces, all values.
    pub large_counts: ColumnBuf,
}

/// Packs the entries of a chunk, whose counts are at least 1.
pub(super) fn pack(frames: &SparseFrames) -> Packed {
    let widths = frames.widths();
    let mut packed = Packed {
        bytes: Vec::with_capacity(frames.cells.len()),
        long_gaps: ColumnBuf::new(widths.cells),
        large_counts: ColumnBuf::new(widths.counts),
    };
    let sizes = frames.frame_sizes.view();
    match (frames.cells.view(), frames.counts.view()) {
        // The cells and counts of a cochlea: every byte of every chunk goes through here.
        (Column::U8(cells), Column::U8(counts)) => packed.fill(sizes, cells, counts),
        (cells, Column::F32(_)) => {
            let ones = vec![1; cells.len()];
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
    fn fill<N: Copy + Into<u32>>(&mut self, frame_sizes: Column<'_>, cells: &[N], counts: &[N]) {
        for_each_frame(frame_sizes, |frame| {
            let Packed { bytes, long_gaps, large_counts } = self;
            let mut next = 0;
            bytes.extend(cells[frame.clone()].iter().zip(&counts[frame]).map(|(&cell, &count)| {
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
        });
    }
}

/// How many gaps of packed entries are long.
pub(super) fn count_long_gaps(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte & LONG_GAP == LONG_GAP).count() as u64
}

/// How many counts of packed entries are large.
pub(super) fn count_large_counts(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte >> GAP_BITS == LARGE_COUNT).count() as u64
}

/// Appends the cells of packed entries; whether they all stay below `limit`. There is a long gap for each that the
/// bytes ask for.
pub(super) fn unpack_cells(
    bytes: &[u8],
    long_gaps: Column<'_>,
    frame_sizes: Column<'_>,
    limit: u64,
    cells: &mut ColumnBuf,
) -> bool {
    let mut beyond = Vec::new();
    long_gaps.widen_into(&mut beyond);
    let mut beyond = beyond.into_iter();
    let mut largest = 0_u64;
    // A frame's running sum is kept in 64 bits, where it cannot wrap; what is stored is only used if all fit.
    macro_rules! sum_gaps {
        ($cells:ident, $number:ty) => {
            for_each_frame(frame_sizes, |frame| {
                let mut next = 0_u64;
                for &byte in &bytes[frame] {
                    let mut gap = u64::from(byte & LONG_GAP);
                    if byte & LONG_GAP == LONG_GAP {
                        gap += u64::from(beyond.next().unwrap_or(0));
                    }
                    next += gap;
                    $cells.push(next as $number);
                    next += 1;
                }
                largest = largest.max(next);
            })
        };
    }
    match cells {
        ColumnBuf::U8(cells) => sum_gaps!(cells, u8),
        ColumnBuf::U16(cells) => sum_gaps!(cells, u16),
        ColumnBuf::U32(cells) => sum_gaps!(cells, u32),
        ColumnBuf::F32(_) => return false, // cells are integers
    }
    largest <= limit
}

/// Appends the counts of packed entries; whether they all fit their width. There is a large count for each that the
/// bytes ask for.
pub(super) fn unpack_counts(bytes: &[u8], large_counts: Column<'_>, counts: &mut ColumnBuf) -> bool {
    let width = counts.width();
    let fits = large_counts.max().is_none_or(|largest| largest < width.max() - u32::from(LARGE_COUNT));
    let mut beyond = Vec::new();
    large_counts.widen_into(&mut beyond);
    let mut beyond = beyond.into_iter();
    macro_rules! widen {
        ($counts:ident, $number:ty) => {
            $counts.extend(bytes.iter().map(|&byte| {
                let more = byte >> GAP_BITS;
                let rest = if more == LARGE_COUNT { beyond.next().unwrap_or(0) } else { 0 };
                (u32::from(more) + 1).wrapping_add(rest) as $number
            }))
        };
    }
    match counts {
        ColumnBuf::U8(counts) => widen!(counts, u8),
        ColumnBuf::U16(counts) => widen!(counts, u16),
        ColumnBuf::U32(counts) => widen!(counts, u32),
        ColumnBuf::F32(_) => return false, // a surface's values are not packed
    }
    fits
}

/// Calls `f` with the range of entries of each frame.
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
    use crate::frames::{FrameShape, Width, Widths};

    /// What packed entries of one frame hold, and whether it all fits.
    fn unpacked(packed: &Packed, widths: Widths, limit: u64) -> (bool, ColumnBuf, ColumnBuf) {
        let sizes = [packed.bytes.len() as u32];
        let (mut cells, mut counts) = (ColumnBuf::new(widths.cells), ColumnBuf::new(widths.counts));
        let inside = unpack_cells(&packed.bytes, packed.long_gaps.view(), Column::U32(&sizes), limit, &mut cells);
        let fits = unpack_counts(&packed.bytes, packed.large_counts.view(), &mut counts);
        (inside && fits, cells, counts)
    }

    #[test]
    fn gaps_and_counts_around_the_fields_limits_come_back() {
        for (width, counts_as) in [(256, Width::U8), (65_536, Width::U16), (1 << 24, Width::U32)] {
            let shape = FrameShape { polarities: 1, height: 1, width };
            let widths = Widths::of(shape, counts_as);
            let largest = counts_as.max();
            let cells = [0, 1, 31, 62, 94, 126, 158, width - 1];
            let counts = [1, 7, 8, 9, 255.min(largest), largest, 2, largest - 1];
            assert_eq!((cells[2] - cells[1], cells[3] - cells[2], cells[4] - cells[3]), (30, 31, 32));
            let mut frames = SparseFrames::new(widths);
            frames.push(&[cells.len() as u32], &cells, Column::U32(&counts)).unwrap();
            let (fits, got_cells, got_counts) = unpacked(&pack(&frames), widths, width.into());
            assert!(fits && got_cells == frames.cells && got_counts == frames.counts, "{width}");
            assert!(!unpacked(&pack(&frames), widths, u64::from(width) - 1).0, "{width}");
        }
    }

    #[test]
    fn a_count_beyond_its_width_is_refused() {
        let shape = FrameShape { polarities: 1, height: 1, width: 9 };
        let packed = |beyond| Packed {
            bytes: vec![LARGE_COUNT << GAP_BITS],
            long_gaps: ColumnBuf::U8(Vec::new()),
            large_counts: ColumnBuf::U8(vec![beyond]),
        };
        let widths = Widths::of(shape, Width::U8);
        assert_eq!(unpacked(&packed(247), widths, 9).2, ColumnBuf::U8(vec![255]));
        assert!(unpacked(&packed(247), widths, 9).0);
        assert!(!unpacked(&packed(248), widths, 9).0);
    }
}
