//! Runs a conversion. Worker threads make chunks in parallel, and the calling thread writes them in order.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tonic_base::{Error as BaseError, Progress, Verbosity, in_order, print_line};

use crate::convert::added::AddedSamples;
use crate::convert::chunks::ChunkFailure;
use crate::convert::conversion::Conversion;
use crate::convert::hash::hash_linked;
use crate::convert::inputs::Inputs;
use crate::convert::job::Job;
use crate::convert::loss::Losses;
use crate::convert::settings::{check_settings, settings};
use crate::error::{Error, Result};
use crate::source::{Layout, TakenColumns, watch};
use tonic_shard::{
    Existing, KEPT, Ledger, Manifest, Origin, OutputDir, SetDescription, SetWriter, ShardFault, SourceFile, Width,
    describing_file,
};

/// The result of a conversion.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The set's manifest.
    pub manifest: Manifest,
    /// Layouts of all recordings, each layout once.
    pub layouts: Vec<Layout>,
    /// The fields of the first recording that were read as the columns t, x, y and p.
    pub columns: TakenColumns,
    /// Notes for the user about how the recordings were opened, the same as [`Inputs::notes`].
    pub opening_notes: Vec<String>,
    /// Notes for the user about what happened to events and samples. Names of parameters are in backticks. A note about
    /// a likely mistake begins with `warning: `.
    pub outcome: Vec<String>,
    /// Number of samples that were already converted when the conversion resumed.
    pub resumed_samples: u64,
    /// Duration of the conversion in seconds.
    pub seconds: f64,
}

impl Converted {
    /// Returns the result as one JSON object.
    pub fn json(&self) -> Value {
        let notes: Vec<&String> = self.opening_notes.iter().chain(&self.outcome).collect();
        let samples = self.manifest.description.samples;
        let made = samples - self.resumed_samples;
        json!({
            "set_id": self.manifest.set_id, "samples": samples, "resumed_samples": self.resumed_samples,
            "seconds": self.seconds, "samples_per_second": made as f64 / self.seconds.max(1e-9),
            "layout": Layout::names(&self.layouts), "columns": self.columns.json(), "notes": notes,
            "classes": self.manifest.description.classes, "class_samples": self.manifest.totals.class_samples,
            "stored_bytes": self.manifest.stored_bytes(), "ledger": self.manifest.totals.ledger,
        })
    }
}

/// Converts recordings into a shard set. Calls `opened` with the open recordings, before anything is written.
///
/// # Errors
/// Errors of reading, transforming and writing; [`Error::TooMuchLost`](crate::Error::TooMuchLost). After an error,
/// complete shards stay on disk, and `Existing::Resume` continues from them.
pub fn convert(conversion: &Conversion, opened: impl FnOnce(&Inputs)) -> Result<Converted> {
    let job = Job::open(conversion)?;
    opened(&job.inputs);
    run_job(job)
}

/// Converts the samples that a program has added. Calls `opened` with these samples before anything is written. Ignores
/// the paths in `conversion`. The options for recordings in `conversion` must be those given to [`AddedSamples::new`].
///
/// # Errors
/// Errors of [`convert`].
pub fn convert_added(conversion: &Conversion, added: AddedSamples, opened: impl FnOnce(&Inputs)) -> Result<Converted> {
    let job = Job::of_added(conversion, added)?;
    opened(&job.inputs);
    run_job(job)
}

fn run_job(mut job: Job<'_>) -> Result<Converted> {
    let conversion = job.conversion;
    let mut dir = OutputDir::open(&conversion.output, conversion.existing)?;
    if dir.is_shared() && conversion.verbosity == Verbosity::Normal {
        print_line(
            "convert: another process writes this set too, perhaps of a job that was started again; both make it",
        );
    }
    let mut resume = conversion.existing.resumes();
    let begun = dir.begun()?.filter(|_| resume);
    if let Some((begun, _)) = &begun {
        job.resume(begun)?;
    }
    let mut counts = begun.as_ref().map_or(job.recipe.frames.values(), |(begun, _)| begun.widths.counts);
    job.check_space()?;
    let threads = rayon::ThreadPoolBuilder::new().num_threads(conversion.threads).build();
    let threads = threads.map_err(|_| BaseError::WorkerLost { doing: "hash the recordings" })?;
    let sources = threads.install(|| job.hash())?;
    let linked_files = threads.install(|| hash_linked(&job.linked(), conversion.verbosity))?;
    let mut settings = settings(&conversion.source, &job.inputs)?;
    if conversion.part.is_some() {
        settings.insert("recordings".into(), job.inputs.fingerprint()?);
    }
    if let Some((begun, origin)) = &begun {
        let of = |sources: &[SourceFile]| sources.iter().map(|source| source.blake3).collect::<Vec<_>>();
        let place = (dir.path(), &*describing_file(dir.path()));
        check_settings(place, &mut settings, &origin.settings, of(&begun.sources) == of(&sources))?;
    }
    let unknown = begun.as_ref().is_some_and(|(_, origin)| origin.settings.is_empty());
    let origin = if unknown { Origin::default() } else { Origin { settings, ..Origin::default() } };
    let auto = conversion.existing == Existing::Auto;
    loop {
        let described = job.describe(sources.clone(), counts);
        let description = SetDescription { linked_files: linked_files.clone(), ..described };
        let attempt = try_once(&job, dir, description, &origin, resume && unknown, resume);
        let (error, again, needed) = match attempt {
            Ok(Attempt::Finished(converted)) => return Ok(*converted),
            Ok(Attempt::TooNarrow(count, again)) => {
                if conversion.verbosity == Verbosity::Normal {
                    print_line(&format!("convert: a cell has {count} events; starting over with wider counts"));
                }
                (None, again, Width::holding(count))
            }
            Err(error) if auto => (Some(error), OutputDir::open(&conversion.output, conversion.existing)?, counts),
            Err(error) => return Err(error),
        };
        // Another process of the same set may have started over with wider counts in the meantime.
        let begun = if auto { again.begun()? } else { None };
        counts = match (begun.map(|(begun, _)| begun.widths.counts).filter(|&width| width > needed), error) {
            (Some(wider), _) => wider,
            (None, None) => needed,
            (None, Some(error)) => return Err(error),
        };
        (dir, resume) = (again, auto);
    }
}

/// Makes the missing chunks. `unknown` is true if the unfinished set doesn't contain its settings. Then [`check_kept`]
/// is called first.
fn try_once(
    job: &Job<'_>,
    dir: OutputDir,
    description: SetDescription,
    origin: &Origin,
    unknown: bool,
    resume: bool,
) -> Result<Attempt> {
    let (mut losses, mut relabelled) = (Losses::new(&job.recipe), None);
    let first_sample = job.own_samples().start;
    let mut kept = |first: u64, labels: &[u32], ledgers: &[Ledger]| {
        for (sample, (label, ledger)) in (first..).zip(labels.iter().zip(ledgers)) {
            losses.add_ledger(sample, ledger);
            if job.inputs.label(first_sample + sample) != *label {
                relabelled.get_or_insert(sample);
            }
        }
    };
    let writer = SetWriter::start(dir, description, origin.clone(), resume, &mut kept)?;
    if let Some(sample) = relabelled {
        return Err(other_options(job.conversion, format!("another label of sample {sample}")));
    }
    if unknown {
        check_kept(job, &writer)?;
    }
    run(job, writer, losses, origin)
}

enum Attempt {
    Finished(Box<Converted>),
    TooNarrow(u32, OutputDir),
}

/// Makes and writes the missing chunks. `losses` has the losses of the chunks that an interrupted run made.
fn run(job: &Job<'_>, mut writer: SetWriter, mut losses: Losses, origin: &Origin) -> Result<Attempt> {
    let conversion = job.conversion;
    let description = writer.description().clone();
    let first = writer.chunks_done();
    let resumed_samples = (first * u64::from(description.chunk_samples)).min(description.samples);
    let samples = description.samples - resumed_samples;
    let progress = Arc::new(Progress::start(conversion.verbosity, "convert", samples, "samples"));
    let watching = {
        // Decoding the files counts as half of the progress.
        let bytes: u64 = description.sources.iter().map(|source| source.bytes).sum();
        let progress = Arc::clone(&progress);
        watch(0.5 * samples as f64 / bytes.max(1) as f64, move |samples| progress.add_ahead(samples))
    };
    let made = in_order(
        first..description.chunks(),
        conversion.threads,
        KEPT,
        || Ok(job.maker(&description)?),
        |maker, number| maker.make(number).map(|made| (made, maker.take_losses())),
        |((totals, encoded), lost)| {
            losses.merge(lost);
            let samples = encoded.record.samples.into();
            writer.write_counted(&totals, encoded)?;
            progress.add(samples);
            Ok(())
        },
    );
    drop(watching);
    match made {
        Ok(()) => {
            let seconds = Arc::into_inner(progress).map_or(0.0, Progress::finish);
            let mut outcome = job.equal_files(&description.sources);
            outcome.extend(job.judge(&description, losses)?);
            let manifest = match conversion.part {
                Some(_) => writer.finish_part(&conversion.command, origin.settings.clone())?,
                None => writer.finish()?,
            };
            outcome.extend(job.inputs.found());
            outcome.extend(oddities(&manifest));
            let Inputs { layouts, columns, notes, .. } = &job.inputs;
            let (layouts, columns, opening_notes) = (layouts.clone(), columns.clone(), notes.clone());
            let converted = Converted { manifest, layouts, columns, opening_notes, outcome, resumed_samples, seconds };
            Ok(Attempt::Finished(Box::new(converted)))
        }
        Err(ChunkFailure::TooNarrow(count)) => Ok(Attempt::TooNarrow(count, writer.abandon())),
        Err(ChunkFailure::Error(error)) => Err(job.inputs.compare(error)),
    }
}

/// Makes some chunks of the unfinished set again, and returns an error if one differs from the chunk in the set.
fn check_kept(job: &Job<'_>, writer: &SetWriter) -> Result<()> {
    let kept = writer.identities();
    let Some(last) = kept.len().checked_sub(1) else { return Ok(()) };
    let numbers: Vec<usize> = BTreeSet::from_iter((0..REMADE).map(|i| last * i / (REMADE - 1))).into_iter().collect();
    in_order(
        0..numbers.len() as u64,
        job.conversion.threads,
        KEPT,
        || job.maker(writer.description()),
        |maker, i| {
            let number = numbers[i as usize];
            match maker.make(number as u64) {
                Ok((_, encoded)) => Ok((number, encoded.record.identity == kept[number])),
                Err(ChunkFailure::TooNarrow(_)) => Ok((number, false)),
                Err(ChunkFailure::Error(error)) => Err(error),
            }
        },
        |(number, is_same)| match is_same {
            true => Ok(()),
            false => Err(other_options(job.conversion, format!("other frames in chunk {number}"))),
        },
    )
}

/// Maximum number of chunks that [`check_kept`] makes again.
const REMADE: usize = 16;

/// The error for options that would give other chunks than those in the set. `got` says what differs.
fn other_options(conversion: &Conversion, got: String) -> Error {
    let (output, expected) = (&conversion.output, "the options that the complete shards were made with");
    Error::mismatch(output, &describing_file(output), "way of reading the recordings", expected, got)
}

/// Returns notes for the user that say how many events and samples were left out or changed.
fn oddities(manifest: &Manifest) -> impl Iterator<Item = String> {
    let totals = &manifest.totals;
    let counts = [
        (totals.ledger.non_finite, "events have a time that is not finite; they were left out"),
        (totals.ledger.outside, "events lie outside the sensor; they were left out"),
        (totals.sorted_samples, "samples had times out of order; they were sorted, equal times kept in order"),
        (totals.empty_samples, "samples have no events; each was given empty frames"),
    ];
    counts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"))
}
