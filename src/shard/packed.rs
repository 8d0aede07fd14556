//! A chunk as training keeps it: decompressed and checked, with its entries (occupied cells and counts) still packed.

use std::ops::Range;

use crate::body::{BodyFault, Located, Start, cells_fault, locate, read_table};
use crate::chunk::{Chunk, SampleTable};
use crate::entries::{add_cells, add_counts, count_of, gap_of, largest_count, sum_counts, sum_gaps};
use crate::frames::{FrameShape, FromValue, SparseFrames, Width, Widths};
use crate::layout::SetLayout;
use crate::planes::Planes;

/// About how many numbers of a dense sample are set to 0 at a time. So few that they fit into the L1 cache.
const ZEROED: usize = 4096;

/// A decompressed chunk with packed cells and counts.
#[derive(Clone, Debug)]
pub struct PackedChunk {
    /// The decoded bytes of the chunk, as FORMAT.md specifies them.
    pub(crate) body: Vec<u8>,
    at: Located,
    widths: Widths,
    shape: FrameShape,
    starts: Vec<Start>,
}

/// One sample of a [`PackedChunk`], borrowed.
#[derive(Clone, Copy, Debug)]
pub struct PackedSample<'a> {
    frame_sizes: Planes<'a>,
    entries: &'a [u8],
    long_gaps: Planes<'a>,
    /// Each count of 8 or more, minus 8. For float32 frames: all values.
    large_counts: Planes<'a>,
    widths: Widths,
    shape: FrameShape,
}

impl PackedChunk {
    /// Creates an empty chunk.
    pub fn new(layout: &SetLayout) -> PackedChunk {
        let (at, starts) = (Located::default(), vec![Start::default()]);
        PackedChunk { body: Vec::new(), at, widths: layout.widths, shape: layout.shape, starts }
    }

    /// Finds and checks the columns in `body`. Doesn't check whether cells are inside the frame. Returns an error if
    /// the unpacked columns would take more than `most` bytes.
    pub(crate) fn index(&mut self, layout: &SetLayout, samples: u32, most: u64) -> Result<(), BodyFault> {
        (self.widths, self.shape) = (layout.widths, layout.shape);
        let located = locate(&self.body, layout, (samples, most), &mut self.starts);
        self.at = located.inspect_err(|_| self.starts.truncate(1))?;
        Ok(())
    }

    /// Removes all samples, but keeps the allocated memory.
    pub(crate) fn clear(&mut self) {
        self.body.clear();
        self.starts.truncate(1);
    }

    /// Number of samples in the chunk.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether the chunk has no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Widths that the columns have after unpacking.
    pub fn widths(&self) -> Widths {
        self.widths
    }

    /// Class of sample `i`, or [`NO_LABEL`](crate::chunk::NO_LABEL).
    ///
    /// # Panics
    /// If `i` is not below [`PackedChunk::len`].
    pub fn label(&self, i: usize) -> u32 {
        let label = &self.body[self.at.labels.clone()][4 * i..4 * i + 4];
        label.iter().rev().fold(0, |n, &byte| n << 8 | u32::from(byte))
    }

    /// Sample `i`, borrowed.
    ///
    /// # Panics
    /// If `i` is not below [`PackedChunk::len`].
    pub fn sample(&self, i: usize) -> PackedSample<'_> {
        let (from, to, all) = (self.starts[i], self.starts[i + 1], self.starts[self.len()]);
        let planes = |column: &Range<usize>, stride: u32, start: u32, end: u32| {
            Planes::of(&self.body[column.clone()], stride as usize).slice(start, end)
        };
        let at = &self.at;
        PackedSample {
            frame_sizes: planes(&at.frame_sizes, all.frames, from.frames, to.frames),
            entries: &self.body[at.packed.clone()][from.entries as usize..to.entries as usize],
            long_gaps: planes(&at.long_gaps, all.long_gaps, from.long_gaps, to.long_gaps),
            large_counts: planes(&at.large_counts, all.large_counts, from.large_counts, to.large_counts),
            widths: self.widths,
            shape: self.shape,
        }
    }

    /// Reads labels, flags, ledgers and extra columns. Replaces the content of `table`.
    pub fn read_table(&self, table: &mut SampleTable) {
        read_table(&self.body, &self.at, table);
    }

    pub(crate) fn unpack(&self, chunk: &mut Chunk) -> Result<(), BodyFault> {
        self.read_table(&mut chunk.table);
        let out = &mut chunk.frames;
        if out.widths() != self.widths {
            *out = SparseFrames::new(self.widths);
        }
        out.clear();
        if self.samples().all(|sample| sample.unpack(out)) { Ok(()) } else { Err(cells_fault(self.shape)) }
    }

    /// All samples, in order.
    pub fn samples(&self) -> impl Iterator<Item = PackedSample<'_>> {
        (0..self.len()).map(|i| self.sample(i))
    }

    /// Size of the chunk in memory, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<PackedChunk>() + self.body.capacity() + self.starts.capacity() * size_of::<Start>()
    }

    /// Predicts [`PackedChunk::bytes`] from the number of samples and the decoded size in bytes.
    pub fn bytes_of(samples: u32, decoded: u32) -> u64 {
        size_of::<PackedChunk>() as u64 + u64::from(decoded) + (u64::from(samples) + 1) * size_of::<Start>() as u64
    }
}

impl<'a> PackedSample<'a> {
    /// Values of the occupied cells. Only for float32 frames.
    pub fn values(self) -> impl Iterator<Item = f64> + use<'a> {
        self.large_counts.iter().map(|bits| f64::from(f32::from_bits(bits)))
    }
}

impl PackedSample<'_> {
    /// Number of frames, T.
    pub fn frames(&self) -> usize {
        self.frame_sizes.len()
    }

    /// Number of occupied cells in all frames, N.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// Sum of the counts. Only for frames with counts.
    pub(crate) fn events(&self) -> u64 {
        sum_counts(self.entries) + self.large_counts.iter().map(u64::from).sum::<u64>()
    }

    /// The largest count. 0 for float32 frames.
    pub(crate) fn max_count(&self) -> u32 {
        match self.widths.counts {
            Width::F32 => 0,
            _ => largest_count(self.entries) + self.large_counts.iter().max().unwrap_or(0),
        }
    }

    /// Calls `each` with the cell and the count of every occupied cell. For float32 frames, the count is 1.
    ///
    /// The cells must be inside the frame.
    pub fn for_each(&self, mut each: impl FnMut(u32, u32)) {
        let surface = self.widths.counts == Width::F32;
        let (mut gaps, mut large, mut rest) = (self.long_gaps.iter(), self.large_counts.iter(), self.entries);
        for size in self.sizes() {
            let (frame, others) = rest.split_at(size);
            rest = others;
            let mut next = 0;
            for &byte in frame {
                let cell = next + gap_of(byte, &mut gaps);
                next = cell + 1;
                each(cell as u32, if surface { 1 } else { count_of(byte, &mut large) });
            }
        }
    }

    /// Whether all cells are inside the frame.
    pub fn fits(&self) -> bool {
        let (cells, mut entries, mut long_gaps) = (self.shape.cells(), self.entries, self.long_gaps);
        self.sizes().all(|size| {
            let (gaps, long) = sum_gaps(entries, size);
            entries = &entries[size..];
            size as u64 + gaps + Planes::take_sum(&mut long_gaps, long) <= cells
        })
    }

    /// Unpacks the sample and appends it to `frames`. Returns whether all cells are inside the frame. If not, the
    /// appended sample must be discarded.
    pub fn unpack(&self, frames: &mut SparseFrames) -> bool {
        self.frame_sizes.append_to(&mut frames.frame_sizes);
        let (sizes, cells) = (self.sizes(), self.shape.cells());
        let inside = match self.long_gaps.bytes() {
            Some(gaps) => {
                let gaps = gaps.iter().copied().map(u32::from);
                add_cells(self.entries, gaps, sizes, cells, &mut frames.cells)
            }
            None => add_cells(self.entries, self.long_gaps.iter(), sizes, cells, &mut frames.cells),
        };
        if self.widths.counts == Width::F32 {
            self.large_counts.append_to(&mut frames.counts);
        } else {
            add_counts(self.entries, self.large_counts.iter(), &mut frames.counts);
        }
        frames.end_sample();
        inside
    }

    /// Writes the sample into `out` as dense frames, (T, P, H, W). The length of `out` sets T: the sample is padded
    /// with zeros or cut. Returns whether all written cells are inside the frame.
    ///
    /// `N` must be able to hold the counts of the set; for float32 frames, it must be f32.
    pub fn write_dense<N: FromValue>(&self, out: &mut [N]) -> bool {
        let cells = self.shape.cells() as usize;
        self.write_blocks(out.chunks_mut(cells * (ZEROED / cells).max(1)))
    }

    /// Like [`PackedSample::write_dense`], but writes into separate blocks of memory, which hold one or more frames
    /// each.
    pub fn write_blocks<'b, N: FromValue + 'b>(&self, blocks: impl Iterator<Item = &'b mut [N]>) -> bool {
        let (gaps, large) = (self.long_gaps, self.large_counts);
        if self.widths.counts == Width::F32 {
            let mut values = large.iter();
            let value = |_| N::from_value(f32::from_bits(values.next().unwrap_or(0)).into());
            return self.write_values(blocks, gaps.iter(), value);
        }
        match (gaps.bytes(), large.bytes()) {
            // Slices instead of [`Planes`] leave more registers to the loop.
            (Some(gaps), Some(large)) => {
                let mut large = large.iter().copied().map(u32::from);
                let value = |byte| N::from_count(count_of(byte, &mut large));
                self.write_values(blocks, gaps.iter().copied().map(u32::from), value)
            }
            _ => {
                let mut large = large.iter();
                self.write_values(blocks, gaps.iter(), |byte| N::from_count(count_of(byte, &mut large)))
            }
        }
    }

    #[inline(always)]
    fn write_values<'b, N: FromValue + 'b>(
        &self,
        blocks: impl Iterator<Item = &'b mut [N]>,
        mut gaps: impl Iterator<Item = u32>,
        mut value: impl FnMut(u8) -> N,
    ) -> bool {
        let (cells, mut sizes, mut rest) = (self.shape.cells() as usize, self.sizes(), self.entries);
        for block in blocks {
            zero(block);
            for frame in block.chunks_exact_mut(cells) {
                let Some(size) = sizes.next() else { break };
                let (entries, others) = rest.split_at(size);
                rest = others;
                let mut next = 0;
                for &byte in entries {
                    let cell = next + gap_of(byte, &mut gaps);
                    next = cell + 1;
                    match frame.get_mut(cell as usize) {
                        Some(place) => *place = value(byte),
                        None => return false,
                    }
                }
            }
        }
        true
    }

    /// Number of occupied cells in each frame.
    fn sizes(&self) -> impl Iterator<Item = usize> {
        self.frame_sizes.iter().map(|size| size as usize)
    }
}

/// Sets all numbers to 0. Not inlined, so that it compiles to `memset`.
#[inline(never)]
fn zero<N: FromValue>(out: &mut [N]) {
    out.fill(N::default());
}

#[cfg(test)]
mod tests;
