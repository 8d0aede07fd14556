//! Makes a chunk from the recordings: read, transform, frame, encode. Each thread has a `ChunkMaker`, which makes any
//! chunk by its number, so that a repair can make a single chunk again.

use std::ops::Range;

use crate::convert::inputs::{Inputs, RecordingSlice};
use crate::error::{Error, Result};
use crate::events::{Admitted, SensorSize};
use crate::fault::Fault;
use crate::framing::Framer;
use crate::recipe::Recipe;
use tonic_shard::{Chunk, EncodedChunk, Encoder, FLAG_EMPTY, FLAG_OVERLAP, FLAG_SORTED, Ledger, SetDescription};

/// Why a chunk could not be made.
#[derive(Debug)]
pub enum ChunkFailure {
    /// The recording could not be read or converted.
    Error(Error),
    /// A count that does not fit the width of the set's count column. The conversion starts again with a wider column.
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
    encoder: Encoder,
}

impl<'a> ChunkMaker<'a> {
    /// Makes a chunk maker for the set that `description` describes. The set's first sample is sample `first_sample` of
    /// `inputs`. With `lenient`, events outside the sensor are counted and left out; otherwise they are an error.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] for a level that zstd doesn't have.
    pub fn new(
        inputs: &'a Inputs,
        recipe: &'a Recipe,
        description: &'a SetDescription,
        first_sample: u64,
        lenient: bool,
    ) -> Result<Self> {
        let framer = Framer::new(recipe.sensor_after(inputs.sensor), &recipe.frames);
        let encoder = Encoder::new(description.tool.level)?;
        Ok(ChunkMaker { inputs, recipe, description, first_sample, lenient, framer, encoder })
    }

    /// Makes chunk `number`. Returns its content and its encoded bytes.
    ///
    /// # Errors
    /// [`ChunkFailure`].
    pub fn make(&mut self, number: u64) -> Result<(Chunk, EncodedChunk), ChunkFailure> {
        let start = number * u64::from(self.description.chunk_samples);
        let end = (start + u64::from(self.description.chunk_samples)).min(self.description.samples);
        self.make_samples(number, start..end)
    }

    /// Makes a chunk like [`ChunkMaker::make`], but from the given samples of the set instead of the chunk's own.
    ///
    /// # Errors
    /// [`ChunkFailure`].
    pub fn make_samples(&mut self, number: u64, samples: Range<u64>) -> Result<(Chunk, EncodedChunk), ChunkFailure> {
        let chunk = self.frame_samples(samples)?;
        let encoded = self.encoder.encode(number, &chunk)?;
        Ok((chunk, encoded))
    }

    /// Reads and frames these samples of the set, without encoding them.
    ///
    /// # Errors
    /// [`ChunkFailure`].
    pub fn frame_samples(&mut self, samples: Range<u64>) -> Result<Chunk, ChunkFailure> {
        let mut chunk = Chunk::new(self.description.widths, self.description.extras.len());
        for slice in self.inputs.read(samples.start + self.first_sample..samples.end + self.first_sample) {
            let slice = slice?;
            for i in 0..slice.raw.samples() {
                self.add_sample(&mut chunk, &slice, i)?;
            }
        }
        Ok(chunk)
    }

    /// Frames one sample and appends it to the chunk.
    fn add_sample(&mut self, chunk: &mut Chunk, slice: &RecordingSlice<'_>, i: usize) -> Result<(), ChunkFailure> {
        let sample = slice.first + i as u64;
        let path = &slice.recording.path;
        let bad = |fault: Fault| Error::bad_sample(path, sample, fault.place, fault.expected, fault.got);
        let admitted = slice.raw.admit(i, self.inputs.sensor);
        if let Some((event, expected, got)) = outside(&admitted, self.inputs.sensor).filter(|_| !self.lenient) {
            return Err(Error::OutsideSensor { path: path.clone(), sample, event, expected, got }.into());
        }
        let mut ledger = Ledger {
            events_in: slice.raw.count(i),
            outside: admitted.outside,
            non_finite: admitted.non_finite,
            ..Ledger::default()
        };
        let mut events = admitted.events;
        let applied = self.recipe.apply(&mut events, self.inputs.sensor, &mut ledger);
        applied.map_err(bad)?;
        let framed = self.framer.frame(&events).map_err(bad)?;
        (ledger.binned, ledger.cut) = (framed.binned, framed.cut);
        debug_assert!(ledger.balances());
        let pushed = chunk.frames.push(&framed.frame_sizes, &framed.cells, framed.counts.view());
        pushed.map_err(|too_large| ChunkFailure::TooNarrow(too_large.0))?;

        let mut flags = 0;
        for (flag, on) in [
            (FLAG_SORTED, admitted.sorted || slice.recording.reordered(sample)),
            (FLAG_EMPTY, events.is_empty()),
            (FLAG_OVERLAP, self.recipe.frames.overlaps()),
        ] {
            flags |= if on { flag } else { 0 };
        }
        let table = &mut chunk.table;
        table.labels.push(slice.recording.labels[sample as usize]);
        table.flags.push(flags);
        table.ledgers.push(ledger);
        for (column, (_, numbers)) in table.extras.iter_mut().zip(&slice.recording.extras) {
            column.push(numbers[sample as usize]);
        }
        Ok(())
    }
}

/// The first event outside the sensor: its index in the sample, what was expected and what was found.
fn outside(admitted: &Admitted, sensor: SensorSize) -> Option<(u64, String, String)> {
    let (event, [x, y, p]) = admitted.first_outside?;
    let (expected, got) = if sensor.height == 1 && sensor.polarities == 1 {
        (format!("a unit below {}", sensor.width), format!("unit {x}"))
    } else {
        (format!("x, y, p inside the sensor, {sensor}"), format!("{x}, {y}, {p}"))
    };
    Some((event, expected, got))
}
