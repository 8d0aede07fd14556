//! Sparse frames: how samples are represented from binning to the first layer of the network.
//!
//! A sample is T frames of shape (P, H, W). A frame is stored as a list of its occupied cells and their counts. A
//! sample with N occupied cells in all its frames is three columns:
//!
//! ```text
//! frame_sizes   T numbers    number of occupied cells in each frame
//! cells         N numbers    index of each occupied cell, (p * H + y) * W + x, ascending within a frame
//! counts        N numbers    events in each occupied cell, at least 1; in time surfaces, a value other than 0
//! ```
//!
//! [`SparseFrames`] holds the columns of several samples. On disk and in the host cache, chunks are packed more
//! tightly: see `entries.rs`.

use serde::{Deserialize, Serialize};

pub(crate) use crate::column::{Column, ColumnBuf, Width};
use crate::each_width;

/// Shape of one frame, (P, H, W) as in Tonic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameShape {
    /// Number of polarities, P.
    pub polarities: u32,
    /// Number of rows, H; 1 for a cochlea.
    pub height: u32,
    /// Number of columns, W: pixels per row, or channels of a cochlea.
    pub width: u32,
}

impl FrameShape {
    /// Number of cells in a frame, P * H * W.
    pub fn cells(self) -> u64 {
        u64::from(self.polarities) * u64::from(self.height) * u64::from(self.width)
    }

    /// The shape as the dimensions of a dense array, [P, H, W].
    pub fn dims(self) -> [usize; 3] {
        [self.polarities, self.height, self.width].map(|n| n as usize)
    }

    /// Coordinates [p, y, x] of the cell with this index.
    pub fn coordinates(self, cell: u32) -> [u32; 3] {
        let (row, x) = (cell / self.width, cell % self.width);
        [row / self.height, row % self.height, x]
    }

    /// Returns the number of rows of a raster, and the word for a row, in singular and plural. A row of the raster is a
    /// channel of a cochlea, or a row of pixels of a camera.
    pub fn raster_rows(self) -> (u32, [&'static str; 2]) {
        match self.height {
            1 => (self.width, ["channel", "channels"]),
            height => (height, ["row of pixels", "rows of pixels"]),
        }
    }

    /// Returns how a raster shows a cell: the row, counted from 0 at the bottom, and whether to use the second colour.
    /// If a frame has several polarities, the cells of polarity 0 have the second colour.
    pub fn raster_place(self, cell: u32) -> (u32, bool) {
        let [p, y, x] = self.coordinates(cell);
        (if self.height == 1 { x } else { self.height - 1 - y }, p == 0 && self.polarities > 1)
    }

    /// Whether a frame has at least 1 and fewer than 2^32 cells.
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

/// Widths of the three columns of a set's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Widths {
    /// Width of `frame_sizes`, whose values are at most P * H * W.
    pub frame_sizes: Width,
    /// Width of `cells`, whose values are at most P * H * W - 1.
    pub cells: Width,
    /// Width of `counts`; float32 for time surfaces and similar frames.
    pub counts: Width,
}

impl Widths {
    /// Returns the narrowest widths for frames of `shape`, with the given width of `counts`.
    pub fn of(shape: FrameShape, counts: Width) -> Widths {
        let cells = shape.cells();
        Widths {
            frame_sizes: Width::holding(cells.min(u32::MAX.into()) as u32),
            cells: Width::holding((cells - 1) as u32),
            counts,
        }
    }
}

/// Frames of several samples in three columns, one sample after another.
///
/// ```
/// use tonic_shard::{Column, FrameShape, SparseFrames, Width, Widths};
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
    /// Number of occupied cells in each frame.
    pub frame_sizes: ColumnBuf,
    /// Indices of the occupied cells.
    pub cells: ColumnBuf,
    /// Number of events in each occupied cell. For float32 frames (such as time surfaces), the value of the cell.
    pub counts: ColumnBuf,
    /// Index of each sample's first frame in `frame_sizes`. One more item at the end: the number of all frames.
    frame_offsets: Vec<usize>,
    /// Index of each sample's first cell in `cells` and `counts`. One more item at the end: the number of all cells.
    entry_offsets: Vec<usize>,
}

/// Error: this count is too large for the width of the column `counts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountTooLarge(pub u32);

impl SparseFrames {
    /// Creates empty columns with these widths.
    pub fn new(widths: Widths) -> SparseFrames {
        SparseFrames {
            frame_sizes: ColumnBuf::new(widths.frame_sizes),
            cells: ColumnBuf::new(widths.cells),
            counts: ColumnBuf::new(widths.counts),
            frame_offsets: vec![0],
            entry_offsets: vec![0],
        }
    }

    /// Number of samples in the columns.
    pub fn len(&self) -> usize {
        self.frame_offsets.len() - 1
    }

    /// Whether the columns have no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Widths of the columns.
    pub fn widths(&self) -> Widths {
        Widths { frame_sizes: self.frame_sizes.width(), cells: self.cells.width(), counts: self.counts.width() }
    }

    /// Removes all samples, but keeps the allocated memory.
    pub fn clear(&mut self) {
        self.frame_sizes.clear();
        self.cells.clear();
        self.counts.clear();
        self.frame_offsets.truncate(1);
        self.entry_offsets.truncate(1);
    }

    /// Appends a sample. `frame_sizes` has one number per frame. `cells` and `counts` have one number per occupied
    /// cell.
    ///
    /// # Errors
    /// [`CountTooLarge`] if a count doesn't fit the width of `counts`; nothing is appended then.
    ///
    /// # Panics
    /// If float32 values are appended to integer counts, or integer counts to float32 values.
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

    /// Appends a sample. The columns of `sample` must not be wider than these columns.
    pub fn push_sample(&mut self, sample: SampleFrames<'_>) {
        self.frame_sizes.extend(sample.frame_sizes);
        self.cells.extend(sample.cells);
        self.counts.extend(sample.counts);
        self.end_sample();
    }

    /// Ends a sample whose numbers have been appended to the columns.
    pub(crate) fn end_sample(&mut self) {
        self.frame_offsets.push(self.frame_sizes.len());
        self.entry_offsets.push(self.cells.len());
    }

    /// Sample `i`, borrowed.
    ///
    /// # Panics
    /// If `i` is not below [`SparseFrames::len`].
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

    /// Size of the three columns in bytes.
    pub fn column_bytes(&self) -> usize {
        [&self.frame_sizes, &self.cells, &self.counts].into_iter().map(|c| c.len() * c.width().bytes()).sum()
    }

    /// Size in bytes of the columns and of the two lists of offsets.
    pub fn bytes(&self) -> usize {
        self.column_bytes() + (self.frame_offsets.len() + self.entry_offsets.len()) * size_of::<usize>()
    }
}

/// Frames of one sample, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleFrames<'a> {
    /// Number of occupied cells in each frame, (T,).
    pub frame_sizes: Column<'a>,
    /// Indices of the occupied cells, ascending within a frame, (N,).
    pub cells: Column<'a>,
    /// Number of events in each occupied cell, (N,). For float32 frames (such as time surfaces), the value of the
    /// cell.
    pub counts: Column<'a>,
}

impl SampleFrames<'_> {
    /// Number of frames, T.
    pub fn frames(&self) -> usize {
        self.frame_sizes.len()
    }

    /// Number of occupied cells in all frames, N.
    pub fn entries(&self) -> usize {
        self.cells.len()
    }

    /// Sum of the counts in all frames; 0 for float32 frames.
    pub fn events(&self) -> u64 {
        self.counts.sum()
    }

    /// Iterates over the occupied cells as `(frame, cell, count)`. For float32 frames, `count` is the value of the
    /// cell.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u32, f64)> {
        let frames = self.frame_sizes.iter().enumerate().flat_map(|(t, n)| std::iter::repeat_n(t, n as usize));
        frames.zip(self.cells.iter().zip(self.counts.values())).map(|(t, (cell, count))| (t, cell, count))
    }

    /// Writes the counts into `out` as dense frames, (T, P, H, W). `out` must be all zeros. Its length sets T: longer
    /// samples are cut.
    pub fn write_dense<N: FromValue>(&self, shape: FrameShape, out: &mut [N]) {
        let frames = out.chunks_exact_mut(shape.cells() as usize).zip(self.frame_sizes.iter());
        each_width!(self.cells, Column, cells => each_width!(self.counts, Column, counts => {
            let mut entries = cells.iter().zip(counts);
            for (frame, size) in frames {
                for (&cell, &value) in entries.by_ref().take(size as usize) {
                    frame[cell as usize] = N::from_value(f64::from(value));
                }
            }
        }));
    }

    /// Dense frames, (T, P, H, W), in one vector.
    pub fn to_dense<N: FromValue>(&self, shape: FrameShape) -> Vec<N> {
        let mut out = vec![N::from_value(0.0); self.frames() * shape.cells() as usize];
        self.write_dense(shape, &mut out);
        out
    }
}

/// A number type for the values of dense frames.
pub trait FromValue: Copy + Default {
    /// Converts a count or a float32 value of a cell.
    fn from_value(value: f64) -> Self;

    /// Converts a count.
    fn from_count(count: u32) -> Self;
}

macro_rules! from_value {
    ($($number:ty),*) => {$(
        impl FromValue for $number {
            fn from_value(value: f64) -> $number {
                value as $number
            }

            fn from_count(count: u32) -> $number {
                count as $number
            }
        }
    )*};
}

from_value!(u8, u16, u32, f32);
