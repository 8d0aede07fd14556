//! Staging: the CPU unpacks samples into page-locked host memory, and then copies them to a GPU.
//!
//! All threads fill one buffer together. While the GPU receives this buffer, the threads fill another.

use rayon::prelude::*;
use tonic_loader::EpochSample;
use tonic_shard::{Column, NO_LABEL, SampleFrames, SparseFrames, Width, Widths};

use crate::error::{KernelError, Result};
use crate::gpu::{Buffer, Device, Pinned, Stream};
use crate::kernel::interface::{Sample, SampleColumns};
use crate::kernel::program::ColumnTypes;

/// Minimum number of samples that a thread unpacks at a time.
const SAMPLES_PER_JOB: usize = 4;

/// The valid labels: those below `classes` and, if `optional` is set, [`NO_LABEL`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Labels {
    pub classes: usize,
    pub optional: bool,
}

impl Labels {
    fn has(self, label: u32) -> bool {
        (label as usize) < self.classes || (self.optional && label == NO_LABEL)
    }
}

/// A number of samples, and their total numbers of frames and entries (active cells).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub samples: usize,
    /// Number of frames of all samples together.
    pub frames: usize,
    /// Number of entries (active cells) of all samples together.
    pub entries: usize,
}

impl Sizes {
    pub(super) fn plus(self, other: Sizes) -> Sizes {
        Sizes {
            samples: self.samples + other.samples,
            frames: self.frames + other.frames,
            entries: self.entries + other.entries,
        }
    }

    /// Returns these sizes with a quarter more frames and entries.
    fn with_a_quarter_more(self) -> Sizes {
        let more = |n: usize| n + n / 4;
        Sizes { samples: self.samples, frames: more(self.frames), entries: more(self.entries) }
    }

    /// Returns the maximum of two sizes, separately for samples, frames and entries.
    pub(super) fn at_least(self, other: Sizes) -> Sizes {
        Sizes {
            samples: self.samples.max(other.samples),
            frames: self.frames.max(other.frames),
            entries: self.entries.max(other.entries),
        }
    }

    /// Whether the numbers of samples, frames and entries are all at most those of `room`.
    pub(super) fn fits(self, room: Sizes) -> bool {
        self.samples <= room.samples && self.frames <= room.frames && self.entries <= room.entries
    }
}

/// A sample to copy into a staging buffer.
pub(crate) trait Stage: Sync {
    fn sizes(&self) -> Sizes;
    fn widths(&self) -> Widths;
    /// Returns the index of the sample's class, from 0.
    fn label(&self) -> u32;
    /// Returns the key of the sample for [`Sample::key`].
    fn key(&self) -> u64;
    /// Appends the sample to `frames`. Returns an error if a cell is outside the frame.
    fn append_to(&self, frames: &mut SparseFrames) -> Result<()>;
}

impl Stage for EpochSample<'_> {
    fn sizes(&self) -> Sizes {
        let sample = self.packed();
        Sizes { samples: 1, frames: sample.frames(), entries: sample.entries() }
    }

    fn widths(&self) -> Widths {
        EpochSample::widths(self)
    }

    fn label(&self) -> u32 {
        EpochSample::label(self)
    }

    fn key(&self) -> u64 {
        self.index()
    }

    fn append_to(&self, frames: &mut SparseFrames) -> Result<()> {
        Ok(self.unpack(|sample| sample.unpack(frames))?)
    }
}

/// The frames, the label and the key of a sample.
impl Stage for (SampleFrames<'_>, u32, u64) {
    fn sizes(&self) -> Sizes {
        Sizes { samples: 1, frames: self.0.frames(), entries: self.0.entries() }
    }

    fn widths(&self) -> Widths {
        let SampleFrames { frame_sizes, cells, counts } = self.0;
        Widths { frame_sizes: frame_sizes.width(), cells: cells.width(), counts: counts.width() }
    }

    fn label(&self) -> u32 {
        self.1
    }

    fn key(&self) -> u64 {
        self.2
    }

    fn append_to(&self, frames: &mut SparseFrames) -> Result<()> {
        frames.push_sample(self.0);
        Ok(())
    }
}

/// A staging buffer: page-locked host memory for samples on the way to the GPU.
#[derive(Debug)]
pub(crate) struct Staging {
    device: Device,
    column_types: ColumnTypes,
    room: Sizes,
    used: Sizes,
    samples: Pinned<Sample>,
    frame_ends: Pinned<u8>,
    cells: Pinned<u8>,
    counts: Pinned<u8>,
}

/// Samples in GPU memory, as one array per column.
#[derive(Debug)]
pub(crate) struct Staged {
    column_types: ColumnTypes,
    samples: Buffer<Sample>,
    frame_ends: Buffer<u8>,
    cells: Buffer<u8>,
    counts: Buffer<u8>,
}

impl Staged {
    pub(super) fn new(device: &Device, column_types: ColumnTypes, room: Sizes) -> Result<Staged> {
        Ok(Staged {
            column_types,
            samples: device.buffer(room.samples)?,
            frame_ends: device.buffer(room.frames * column_types.frame_ends.bytes())?,
            cells: device.buffer(room.entries * column_types.cells.bytes())?,
            counts: device.buffer(room.entries * column_types.counts.bytes())?,
        })
    }

    pub(super) fn columns(&self) -> SampleColumns {
        SampleColumns {
            frame_ends: self.frame_ends.address(),
            cells: self.cells.address(),
            counts: self.counts.address(),
            samples: self.samples.address(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.samples.bytes() + self.frame_ends.bytes() + self.cells.bytes() + self.counts.bytes()
    }
}

impl Staging {
    pub(crate) fn new(device: &Device, column_types: ColumnTypes, room: Sizes) -> Result<Staging> {
        Ok(Staging {
            device: device.clone(),
            column_types,
            room,
            used: Sizes::default(),
            samples: device.pinned(room.samples)?,
            frame_ends: device.pinned(room.frames * column_types.frame_ends.bytes())?,
            cells: device.pinned(room.entries * column_types.cells.bytes())?,
            counts: device.pinned(room.entries * column_types.counts.bytes())?,
        })
    }

    pub(super) fn column_types(&self) -> ColumnTypes {
        self.column_types
    }

    pub(super) fn used(&self) -> Sizes {
        self.used
    }

    pub(super) fn room(&self) -> Sizes {
        self.room
    }

    pub(super) fn clear(&mut self) {
        self.used = Sizes::default();
    }

    /// Adds samples to the buffer. `base` has the sizes of the data that precedes the buffer's content in GPU memory.
    pub(super) fn push<S: Stage>(&mut self, samples: &[S], labels: Labels, base: Sizes) -> Result<()> {
        let start = self.used;
        let mut ends = Vec::with_capacity(samples.len());
        let mut end = start;
        for (i, sample) in samples.iter().enumerate() {
            let label = sample.label();
            if !labels.has(label) {
                let classes = labels.classes;
                return Err(KernelError::LabelOutsideReadout { sample: start.samples + i, label, classes }.into());
            }
            end = end.plus(sample.sizes());
            ends.push(end);
        }
        if !end.fits(self.room) {
            self.grow(end.with_a_quarter_more())?;
        }
        let ColumnTypes { frame_ends, cells, counts } = self.column_types;
        let table = &mut self.samples.as_mut_slice()?[start.samples..end.samples];
        let mut targets = Vec::with_capacity(samples.len());
        let mut rest = [
            &mut self.frame_ends.as_mut_slice()?[start.frames * frame_ends.bytes()..],
            &mut self.cells.as_mut_slice()?[start.entries * cells.bytes()..],
            &mut self.counts.as_mut_slice()?[start.entries * counts.bytes()..],
        ];
        let mut before = start;
        for ((sample, row), end) in samples.iter().zip(table).zip(ends) {
            let (frames, entries) = (end.frames - before.frames, end.entries - before.entries);
            *row = Sample {
                first_frame: (base.frames + before.frames) as u64,
                first_entry: (base.entries + before.entries) as u64,
                frames: frames as u32,
                label: sample.label(),
                key: sample.key(),
            };
            let bytes = [frames * frame_ends.bytes(), entries * cells.bytes(), entries * counts.bytes()];
            let mut lengths = bytes.into_iter();
            let columns = rest.each_mut().map(|column| {
                let (target, after) = std::mem::take(column).split_at_mut(lengths.next().unwrap_or(0));
                *column = after;
                target
            });
            targets.push((sample, columns));
            before = end;
        }
        targets.into_par_iter().with_min_len(SAMPLES_PER_JOB).try_for_each_init(
            || None,
            |scratch: &mut Option<SparseFrames>, (sample, [ends_to, cells_to, counts_to])| -> Result<()> {
                let scratch = scratch.get_or_insert_with(|| SparseFrames::new(sample.widths()));
                scratch.clear();
                sample.append_to(scratch)?;
                let SampleFrames { frame_sizes, cells: found, counts: values } = scratch.sample(0);
                write_ends(frame_sizes, frame_ends, ends_to);
                write_column(found, cells, cells_to);
                write_column(values, counts, counts_to);
                Ok(())
            },
        )?;
        self.used = end;
        Ok(())
    }

    fn grow(&mut self, room: Sizes) -> Result<()> {
        let mut larger = Staging::new(&self.device, self.column_types, room)?;
        larger.used = self.used;
        let ColumnTypes { frame_ends, cells, counts } = self.column_types;
        larger.samples.as_mut_slice()?[..self.used.samples]
            .copy_from_slice(&self.samples.as_slice()?[..self.used.samples]);
        for (to, from, bytes) in [
            (&mut larger.frame_ends, &self.frame_ends, self.used.frames * frame_ends.bytes()),
            (&mut larger.cells, &self.cells, self.used.entries * cells.bytes()),
            (&mut larger.counts, &self.counts, self.used.entries * counts.bytes()),
        ] {
            to.as_mut_slice()?[..bytes].copy_from_slice(&from.as_slice()?[..bytes]);
        }
        *self = larger;
        Ok(())
    }

    /// Queues a copy of the buffer to `to` in GPU memory. `base` has the sizes of the data in `to` that precedes the
    /// copied data.
    pub(crate) fn upload(&self, stream: &Stream, to: &Staged, base: Sizes) -> Result<()> {
        assert_eq!(self.column_types, to.column_types, "types of the columns");
        let ColumnTypes { frame_ends, cells, counts } = self.column_types;
        stream.upload(&to.samples, base.samples, &self.samples, 0..self.used.samples)?;
        let columns = [
            (&to.frame_ends, &self.frame_ends, frame_ends, base.frames, self.used.frames),
            (&to.cells, &self.cells, cells, base.entries, self.used.entries),
            (&to.counts, &self.counts, counts, base.entries, self.used.entries),
        ];
        columns.into_iter().try_for_each(|(to, from, width, at, len)| {
            stream.upload(to, at * width.bytes(), from, 0..len * width.bytes())
        })
    }
}

/// Writes for each frame the number of entries up to the end of the frame.
fn write_ends(sizes: Column<'_>, width: Width, to: &mut [u8]) {
    let mut end = 0;
    let ends = sizes.iter().map(|size| {
        end += size;
        end
    });
    match width {
        Width::U16 => ends.zip(to.as_chunks_mut().0).for_each(|(end, to)| *to = (end as u16).to_le_bytes()),
        _ => ends.zip(to.as_chunks_mut().0).for_each(|(end, to)| *to = end.to_le_bytes()),
    }
}

/// Writes the values of a column as numbers of type `width`. Every value must fit.
fn write_column(column: Column<'_>, width: Width, to: &mut [u8]) {
    match (column, width) {
        (Column::U8(numbers), Width::U8) => to.copy_from_slice(numbers),
        (Column::F32(values), _) => {
            values.iter().zip(to.as_chunks_mut().0).for_each(|(value, to)| *to = value.to_le_bytes());
        }
        (_, Width::U16) => {
            column.iter().zip(to.as_chunks_mut().0).for_each(|(n, to)| *to = (n as u16).to_le_bytes());
        }
        _ => column.iter().zip(to.as_chunks_mut().0).for_each(|(n, to)| *to = n.to_le_bytes()),
    }
}
