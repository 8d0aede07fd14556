//! Makes chunks from the recordings: read, transform, frame, encode. A `ChunkMaker` makes any chunk by its number. Each
//! thread of a conversion has one, and a repair uses one to make single chunks again.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::convert::inputs::{Inputs, RecordingSlice};
use crate::convert::loss::{Losses, Step};
use crate::error::{Error, Result};
use crate::events::{Admitted, Events, SensorSize};
use crate::fault::Fault;
use crate::framing::Framer;
use crate::recipe::Recipe;
use crate::source::{FAR_PIXEL, NO_PIXEL, Recording, TimeUnit, implausible, listed, odd_polarities};
use tonic_shard::{Chunk, EncodedChunk, Encoder, FLAG_EMPTY, FLAG_OVERLAP, FLAG_SORTED, Ledger, SetDescription};

/// A sample is refused if its events last for this many frames or more, because the unit of its times is probably
/// wrong. This is checked only if the unit was assumed, and if the recipe sets the time from one frame to the next.
/// With 10 ms per frame, the limit is 2.8 hours.
const MANY_FRAMES: usize = 1_000_000;

/// Why a chunk could not be made.
#[derive(Debug)]
pub enum ChunkFailure {
    /// The recording could not be read or converted.
    Error(Error),
    /// A cell has this many events, which don't fit the width of the set's count column. The conversion starts again
    /// with a wider column.
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
    losses: Losses,
    /// Number of events of the current sample that each step lost, in the order of [`Losses::steps`].
    lost: Vec<u64>,
}

impl<'a> ChunkMaker<'a> {
    /// Makes a chunk maker for the set that `description` describes. The set's first sample is sample `first_sample` of
    /// `inputs`. With `lenient`, events outside the sensor are counted and left out; otherwise they are an error.
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
        let (losses, lost) = (Losses::new(recipe), Vec::new());
        Ok(ChunkMaker { inputs, recipe, description, first_sample, lenient, framer, encoder, losses, lost })
    }

    /// Makes chunk `number` of the set, counted from 0. Returns its content and its encoded bytes.
    ///
    /// # Errors
    /// [`ChunkFailure`].
    pub fn make(&mut self, number: u64) -> Result<(Chunk, EncodedChunk), ChunkFailure> {
        let start = number * u64::from(self.description.chunk_samples);
        let end = (start + u64::from(self.description.chunk_samples)).min(self.description.samples);
        self.make_samples(number, start..end)
    }

    /// Makes chunk `number` from the given samples of the set, which need not be the samples that this chunk has in the
    /// set. Returns its content and its encoded bytes.
    ///
    /// # Errors
    /// [`ChunkFailure`].
    pub fn make_samples(&mut self, number: u64, samples: Range<u64>) -> Result<(Chunk, EncodedChunk), ChunkFailure> {
        let chunk = self.frame_samples(samples)?;
        let encoded = self.encoder.encode(number, &chunk)?;
        Ok((chunk, encoded))
    }

    /// Reads, transforms and frames the given samples of the set, without encoding them.
    ///
    /// # Errors
    /// [`ChunkFailure`].
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

    /// Returns the losses of all samples that were framed since the last call, and starts to count anew.
    pub(super) fn take_losses(&mut self) -> Losses {
        std::mem::replace(&mut self.losses, Losses::new(self.recipe))
    }

    /// Reads and transforms a sample again. Returns how many events of the sample each step lost. `ledger` is the
    /// ledger of the sample. The number of events that slicing lost is taken from it.
    ///
    /// # Errors
    /// Errors of reading.
    pub(super) fn lost_again(&mut self, sample: u64, ledger: &Ledger) -> Result<&[u64]> {
        for slice in self.read(sample..sample + 1) {
            self.transform(&slice?, 0)?;
        }
        self.lost.push(ledger.cut);
        Ok(&self.lost)
    }

    /// Reads a sample again and returns its events as they are before `step`.
    ///
    /// # Errors
    /// Errors of reading.
    pub(super) fn events_before(&mut self, sample: u64, step: Step) -> Result<Admitted> {
        let count = match step {
            Step::Times | Step::Sensor => 0,
            Step::Transform(i) => i,
            Step::Slicing => self.recipe.transforms.len(),
        };
        let mut found = Admitted::default();
        for slice in self.read(sample..sample + 1) {
            found = slice?.raw.admit(0, self.inputs.sensor);
            let mut ledger = Ledger::default();
            // The same transforms have passed these events before.
            let _ = self.recipe.apply_first(count, &mut found.events, self.inputs.sensor, &mut ledger, |_| {});
        }
        Ok(found)
    }

    /// Reads the raw events of the given samples of the set.
    fn read(&self, samples: Range<u64>) -> impl Iterator<Item = Result<RecordingSlice<'a>>> + use<'a> {
        self.inputs.read(samples.start + self.first_sample..samples.end + self.first_sample)
    }

    /// Checks and transforms the events of sample `i` in `slice`. Writes to `self.lost` how many events each step lost,
    /// except for the step that slices events into frames.
    fn transform(&mut self, slice: &RecordingSlice<'_>, i: usize) -> Result<(Admitted, Ledger)> {
        let sample = slice.first + i as u64;
        let mut admitted = slice.raw.admit(i, self.inputs.sensor);
        if let Some((event, expected, got)) = outside(&admitted, self.inputs.sensor).filter(|_| !self.lenient) {
            let path = slice.recording.path.clone();
            if let Some(got) = no_pixel(&admitted) {
                return Err(Error::NoPixel { path, sample, event, got });
            }
            if let Some(fault) = odd_polarity(slice.recording, sample, &admitted, self.inputs.sensor)? {
                return Err(fault);
            }
            let origin = slice.recording.likely_origin(self.inputs.sensor)?;
            let got = if origin == Some(0) { format!("{got} after 1 is subtracted (`origin`)") } else { got };
            return Err(Error::OutsideSensor { path, sample, event, expected, got, origin });
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
        applied.map_err(|fault| bad_sample(slice, sample, fault))?;
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
        let framed = self.framer.frame(&events).map_err(|fault| bad_sample(slice, sample, fault))?;
        let many = framed.frame_sizes.len() >= MANY_FRAMES;
        if let Some(unit) = slice.recording.assumed_unit().filter(|_| many) {
            check_frames(&events, self.recipe, slice.recording, sample, unit)?;
        }
        (ledger.binned, ledger.cut) = (framed.binned, framed.cut);
        debug_assert!(ledger.balances());
        let pushed = chunk.frames.push(&framed.frame_sizes, &framed.cells, framed.counts.view());
        pushed.map_err(|too_large| ChunkFailure::TooNarrow(too_large.0))?;
        self.lost.push(ledger.cut);
        self.losses.add(number, &ledger, &self.lost);

        let mut flags = 0;
        for (flag, on) in [
            (FLAG_SORTED, sorted || slice.recording.reordered(sample)),
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

/// Returns the error for a sample that a transform or the framing cannot handle. `sample` is its index in the
/// recording.
fn bad_sample(slice: &RecordingSlice<'_>, sample: u64, fault: Fault) -> Error {
    Error::bad_sample(&slice.recording.path, sample, fault.place, fault.expected, fault.got)
}

/// Returns an error if the events of a sample last for [`MANY_FRAMES`] frames or more. If the recipe doesn't set the
/// time from one frame to the next, returns `Ok`. `unit` is the unit that was assumed for the times.
fn check_frames(
    events: &Events,
    recipe: &Recipe,
    recording: &Recording,
    sample: u64,
    unit: TimeUnit,
) -> Result<(), Error> {
    let (Some(step), [first, .., last]) = (recipe.frames.frame_time(), &events.t[..]) else { return Ok(()) };
    let lasts = last.saturating_sub(*first);
    if lasts as f64 / step < MANY_FRAMES as f64 {
        return Ok(());
    }
    let (place, expected) = (format!("sample {sample}: times"), format!("fewer than {MANY_FRAMES} frames"));
    Err(implausible(&recording.path, place, expected, (unit, None), lasts as f64, events.len() as u64))
}

/// Checks the first event outside the sensor. If its x and y are inside the sensor, and its polarity is neither 0 nor
/// 1, returns an error about the polarity: no sensor has such a polarity. Otherwise returns `None`.
fn odd_polarity(recording: &Recording, sample: u64, admitted: &Admitted, sensor: SensorSize) -> Result<Option<Error>> {
    let inside = |n: i64, size: u32| (0..i64::from(size)).contains(&n);
    let Some((event, [x, y, p])) = admitted.first_outside else { return Ok(None) };
    if !inside(x, sensor.width) || !inside(y, sensor.height) || inside(p, 2) {
        return Ok(None);
    }
    let Recording { path, layout, columns, .. } = recording;
    let (values, odd) = (recording.polarities()?, listed(&BTreeSet::from([i128::from(p)])));
    let what = format!("{} (event {event} of sample {sample} has {odd})", listed(&values));
    Ok(Some(odd_polarities(path, *layout, columns, &values, what)))
}

/// Describes the first event outside the sensor: its index in the sample, what was expected and what was found. `None`
/// if all events are inside.
fn outside(admitted: &Admitted, sensor: SensorSize) -> Option<(u64, String, String)> {
    let (event, [x, y, p]) = admitted.first_outside?;
    let (expected, got) = if sensor.height == 1 && sensor.polarities == 1 {
        (format!("a unit below {}", sensor.width), format!("unit {x}"))
    } else {
        (format!("x, y, p inside the sensor, {sensor}"), format!("{x}, {y}, {p}"))
    };
    Some((event, expected, got))
}

/// Describes x and y of the first event outside the sensor, if one of them is NaN, infinite, 2^63 or -2^63. Otherwise
/// returns `None`.
fn no_pixel(admitted: &Admitted) -> Option<String> {
    let (_, [x, y, _]) = admitted.first_outside?;
    let odd = |n: i64| match n {
        NO_PIXEL => Some("NaN, -inf or -2^63"),
        // `origin` may have been subtracted.
        n if n >= FAR_PIXEL - 1 => Some("inf or 2^63"),
        _ => None,
    };
    let text = |n| odd(n).map_or_else(|| n.to_string(), String::from);
    odd(x).or(odd(y)).map(|_| format!("x = {}, y = {}", text(x), text(y)))
}
