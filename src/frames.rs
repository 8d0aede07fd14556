//! Sparse frames: the one form a recording has from binning to the first weight.
//!
//! A sample is T frames of shape (P, H, W). Most cells of most frames are empty, so a frame is kept as the list of
//! its occupied cells and their counts, and a sample as three columns:
//!
//! ```text
//! frame_sizes   T numbers    how many cells of each frame are occupied
//! cells         N numbers    their indices (p * H + y) * W + x, ascending within a frame
//! counts        N numbers    how many events fell into each, at least 1
//! ```
//!
//! The columns of many samples, one after another, are a [`SparseFrames`]. A chunk of a shard, the host cache and a
//! batch are all that, at the same integer widths, so that nothing is re-encoded between disk and kernel.

use serde::{Deserialize, Serialize};

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

    /// Whether a frame has at least one cell and its cells can be numbered in 32 bits.
    pub fn is_valid(self) -> bool {
        let planes = u64::from(self.polarities) * u64::from(self.height);
        planes > 0 && self.width > 0 && planes.checked_mul(u64::from(self.width)).is_some_and(|n| n <= 1 << 32)
    }
}

impl std::fmt::Display for FrameShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({}, {}, {})", self.polarities, self.height, self.width)
    }
}

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

/// The widths of a set's three columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Widths {
    /// Of `frame_sizes`: a frame has at most P * H * W occupied cells.
    pub frame_sizes: Width,
    /// Of `cells`: the last is P * H * W - 1.
    pub cells: Width,
    /// Of `counts`: as the data need.
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

    fn slice(self, from: usize, to: usize) -> Column<'a> {
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
    fn push(&mut self, value: u32) {
        match self {
            ColumnBuf::U8(v) => v.push(value.min(0xff) as u8),
            ColumnBuf::U16(v) => v.push(value.min(0xffff) as u16),
            ColumnBuf::U32(v) => v.push(value),
        }
    }

    /// Appends a column of the same or a narrower width.
    fn extend(&mut self, column: Column<'_>) {
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

/// The frames of any number of samples, as three columns one sample after another.
///
/// ```
/// use tonic_toolkit::frames::{FrameShape, SparseFrames, Width, Widths};
///
/// let shape = FrameShape { polarities: 1, height: 1, width: 4 };
/// let mut frames = SparseFrames::new(Widths::of(shape, Width::U8));
/// frames.push(&[1, 0, 2], &[3, 0, 1], &[7, 1, 2]).unwrap();
/// let sample = frames.sample(0);
/// assert_eq!((sample.frames(), sample.entries(), sample.events()), (3, 3, 10));
/// assert_eq!(sample.to_dense::<u32>(shape), [0, 0, 0, 7, 0, 0, 0, 0, 1, 2, 0, 0]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SparseFrames {
    /// Occupied cells of each frame.
    pub frame_sizes: ColumnBuf,
    /// Indices of the occupied cells.
    pub cells: ColumnBuf,
    /// Events in each.
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
    pub fn push(&mut self, frame_sizes: &[u32], cells: &[u32], counts: &[u32]) -> Result<(), CountTooLarge> {
        debug_assert_eq!(frame_sizes.iter().sum::<u32>() as usize, cells.len());
        debug_assert_eq!(cells.len(), counts.len());
        let largest = counts.iter().copied().max().unwrap_or(0);
        if largest > self.counts.width().max() {
            return Err(CountTooLarge(largest));
        }
        self.frame_sizes.extend(Column::U32(frame_sizes));
        self.cells.extend(Column::U32(cells));
        self.counts.extend(Column::U32(counts));
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

    /// Appends samples whose columns were filled by the caller: `(frames, entries)` of each, in order.
    ///
    /// # Panics
    /// If they do not add up to the columns' lengths.
    pub fn set_samples(&mut self, samples: impl Iterator<Item = (usize, usize)>) {
        for (frames, entries) in samples {
            self.frame_offsets.push(self.frame_offsets[self.len()] + frames);
            self.entry_offsets.push(self.entry_offsets[self.entry_offsets.len() - 1] + entries);
        }
        assert_eq!(self.frame_offsets.last(), Some(&self.frame_sizes.len()));
        assert_eq!(self.entry_offsets.last(), Some(&self.cells.len()));
        assert_eq!(self.cells.len(), self.counts.len());
    }

    /// Appends all of another's samples, whose columns have these widths or narrower ones.
    pub fn append(&mut self, other: &SparseFrames) {
        let (frames, entries) = (self.frame_sizes.len(), self.cells.len());
        self.frame_sizes.extend(other.frame_sizes.view());
        self.cells.extend(other.cells.view());
        self.counts.extend(other.counts.view());
        self.frame_offsets.extend(other.frame_offsets[1..].iter().map(|&offset| frames + offset));
        self.entry_offsets.extend(other.entry_offsets[1..].iter().map(|&offset| entries + offset));
    }

    fn end_sample(&mut self) {
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

    /// Bytes of the columns and the offsets.
    pub fn bytes(&self) -> usize {
        let column = |c: &ColumnBuf| c.len() * c.width().bytes();
        column(&self.frame_sizes)
            + column(&self.cells)
            + column(&self.counts)
            + (self.frame_offsets.len() + self.entry_offsets.len()) * size_of::<usize>()
    }
}

/// One sample's frames, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleFrames<'a> {
    /// Occupied cells of each frame, T numbers.
    pub frame_sizes: Column<'a>,
    /// Indices of the occupied cells, ascending within a frame.
    pub cells: Column<'a>,
    /// Events in each.
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

    /// Events over all frames.
    pub fn events(&self) -> u64 {
        self.counts.sum()
    }

    /// `(frame, cell, count)` of every occupied cell, in order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u32, u32)> {
        let frames = self.frame_sizes.iter().enumerate().flat_map(|(t, n)| std::iter::repeat_n(t, n as usize));
        frames.zip(self.cells.iter().zip(self.counts.iter())).map(|(t, (cell, count))| (t, cell, count))
    }

    /// Writes the counts into `out`, dense (T, P, H, W) and zero before; frames beyond its end are left out.
    pub fn write_dense<N: FromCount>(&self, shape: FrameShape, out: &mut [N]) {
        let frames = out.chunks_exact_mut(shape.cells() as usize).zip(self.frame_sizes.iter());
        each_width!(self.cells, Column, cells => each_width!(self.counts, Column, counts => {
            let mut entries = cells.iter().zip(counts);
            for (frame, size) in frames {
                for (&cell, &count) in entries.by_ref().take(size as usize) {
                    frame[cell as usize] = N::from_count(count.into());
                }
            }
        }))
    }

    /// The dense frames, (T, P, H, W).
    pub fn to_dense<N: FromCount>(&self, shape: FrameShape) -> Vec<N> {
        let mut out = vec![N::from_count(0); self.frames() * shape.cells() as usize];
        self.write_dense(shape, &mut out);
        out
    }
}

/// Numbers that a dense frame can be made of.
pub trait FromCount: Copy {
    /// The count as this type.
    fn from_count(count: u32) -> Self;
}

impl FromCount for u32 {
    fn from_count(count: u32) -> u32 {
        count
    }
}

impl FromCount for f32 {
    fn from_count(count: u32) -> f32 {
        count as f32
    }
}
