//! A chunk from the recording to compressed bytes: read, transform, frame, encode. One maker a thread; any chunk by its
//! number, so that a repair makes a single one again.

use std::ops::Range;

use super::events::{Admitted, SensorSize};
use super::framing::Framer;
use super::inputs::{Inputs, Part};
use super::transform::Recipe;
use crate::error::{Error, Result};
use crate::shard::Ledger;
use crate::shard::codec::{Chunk, EncodedChunk, Encoder, FLAG_EMPTY, FLAG_OVERLAP, FLAG_SORTED};
use crate::shard::manifest::SetDescription;

/// Why a chunk could not be made.
#[derive(Debug)]
pub enum ChunkFailure {
    /// A fault of the recording.
    Error(Error),
    /// A count that the columns are too narrow for: the set starts over with wider ones.
    TooNarrow(u32),
}

impl From<Error> for ChunkFailure {
    fn from(error: Error) -> ChunkFailure {
        ChunkFailure::Error(error)
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
    /// For the set that `description` describes, whose first sample is this one of the inputs'. With `lenient`, events outside the sensor are counted, not refused.
    ///
    /// # Errors
    /// [`Error::Usage`] for a level that zstd has not.
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

    /// Makes chunk `number`: its content and its bytes.
    ///
    /// # Errors
    /// [`ChunkFailure`].
    pub fn make(&mut self, number: u64) -> std::result::Result<(Chunk, EncodedChunk), ChunkFailure> {
        let start = number * u64::from(self.description.chunk_samples);
        let end = (start + u64::from(self.description.chunk_samples)).min(self.description.samples);
        self.make_samples(number, start..end)
    }

    /// As [`ChunkMaker::make`], of these samples of the set instead of the chunk's own.
    ///
    /// # Errors
    /// [`ChunkFailure`].
    pub fn make_samples(
        &mut self,
        number: u64,
        samples: Range<u64>,
    ) -> std::result::Result<(Chunk, EncodedChunk), ChunkFailure> {
        let chunk = self.frame_samples(samples)?;
        let encoded = self.encoder.encode(number, &chunk)?;
        Ok((chunk, encoded))
    }

    /// These samples of the set, framed and not encoded.
    ///
    /// # Errors
    /// [`ChunkFailure`].
    pub fn frame_samples(&mut self, samples: Range<u64>) -> std::result::Result<Chunk, ChunkFailure> {
        let mut chunk = Chunk::new(self.description.widths, self.description.extras.len());
        for part in self.inputs.read(samples.start + self.first_sample..samples.end + self.first_sample) {
            let part = part?;
            for i in 0..part.raw.samples() {
                self.add_sample(&mut chunk, &part, i)?;
            }
        }
        Ok(chunk)
    }

    /// Frames one sample and appends it to the chunk.
    fn add_sample(&mut self, chunk: &mut Chunk, part: &Part<'_>, i: usize) -> std::result::Result<(), ChunkFailure> {
        let sample = part.first + i as u64;
        let bad = |what: String, expected: String, got: String| Error::BadSample {
            path: part.recording.path.clone(),
            sample,
            what,
            expected,
            got,
        };
        let admitted = part.raw.admit(i, self.inputs.sensor);
        if let Some((what, expected, got)) = outside(&admitted, self.inputs.sensor).filter(|_| !self.lenient) {
            return Err(bad(what, expected, got).into());
        }
        let mut ledger = Ledger {
            events_in: part.raw.count(i),
            outside: admitted.outside,
            non_finite: admitted.non_finite,
            ..Ledger::default()
        };
        let mut events = admitted.events;
        let applied = self.recipe.apply(&mut events, self.inputs.sensor, &mut ledger);
        applied.map_err(|fault| bad(fault.place, fault.expected, fault.got))?;
        let framed = self.framer.frame(&events).map_err(|fault| bad(fault.place, fault.expected, fault.got))?;
        (ledger.binned, ledger.cut) = (framed.binned, framed.cut);
        debug_assert!(ledger.balances());
        let pushed = chunk.frames.push(&framed.frame_sizes, &framed.cells, framed.counts.view());
        pushed.map_err(|too_large| ChunkFailure::TooNarrow(too_large.0))?;

        let mut flags = 0;
        for (flag, on) in [
            (FLAG_SORTED, admitted.sorted || part.recording.reordered(sample)),
            (FLAG_EMPTY, events.is_empty()),
            (FLAG_OVERLAP, self.recipe.frames.overlaps()),
        ] {
            flags |= if on { flag } else { 0 };
        }
        let table = &mut chunk.table;
        table.labels.push(part.recording.labels[sample as usize]);
        table.flags.push(flags);
        table.ledgers.push(ledger);
        for (column, (_, numbers)) in table.extras.iter_mut().zip(&part.recording.extras) {
            column.push(numbers[sample as usize]);
        }
        Ok(())
    }
}

/// What to say of the first event outside the sensor: the place, what was expected and what was found.
fn outside(admitted: &Admitted, sensor: SensorSize) -> Option<(String, String, String)> {
    let (event, [x, y, p]) = admitted.first_outside?;
    let (expected, got) = if sensor.height == 1 && sensor.polarities == 1 {
        (format!("a unit below {}", sensor.width), format!("unit {x}"))
    } else {
        (format!("x, y, p inside the sensor, {sensor}"), format!("{x}, {y}, {p}"))
    };
    Some((format!("event {event}"), format!("{expected} (or --lenient, to leave such events out)"), got))
}
