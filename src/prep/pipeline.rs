//! The conversion: read, transform, frame, encode, write.
//!
//! One thread reads ahead (libhdf5 has one global lock), workers take chunks from the raw spikes to compressed bytes,
//! and the calling thread writes them in order. Permits bound how many chunks are under way, and so the memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::events::SensorSize;
use super::framing::Accumulator;
use super::plan::Plan;
use super::source::hsd::{Hsd, Spikes};
use super::transform::Recipe;
use crate::error::{Error, Result};
use crate::frames::{Width, Widths};
use crate::interrupt;
use crate::progress::{Progress, Verbosity};
use crate::shard::Ledger;
use crate::shard::codec::{Chunk, EncodedChunk, Encoder, FLAG_EMPTY, FLAG_OVERLAP, FLAG_SORTED};
use crate::shard::manifest::{Id, Manifest, SetDescription, Source, Tool};
use crate::shard::writer::{Existing, OutputDir, SetWriter};

/// The default zstd level. Level 9 takes 4% less room and three times as long.
pub const LEVEL: i32 = 3;

/// What to convert, and how.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// The recordings, in order.
    pub inputs: Vec<PathBuf>,
    /// The set's directory.
    pub output: PathBuf,
    /// What is done to every sample.
    pub recipe: Recipe,
    /// The recordings' sensor.
    pub sensor: SensorSize,
    /// The first so many samples only.
    pub limit: Option<u64>,
    /// Worker threads.
    pub threads: usize,
    /// zstd level.
    pub level: i32,
    /// Samples a chunk.
    pub chunk_samples: u32,
    /// Bytes a shard, about.
    pub shard_bytes: u64,
    /// What to do about a set that is there already.
    pub existing: Existing,
    /// Count events outside the sensor instead of refusing them.
    pub lenient: bool,
    /// Bars and lines.
    pub verbosity: Verbosity,
}

/// What a conversion did.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The set's manifest.
    pub manifest: Manifest,
    /// Samples that a resume found done.
    pub resumed_samples: u64,
    /// Seconds of reading, framing and writing.
    pub seconds: f64,
}

/// A recording and its place among the set's samples.
struct Input {
    path: PathBuf,
    hsd: Hsd,
    first_sample: u64,
    samples: u64,
}

/// Why a chunk could not be made.
enum ChunkFailure {
    Error(Error),
    /// A count that the columns are too narrow for: the set starts over with wider ones.
    TooNarrow(u32),
}

impl From<Error> for ChunkFailure {
    fn from(error: Error) -> ChunkFailure {
        ChunkFailure::Error(error)
    }
}

/// A chunk's raw spikes: of one recording, or of two where one ends inside it.
struct RawChunk {
    number: u64,
    parts: Vec<(usize, u64, Spikes)>,
}

type MadeChunk = std::result::Result<(u64, Chunk, EncodedChunk), ChunkFailure>;

/// Converts recordings into a shard set.
///
/// # Errors
/// Every fault of reading, transforming and writing; what is complete on disk stays, for `--resume`.
pub fn convert(conversion: &Conversion) -> Result<Converted> {
    Encoder::new(conversion.level)?; // refuses a level before anything is begun
    let inputs = open_inputs(conversion)?;
    let mut dir = OutputDir::open(&conversion.output, conversion.existing)?;
    let mut resume = conversion.existing == Existing::Resume;
    let unfinished = dir.unfinished()?.filter(|_| resume);
    if resume && unfinished.is_none() && conversion.output.join(crate::shard::manifest::FILE_NAME).exists() {
        return Err(Error::Exists {
            path: conversion.output.clone(),
            remedy: "the set is complete, there is nothing to resume",
        });
    }
    let mut counts = unfinished.map_or(Width::U8, |u| u.widths.counts);
    let sources = hash_sources(&inputs, conversion.verbosity)?;
    loop {
        let description = describe(conversion, &inputs, sources.clone(), counts)?;
        let writer = SetWriter::start(dir, description, resume)?;
        match run(conversion, &inputs, writer)? {
            Run::Finished(converted) => return Ok(*converted),
            Run::TooNarrow(count, again) => {
                counts = Width::holding(count);
                if conversion.verbosity == Verbosity::Normal {
                    eprintln!("convert: a cell has {count} events; starting over with wider counts ({counts:?})");
                }
                (dir, resume) = (again, false);
            }
        }
    }
}

enum Run {
    Finished(Box<Converted>),
    TooNarrow(u32, OutputDir),
}

fn open_inputs(conversion: &Conversion) -> Result<Vec<Input>> {
    let mut inputs: Vec<Input> = Vec::with_capacity(conversion.inputs.len());
    let mut first_sample = 0;
    for path in &conversion.inputs {
        let hsd = Hsd::open(path)?;
        if let Some(first) = inputs.first() {
            let differs = |field: &str, expected: String, got: String| Error::Mismatch {
                path: path.clone(),
                other: first.path.clone(),
                field: field.into(),
                expected,
                got,
            };
            let names = |h: &Hsd| h.extras.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(", ");
            if hsd.keys != first.hsd.keys {
                return Err(differs("extra/keys", format!("{:?}", first.hsd.keys), format!("{:?}", hsd.keys)));
            }
            if names(&hsd) != names(&first.hsd) {
                return Err(differs("columns of extra/", names(&first.hsd), names(&hsd)));
            }
        }
        let left = conversion.limit.map_or(u64::MAX, |limit| limit - first_sample);
        let samples = hsd.samples().min(left);
        if samples > 0 {
            inputs.push(Input { path: path.clone(), hsd, first_sample, samples });
        }
        first_sample += samples;
    }
    Ok(inputs)
}

fn hash_sources(inputs: &[Input], verbosity: Verbosity) -> Result<Vec<Source>> {
    let size = |path: &Path| std::fs::metadata(path).map(|m| m.len()).map_err(Error::io(path, "read the recording"));
    let total = inputs.iter().map(|i| size(&i.path)).sum::<Result<u64>>()?;
    let progress = Progress::start(verbosity, "hash", total, "B");
    let mut sources = Vec::with_capacity(inputs.len());
    for input in inputs {
        let mut hash = blake3::Hasher::new();
        hash.update_mmap_rayon(&input.path).map_err(Error::io(&input.path, "read the recording"))?;
        let bytes = size(&input.path)?;
        progress.add(bytes);
        let name = input.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        sources.push(Source { name, bytes, samples: input.samples, blake3: Id(*hash.finalize().as_bytes()) });
    }
    progress.finish();
    Ok(sources)
}

fn describe(conversion: &Conversion, inputs: &[Input], sources: Vec<Source>, counts: Width) -> Result<SetDescription> {
    let samples = inputs.iter().map(|i| i.samples).sum();
    let all_samples: u64 = inputs.iter().map(|i| i.hsd.samples()).sum();
    let source_bytes: u64 = sources.iter().map(|s| s.bytes).sum();
    let limited_bytes = (source_bytes as f64 * samples as f64 / all_samples.max(1) as f64) as u64;
    let plan = Plan::new(samples, limited_bytes, conversion.chunk_samples, conversion.shard_bytes);
    let classes = inputs.first().and_then(|i| i.hsd.keys.clone()).unwrap_or_else(|| {
        let labels = inputs.iter().flat_map(|i| &i.hsd.labels);
        (0..labels.max().map_or(0, |&largest| largest + 1)).map(|label| label.to_string()).collect()
    });
    let extras = inputs.first().map_or(Vec::new(), |i| i.hsd.extras.iter().map(|(name, _)| name.clone()).collect());
    let shape = conversion.recipe.sensor_after(conversion.sensor).frame_shape();
    let recipe = conversion.recipe.to_toml();
    Ok(SetDescription {
        samples,
        chunk_samples: plan.chunk_samples,
        shard_chunks: plan.shard_chunks,
        shape,
        widths: Widths::of(shape, counts),
        recipe_id: SetDescription::recipe_id(shape, &recipe, &classes, &extras),
        recipe,
        classes,
        extras,
        frame_limit: conversion.recipe.frame_limit(),
        sources,
        tool: Tool::this(conversion.level),
    })
}

/// Runs reader, workers and writer until the set is complete, something fails, or counts turn out too large.
fn run(conversion: &Conversion, inputs: &[Input], writer: SetWriter) -> Result<Run> {
    let description = writer.description().clone();
    let resumed_samples = (writer.chunks_done() * u64::from(description.chunk_samples)).min(description.samples);
    let progress = Progress::start(conversion.verbosity, "convert", description.samples - resumed_samples, "samples");
    let under_way = conversion.threads * 2 + 2;
    let (permits, take_permit) = bounded(under_way);
    (0..under_way).for_each(|_| permits.send(()).expect("the receiver is held here"));
    let (raw_out, raw_in) = bounded::<Result<RawChunk>>(under_way);
    let (made_out, made_in) = unbounded::<MadeChunk>();

    let first = writer.chunks_done();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| read_chunks(inputs, &description, first, take_permit, raw_out));
        for _ in 0..conversion.threads {
            let (raw_in, made_out, description) = (raw_in.clone(), made_out.clone(), &description);
            scope.spawn(move || make_chunks(conversion, inputs, description, &raw_in, &made_out));
        }
        drop((raw_in, made_out));
        // Moving the receiver and the permits in ends the threads when writing stops early: their sends fail.
        write_chunks(writer, &description, made_in, permits, &progress)
    });
    let outcome = outcome?;
    let seconds = progress.finish();
    match outcome {
        Written::All(writer) => {
            let manifest = writer.finish()?;
            report_oddities(conversion, &manifest);
            Ok(Run::Finished(Box::new(Converted { manifest, resumed_samples, seconds })))
        }
        Written::TooNarrow(count, writer) => Ok(Run::TooNarrow(count, writer.abandon())),
    }
}

/// Reads ahead, a chunk at a time, as permits allow.
fn read_chunks(
    inputs: &[Input],
    description: &SetDescription,
    first: u64,
    take_permit: Receiver<()>,
    out: Sender<Result<RawChunk>>,
) {
    for number in first..description.chunks() {
        if take_permit.recv().is_err() {
            return;
        }
        let raw = if interrupt::requested() {
            let saved = "complete shards are kept; run the same command with --resume to go on".into();
            Err(Error::Interrupted { saved })
        } else {
            read_chunk(inputs, description, number)
        };
        let failed = raw.is_err();
        if out.send(raw).is_err() || failed {
            return;
        }
    }
}

fn read_chunk(inputs: &[Input], description: &SetDescription, number: u64) -> Result<RawChunk> {
    let start = number * u64::from(description.chunk_samples);
    let end = (start + u64::from(description.chunk_samples)).min(description.samples);
    let mut parts = Vec::new();
    for (i, input) in inputs.iter().enumerate() {
        let last = input.first_sample + input.samples;
        let (from, to) = (start.max(input.first_sample), end.min(last));
        if from < to {
            let local = from - input.first_sample..to - input.first_sample;
            parts.push((i, local.start, input.hsd.read(local)?));
        }
    }
    Ok(RawChunk { number, parts })
}

/// A worker: raw chunks in, encoded ones out.
fn make_chunks(
    conversion: &Conversion,
    inputs: &[Input],
    description: &SetDescription,
    raw_in: &Receiver<Result<RawChunk>>,
    out: &Sender<MadeChunk>,
) {
    let mut maker = match ChunkMaker::new(conversion, inputs, description) {
        Ok(maker) => maker,
        Err(e) => return drop(out.send(Err(e.into()))),
    };
    for raw in raw_in {
        let made = raw.map_err(ChunkFailure::Error).and_then(|raw| maker.make(&raw));
        if out.send(made).is_err() {
            return;
        }
    }
}

/// All that a worker keeps from chunk to chunk.
struct ChunkMaker<'a> {
    conversion: &'a Conversion,
    inputs: &'a [Input],
    description: &'a SetDescription,
    accumulator: Accumulator,
    encoder: Encoder,
}

impl<'a> ChunkMaker<'a> {
    fn new(conversion: &'a Conversion, inputs: &'a [Input], description: &'a SetDescription) -> Result<Self> {
        let sensor = conversion.recipe.sensor_after(conversion.sensor);
        let accumulator = Accumulator::new(sensor, conversion.recipe.frames);
        let encoder = Encoder::new(conversion.level)?;
        Ok(ChunkMaker { conversion, inputs, description, accumulator, encoder })
    }

    fn make(&mut self, raw: &RawChunk) -> MadeChunk {
        let mut chunk = Chunk::new(self.description.widths, self.description.extras.len());
        for (input, first, spikes) in &raw.parts {
            for i in 0..spikes.samples() {
                self.add_sample(&mut chunk, &self.inputs[*input], first + i as u64, spikes, i)?;
            }
        }
        let encoded = self.encoder.encode(raw.number, &chunk)?;
        Ok((raw.number, chunk, encoded))
    }

    /// Frames one sample and appends it to the chunk.
    fn add_sample(
        &mut self,
        chunk: &mut Chunk,
        input: &Input,
        sample: u64,
        spikes: &Spikes,
        i: usize,
    ) -> std::result::Result<(), ChunkFailure> {
        let bad = |what: String, expected: String, got: String| Error::BadSample {
            path: input.path.clone(),
            sample,
            what,
            expected,
            got,
        };
        let admitted = spikes.admit(i, self.conversion.sensor);
        if let Some((event, [x, ..])) = admitted.first_outside.filter(|_| !self.conversion.lenient) {
            let expected =
                format!("a unit below {} (or --lenient, to leave such events out)", self.conversion.sensor.width);
            return Err(bad(format!("event {event}"), expected, format!("unit {x}")).into());
        }
        let mut ledger = Ledger {
            events_in: spikes.count(i),
            outside: admitted.outside,
            non_finite: admitted.non_finite,
            ..Ledger::default()
        };
        let mut events = admitted.events;
        self.conversion.recipe.apply(&mut events, &mut ledger);
        let framed = self.accumulator.frame(&events).map_err(|frames| {
            let expected =
                format!("at most {} frames (crop the time, or take longer windows)", super::framing::MAX_FRAMES);
            bad("frames".into(), expected, format!("{frames:.0}"))
        })?;
        (ledger.binned, ledger.cut) = (framed.binned, framed.cut);
        debug_assert!(ledger.balances());
        let pushed = chunk.frames.push(&framed.frame_sizes, &framed.cells, &framed.counts);
        pushed.map_err(|too_large| ChunkFailure::TooNarrow(too_large.0))?;

        let mut flags = 0;
        for (flag, on) in [
            (FLAG_SORTED, admitted.sorted),
            (FLAG_EMPTY, events.is_empty()),
            (FLAG_OVERLAP, self.conversion.recipe.frames.overlaps()),
        ] {
            flags |= if on { flag } else { 0 };
        }
        let table = &mut chunk.table;
        table.labels.push(input.hsd.labels[sample as usize]);
        table.flags.push(flags);
        table.ledgers.push(ledger);
        for (column, (_, numbers)) in table.extras.iter_mut().zip(&input.hsd.extras) {
            column.push(numbers[sample as usize]);
        }
        Ok(())
    }
}

enum Written {
    All(SetWriter),
    TooNarrow(u32, SetWriter),
}

/// Writes chunks in order as they come, and gives a permit back for each.
fn write_chunks(
    mut writer: SetWriter,
    description: &SetDescription,
    made: Receiver<MadeChunk>,
    permits: Sender<()>,
    progress: &Progress,
) -> Result<Written> {
    let mut waiting = BTreeMap::new();
    while writer.chunks_done() < description.chunks() {
        match made.recv() {
            Ok(Ok((number, chunk, encoded))) => waiting.insert(number, (chunk, encoded)),
            Ok(Err(ChunkFailure::Error(error))) => return Err(error),
            Ok(Err(ChunkFailure::TooNarrow(count))) => return Ok(Written::TooNarrow(count, writer)),
            Err(_) => return Err(Error::WorkerLost { doing: "make chunks" }),
        };
        while let Some((chunk, encoded)) = waiting.remove(&writer.chunks_done()) {
            writer.write(&chunk, encoded)?;
            progress.add(chunk.len() as u64);
            // Nobody takes permits any more once the last chunk has been read.
            let _ = permits.send(());
        }
    }
    Ok(Written::All(writer))
}

/// What users should know of their recordings, said once.
fn report_oddities(conversion: &Conversion, manifest: &Manifest) {
    if conversion.verbosity == Verbosity::Quiet {
        return;
    }
    let totals = &manifest.totals;
    for (n, what) in [
        (totals.ledger.non_finite, "events have a time that is not finite; they were left out"),
        (totals.ledger.outside, "events lie outside the sensor; they were left out"),
        (totals.sorted_samples, "samples had times out of order; they were sorted, equal times kept in order"),
        (totals.empty_samples, "samples have no events; each was given empty frames"),
    ] {
        if n > 0 {
            eprintln!("convert: note: {n} {what}");
        }
    }
}
