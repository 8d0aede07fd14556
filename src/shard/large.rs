//! Builds a chunk of large samples in a temporary file, to save memory.

use tonic_base::Spill;

use crate::body::write_table;
use crate::chunk::{Chunk, SampleTable};
use crate::column::{ColumnBuf, largest};
use crate::entries::Packed;
use crate::error::Result;
use crate::frames::{CountTooLarge, Widths};
use crate::layout::{ALIGNMENT, aligned};

/// Maximum number of entries (occupied cells), or of frames, that wait in memory for the temporary file.
const PENDING: usize = 1 << 18;
/// How many bytes are read from the temporary file at once.
const PIECE: usize = 1 << 20;
/// Maximum number of byte planes of a column. The widest numbers have four bytes.
const PLANES: usize = 4;

/// A column in the temporary file. For each of its byte planes (see `planes.rs`), the file has one stream.
#[derive(Clone, Copy)]
enum Stream {
    FrameSizes,
    Packed,
    LongGaps,
    LargeCounts,
}

impl Stream {
    const ALL: [Stream; 4] = [Stream::FrameSizes, Stream::Packed, Stream::LongGaps, Stream::LargeCounts];

    fn planes(self) -> std::ops::Range<usize> {
        let first = self as usize * PLANES;
        first..first + PLANES
    }
}

/// A chunk whose frames are in a temporary file. Its frames must have counts, not float32 values.
///
/// ```
/// use tonic_shard::*;
///
/// let shape = FrameShape { polarities: 1, height: 1, width: 4 };
/// let widths = Widths::of(shape, Width::U8);
/// let mut large = LargeChunk::new(widths, 0)?;
/// large.push_frame(&[3], &[7])?;
/// large.push_frame(&[0, 1], &[1, 2])?;
/// large.end_sample().unwrap();
/// large.table_mut().labels.push(NO_LABEL);
/// large.table_mut().flags.push(0);
/// large.table_mut().ledgers.push(Ledger::default());
///
/// let mut chunk = Chunk::new(widths, 0);
/// chunk.frames.push(&[1, 2], &[3, 0, 1], Column::U32(&[7, 1, 2])).unwrap();
/// chunk.table = large.table().clone();
/// let mut encoder = Encoder::new(1)?;
/// assert_eq!(encoder.encode_large(0, &large)?.record, encoder.encode(0, &chunk)?.record);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct LargeChunk {
    widths: Widths,
    table: SampleTable,
    /// Number of frames and number of occupied cells of each finished sample.
    counted: Vec<(u32, u32)>,
    /// Number of frames and number of occupied cells of the current sample.
    current: (u64, u64),
    /// The largest count of the finished samples.
    max_count: u32,
    /// The largest count of the current sample.
    current_max: u32,
    sizes: ColumnBuf,
    pending: Packed,
    planes: Vec<u8>,
    spill: Spill,
}

impl LargeChunk {
    /// Creates an empty chunk with columns of `widths` and `extras` extra columns.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`] if no temporary file can be created.
    pub fn new(widths: Widths, extras: usize) -> Result<LargeChunk> {
        Ok(LargeChunk {
            widths,
            table: SampleTable { extras: vec![Vec::new(); extras], ..SampleTable::default() },
            counted: Vec::new(),
            current: (0, 0),
            max_count: 0,
            current_max: 0,
            sizes: ColumnBuf::new(widths.frame_sizes),
            pending: Packed::new(widths),
            planes: Vec::new(),
            spill: Spill::new(Stream::ALL.len() * PLANES)?,
        })
    }

    /// Labels, flags, ledgers and extra columns of the samples.
    pub fn table(&self) -> &SampleTable {
        &self.table
    }

    /// Labels, flags, ledgers and extra columns. The caller appends one value per sample to each of these lists.
    pub fn table_mut(&mut self) -> &mut SampleTable {
        &mut self.table
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.counted.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.counted.is_empty()
    }

    /// Appends a frame to the current sample. Cells must ascend; counts must be at least 1.
    ///
    /// Counts that are too large, or too many entries, give an error later: from [`LargeChunk::end_sample`] or from
    /// the encoder.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`] if the temporary file cannot be written.
    pub fn push_frame(&mut self, cells: &[u32], counts: &[u32]) -> Result<()> {
        self.current.0 += 1;
        self.current.1 += cells.len() as u64;
        self.current_max = largest(counts).unwrap_or(0).max(self.current_max);
        if self.current_max > self.widths.counts.max() || self.is_too_large() {
            return Ok(());
        }
        match &mut self.sizes {
            ColumnBuf::U8(sizes) => sizes.push(cells.len() as u8),
            ColumnBuf::U16(sizes) => sizes.push(cells.len() as u16),
            sizes => sizes.push(cells.len() as u32),
        }
        self.pending.push_frame(cells, counts);
        if self.pending.bytes.len() >= PENDING || self.sizes.len() >= PENDING { self.flush() } else { Ok(()) }
    }

    /// Appends all samples of `chunk`, which must have counts (not float32 values) and as many extra columns as this
    /// chunk.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`] if the temporary file cannot be written.
    pub fn push(&mut self, chunk: &Chunk) -> Result<()> {
        let (mut cells, mut counts) = (Vec::new(), Vec::new());
        for sample in chunk.frames.samples() {
            sample.cells.widen_into(&mut cells);
            sample.counts.widen_into(&mut counts);
            let mut start = 0;
            for size in sample.frame_sizes.iter() {
                let end = start + size as usize;
                self.push_frame(&cells[start..end], &counts[start..end])?;
                start = end;
            }
            self.finish_sample();
        }
        self.table.append(&chunk.table);
        Ok(())
    }

    /// Ends the current sample.
    ///
    /// # Errors
    /// [`CountTooLarge`] with the sample's largest count, if it doesn't fit the width of `counts`. After this error,
    /// the chunk cannot be used.
    pub fn end_sample(&mut self) -> Result<(), CountTooLarge> {
        if self.current_max > self.widths.counts.max() {
            return Err(CountTooLarge(self.current_max));
        }
        self.finish_sample();
        Ok(())
    }

    fn finish_sample(&mut self) {
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        self.counted.push((number(self.current.0), number(self.current.1)));
        self.max_count = self.max_count.max(self.current_max);
        (self.current, self.current_max) = ((0, 0), 0);
    }

    pub(crate) fn counted(&self) -> &[(u32, u32)] {
        &self.counted
    }

    pub(crate) fn max_count(&self) -> u32 {
        self.max_count
    }

    /// Size of the unpacked columns of frame sizes, cells and counts, in bytes.
    pub(crate) fn column_bytes(&self) -> u64 {
        let (frames, entries) = self.totals();
        let widths = self.widths;
        let entry = (widths.cells.bytes() + widths.counts.bytes()) as u64;
        frames * widths.frame_sizes.bytes() as u64 + entries * entry
    }

    /// Size of the decoded chunk in bytes. With 2^32 occupied cells or more, only a lower bound.
    pub(crate) fn body_bytes(&self) -> u64 {
        if self.is_too_large() {
            return self.totals().1;
        }
        let mut table = Vec::new();
        write_table(&self.counted, &self.table, &mut table);
        let pending = |stream: Stream| match stream {
            Stream::FrameSizes => self.sizes.len() * self.sizes.width().bytes(),
            Stream::Packed => self.pending.bytes.len(),
            Stream::LongGaps => self.pending.long_gaps.len() * self.widths.cells.bytes(),
            Stream::LargeCounts => self.pending.large_counts.len() * self.widths.counts.bytes(),
        };
        let spilled = |stream: Stream| stream.planes().map(|plane| self.spill.len(plane)).sum::<u64>();
        let columns = Stream::ALL.map(|stream| aligned(spilled(stream) + pending(stream) as u64));
        table.len() as u64 + columns.iter().sum::<u64>()
    }

    /// Calls `take` with the decoded bytes, one piece after another.
    pub(crate) fn read_body(&self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut table = Vec::new();
        write_table(&self.counted, &self.table, &mut table);
        take(&table)?;
        let mut planes = Vec::new();
        for stream in Stream::ALL {
            planes.clear();
            let column = match stream {
                Stream::FrameSizes => Some(&self.sizes),
                Stream::Packed => None,
                Stream::LongGaps => Some(&self.pending.long_gaps),
                Stream::LargeCounts => Some(&self.pending.large_counts),
            };
            match column {
                Some(column) => column.write_planes(&mut planes),
                None => planes.extend_from_slice(&self.pending.bytes),
            }
            let numbers = column.map_or(planes.len(), ColumnBuf::len);
            let mut bytes = 0;
            for (k, plane) in stream.planes().enumerate() {
                self.spill.read_all(plane, PIECE, &mut take)?;
                let rest = planes.get(k * numbers..(k + 1) * numbers).unwrap_or_default();
                take(rest)?;
                bytes += self.spill.len(plane) + rest.len() as u64;
            }
            take(&[0; ALIGNMENT][..(aligned(bytes) - bytes) as usize])?;
        }
        Ok(())
    }

    /// Number of frames and number of occupied cells, including the unfinished sample.
    fn totals(&self) -> (u64, u64) {
        let add = |(frames, entries): (u64, u64), &(f, e): &(u32, u32)| (frames + u64::from(f), entries + u64::from(e));
        self.counted.iter().fold(self.current, add)
    }

    /// Whether the chunk has 2^32 occupied cells or more, so that it cannot be encoded.
    fn is_too_large(&self) -> bool {
        self.totals().1 > u32::MAX.into()
    }

    /// Moves the frame sizes and packed entries from memory to the temporary file.
    fn flush(&mut self) -> Result<()> {
        let LargeChunk { sizes, pending, planes, spill, .. } = self;
        spill.append(Stream::Packed.planes().start, &pending.bytes)?;
        pending.bytes.clear();
        let columns = [
            (Stream::FrameSizes, sizes),
            (Stream::LongGaps, &mut pending.long_gaps),
            (Stream::LargeCounts, &mut pending.large_counts),
        ];
        for (stream, column) in columns {
            planes.clear();
            column.write_planes(planes);
            for (plane, bytes) in stream.planes().zip(planes.chunks(column.len().max(1))) {
                spill.append(plane, bytes)?;
            }
            column.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::NO_LABEL;
    use crate::codec::{ChunkName, Decoder, EncodedChunk, Encoder, StoredChunk};
    use crate::column::Width;
    use crate::error::Error;
    use crate::frames::FrameShape;
    use crate::layout::{MAX_DECODED_BYTES, SetLayout};
    use crate::ledger::Ledger;
    use std::path::Path;

    const SHAPE: FrameShape = FrameShape { polarities: 1, height: 1 << 10, width: 1 << 10 };

    /// Encodes a chunk whose unpacked columns take more than [`MAX_DECODED_BYTES`].
    fn encoded(samples: usize, count: impl Fn(u32) -> u32) -> Result<EncodedChunk> {
        let mut chunk = LargeChunk::new(Widths::of(SHAPE, Width::U32), 0).unwrap();
        let cells: Vec<u32> = (0..SHAPE.cells() as u32).collect();
        let counts: Vec<u32> = cells.iter().map(|&cell| count(cell)).collect();
        for _ in 0..samples {
            (0..40).for_each(|_| chunk.push_frame(&cells, &counts).unwrap());
            chunk.end_sample().unwrap();
            let table = chunk.table_mut();
            table.labels.push(NO_LABEL);
            table.flags.push(0);
            table.ledgers.push(Ledger::default());
        }
        assert!(chunk.column_bytes() > MAX_DECODED_BYTES.into());
        Encoder::new(1).unwrap().encode_large(0, &chunk)
    }

    #[test]
    fn a_sample_beyond_the_usual_size_of_a_chunk_comes_back() {
        let count = |cell: u32| {
            let hash = cell.wrapping_mul(0x9e37_79b9);
            (hash ^ hash >> 15).wrapping_mul(0x85eb_ca6b) >> 29
        };
        let EncodedChunk { stored, record } = encoded(1, |cell| 1 + count(cell)).unwrap();
        let mut bytes = Vec::new();
        let read = stored.read(|piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        });
        read.unwrap();
        let widths = Widths::of(SHAPE, Width::U32);
        let layout = SetLayout { shape: SHAPE, widths, chunk_samples: 1, extras: 0, recipe_id: [0; 32] };
        let name = ChunkName { shard: Path::new("a.shard"), number: 0, first_sample: 0 };
        let mut chunk = Chunk::new(widths, 0);
        let stored = StoredChunk { name, layout: &layout, record: &record, bytes: &bytes };
        Decoder::new().decode_and_identify(stored, &mut chunk).unwrap();
        let sample = chunk.frames.sample(0);
        let one: u64 = (0..SHAPE.cells() as u32).map(|cell| u64::from(1 + count(cell))).sum();
        assert_eq!((sample.frames(), sample.entries() as u64, sample.events()), (40, 40 * SHAPE.cells(), 40 * one));
    }

    #[test]
    fn a_chunk_that_would_swell_or_has_several_samples_is_too_large() {
        for (samples, count) in [(1, 1), (2, 3)] {
            assert!(matches!(encoded(samples, |_| count), Err(Error::ChunkTooLarge { .. })), "{samples}");
        }
    }
}
