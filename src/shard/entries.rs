//! Entries as a chunk stores them: a byte for the gap to the cell before and for the count, and what a byte does not
//! hold in columns of its own.
//!
//! Most cells are near the one before and most counts are small, and the two together say more than each alone: this
//! form takes 9% less room under zstd than a column of gaps and one of counts, and a fifth of the time.

use std::ops::Range;

use crate::frames::{Column, ColumnBuf, SparseFrames, Width};

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

/// How many gaps of packed entries are long: of a chunk, whose entries fit 32 bits.
pub(super) fn count_long_gaps(bytes: &[u8]) -> u32 {
    count(bytes, |byte| byte & LONG_GAP == LONG_GAP)
}

/// How many counts of packed entries are large.
pub(super) fn count_large_counts(bytes: &[u8]) -> u32 {
    count(bytes, |byte| byte >> GAP_BITS == LARGE_COUNT)
}

/// Counts in bytes, 255 at a time, which the compiler turns into vectors of bytes.
fn count(bytes: &[u8], which: impl Fn(u8) -> bool) -> u32 {
    bytes.chunks(255).map(|some| u32::from(some.iter().map(|&byte| u8::from(which(byte))).sum::<u8>())).sum()
}

/// What a count has beyond 8 has to be below this.
pub(super) fn largest_beyond(counts: Width) -> u32 {
    counts.max() - u32::from(LARGE_COUNT)
}

/// An entry's gap; what a long one has beyond 31 is the next of `long_gaps`.
#[inline(always)]
pub(super) fn gap_of(byte: u8, long_gaps: &mut impl Iterator<Item = u32>) -> u64 {
    let gap = u64::from(byte & LONG_GAP);
    if byte & LONG_GAP == LONG_GAP { gap + u64::from(long_gaps.next().unwrap_or(0)) } else { gap }
}

/// An entry's count; what a large one has beyond 8 is the next of `large_counts`.
#[inline(always)]
pub(super) fn count_of(byte: u8, large_counts: &mut impl Iterator<Item = u32>) -> u32 {
    let (more, rest) =
        (byte >> GAP_BITS, if byte >> GAP_BITS == LARGE_COUNT { large_counts.next().unwrap_or(0) } else { 0 });
    (u32::from(more) + 1).wrapping_add(rest)
}

/// Appends the cells of packed entries; whether they all stay below `limit`.
pub(super) fn add_cells(
    mut bytes: &[u8],
    mut long_gaps: impl Iterator<Item = u32>,
    frame_sizes: impl Iterator<Item = usize>,
    limit: u64,
    cells: &mut ColumnBuf,
) -> bool {
    let mut largest = 0;
    // A frame's running sum is kept in 64 bits, where it cannot wrap; what is stored is only used if all fit.
    macro_rules! sum_gaps {
        ($cells:ident, $number:ty) => {{
            let start = $cells.len();
            $cells.resize(start + bytes.len(), 0);
            let mut places = &mut $cells[start..];
            for size in frame_sizes {
                let (frame, others) = bytes.split_at(size);
                let (to, after) = places.split_at_mut(size);
                (bytes, places) = (others, after);
                let mut next = 0;
                for (&byte, place) in frame.iter().zip(to) {
                    let cell = next + gap_of(byte, &mut long_gaps);
                    *place = cell as $number;
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

/// Appends the counts of packed entries, which are known to fit.
pub(super) fn add_counts(bytes: &[u8], mut large_counts: impl Iterator<Item = u32>, counts: &mut ColumnBuf) {
    // Nearly all are small: those in a loop that the compiler turns into vectors, then the others.
    macro_rules! widen {
        ($counts:ident, $number:ty) => {{
            let start = $counts.len();
            $counts.resize(start + bytes.len(), 0);
            let places = &mut $counts[start..];
            places.iter_mut().zip(bytes).for_each(|(place, &byte)| *place = <$number>::from(byte >> GAP_BITS) + 1);
            for (place, &byte) in places.iter_mut().zip(bytes) {
                if byte >> GAP_BITS == LARGE_COUNT {
                    *place = count_of(byte, &mut large_counts) as $number;
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

/// Calls `f` with the range of entries of each frame.
fn for_each_frame(frame_sizes: Column<'_>, mut f: impl FnMut(Range<usize>)) {
    let mut start = 0;
    for size in frame_sizes.iter() {
        f(start..start + size as usize);
        start += size as usize;
    }
}
