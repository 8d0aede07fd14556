//! Makes chunks from the recordings: read, transform, frame, encode. Each thread of a conversion has a `ChunkMaker`,
//! which makes any chunk by its number. A repair uses one to make single chunks again.

use std::ops::Range;

use crate::convert::inputs::{Inputs, RecordingSlice};
use crate::convert::large::{BlockSizes, LargeSample, Passed};
use crate::convert::loss::{Losses, Step};
use crate::convert::outside::outside_error;
use crate::error::{Error, Result};
use crate::events::Admitted;
use crate::fault::Fault;
use crate::framing::{FrameStream, Framer};
use crate::recipe::Recipe;
use crate::source::{Recording, implausible};
use crate::time_unit::TimeUnit;
use tonic_shard::{
    Chunk, EncodedChunk, Encoder, FLAG_EMPTY, FLAG_OVERLAP, FLAG_SORTED, LargeChunk, Ledger, SampleTable,
    SetDescription, Totals,
};

/// A sample with this many frames or more is refused, because the unit of its times is probably wrong. Only checked if
/// the unit was assumed.
const MANY_FRAMES: usize = 1_000_000;

/// Why a chunk could not be made.
#[derive(Debug)]
pub enum ChunkFailure {
    /// The recording could not be read or converted.
    Error(Error),
    /// A cell has this many events, too many for the width of the set's counts. The conversion starts again with a
    /// wider type.
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
    /// Makes frames of large samples from blocks of events. `None` if the recipe needs all events of a sample at once.
    stream: Option<FrameStream>,
    /// Which samples are large, and how many of their events are read at once.
    pub(super) sizes: BlockSizes,
    encoder: Encoder,
    losses: Losses,
    /// Number of events of the current sample that each step lost, in the order of [`Losses::steps`].
    lost: Vec<u64>,
}

impl<'a> ChunkMaker<'a> {
    /// Makes a chunk maker for the set that `description` describes. The first sample of the set is sample
    /// `first_sample` of `inputs`. With `lenient`, events outside the sensor are counted and left out. Otherwise, they
    /// are an error.
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
        let sensor = recipe.sensor_after(inputs.sensor);
        let framer = Framer::new(sensor, &recipe.frames);
        let whole = recipe.needs_whole_samples(inputs.sensor).is_some();
        let stream = if whole { None } else { recipe.frames.stream(sensor) };
        let encoder = Encoder::new(description.tool.level)?;
        let (losses, lost) = (Losses::new(recipe), Vec::new());
        let sizes = BlockSizes::default();
        Ok(ChunkMaker {
            inputs,
            recipe,
            description,
            first_sample,
            lenient,
            framer,
            stream,
            sizes,
            encoder,
            losses,
            lost,
        })
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

    /// Makes one chunk of the samples in `samples`, a range of the set. `number` is the index of the chunk, for
    /// errors. Returns the totals of the samples and the encoded bytes. Reads large samples in blocks if the recipe
    /// allows it.
    ///
    /// # Errors
    /// A [`ChunkFailure`], which says why the chunk could not be made.
    pub fn make_samples(&mut self, number: u64, samples: Range<u64>) -> Result<(Totals, EncodedChunk), ChunkFailure> {
        let mut totals = Totals::new(self.description.classes.len());
        let encoded = if samples.clone().any(|sample| self.large(sample).is_some()) {
            let chunk = self.stream_samples(samples)?;
            totals.add_large(&chunk);
            self.encoder.encode_large(number, &chunk)?
        } else {
            let chunk = self.frame_samples(samples)?;
            totals.add(&chunk);
            self.encoder.encode(number, &chunk)?
        };
        Ok((totals, encoded))
    }

    /// Returns sample `sample` of the set, if it has to be read in blocks. `None` if the sample is small, or if the
    /// recipe needs all its events at once.
    fn large(&self, sample: u64) -> Option<LargeSample<'a>> {
        self.stream.as_ref()?;
        let (recording, sample) = self.inputs.find(sample + self.first_sample)?;
        let is_large = recording.sample_events(sample)? > self.sizes.above;
        is_large.then_some(LargeSample { recording, sample, sensor: self.inputs.sensor, sizes: self.sizes })
    }

    /// Reads, transforms and frames the samples in `samples`, a range of the set. Reads large samples in blocks.
    fn stream_samples(&mut self, samples: Range<u64>) -> Result<LargeChunk, ChunkFailure> {
        let mut chunk = LargeChunk::new(self.description.widths, self.description.extras.len())?;
        for sample in samples {
            match self.large(sample) {
                Some(large) => self.stream_sample(&mut chunk, sample, large)?,
                None => chunk.push(&self.frame_samples(sample..sample + 1)?)?,
            }
        }
        Ok(chunk)
    }

    /// Transforms and frames a large sample, and appends it to the chunk. `number` is the sample's index in the set.
    fn stream_sample(
        &mut self,
        chunk: &mut LargeChunk,
        number: u64,
        large: LargeSample<'_>,
    ) -> Result<(), ChunkFailure> {
        let ChunkMaker { recipe, lenient, stream: Some(stream), .. } = self else { return Ok(()) };
        let LargeSample { recording, sample, .. } = large;
        let Ok(steps) = recipe.in_blocks(recipe.transforms.len(), large.sensor) else { return Ok(()) };
        stream.reset();
        let mut passed = large.pass(steps, !*lenient, |events| {
            Ok(stream.push(events, |cells, counts| chunk.push_frame(cells, counts))?)
        })?;
        let framed = stream.finish(|cells, counts| chunk.push_frame(cells, counts))?;
        let framed = framed.map_err(|fault| bad_sample(recording, sample, fault))?;
        let many = framed.frames >= MANY_FRAMES as u64;
        if let Some(unit) = recording.assumed_unit().filter(|_| many) {
            check_frames(passed.events, passed.times, recipe, recording, sample, unit)?;
        }
        let ledger = Ledger { binned: framed.binned, cut: framed.cut, ..passed.ledger };
        debug_assert!(ledger.balances());
        chunk.end_sample().map_err(|too_large| ChunkFailure::TooNarrow(too_large.0))?;
        passed.lost.push(ledger.cut);
        self.losses.add(number, &ledger, &passed.lost);
        self.add_row(chunk.table_mut(), recording, sample, (passed.sorted, passed.events == 0), ledger);
        Ok(())
    }

    /// Reads, transforms and frames the samples in `samples`, a range of the set. Doesn't encode them.
    ///
    /// # Errors
    /// A [`ChunkFailure`], which says why the chunk could not be made.
    pub fn frame_samples(&mut self, samples: Range<u64>) -> Result<Chunk, ChunkFailure> {
        let mut chunk = Chunk::new(self.description.widths, self.description.extras.len());
        let mut number = samples.start;
        for slice in self.read(samples) {
            let slice = slice?;
            for i in 0..slice.raw.samples() {
                self.add_sample(&mut chunk, number, &slice, i)?;
                number += 1;
            }
        }
        Ok(chunk)
    }

    /// Returns the losses of all samples since the last call, and resets them to zero.
    pub(super) fn take_losses(&mut self) -> Losses {
        std::mem::replace(&mut self.losses, Losses::new(self.recipe))
    }

    /// Reads and transforms a sample again, and returns how many events each step loses. The slicing step is not run
    /// again: its loss is taken from `ledger`.
    pub(super) fn lost_again(&mut self, sample: u64, ledger: &Ledger) -> Result<&[u64]> {
        if let Some(large) = self.large(sample)
            && let Ok(steps) = self.recipe.in_blocks(self.recipe.transforms.len(), large.sensor)
        {
            self.lost = large.pass(steps, false, |_| Ok(()))?.lost;
        } else {
            for slice in self.read(sample..sample + 1) {
                self.transform(&slice?, 0)?;
            }
        }
        self.lost.push(ledger.cut);
        Ok(&self.lost)
    }

    /// Reads a sample again and describes its events as they are before `step`.
    pub(super) fn events_before(&mut self, sample: u64, step: Step) -> Result<Passed> {
        let count = match step {
            Step::Times | Step::Sensor => 0,
            Step::Transform(i) => i,
            Step::Slicing => self.recipe.transforms.len(),
        };
        if let Some(large) = self.large(sample)
            && let Ok(steps) = self.recipe.in_blocks(count, large.sensor)
        {
            return large.pass(steps, false, |_| Ok(()));
        }
        let mut found = Passed::default();
        for slice in self.read(sample..sample + 1) {
            let Admitted { mut events, first_outside, .. } = slice?.raw.admit(0, self.inputs.sensor);
            let mut ledger = Ledger::default();
            // An error cannot occur here, because the same transforms were applied to the same events before.
            let _ = self.recipe.apply_first(count, &mut events, self.inputs.sensor, &mut ledger, |_| {});
            let times = events.t.first().copied().zip(events.t.last().copied());
            found = Passed { first_outside, times, events: events.len() as u64, ..Passed::default() };
        }
        Ok(found)
    }

    fn read(&self, samples: Range<u64>) -> impl Iterator<Item = Result<RecordingSlice<'a>>> + use<'a> {
        self.inputs.read(samples.start + self.first_sample..samples.end + self.first_sample)
    }

    /// Checks and transforms the events of sample `i` in `slice`. Writes to `self.lost` how many events each step lost,
    /// except slicing.
    fn transform(&mut self, slice: &RecordingSlice<'_>, i: usize) -> Result<(Admitted, Ledger)> {
        let sample = slice.first + i as u64;
        let mut admitted = slice.raw.admit(i, self.inputs.sensor);
        if let Some(first) = admitted.first_outside.filter(|_| !self.lenient) {
            return Err(outside_error(slice.recording, sample, first, self.inputs.sensor)?);
        }
        let mut ledger = Ledger {
            events_in: slice.raw.count(i),
            outside: admitted.outside,
            non_finite: admitted.non_finite,
            ..Ledger::default()
        };
        self.lost.clear();
        self.lost.extend([ledger.non_finite, ledger.outside]);
        let (recipe, events, sensor) = (self.recipe, &mut admitted.events, self.inputs.sensor);
        let lost = |lost| self.lost.push(lost);
        let applied = recipe.apply_first(recipe.transforms.len(), events, sensor, &mut ledger, lost);
        applied.map_err(|fault| bad_sample(slice.recording, sample, fault))?;
        Ok((admitted, ledger))
    }

    /// Transforms and frames sample `i` in `slice`, and appends it to the chunk. `number` is the sample's index in the
    /// set.
    fn add_sample(
        &mut self,
        chunk: &mut Chunk,
        number: u64,
        slice: &RecordingSlice<'_>,
        i: usize,
    ) -> Result<(), ChunkFailure> {
        let sample = slice.first + i as u64;
        let (Admitted { events, sorted, .. }, mut ledger) = self.transform(slice, i)?;
        let framed = self.framer.frame(&events).map_err(|fault| bad_sample(slice.recording, sample, fault))?;
        let many = framed.frame_sizes.len() >= MANY_FRAMES;
        if let Some(unit) = slice.recording.assumed_unit().filter(|_| many) {
            let times = events.t.first().copied().zip(events.t.last().copied());
            check_frames(events.len() as u64, times, self.recipe, slice.recording, sample, unit)?;
        }
        (ledger.binned, ledger.cut) = (framed.binned, framed.cut);
        debug_assert!(ledger.balances());
        let pushed = chunk.frames.push(&framed.frame_sizes, &framed.cells, framed.counts.view());
        pushed.map_err(|too_large| ChunkFailure::TooNarrow(too_large.0))?;
        self.lost.push(ledger.cut);
        self.losses.add(number, &ledger, &self.lost);

        self.add_row(&mut chunk.table, slice.recording, sample, (sorted, events.is_empty()), ledger);
        Ok(())
    }

    /// Appends the label, flags, ledger and extra values of a sample to `table`. `sample` is the index of the sample in
    /// the recording.
    fn add_row(
        &self,
        table: &mut SampleTable,
        recording: &Recording,
        sample: u64,
        (sorted, empty): (bool, bool),
        ledger: Ledger,
    ) {
        let mut flags = 0;
        for (flag, on) in [
            (FLAG_SORTED, sorted || recording.reordered(sample)),
            (FLAG_EMPTY, empty),
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

/// Returns an error if a sample is so long that it gets [`MANY_FRAMES`] frames or more. Then its times are probably
/// not in `unit`, the unit that was assumed. `times` are the times of its first and last event.
fn check_frames(
    events: u64,
    times: Option<(i64, i64)>,
    recipe: &Recipe,
    recording: &Recording,
    sample: u64,
    unit: TimeUnit,
) -> Result<(), Error> {
    let (Some(step), Some((first, last))) = (recipe.frames.frame_time(), times) else { return Ok(()) };
    let lasts = last.saturating_sub(first);
    if lasts as f64 / step < MANY_FRAMES as f64 {
        return Ok(());
    }
    let (place, expected) = (format!("sample {sample}: times"), format!("fewer than {MANY_FRAMES} frames"));
    Err(implausible(&recording.path, place, expected, (unit, None), lasts as f64, events))
}
