//! A chunk as it is kept for training: decompressed, checked, and its entries still packed.
//!
//! Packed, a set takes half the memory of its columns, and what is made of a sample, columns or dense frames, is made in
//! one pass over bytes that were never copied.

use std::ops::Range;

use super::body::{Fault, Located, cells_fault, locate};
use super::entries::{add_cells, add_counts, count_of, gap_of};
use super::layout::SetLayout;
use crate::frames::{ColumnBuf, FrameShape, SparseFrames, Width, Widths};

/// Dense numbers that are zeroed at a time, before their frames are written: they are still in the L1 cache then.
const ZEROED: usize = 4096;

/// A group of samples, decompressed.
#[derive(Clone, Debug)]
pub struct PackedChunk {
    /// The decoded form of FORMAT.md.
    pub(super) body: Vec<u8>,
    pub(super) at: Located,
    pub(super) widths: Widths,
    shape: FrameShape,
    starts: Vec<Start>,
}

/// Where a sample begins in each of the columns.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Start {
    pub(super) frames: u32,
    pub(super) entries: u32,
    pub(super) long_gaps: u32,
    pub(super) large_counts: u32,
}

/// One sample of a chunk, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct PackedSample<'a> {
    frame_sizes: Planes<'a>,
    entries: &'a [u8],
    long_gaps: Planes<'a>,
    /// In surfaces, the values.
    large_counts: Planes<'a>,
    widths: Widths,
    shape: FrameShape,
}

/// Part of a column of byte planes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes<'a> {
    planes: &'a [u8],
    /// Numbers of the whole column, which is the distance from plane to plane.
    stride: usize,
    start: usize,
    end: usize,
}

impl PackedChunk {
    /// No samples; a place to decode into.
    pub fn new(layout: &SetLayout) -> PackedChunk {
        let (at, starts) = (Located::default(), vec![Start::default()]);
        PackedChunk { body: Vec::new(), at, widths: layout.widths, shape: layout.shape, starts }
    }

    /// Finds the columns of the decoded bytes, and checks all but that cells are inside the frame, which is checked
    /// as they are unpacked.
    pub(super) fn index(&mut self, layout: &SetLayout, samples: u32) -> Result<(), Fault> {
        (self.widths, self.shape) = (layout.widths, layout.shape);
        let located = locate(&self.body, layout, samples, &mut self.starts);
        self.at = located.inspect_err(|_| self.starts.truncate(1))?;
        Ok(())
    }

    /// Forgets the samples and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.body.clear();
        self.starts.truncate(1);
    }

    /// How many samples.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class of sample `i`, [`super::codec::NO_LABEL`] where there is none.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn label(&self, i: usize) -> u32 {
        let label = &self.body[self.at.labels.clone()][4 * i..4 * i + 4];
        label.iter().rev().fold(0, |n, &byte| n << 8 | u32::from(byte))
    }

    /// Sample `i`.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn sample(&self, i: usize) -> PackedSample<'_> {
        let (from, to, all) = (self.starts[i], self.starts[i + 1], self.starts[self.len()]);
        let planes = |column: &Range<usize>, stride: u32, start: u32, end: u32| Planes {
            start: start as usize,
            end: end as usize,
            ..Planes::of(&self.body[column.clone()], stride as usize)
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

    /// What is wrong with a chunk that has a sample whose cells are not all inside the frame.
    pub(super) fn cells_fault(&self) -> Fault {
        cells_fault(self.shape.cells())
    }

    /// All samples, in order.
    pub fn samples(&self) -> impl Iterator<Item = PackedSample<'_>> {
        (0..self.len()).map(|i| self.sample(i))
    }

    /// Its size in memory.
    pub fn bytes(&self) -> usize {
        size_of::<PackedChunk>() + self.body.capacity() + self.starts.capacity() * size_of::<Start>()
    }

    /// What [`PackedChunk::bytes`] of a chunk of so many samples and decoded bytes will be.
    pub fn bytes_of(samples: u32, decoded: u32) -> u64 {
        size_of::<PackedChunk>() as u64 + u64::from(decoded) + (u64::from(samples) + 1) * size_of::<Start>() as u64
    }
}

impl PackedSample<'_> {
    /// T, the number of frames.
    pub fn frames(&self) -> usize {
        self.frame_sizes.len()
    }

    /// Occupied cells over all frames.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// Whether every cell is inside the frame.
    pub fn fits(&self) -> bool {
        match self.long_gaps.bytes() {
            Some(gaps) => self.gaps_fit(gaps.iter().copied().map(u32::from)),
            None => self.gaps_fit(self.long_gaps.iter()),
        }
    }

    fn gaps_fit(&self, mut gaps: impl Iterator<Item = u32>) -> bool {
        let (cells, mut rest) = (self.shape.cells(), self.entries);
        self.sizes().all(|size| {
            let (frame, others) = rest.split_at(size);
            rest = others;
            frame.iter().fold(0, |next, &byte| next + gap_of(byte, &mut gaps) + 1) <= cells
        })
    }

    /// Appends the sample's columns; whether every cell is inside the frame. What has been appended is of no use if not.
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

    /// Writes the sample into `out`, dense float32 (T, P, H, W), all of it: frames beyond its end are left out, and what
    /// is beyond the sample's becomes 0. Whether every cell is inside the frame.
    pub fn write_dense(&self, out: &mut [f32]) -> bool {
        let (gaps, large) = (self.long_gaps, self.large_counts);
        if self.widths.counts == Width::F32 {
            let mut values = large.iter();
            return self.write_values(out, gaps.iter(), |_| f32::from_bits(values.next().unwrap_or(0)));
        }
        match (gaps.bytes(), large.bytes()) {
            // Slices leave registers to the loop.
            (Some(gaps), Some(large)) => {
                let mut large = large.iter().copied().map(u32::from);
                self.write_values(out, gaps.iter().copied().map(u32::from), |byte| count_of(byte, &mut large) as f32)
            }
            _ => {
                let mut large = large.iter();
                self.write_values(out, gaps.iter(), |byte| count_of(byte, &mut large) as f32)
            }
        }
    }

    #[inline(always)]
    fn write_values(
        &self,
        out: &mut [f32],
        mut gaps: impl Iterator<Item = u32>,
        mut value: impl FnMut(u8) -> f32,
    ) -> bool {
        let (cells, mut sizes, mut rest) = (self.shape.cells() as usize, self.sizes(), self.entries);
        for block in out.chunks_mut(cells * (ZEROED / cells).max(1)) {
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

    /// The occupied cells of each frame; they add up to the entries, which was checked.
    fn sizes(&self) -> impl Iterator<Item = usize> {
        self.frame_sizes.iter().map(|size| size as usize)
    }
}

/// Not inlined, where the compiler makes it one call that sets memory, and no loop.
#[inline(never)]
fn zero(out: &mut [f32]) {
    out.fill(0.0);
}

impl<'a> Planes<'a> {
    /// A whole column of so many numbers.
    pub(super) fn of(planes: &'a [u8], numbers: usize) -> Planes<'a> {
        Planes { planes, stride: numbers, start: 0, end: numbers }
    }

    fn len(self) -> usize {
        self.end - self.start
    }

    /// The bytes themselves, where a number is one.
    fn bytes(self) -> Option<&'a [u8]> {
        (self.planes.len() == self.stride).then(|| &self.planes[self.start..self.end])
    }

    /// Its numbers; a float's are its bits.
    pub(super) fn iter(self) -> impl Iterator<Item = u32> + use<'a> {
        (self.start..self.end).map(move |at| {
            let low = self.planes[at].into();
            if self.stride == self.planes.len() { low } else { low | self.high_bytes(at) }
        })
    }

    /// What the planes after the first have of a number.
    fn high_bytes(self, at: usize) -> u32 {
        let planes = self.planes.chunks_exact(self.stride).skip(1);
        planes.zip([8, 16, 24]).fold(0, |number, (plane, shift)| number | u32::from(plane[at]) << shift)
    }

    /// The sum of some of its numbers.
    pub(super) fn sum(self, range: Range<usize>) -> u64 {
        let part = Planes { start: range.start, end: range.end, ..self };
        match part.bytes() {
            // Chunks whose sum fits 32 bits: vectors of four.
            Some(bytes) => {
                bytes.chunks(1 << 16).map(|some| u64::from(some.iter().map(|&b| u32::from(b)).sum::<u32>())).sum()
            }
            None => part.iter().map(u64::from).sum(),
        }
    }

    fn append_to(self, column: &mut ColumnBuf) {
        match (column, self.bytes()) {
            (ColumnBuf::U8(to), Some(bytes)) => to.extend_from_slice(bytes),
            (ColumnBuf::U8(to), None) => to.extend(self.iter().map(|n| n as u8)),
            (ColumnBuf::U16(to), _) => to.extend(self.iter().map(|n| n as u16)),
            (ColumnBuf::U32(to), _) => to.extend(self.iter()),
            (ColumnBuf::F32(to), _) => to.extend(self.iter().map(f32::from_bits)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::body::write_body;
    use super::super::codec::Chunk;
    use super::super::ledger::Ledger;
    use super::*;
    use crate::frames::Column;

    fn layout(width: u32, counts: Width) -> SetLayout {
        let shape = FrameShape { polarities: 1, height: 1, width };
        SetLayout { shape, widths: Widths::of(shape, counts), chunk_samples: 4, extras: 0, recipe_id: [0; 32] }
    }

    /// The chunk's bytes, indexed as a chunk of `layout`.
    fn packed(chunk: &Chunk, layout: &SetLayout) -> Result<PackedChunk, Fault> {
        let mut packed = PackedChunk::new(layout);
        write_body(chunk, &mut packed.body);
        packed.index(layout, chunk.len() as u32).map(|()| packed)
    }

    /// Two samples with gaps and counts around what the fields hold, and frames without an entry.
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
                    }
                }
                assert!(frames == chunk.frames, "{width} {counts:?}");
                assert_eq!(packed.bytes() as u64, PackedChunk::bytes_of(2, packed.body.len() as u32) + spare(&packed));
            }
        }
    }

    /// What a body that was not decompressed has been given too much.
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
            let result = fine.clone().index(&layout, 2);
            assert_eq!(
                result.map_err(|fault| fault.place),
                if fits { Ok(()) } else { Err("counts".into()) },
                "{beyond}"
            );
        }
    }
}
