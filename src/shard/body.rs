//! The decoded form of a chunk, column after column: written from what a maker gives, read from what nobody vouches for.

use super::Ledger;
use super::codec::Chunk;
use super::entries::{count_large_counts, count_long_gaps, pack, unpack_cells, unpack_counts};
use super::layout::{ALIGNMENT, MAX_CHUNK_SAMPLES, MAX_DECODED_BYTES, SetLayout, aligned};
use crate::frames::{ColumnBuf, SparseFrames, Width};

/// The decoded form, column after column.
pub(super) fn write_body(chunk: &Chunk, out: &mut Vec<u8>) {
    let Chunk { frames, table } = chunk;
    let u32_column = |out: &mut Vec<u8>, numbers: &mut dyn Iterator<Item = u32>| {
        numbers.for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        pad(out);
    };
    u32_column(out, &mut frames.samples().map(|s| s.frames() as u32));
    u32_column(out, &mut frames.samples().map(|s| s.entries() as u32));
    u32_column(out, &mut table.labels.iter().copied());
    out.extend_from_slice(&table.flags);
    pad(out);
    for column in 0..Ledger::NAMES.len() {
        table.ledgers.iter().for_each(|l| out.extend_from_slice(&l.columns()[column].to_le_bytes()));
        pad(out);
    }
    for column in &table.extras {
        column.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        pad(out);
    }
    frames.frame_sizes.write_planes(out);
    pad(out);
    let packed = pack(frames);
    out.extend_from_slice(&packed.bytes);
    pad(out);
    packed.long_gaps.write_planes(out);
    pad(out);
    packed.large_counts.write_planes(out);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}

/// What is wrong with a decoded chunk.
pub(super) struct Fault {
    /// Column.
    pub place: String,
    /// What the format says.
    pub expected: String,
    /// What is there.
    pub got: String,
}

fn fault(place: &str, expected: impl std::fmt::Display, got: impl std::fmt::Display) -> Fault {
    Fault { place: place.into(), expected: expected.to_string(), got: got.to_string() }
}

/// Takes columns off the front of a decoded chunk.
struct Columns<'a> {
    rest: &'a [u8],
}

impl<'a> Columns<'a> {
    /// The next column, of `numbers` numbers of `width` bytes, its padding checked and dropped.
    fn take(&mut self, name: &str, numbers: u64, width: usize) -> std::result::Result<&'a [u8], Fault> {
        let bytes = numbers * width as u64;
        let padded = aligned(bytes);
        if padded > self.rest.len() as u64 {
            return Err(fault(name, format!("a column of {padded} bytes"), format!("{} bytes left", self.rest.len())));
        }
        let (column, rest) = self.rest.split_at(padded as usize);
        let (column, padding) = column.split_at(bytes as usize);
        if padding.iter().any(|&b| b != 0) {
            return Err(fault(name, "padding of zeros", "something else"));
        }
        self.rest = rest;
        Ok(column)
    }

    fn take_u32(
        &mut self,
        name: &str,
        numbers: u32,
    ) -> std::result::Result<impl Iterator<Item = u32> + use<'a>, Fault> {
        let column = self.take(name, numbers.into(), 4)?;
        Ok(column.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)))
    }
}

/// Reads a decoded chunk into `chunk`. All that kernels rely on is checked here: sums, and cells inside the frame.
pub(super) fn parse_body(
    body: &[u8],
    layout: &SetLayout,
    samples: u32,
    chunk: &mut Chunk,
) -> std::result::Result<(), Fault> {
    if !(1..=MAX_CHUNK_SAMPLES).contains(&samples) {
        return Err(fault("samples", format!("1 to {MAX_CHUNK_SAMPLES}"), samples));
    }
    let mut columns = Columns { rest: body };
    let frames: Vec<u32> = columns.take_u32("frames", samples)?.collect();
    let entries: Vec<u32> = columns.take_u32("entries", samples)?.collect();
    if frames.contains(&0) {
        return Err(fault("frames", "at least 1 a sample", 0));
    }

    let table = &mut chunk.table;
    table.labels.clear();
    table.labels.extend(columns.take_u32("label", samples)?);
    table.flags.clear();
    table.flags.extend_from_slice(columns.take("flags", samples.into(), 1)?);
    let mut ledgers = vec![[0_u64; Ledger::NAMES.len()]; samples as usize];
    for (i, name) in Ledger::NAMES.iter().enumerate() {
        let column = columns.take(name, samples.into(), 8)?;
        for (ledger, &bytes) in ledgers.iter_mut().zip(column.as_chunks().0) {
            ledger[i] = u64::from_le_bytes(bytes);
        }
    }
    table.ledgers.clear();
    table.ledgers.extend(ledgers.into_iter().map(Ledger::from_columns));
    table.extras.resize(layout.extras.into(), Vec::new());
    for extra in &mut table.extras {
        extra.clear();
        let column = columns.take("extra column", samples.into(), 8)?;
        extra.extend(column.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)));
    }

    // As many as u32s, added in u64: no sum here wraps.
    let total_frames = frames.iter().map(|&n| u64::from(n)).sum();
    let total_entries = entries.iter().map(|&n| u64::from(n)).sum();
    let widths = layout.widths;
    let out = &mut chunk.frames;
    if out.widths() != widths {
        *out = SparseFrames::new(widths);
    }
    out.clear();
    // A byte becomes a cell and a count: what that takes is held against the limit before any of it is made.
    let entry_bytes = (widths.cells.bytes() + widths.counts.bytes()) as u64;
    let bytes = total_frames * widths.frame_sizes.bytes() as u64 + total_entries * entry_bytes;
    if bytes > MAX_DECODED_BYTES.into() {
        return Err(fault("frames and entries", format!("at most {MAX_DECODED_BYTES} bytes of columns"), bytes));
    }
    out.frame_sizes.extend_planes(columns.take("frame_sizes", total_frames, widths.frame_sizes.bytes())?);
    let of_frames = out.frame_sizes.view().sum();
    if of_frames != total_entries {
        return Err(fault("frame_sizes", format!("a sum of {total_entries}"), of_frames));
    }
    let packed = columns.take("packed", total_entries, 1)?;
    let mut long_gaps = ColumnBuf::new(widths.cells);
    long_gaps.extend_planes(columns.take("long_gaps", count_long_gaps(packed), widths.cells.bytes())?);
    if !unpack_cells(packed, long_gaps.view(), out.frame_sizes.view(), layout.shape.cells(), &mut out.cells) {
        return Err(fault("cells", format!("below {}", layout.shape.cells()), "a larger one"));
    }
    if widths.counts == Width::F32 {
        out.counts.extend_planes(columns.take("values", total_entries, widths.counts.bytes())?);
    } else {
        let mut large_counts = ColumnBuf::new(widths.counts);
        let large = count_large_counts(packed);
        large_counts.extend_planes(columns.take("large_counts", large, widths.counts.bytes())?);
        if !unpack_counts(packed, large_counts.view(), &mut out.counts) {
            return Err(fault("counts", format!("at most {}", widths.counts.max()), "a larger one"));
        }
    }
    if !columns.rest.is_empty() {
        return Err(fault("end of the chunk", "no more bytes", format!("{} bytes", columns.rest.len())));
    }
    out.set_samples(frames.iter().zip(&entries).map(|(&f, &n)| (f as usize, n as usize)));
    for (i, (sample, &n)) in out.samples().zip(&entries).enumerate() {
        let of_frames = sample.frame_sizes.sum();
        if of_frames != u64::from(n) {
            return Err(fault(&format!("frame_sizes of its sample {i}"), format!("a sum of {n}"), of_frames));
        }
    }
    Ok(())
}
