//! A chunk as training keeps it: decompressed and checked, with its entries packed. An entry is an occupied cell and
//! its count.
//!
//! Packed entries take about half the memory of unpacked ones. A sample is unpacked to columns or to dense frames in
//! one pass.

use std::ops::Range;

use crate::body::{BodyFault, Located, Start, cells_fault, locate, read_table};
use crate::chunk::{Chunk, SampleTable};
use crate::entries::{add_cells, add_counts, count_of, gap_of, largest_count, sum_counts, sum_gaps};
use crate::frames::{FrameShape, FromValue, SparseFrames, Width, Widths};
use crate::layout::SetLayout;
use crate::planes::Planes;

/// About how many numbers of a dense sample are set to 0 at a time. Counts are written while these numbers are in the
/// L1 cache.
const ZEROED: usize = 4096;

/// A decompressed chunk. Its cells and counts are still packed.
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

    /// Finds and checks the columns in `body`. It is an error if frame sizes, cells and counts would take more than
    /// `most` bytes unpacked. Doesn't check whether cells are inside the frame.
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

    /// Calls `each` with the cell and the count of every occupied cell, in order. For float32 frames, the count is 1.
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
    /// caller must discard the appended sample.
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

    /// Writes the sample into `out` as dense frames, (T, P, H, W). The length of `out` sets T: shorter samples are
    /// padded with zeros, longer ones are cut. Returns whether all written cells are inside the frame.
    ///
    /// `N` must be able to hold the counts of the set. For float32 frames, `N` must be f32.
    pub fn write_dense<N: FromValue>(&self, out: &mut [N]) -> bool {
        let cells = self.shape.cells() as usize;
        self.write_blocks(out.chunks_mut(cells * (ZEROED / cells).max(1)))
    }

    /// Like [`PackedSample::write_dense`], but writes the frames into separate blocks of memory. Each block has space
    /// for one or more frames. All blocks together have space for T frames.
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

    /// Number of occupied cells in each frame. These numbers add up to the number of entries: `locate` has checked
    /// this.
    fn sizes(&self) -> impl Iterator<Item = usize> {
        self.frame_sizes.iter().map(|size| size as usize)
    }
}

/// Sets all numbers to 0. Not inlined, so that the compiler emits one `memset` instead of a loop.
#[inline(never)]
fn zero<N: FromValue>(out: &mut [N]) {
    out.fill(N::default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::write_body;
    use crate::frames::Column;
    use crate::ledger::Ledger;

    fn layout(width: u32, counts: Width) -> SetLayout {
        let shape = FrameShape { polarities: 1, height: 1, width };
        SetLayout { shape, widths: Widths::of(shape, counts), chunk_samples: 4, extras: 0, recipe_id: [0; 32] }
    }

    fn packed(chunk: &Chunk, layout: &SetLayout) -> Result<PackedChunk, BodyFault> {
        let mut packed = PackedChunk::new(layout);
        write_body(chunk, &mut packed.body);
        packed.index(layout, chunk.len() as u32, 1 << 20).map(|()| packed)
    }

    /// Returns a chunk of two samples. Its gaps and counts are just below and just above the limits of a packed byte.
    fn chunk(width: u32, counts: Width) -> Chunk {
        let mut chunk = Chunk::new(layout(width, counts).widths, 0);
        let largest = counts.max();
        let cells = [0, 1, 31, 62, 94, 126, 158, width - 1];
        assert_eq!((cells[2] - cells[1], cells[3] - cells[2], cells[4] - cells[3]), (30, 31, 32));
        let numbers = [1, 7, 8, 9, 255.min(largest), largest, 2, largest.saturating_sub(1)];
        let values = [0.5, -7.0, 1e-20, 3.0, 4.0, 5.0, 6.0, f32::MAX];
        let column = if counts == Width::F32 { Column::F32(&values) } else { Column::U32(&numbers) };
        for sizes in [[8, 0, 0], [0, 8, 0]] {
            chunk.frames.push(&sizes, &cells, column).unwrap();
            chunk.table.labels.push(3);
            chunk.table.flags.push(0);
            chunk.table.ledgers.push(Ledger::default());
        }
        chunk
    }

    #[test]
    fn columns_and_dense_frames_come_back_at_every_width() {
        for width in [160, 256, 257, 65_536, 65_537] {
            for counts in [Width::U8, Width::U16, Width::U32, Width::F32] {
                let (chunk, layout) = (chunk(width, counts), layout(width, counts));
                let packed = packed(&chunk, &layout).unwrap();
                let mut frames = SparseFrames::new(layout.widths);
                for (i, sample) in packed.samples().enumerate() {
                    assert_eq!((sample.frames(), sample.entries(), packed.label(i)), (3, 8, 3));
                    assert!(sample.fits() && sample.unpack(&mut frames), "{width} {counts:?}");
                    for steps in [1, 3, 5] {
                        let mut dense = vec![f32::NAN; steps * width as usize];
                        assert!(sample.write_dense(&mut dense));
                        let mut expected: Vec<f32> = chunk.frames.sample(i).to_dense(layout.shape);
                        expected.resize(dense.len(), 0.0);
                        assert!(dense == expected, "{width} {counts:?}, {steps} steps");
                        let mut apart: Vec<Vec<f32>> = vec![vec![f32::NAN; width as usize]; steps];
                        assert!(sample.write_blocks(apart.iter_mut().map(|frame| &mut frame[..])));
                        assert!(apart.concat() == expected, "{width} {counts:?}, {steps} steps");
                        if counts != Width::F32 {
                            let mut integers = vec![7_u32; dense.len()];
                            assert!(sample.write_dense(&mut integers));
                            assert!(integers.iter().map(|&n| n as f32).eq(expected), "{width} {counts:?}");
                        }
                    }
                }
                assert!(frames == chunk.frames, "{width} {counts:?}");
                assert_eq!(packed.bytes() as u64, PackedChunk::bytes_of(2, packed.body.len() as u32) + spare(&packed));
            }
        }
    }

    fn spare(packed: &PackedChunk) -> u64 {
        (packed.body.capacity() - packed.body.len()) as u64
    }

    #[test]
    fn a_cell_outside_the_frame_is_noticed() {
        for width in [160, 300, 70_000] {
            let (chunk, narrower) = (chunk(width, Width::U8), layout(width - 1, Width::U8));
            let packed = packed(&chunk, &narrower).unwrap();
            let mut frames = SparseFrames::new(narrower.widths);
            for sample in packed.samples() {
                assert!(!sample.fits() && !sample.unpack(&mut frames));
                assert!(!sample.write_dense(&mut vec![0.0; 3 * width as usize]));
            }
        }
    }

    #[test]
    fn a_count_beyond_its_width_is_refused() {
        let layout = layout(160, Width::U8);
        let mut fine = packed(&chunk(160, Width::U8), &layout).unwrap();
        let large = fine.at.large_counts.clone();
        for (beyond, fits) in [(247, true), (248, false)] {
            fine.body[large.start] = beyond;
            let result = fine.clone().index(&layout, 2, 1 << 20);
            assert_eq!(
                result.map_err(|fault| fault.place),
                if fits { Ok(()) } else { Err("counts".into()) },
                "{beyond}"
            );
        }
    }
}
