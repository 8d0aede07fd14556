//! Sparse frames: the one form a recording has from binning to the first weight.
//!
//! A sample is T frames of shape (P, H, W). Most cells of most frames are empty, so a frame is kept as the list of
//! its occupied cells and their counts, and a sample as three columns:
//!
//! ```text
//! frame_sizes   T numbers    how many cells of each frame are occupied
//! cells         N numbers    their indices (p * H + y) * W + x, ascending within a frame
//! counts        N numbers    how many events fell into each, at least 1; in surfaces their values, which are not 0
//! ```
//!
//! The columns of many samples, one after another, are a [`SparseFrames`]. A chunk of a shard, the host cache and a
//! batch are all that, at the same integer widths, so that nothing is re-encoded between disk and kernel.

use serde::{Deserialize, Serialize};

use crate::column::each_width;
pub use crate::column::{Column, ColumnBuf, Width};

/// The shape of one frame, in Tonic's order (P, H, W).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameShape {
    /// Polarities, P.
    pub polarities: u32,
    /// Rows, H. A cochlea has one.
    pub height: u32,
    /// Columns, W: pixels of a row or channels of a cochlea.
    pub width: u32,
}

impl FrameShape {
    /// P * H * W, the number of cells in a frame.
    pub fn cells(self) -> u64 {
        u64::from(self.polarities) * u64::from(self.height) * u64::from(self.width)
    }

    /// The p, y and x of a cell.
    pub fn place(self, cell: u32) -> [u32; 3] {
        let (row, x) = (cell / self.width, cell % self.width);
        [row / self.height, row % self.height, x]
    }

    /// Whether a frame has at least one cell and its cells can be numbered in 32 bits.
    pub fn is_valid(self) -> bool {
        let planes = u64::from(self.polarities) * u64::from(self.height);
        planes > 0 && self.width > 0 && planes.checked_mul(u64::from(self.width)).is_some_and(|n| n <= u32::MAX.into())
    }
}

impl std::fmt::Display for FrameShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({}, {}, {})", self.polarities, self.height, self.width)
    }
}

/// The widths of a set's three columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Widths {
    /// Of `frame_sizes`: a frame has at most P * H * W occupied cells.
    pub frame_sizes: Width,
    /// Of `cells`: the last is P * H * W - 1.
    pub cells: Width,
    /// Of `counts`: as the data need; float32 for surfaces.
    pub counts: Width,
}

impl Widths {
    /// The widths that frames of `shape` with counts of `counts` need.
    pub fn of(shape: FrameShape, counts: Width) -> Widths {
        let cells = shape.cells();
        Widths {
            frame_sizes: Width::holding(cells.min(u32::MAX.into()) as u32),
            cells: Width::holding((cells - 1) as u32),
            counts,
        }
    }
}

/// The frames of any number of samples, as three columns one sample after another.
///
/// ```
/// use tonic_toolkit::frames::{Column, FrameShape, SparseFrames, Width, Widths};
///
/// let shape = FrameShape { polarities: 1, height: 1, width: 4 };
/// let mut frames = SparseFrames::new(Widths::of(shape, Width::U8));
/// frames.push(&[1, 0, 2], &[3, 0, 1], Column::U32(&[7, 1, 2])).unwrap();
/// let sample = frames.sample(0);
/// assert_eq!((sample.frames(), sample.entries(), sample.events()), (3, 3, 10));
/// assert_eq!(sample.to_dense::<u32>(shape), [0, 0, 0, 7, 0, 0, 0, 0, 1, 2, 0, 0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SparseFrames {
    /// Occupied cells of each frame.
    pub frame_sizes: ColumnBuf,
    /// Indices of the occupied cells.
    pub cells: ColumnBuf,
    /// Events in each, or the surface's value.
    pub counts: ColumnBuf,
    /// Where each sample's frames begin, and the end: one more than samples.
    frame_offsets: Vec<usize>,
    /// Where each sample's entries begin, and the end.
    entry_offsets: Vec<usize>,
}

/// A count that the columns' width does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountTooLarge(pub u32);

impl SparseFrames {
    /// No samples, with columns of `widths`.
    pub fn new(widths: Widths) -> SparseFrames {
        SparseFrames {
            frame_sizes: ColumnBuf::new(widths.frame_sizes),
            cells: ColumnBuf::new(widths.cells),
            counts: ColumnBuf::new(widths.counts),
            frame_offsets: vec![0],
            entry_offsets: vec![0],
        }
    }

    /// How many samples.
    pub fn len(&self) -> usize {
        self.frame_offsets.len() - 1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The widths of the columns.
    pub fn widths(&self) -> Widths {
        Widths { frame_sizes: self.frame_sizes.width(), cells: self.cells.width(), counts: self.counts.width() }
    }

    /// Forgets the samples and keeps the memory.
    pub fn clear(&mut self) {
        self.frame_sizes.clear();
        self.cells.clear();
        self.counts.clear();
        self.frame_offsets.truncate(1);
        self.entry_offsets.truncate(1);
    }

    /// Appends a sample.
    ///
    /// # Errors
    /// A count that the width of `counts` does not hold; nothing is appended then.
    ///
    /// # Panics
    /// If a surface is appended to counts.
    pub fn push(&mut self, frame_sizes: &[u32], cells: &[u32], counts: Column<'_>) -> Result<(), CountTooLarge> {
        debug_assert_eq!(frame_sizes.iter().sum::<u32>() as usize, cells.len());
        debug_assert_eq!(cells.len(), counts.len());
        let surface = |width| width == Width::F32;
        assert_eq!(surface(counts.width()), surface(self.counts.width()), "a set holds counts or surfaces");
        let largest = counts.max().unwrap_or(0);
        if largest > self.counts.width().max() {
            return Err(CountTooLarge(largest));
        }
        self.frame_sizes.extend(Column::U32(frame_sizes));
        self.cells.extend(Column::U32(cells));
        self.counts.extend(counts);
        self.end_sample();
        Ok(())
    }

    /// Appends a sample whose columns have these widths or narrower ones.
    pub fn push_sample(&mut self, sample: SampleFrames<'_>) {
        self.frame_sizes.extend(sample.frame_sizes);
        self.cells.extend(sample.cells);
        self.counts.extend(sample.counts);
        self.end_sample();
    }

    /// Ends a sample whose columns have been appended.
    pub(crate) fn end_sample(&mut self) {
        self.frame_offsets.push(self.frame_sizes.len());
        self.entry_offsets.push(self.cells.len());
    }

    /// Sample `i`, borrowed.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn sample(&self, i: usize) -> SampleFrames<'_> {
        let (frames, entries) = (&self.frame_offsets[i..i + 2], &self.entry_offsets[i..i + 2]);
        SampleFrames {
            frame_sizes: self.frame_sizes.view().slice(frames[0], frames[1]),
            cells: self.cells.view().slice(entries[0], entries[1]),
            counts: self.counts.view().slice(entries[0], entries[1]),
        }
    }

    /// All samples, in order.
    pub fn samples(&self) -> impl Iterator<Item = SampleFrames<'_>> {
        (0..self.len()).map(|i| self.sample(i))
    }

    /// Bytes of the columns.
    pub fn column_bytes(&self) -> usize {
        [&self.frame_sizes, &self.cells, &self.counts].into_iter().map(|c| c.len() * c.width().bytes()).sum()
    }

    /// Bytes of the columns and the offsets.
    pub fn bytes(&self) -> usize {
        self.column_bytes() + (self.frame_offsets.len() + self.entry_offsets.len()) * size_of::<usize>()
    }
}

/// One sample's frames, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleFrames<'a> {
    /// Occupied cells of each frame, T numbers.
    pub frame_sizes: Column<'a>,
    /// Indices of the occupied cells, ascending within a frame.
    pub cells: Column<'a>,
    /// Events in each, or the surface's value.
    pub counts: Column<'a>,
}

impl SampleFrames<'_> {
    /// T, the number of frames.
    pub fn frames(&self) -> usize {
        self.frame_sizes.len()
    }

    /// Occupied cells over all frames.
    pub fn entries(&self) -> usize {
        self.cells.len()
    }

    /// Events over all frames; a surface does not tell them.
    pub fn events(&self) -> u64 {
        self.counts.sum()
    }

    /// `(frame, cell, count)` of every occupied cell, in order; in surfaces, the value is the third.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u32, f64)> {
        let frames = self.frame_sizes.iter().enumerate().flat_map(|(t, n)| std::iter::repeat_n(t, n as usize));
        frames.zip(self.cells.iter().zip(self.counts.values())).map(|(t, (cell, count))| (t, cell, count))
    }

    /// Writes the counts into `out`, dense (T, P, H, W) and zero before; frames beyond its end are left out.
    pub fn write_dense<N: FromValue>(&self, shape: FrameShape, out: &mut [N]) {
        let frames = out.chunks_exact_mut(shape.cells() as usize).zip(self.frame_sizes.iter());
        each_width!(self.cells, Column, cells => each_width!(self.counts, Column, counts => {
            let mut entries = cells.iter().zip(counts);
            for (frame, size) in frames {
                for (&cell, &value) in entries.by_ref().take(size as usize) {
                    frame[cell as usize] = N::from_value(f64::from(value));
                }
            }
        }))
    }

    /// The dense frames, (T, P, H, W).
    pub fn to_dense<N: FromValue>(&self, shape: FrameShape) -> Vec<N> {
        let mut out = vec![N::from_value(0.0); self.frames() * shape.cells() as usize];
        self.write_dense(shape, &mut out);
        out
    }
}

/// Numbers that a dense frame can be made of.
pub trait FromValue: Copy {
    /// The count, or the surface's value, as this type.
    fn from_value(value: f64) -> Self;
}

impl FromValue for u32 {
    fn from_value(value: f64) -> u32 {
        value as u32
    }
}

impl FromValue for f32 {
    fn from_value(value: f64) -> f32 {
        value as f32
    }
}
