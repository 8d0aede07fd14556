//! The decoded form of a chunk, column after column: written from what a maker gives, read from what nobody vouches for.

use std::ops::Range;

use super::Ledger;
use super::codec::{Chunk, SampleTable};
use super::entries::{count_large_counts, count_long_gaps, largest_beyond, pack};
use super::layout::{ALIGNMENT, MAX_CHUNK_SAMPLES, MAX_DECODED_BYTES, SetLayout, aligned};
use super::packed::{PackedChunk, Planes, Start};
use crate::frames::{SparseFrames, Width};

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
#[derive(Debug)]
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

/// Where the columns of a decoded chunk are in its bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Located {
    pub(super) labels: Range<usize>,
    flags: Range<usize>,
    ledger: [Range<usize>; Ledger::NAMES.len()],
    extras: Vec<Range<usize>>,
    pub(super) frame_sizes: Range<usize>,
    pub(super) packed: Range<usize>,
    pub(super) long_gaps: Range<usize>,
    /// In surfaces, the values.
    pub(super) large_counts: Range<usize>,
}

/// Takes columns off the front of a decoded chunk.
struct Columns<'a> {
    body: &'a [u8],
    at: usize,
}

impl Columns<'_> {
    /// Where the next column is, of `numbers` numbers of `width` bytes, its padding checked.
    fn take(&mut self, name: &str, numbers: u64, width: usize) -> std::result::Result<Range<usize>, Fault> {
        let (bytes, left) = (numbers * width as u64, self.body.len() - self.at);
        let padded = aligned(bytes);
        if padded > left as u64 {
            return Err(fault(name, format!("a column of {padded} bytes"), format!("{left} bytes left")));
        }
        let column = self.at..self.at + bytes as usize;
        self.at += padded as usize;
        if self.body[column.end..self.at].iter().any(|&b| b != 0) {
            return Err(fault(name, "padding of zeros", "something else"));
        }
        Ok(column)
    }
}

fn numbers_of<const N: usize>(column: &[u8]) -> impl Iterator<Item = [u8; N]> {
    column.as_chunks().0.iter().copied()
}

/// Finds the columns of a decoded chunk, and where each sample begins in them, the end included. All that kernels rely
/// on is checked here, but for cells inside the frame, which are checked when they are unpacked.
pub(super) fn locate(
    body: &[u8],
    layout: &SetLayout,
    samples: u32,
    starts: &mut Vec<Start>,
) -> std::result::Result<Located, Fault> {
    if !(1..=MAX_CHUNK_SAMPLES).contains(&samples) {
        return Err(fault("samples", format!("1 to {MAX_CHUNK_SAMPLES}"), samples));
    }
    let mut columns = Columns { body, at: 0 };
    let frames = columns.take("frames", samples.into(), 4)?;
    let entries = columns.take("entries", samples.into(), 4)?;
    let counted = || {
        let numbers = |column: &Range<usize>| numbers_of(&body[column.clone()]).map(u32::from_le_bytes);
        numbers(&frames).zip(numbers(&entries))
    };
    if counted().any(|(frames, _)| frames == 0) {
        return Err(fault("frames", "at least 1 a sample", 0));
    }
    let mut at = Located {
        labels: columns.take("label", samples.into(), 4)?,
        flags: columns.take("flags", samples.into(), 1)?,
        ..Located::default()
    };
    for (column, name) in at.ledger.iter_mut().zip(Ledger::NAMES) {
        *column = columns.take(name, samples.into(), 8)?;
    }
    for _ in 0..layout.extras {
        at.extras.push(columns.take("extra column", samples.into(), 8)?);
    }

    // As many as u32s, added in u64: no sum here wraps.
    let total_frames = counted().map(|(frames, _)| u64::from(frames)).sum();
    let total_entries = counted().map(|(_, entries)| u64::from(entries)).sum();
    let widths = layout.widths;
    // A byte becomes a cell and a count: what that takes is held against the limit before any of it is made.
    let entry_bytes = (widths.cells.bytes() + widths.counts.bytes()) as u64;
    let bytes = total_frames * widths.frame_sizes.bytes() as u64 + total_entries * entry_bytes;
    if bytes > MAX_DECODED_BYTES.into() {
        return Err(fault("frames and entries", format!("at most {MAX_DECODED_BYTES} bytes of columns"), bytes));
    }
    at.frame_sizes = columns.take("frame_sizes", total_frames, widths.frame_sizes.bytes())?;
    at.packed = columns.take("packed", total_entries, 1)?;

    let sizes = Planes::of(&body[at.frame_sizes.clone()], total_frames as usize);
    let packed = &body[at.packed.clone()];
    let surface = widths.counts == Width::F32;
    let mut start = Start::default();
    starts.clear();
    starts.reserve_exact(samples as usize + 1);
    starts.push(start);
    for (i, (frames, entries)) in counted().enumerate() {
        let of_frames = sizes.sum(start.frames as usize..(start.frames + frames) as usize);
        if of_frames != u64::from(entries) {
            return Err(fault(&format!("frame_sizes of its sample {i}"), format!("a sum of {entries}"), of_frames));
        }
        let bytes = &packed[start.entries as usize..][..entries as usize];
        start.frames += frames;
        start.entries += entries;
        start.long_gaps += count_long_gaps(bytes);
        start.large_counts += if surface { entries } else { count_large_counts(bytes) };
        starts.push(start);
    }

    at.long_gaps = columns.take("long_gaps", start.long_gaps.into(), widths.cells.bytes())?;
    let name = if surface { "values" } else { "large_counts" };
    at.large_counts = columns.take(name, start.large_counts.into(), widths.counts.bytes())?;
    let large = Planes::of(&body[at.large_counts.clone()], start.large_counts as usize);
    if !surface && large.iter().any(|count| count >= largest_beyond(widths.counts)) {
        return Err(fault("counts", format!("at most {}", widths.counts.max()), "a larger one"));
    }
    if columns.at != body.len() {
        return Err(fault("end of the chunk", "no more bytes", format!("{} bytes", body.len() - columns.at)));
    }
    Ok(at)
}

/// Takes a chunk whose columns are located out into `chunk`.
pub(super) fn unpack_body(from: &PackedChunk, chunk: &mut Chunk) -> std::result::Result<(), Fault> {
    read_table(&from.body, &from.at, &mut chunk.table);
    let out = &mut chunk.frames;
    if out.widths() != from.widths {
        *out = SparseFrames::new(from.widths);
    }
    out.clear();
    if from.samples().any(|sample| !sample.unpack(out)) {
        return Err(from.cells_fault());
    }
    Ok(())
}

/// That a cell is outside the frame.
pub(super) fn cells_fault(cells: u64) -> Fault {
    fault("cells", format!("below {cells}"), "a larger one")
}

fn read_table(body: &[u8], at: &Located, table: &mut SampleTable) {
    table.labels.clear();
    table.labels.extend(numbers_of(&body[at.labels.clone()]).map(u32::from_le_bytes));
    table.flags.clear();
    table.flags.extend_from_slice(&body[at.flags.clone()]);
    let mut ledgers = vec![[0_u64; Ledger::NAMES.len()]; table.flags.len()];
    for (i, column) in at.ledger.iter().enumerate() {
        for (ledger, bytes) in ledgers.iter_mut().zip(numbers_of(&body[column.clone()])) {
            ledger[i] = u64::from_le_bytes(bytes);
        }
    }
    table.ledgers.clear();
    table.ledgers.extend(ledgers.into_iter().map(Ledger::from_columns));
    table.extras.resize(at.extras.len(), Vec::new());
    for (extra, column) in table.extras.iter_mut().zip(&at.extras) {
        extra.clear();
        extra.extend(numbers_of(&body[column.clone()]).map(i64::from_le_bytes));
    }
}
