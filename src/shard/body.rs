//! Writes and reads the decoded bytes of a chunk: its columns before compression. FORMAT.md specifies these bytes. The
//! functions that write trust their input; the functions that read check theirs.

use std::ops::Range;

use crate::chunk::{Chunk, SampleTable};
use crate::column::Width;
use crate::entries::{count_large_counts, count_long_gaps, largest_beyond, pack};
use crate::frames::FrameShape;
use crate::layout::{ALIGNMENT, MAX_CHUNK_SAMPLES, SetLayout, aligned};
use crate::ledger::Ledger;
use crate::planes::Planes;

pub(crate) fn write_body(chunk: &Chunk, out: &mut Vec<u8>) {
    let Chunk { frames, table } = chunk;
    let counted = frames.samples().map(|sample| (sample.frames() as u32, sample.entries() as u32));
    write_table(&counted.collect::<Vec<_>>(), table, out);
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

/// Appends to `out` the columns that have one number per sample. `counted` has, for each sample, the number of frames
/// and the number of occupied cells.
pub(crate) fn write_table(counted: &[(u32, u32)], table: &SampleTable, out: &mut Vec<u8>) {
    let u32_column = |out: &mut Vec<u8>, numbers: &mut dyn Iterator<Item = u32>| {
        numbers.for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        pad(out);
    };
    u32_column(out, &mut counted.iter().map(|(frames, _)| *frames));
    u32_column(out, &mut counted.iter().map(|(_, entries)| *entries));
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
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}

/// Error: the decoded bytes of a chunk break a rule of the format.
#[derive(Debug)]
pub(crate) struct BodyFault {
    /// Where the wrong bytes are, such as the name of a column.
    pub place: String,
    pub expected: String,
    pub got: String,
}

fn fault(place: &str, expected: impl std::fmt::Display, got: impl std::fmt::Display) -> BodyFault {
    BodyFault { place: place.into(), expected: expected.to_string(), got: got.to_string() }
}

/// Byte range of each column in the decoded bytes of a chunk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Located {
    pub(crate) labels: Range<usize>,
    flags: Range<usize>,
    ledger: [Range<usize>; Ledger::NAMES.len()],
    extras: Vec<Range<usize>>,
    pub(crate) frame_sizes: Range<usize>,
    pub(crate) packed: Range<usize>,
    pub(crate) long_gaps: Range<usize>,
    /// Byte range of the column `large_counts` or, for float32 frames, of the column `values`.
    pub(crate) large_counts: Range<usize>,
}

/// Where a sample begins in each column: the index of its first number. For float32 frames, `large_counts` is the index
/// in the column `values`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Start {
    pub(crate) frames: u32,
    pub(crate) entries: u32,
    pub(crate) long_gaps: u32,
    pub(crate) large_counts: u32,
}

/// Takes one column after another from the decoded bytes of a chunk.
struct ColumnReader<'a> {
    body: &'a [u8],
    at: usize,
}

impl ColumnReader<'_> {
    /// Takes the next column: `numbers` numbers of `width` bytes each. Returns its byte range without padding.
    fn take(&mut self, name: &str, numbers: u64, width: usize) -> Result<Range<usize>, BodyFault> {
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

/// Finds the columns in `body`, the decoded bytes of a chunk of `samples` samples. Writes the start of each sample,
/// and the end of the last sample, into `starts`.
///
/// Returns an error if the unpacked frame sizes, cells and counts would take more than `most` bytes together. Doesn't
/// check the values of cells, labels, flags and ledgers.
pub(crate) fn locate(
    body: &[u8],
    layout: &SetLayout,
    (samples, most): (u32, u64),
    starts: &mut Vec<Start>,
) -> Result<Located, BodyFault> {
    if !(1..=MAX_CHUNK_SAMPLES).contains(&samples) {
        return Err(fault("samples", format!("1 to {MAX_CHUNK_SAMPLES}"), samples));
    }
    let mut columns = ColumnReader { body, at: 0 };
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

    // At most 2^20 numbers of 32 bits each: the sum fits 64 bits.
    let total_frames = counted().map(|(frames, _)| u64::from(frames)).sum();
    let total_entries = counted().map(|(_, entries)| u64::from(entries)).sum();
    let widths = layout.widths;
    // One packed byte becomes a cell and a count. Check their size before anything is allocated.
    let entry_bytes = (widths.cells.bytes() + widths.counts.bytes()) as u64;
    let bytes = total_frames * widths.frame_sizes.bytes() as u64 + total_entries * entry_bytes;
    if bytes > most {
        return Err(fault("frames and entries", format!("at most {most} bytes of columns"), bytes));
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

pub(crate) fn cells_fault(shape: FrameShape) -> BodyFault {
    fault("cells", format!("below {}", shape.cells()), "a larger one")
}

pub(crate) fn read_table(body: &[u8], at: &Located, table: &mut SampleTable) {
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
