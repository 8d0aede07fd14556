//! Cells as gaps, the form in which a chunk stores them: a tenth smaller under zstd than the indices themselves.

use crate::frames::{Column, ColumnBuf, SparseFrames};

/// The cells as gaps: the first of a frame as it is, then the difference to the one before less 1.
pub(super) fn gaps(frames: &SparseFrames) -> ColumnBuf {
    let mut gaps = frames.cells.clone();
    for_each_frame(&frames.frame_sizes.view(), |frame| match &mut gaps {
        ColumnBuf::U8(cells) => cells_to_gaps(&mut cells[frame], |a, b| a - b - 1),
        ColumnBuf::U16(cells) => cells_to_gaps(&mut cells[frame], |a, b| a - b - 1),
        ColumnBuf::U32(cells) => cells_to_gaps(&mut cells[frame], |a, b| a - b - 1),
    });
    gaps
}

fn cells_to_gaps<N: Copy>(cells: &mut [N], gap: impl Fn(N, N) -> N) {
    for i in (1..cells.len()).rev() {
        cells[i] = gap(cells[i], cells[i - 1]);
    }
}

/// Gaps back to cells, in place; whether they all stay below `limit`.
pub(super) fn gaps_to_cells(cells: &mut ColumnBuf, frame_sizes: &Column<'_>, limit: u64) -> bool {
    // A frame's running sum is kept in 64 bits, where it cannot wrap; what is stored is only used if all fit.
    macro_rules! sum_gaps {
        ($cells:ident, $number:ty) => {{
            let mut largest = 0_u64;
            for_each_frame(frame_sizes, |frame| {
                let mut next = 0_u64;
                for cell in &mut $cells[frame] {
                    next += u64::from(*cell);
                    *cell = next as $number;
                    next += 1;
                }
                largest = largest.max(next);
            });
            largest <= limit
        }};
    }
    match cells {
        ColumnBuf::U8(cells) => sum_gaps!(cells, u8),
        ColumnBuf::U16(cells) => sum_gaps!(cells, u16),
        ColumnBuf::U32(cells) => sum_gaps!(cells, u32),
    }
}

/// Calls `f` with the range of entries of each frame.
fn for_each_frame(frame_sizes: &Column<'_>, mut f: impl FnMut(std::ops::Range<usize>)) {
    let mut start = 0;
    let mut call = |size: usize| {
        f(start..start + size);
        start += size;
    };
    match frame_sizes {
        Column::U8(sizes) => sizes.iter().for_each(|&n| call(n.into())),
        Column::U16(sizes) => sizes.iter().for_each(|&n| call(n.into())),
        Column::U32(sizes) => sizes.iter().for_each(|&n| call(n as usize)),
    }
}
