//! The conversion: read, transform, frame, encode, write.
//!
//! Workers take chunks from the recording to compressed bytes, a few at a time, and the calling thread writes them in
//! order.

use serde_json::{Value, json};

use super::chunks::ChunkFailure;
use super::inputs::Inputs;
use super::job::{Conversion, Job};
use super::parallel::in_order;
use super::source::Layout;
use crate::error::{Error, Result};
use crate::frames::Width;
use crate::progress::{Progress, Verbosity};
use crate::shard::manifest::Manifest;
use crate::shard::writer::{Existing, KEPT, OutputDir, SetWriter};

/// What a conversion did.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The set's manifest.
    pub manifest: Manifest,
    /// The layout of its recordings.
    pub layout: Layout,
    /// What users should know of how they were opened.
    pub notes: Vec<String>,
    /// Samples that a resume found done.
    pub resumed_samples: u64,
    /// Seconds of reading, framing and writing.
    pub seconds: f64,
}

impl Converted {
    /// As one JSON object.
    pub fn json(&self) -> Value {
        let samples = self.manifest.description.samples;
        let made = samples - self.resumed_samples;
        json!({
            "set_id": self.manifest.set_id, "samples": samples, "resumed_samples": self.resumed_samples,
            "seconds": self.seconds, "samples_per_second": made as f64 / self.seconds.max(1e-9),
            "layout": self.layout.name(), "notes": self.notes,
            "stored_bytes": self.manifest.stored_bytes(), "ledger": self.manifest.totals.ledger,
        })
    }
}

/// Converts recordings into a shard set.
///
/// # Errors
/// Every fault of reading, transforming and writing; what is complete on disk stays, for `--resume`.
pub fn convert(conversion: &Conversion) -> Result<Converted> {
    let job = Job::open(conversion)?;
    report_inputs(conversion, &job.inputs);
    let mut dir = OutputDir::open(&conversion.output, conversion.existing)?;
    let mut resume = conversion.existing == Existing::Resume;
    let unfinished = dir.unfinished()?.filter(|_| resume);
    let mut counts = unfinished.map_or(job.recipe.frames.values(), |u| u.widths.counts);
    job.check_space()?;
    let threads = rayon::ThreadPoolBuilder::new().num_threads(conversion.threads).build();
    let threads = threads.map_err(|_| Error::WorkerLost { doing: "hash the recordings" })?;
    let sources = threads.install(|| job.inputs.hash(conversion.verbosity))?;
    loop {
        let writer = SetWriter::start(dir, job.describe(sources.clone(), counts), resume)?;
        match run(&job, writer)? {
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

/// Runs workers and writer until the set is complete, something fails, or counts turn out too large.
fn run(job: &Job<'_>, mut writer: SetWriter) -> Result<Run> {
    let conversion = job.conversion;
    let description = writer.description().clone();
    let first = writer.chunks_done();
    let resumed_samples = (first * u64::from(description.chunk_samples)).min(description.samples);
    let progress = Progress::start(conversion.verbosity, "convert", description.samples - resumed_samples, "samples");
    let made = in_order(
        first..description.chunks(),
        conversion.threads,
        KEPT,
        || job.maker(&description),
        |maker, number| maker.make(number),
        |(chunk, encoded)| {
            writer.write(&chunk, encoded)?;
            progress.add(chunk.len() as u64);
            Ok(())
        },
    );
    match made {
        Ok(()) => {
            let seconds = progress.finish();
            let manifest = writer.finish()?;
            report_oddities(conversion, &manifest);
            let (layout, notes) = (job.inputs.layout, job.inputs.notes.clone());
            Ok(Run::Finished(Box::new(Converted { manifest, layout, notes, resumed_samples, seconds })))
        }
        Err(ChunkFailure::TooNarrow(count)) => Ok(Run::TooNarrow(count, writer.abandon())),
        Err(ChunkFailure::Error(error)) => Err(error),
    }
}

/// What the recordings were taken for, and what became of them when they were opened.
fn report_inputs(conversion: &Conversion, inputs: &Inputs) {
    /// As many notes are said; each is in the JSON.
    const MOST: usize = 8;
    if conversion.verbosity == Verbosity::Quiet {
        return;
    }
    eprintln!("convert: layout: {}, sensor {}", inputs.layout.title(), inputs.sensor);
    inputs.notes.iter().take(MOST).for_each(|note| eprintln!("convert: note: {note}"));
    if inputs.notes.len() > MOST {
        eprintln!("convert: note: and {} more of the kind", inputs.notes.len() - MOST);
    }
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
