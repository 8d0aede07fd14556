//! Makes the chunks of a set: reads, transforms, frames and encodes the samples of one chunk at a time.

use std::ops::Range;

use crate::convert::inputs::{Inputs, RecordingSlice};
use crate::convert::large::{BlockSizes, LargeSample, Passed};
use crate::convert::loss::{Losses, Step};
use crate::convert::outside::outside_error;
use crate::error::{Error, Result};
use crate::events::{Admitted, Events};
use crate::fault::Fault;
use crate::framing::{FrameStream, Framer};
use crate::recipe::Recipe;
use crate::source::{Recording, implausible};
use tonic_shard::{
    Chunk, EncodedChunk, Encoder, FLAG_EMPTY, FLAG_OVERLAP, FLAG_SORTED, LargeChunk, Ledger, SampleTable,
    SetDescription, Totals,
};

/// A sample with this many frames or more is refused if the unit of its times was only assumed.
const MANY_FRAMES: u64 = 1_000_000;

/// Why a chunk could not be made.
#[derive(Debug)]
pub enum ChunkFailure {
    /// The recording could not be read or converted.
    Error(Error),
    /// The type of the set's counts cannot hold this number of events in a cell.
    TooNarrow(u32),
}

impl<E: Into<Error>> From<E> for ChunkFailure {
    fn from(error: E) -> ChunkFailure {
        ChunkFailure::Error(error.into())
    }
}

/// Makes the chunks of a set.
pub struct ChunkMaker<'a> {
    inputs: &'a Inputs,
    recipe: &'a Recipe,
    description: &'a SetDescription,
    first_sample: u64,
    lenient: bool,
    framer: Framer,
    /// Which samples are large, and how many of their events are read at once.
    pub(super) sizes: BlockSizes,
    encoder: Encoder,
    losses: Losses,
}

impl<'a> ChunkMaker<'a> {
    /// Makes a chunk maker for the set that `description` describes. The first sample of the set is sample
    /// `first_sample` of `inputs`. With `lenient`, events outside the sensor are left out and counted.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] if zstd doesn't have the compression level of `description`.
    pub fn new(
        inputs: &'a Inputs,
        recipe: &'a Recipe,
        description: &'a SetDescription,
        first_sample: u64,
        lenient: bool,
    ) -> Result<Self> {
        let framer = Framer::new(recipe.sensor_after(inputs.sensor), &recipe.frames);
        let encoder = Encoder::new(description.tool.level)?;
        let (sizes, losses) = (BlockSizes::default(), Losses::new(recipe));
        Ok(ChunkMaker { inputs, recipe, description, first_sample, lenient, framer, sizes, encoder, losses })
    }

    /// Makes chunk `number` of the set, counted from 0. Returns the totals of its samples and its encoded bytes.
    ///
    /// # Errors
    /// A [`ChunkFailure`], which says why the chunk could not be made.
    pub fn make(&mut self, number: u64) -> Result<(Totals, EncodedChunk), ChunkFailure> {
        let start = number * u64::from(self.description.chunk_samples);
        let end = (start + u64::from(self.description.chunk_samples)).min(self.description.samples);
        self.make_samples(number, start..end)
    }

    /// Makes one chunk of the samples in `samples`, a range of indices in the set. `number` is the chunk's index, for
    /// errors. Returns the totals of the samples and the encoded bytes.
    ///
    /// # Errors
    /// A [`ChunkFailure`], which says why the chunk could not be made.
    pub fn make_samples(&mut self, number: u64, samples: Range<u64>) -> Result<(Totals, EncodedChunk), ChunkFailure> {
        let mut totals = Totals::new(self.description.classes.len());
        let encoded = if samples.clone().any(|sample| self.large(sample).is_some()) {
            let chunk = self.frame_large_samples(samples)?;
            totals.add_large(&chunk);
            self.encoder.encode_large(number, &chunk)?
        } else {
            let chunk = self.frame_samples(samples)?;
            totals.add(&chunk);
            self.encoder.encode(number, &chunk)?
        };
        Ok((totals, encoded))
    }

    /// Returns sample `sample` of the set and its frame stream, if the sample has to be read in blocks.
    fn large(&self, sample: u64) -> Option<(LargeSample<'a>, FrameStream)> {
        let (recording, sample) = self.inputs.find(sample + self.first_sample)?;
        if recording.sample_events(sample)? <= self.sizes.above {
            return None;
        }
        let (steps, stream) = self.recipe.in_blocks(self.inputs.sensor).ok()?;
        Some((LargeSample { recording, sample, sensor: self.inputs.sensor, sizes: self.sizes, steps }, stream))
    }

    /// Makes a chunk of the samples in `samples`, a range of indices in the set. Reads large samples in blocks.
    fn frame_large_samples(&mut self, samples: Range<u64>) -> Result<LargeChunk, ChunkFailure> {
        let mut chunk = LargeChunk::new(self.description.widths, self.description.extras.len())?;
        for sample in samples {
            match self.large(sample) {
                Some((large, stream)) => self.add_large_sample(&mut chunk, sample, large, stream)?,
                None => chunk.push(&self.frame_samples(sample..sample + 1)?)?,
            }
        }
        Ok(chunk)
    }

    /// Transforms and frames a large sample, and appends it to the chunk. `number` is the sample's index in the set.
    fn add_large_sample(
        &mut self,
        chunk: &mut LargeChunk,
        number: u64,
        large: LargeSample<'_>,
        mut stream: FrameStream,
    ) -> Result<(), ChunkFailure> {
        let (recording, sample) = (large.recording, large.sample);
        let passed = large
            .pass(!self.lenient, |events| Ok(stream.push(events, |cells, counts| chunk.push_frame(cells, counts))?))?;
        let framed = stream.finish(|cells, counts| chunk.push_frame(cells, counts))?;
        let framed = framed.map_err(|fault| bad_sample(recording, sample, fault))?;
        check_frames(framed.frames, &passed, self.recipe, recording, sample)?;
        chunk.end_sample().map_err(|too_large| ChunkFailure::TooNarrow(too_large.0))?;
        self.end_sample(chunk.table_mut(), number, (recording, sample), passed, (framed.binned, framed.cut));
        Ok(())
    }

    /// Reads, transforms and frames the samples in `samples`, a range of indices in the set. Doesn't encode them.
    ///
    /// # Errors
    /// A [`ChunkFailure`], which says why the chunk could not be made.
    pub fn frame_samples(&mut self, samples: Range<u64>) -> Result<Chunk, ChunkFailure> {
        let mut chunk = Chunk::new(self.description.widths, self.description.extras.len());
        let mut number = samples.start;
        for slice in self.read(samples) {
            let mut slice = slice?;
            for i in 0..slice.raw.samples() {
                self.add_sample(&mut chunk, number, &mut slice, i)?;
                number += 1;
            }
        }
        Ok(chunk)
    }

    /// Returns the losses of all samples since the last call, and resets them to zero.
    pub(super) fn take_losses(&mut self) -> Losses {
        std::mem::replace(&mut self.losses, Losses::new(self.recipe))
    }

    /// Reads a sample again, and returns how many events each step loses. `ledger` is the sample's ledger, which has
    /// the loss of slicing.
    pub(super) fn lost_again(&self, sample: u64, ledger: &Ledger) -> Result<Vec<u64>> {
        let mut lost = self.again(sample, self.recipe.transforms.len())?.lost;
        lost.push(ledger.cut);
        Ok(lost)
    }

    /// Reads a sample again and describes its events as they are before `step`.
    pub(super) fn events_before(&self, sample: u64, step: Step) -> Result<Passed> {
        let count = match step {
            Step::Times | Step::Sensor => 0,
            Step::Transform(i) => i,
            Step::Slicing => self.recipe.transforms.len(),
        };
        self.again(sample, count)
    }

    /// Reads a sample again and applies the first `count` transforms.
    fn again(&self, sample: u64, count: usize) -> Result<Passed> {
        if let Some((mut large, _)) = self.large(sample) {
            large.steps.truncate(count);
            return large.pass(false, |_| Ok(()));
        }
        let mut found = Passed::default();
        for slice in self.read(sample..sample + 1) {
            found = self.transform(&mut slice?, 0, count, false)?.1;
        }
        Ok(found)
    }

    fn read(&self, samples: Range<u64>) -> impl Iterator<Item = Result<RecordingSlice<'a>>> + use<'a> {
        self.inputs.read(samples.start + self.first_sample..samples.end + self.first_sample)
    }

    /// Checks the events of sample `i` in `slice`, and applies the first `count` transforms. With `strict`, an event
    /// outside the sensor is an error.
    fn transform(
        &self,
        slice: &mut RecordingSlice<'_>,
        i: usize,
        count: usize,
        strict: bool,
    ) -> Result<(Events, Passed)> {
        let (sample, sensor) = (slice.first + i as u64, self.inputs.sensor);
        let Admitted { mut events, non_finite, outside, first_outside, sorted } = slice.raw.admit_once(i, sensor);
        if let Some(first) = first_outside.filter(|_| strict) {
            return Err(outside_error(slice.recording, sample, first, sensor)?);
        }
        let mut ledger = Ledger { events_in: slice.raw.count(i), outside, non_finite, ..Ledger::default() };
        let mut lost = vec![non_finite, outside];
        let applied = self.recipe.apply_first(count, &mut events, sensor, &mut ledger, |n| lost.push(n));
        applied.map_err(|fault| bad_sample(slice.recording, sample, fault))?;
        let times = events.t.first().copied().zip(events.t.last().copied());
        let passed = Passed { ledger, lost, sorted, first_outside, events: events.len() as u64, times };
        Ok((events, passed))
    }

    /// Adds sample `i` in `slice` to the chunk. `number` is the index of the sample in the set.
    fn add_sample(
        &mut self,
        chunk: &mut Chunk,
        number: u64,
        slice: &mut RecordingSlice<'_>,
        i: usize,
    ) -> Result<(), ChunkFailure> {
        let (recording, sample) = (slice.recording, slice.first + i as u64);
        let (events, passed) = self.transform(slice, i, self.recipe.transforms.len(), !self.lenient)?;
        let framed = self.framer.frame(&events).map_err(|fault| bad_sample(recording, sample, fault))?;
        check_frames(framed.frame_sizes.len() as u64, &passed, self.recipe, recording, sample)?;
        let pushed = chunk.frames.push(&framed.frame_sizes, &framed.cells, framed.counts.view());
        pushed.map_err(|too_large| ChunkFailure::TooNarrow(too_large.0))?;
        let counted = (framed.binned, framed.cut);
        self.end_sample(&mut chunk.table, number, (recording, sample), passed, counted);
        Ok(())
    }

    /// Counts the losses of a sample, and appends its row to `table`. `number` is the sample's index in the set, and
    /// `sample` is its index in the recording.
    fn end_sample(
        &mut self,
        table: &mut SampleTable,
        number: u64,
        (recording, sample): (&Recording, u64),
        mut passed: Passed,
        (binned, cut): (u64, u64),
    ) {
        let ledger = Ledger { binned, cut, ..passed.ledger };
        debug_assert!(ledger.balances());
        passed.lost.push(cut);
        self.losses.add(number, &ledger, &passed.lost);
        let mut flags = 0;
        for (flag, on) in [
            (FLAG_SORTED, passed.sorted || recording.reordered(sample)),
            (FLAG_EMPTY, passed.events == 0),
            (FLAG_OVERLAP, self.recipe.frames.overlaps()),
        ] {
            flags |= if on { flag } else { 0 };
        }
        table.labels.push(recording.labels[sample as usize]);
        table.flags.push(flags);
        table.ledgers.push(ledger);
        for (column, (_, numbers)) in table.extras.iter_mut().zip(&recording.extras) {
            column.push(numbers[sample as usize]);
        }
    }
}

/// The error for a sample that a transform or the framing cannot handle. `sample` is its index in the recording.
fn bad_sample(recording: &Recording, sample: u64, fault: Fault) -> Error {
    Error::bad_sample(&recording.path, sample, fault.place, fault.expected, fault.got)
}

/// Returns an error if a sample gets [`MANY_FRAMES`] frames or more because of an assumed unit of time.
fn check_frames(frames: u64, passed: &Passed, recipe: &Recipe, recording: &Recording, sample: u64) -> Result<()> {
    let unit = recording.assumed_unit().filter(|_| frames >= MANY_FRAMES);
    let (Some(unit), Some(step), Some((first, last))) = (unit, recipe.frames.frame_time(), passed.times) else {
        return Ok(());
    };
    let lasts = last.saturating_sub(first) as f64;
    if lasts / step < MANY_FRAMES as f64 {
        return Ok(());
    }
    let (place, expected) = (format!("sample {sample}: times"), format!("fewer than {MANY_FRAMES} frames"));
    Err(implausible(&recording.path, place, expected, (unit, None), lasts, passed.events))
}
