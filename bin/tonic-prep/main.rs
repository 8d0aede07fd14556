//! `tonic-prep`: converts event recordings into shard sets, and works with finished sets.
//!
//! Each command parses its arguments, makes one library call and prints the result.

mod advice;
mod bench_args;
mod cli;
mod convert_args;
#[cfg(test)]
mod error_texts;
#[path = "../errors.rs"]
mod errors;
#[path = "../existing_args.rs"]
mod existing_args;
mod part_arg;
mod part_commands;
mod plan_args;
#[path = "../quoted.rs"]
mod quoted;
mod recipe_args;
mod source_args;
mod subset_args;
mod write_args;

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tonic_base::{Progress, interrupt, printable, printable_json, printable_lines};
use tonic_prep::Error as PrepError;
use tonic_prep::{Division, Job, bench, catalogue, convert, synth};
use tonic_sets::Error as SetsError;
use tonic_sets::{
    Donor, Filter, Sample, Split, class_number, diff, export_npy, holds_set, info, list, merge, repair, repair_from,
    stats, subset,
};
use tonic_shard::verify::verify_dir;
use tonic_shard::{Error as ShardError, KEPT, MOST_CLASSES, ShardSet};

use crate::cli::{Cli, Command};
use crate::errors::{Cause, Typed};
use crate::subset_args::SubsetArgs;
use crate::write_args::{threads, verbosity};

/// Time that an interrupted run has to save its state and stop. When this time is over, the process ends all the same.
/// The time is short, because batch systems often give a job 30 seconds or less.
const GRACE: Duration = Duration::from_millis(1500);
/// Exit code for a bad recording or recipe, or for more lost events than `--max-loss` allows.
const BAD_RECORDING: u8 = 3;

fn main() -> ExitCode {
    let (cli, typed): (Cli, Typed) = Typed::parse();
    // Only commands that write sets stop at a safe point. The others may end at any time: files are renamed into place.
    let grace = Some((GRACE, KEPT));
    let ready = match cli.command {
        Command::Convert(_) | Command::Merge { .. } | Command::Subset(_) | Command::Repair { .. } => {
            interrupt::install(grace).context("cannot listen for Ctrl-C")
        }
        _ => Ok(()),
    };
    match ready.and_then(|()| run(cli.command, cli.quiet, &typed)) {
        Ok(code) => code,
        Err(e) => errors::report(&typed, &e, exit_code, |cause| {
            advice::prep_advice(cause).or_else(|| advice::sets_advice(cause))
        }),
    }
}

fn run(command: Command, quiet: bool, typed: &Typed) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    match command {
        Command::Convert(args) => {
            let (json, dry_run) = (args.json, args.dry_run);
            let conversion = args.conversion(quiet)?;
            if dry_run {
                let job = Job::open(&conversion)?;
                let estimate = job.estimate()?;
                let notes = with_flags(typed, job.foretell(&estimate)?);
                report_notes(&notes, quiet, json);
                say(&mut out, json, || estimate.json(&job, &notes), || estimate.text(&job))?;
            } else {
                let mut converted = convert(&conversion)?;
                if !(quiet || json) {
                    let classes = converted.manifest.class_counts(MOST_CLASSES);
                    eprintln!("convert: classes: {}", printable(&classes));
                }
                converted.opening_notes = with_flags(typed, converted.opening_notes);
                converted.outcome = with_flags(typed, converted.outcome);
                report_notes(&converted.outcome, quiet, json);
                say(&mut out, json, || converted.json(), || info::line(&converted.manifest))?;
            }
        }
        Command::Plan(args) => {
            let (json, parts) = (args.convert.json, args.parts);
            let conversion = args.convert.conversion(quiet)?;
            let job = Job::open(&conversion)?;
            let division = Division::new(&job, parts)?;
            let typed = std::env::args;
            say(
                &mut out,
                json,
                || plan_args::json(&division, &job, typed()),
                || plan_args::text(&division, &job, typed()),
            )?;
        }
        Command::Bench(args) => {
            let (json, batch_size) = (args.json, args.batch_size as usize);
            let measured = bench(&args.conversion(quiet)?, batch_size)?;
            say(&mut out, json, || measured.json(), || measured.text())?;
        }
        Command::Info { dir, json } => {
            let set = ShardSet::open(&dir)?;
            say(&mut out, json, || info::json(&set), || info::text(&set))?;
        }
        Command::Verify { dir, quick, json } => {
            let start = |samples| Progress::start(verbosity(quiet || json), "verify", samples, "samples");
            let faults = verify_dir(&dir, (!quick).then_some(&start));
            let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
            let what = if quick { "manifest, sizes and indexes are" } else { "every chunk is" };
            if json || faults.is_empty() {
                let value = || serde_json::json!({"whole": said.is_empty(), "quick": quick, "faults": said});
                say(&mut out, json, value, || format!("{}: complete, {what} whole", shown(&dir)))?;
            }
            refuse(faults)?;
        }
        Command::Show { dir, sample, png } => {
            let set = ShardSet::open(&dir)?;
            let sample = Sample::open(&set, sample)?;
            match png {
                Some(path) => {
                    sample.picture()?.write_png(&path)?;
                    writeln!(out, "{} -> {}", printable(&sample.title()), shown(&path))?;
                }
                None => writeln!(out, "{}\n{}", printable(&sample.title()), sample.braille())?,
            }
        }
        Command::Export { dir, npy, samples, overwrite } => {
            let set = ShardSet::open(&dir)?;
            export_npy(&set, &npy, samples.of(&set), overwrite, verbosity(quiet))?;
        }
        Command::Ls { dir, samples, class, shards, json } => {
            let set = ShardSet::open(&dir)?;
            let class = class.map(|class| class_number(&set, &class)).transpose()?;
            if shards {
                list::shards(&set, json, &mut out)?;
            } else {
                list::samples(&set, samples.of(&set), class, json, &mut out)?;
            }
        }
        Command::Cat { dir, sample, json } => {
            let set = ShardSet::open(&dir)?;
            let sample = Sample::open(&set, sample)?;
            if json { sample.write_json(&mut out)? } else { sample.write_tsv(&mut out)? }
        }
        Command::Diff { a, b, list, json } => {
            let (a, b) = (ShardSet::open(&a)?, ShardSet::open(&b)?);
            let difference = diff(&a, &b, list, threads(None), verbosity(quiet || json))?;
            say(&mut out, json, || difference.json(), || difference.text())?;
            return Ok(if difference.is_none() { ExitCode::SUCCESS } else { ExitCode::from(errors::BAD_SET) });
        }
        Command::Stats { dir, png, json } => {
            let set = ShardSet::open(&dir)?;
            let found = stats(&set, verbosity(quiet || json))?;
            if let Some(png) = png {
                found.page(&format!("{}: {}", dir.display(), info::line(set.manifest())))?.write_png(&png)?;
            }
            say(&mut out, json, || found.json(), || found.text())?;
        }
        Command::Subset(args) => {
            let SubsetArgs { samples, classes, conditions, renumber, .. } = args;
            let filter = Filter { samples, classes, conditions, renumber };
            let split = (!args.split.is_empty()).then(|| Split::new(args.split, args.into, args.seed)).transpose()?;
            let split = split.map(|split| split.keeping(args.split_by, args.stratify));
            for (path, manifest) in subset(&args.dir, &filter, split.as_ref(), &args.write.output(args.out, quiet))? {
                writeln!(out, "{}: {}", shown(&path), info::line(&manifest))?;
            }
        }
        Command::Repair { dir, from, source, json } => {
            let verbosity = verbosity(quiet || json);
            let repaired = match &from[..] {
                [copy] if holds_set(copy) => repair(&dir, Donor::Copy(copy), verbosity)?,
                recordings => repair_from(&dir, recordings, &source.options()?, verbosity)?,
            };
            say(&mut out, json, || repaired.json(), || repaired.text())?;
            refuse(repaired.faults)?;
        }
        Command::Merge { out: path, sets, chunk_samples, write } => {
            let manifest = merge(&sets, &write.output(path, quiet), chunk_samples)?;
            writeln!(out, "{}", info::line(&manifest))?;
        }
        Command::Transforms { json } => say(&mut out, json, || catalogue().json(), || catalogue().text())?,
        Command::Synth { output, samples, classes, seed } => {
            let progress = Progress::start(verbosity(quiet), "synth", samples, "samples");
            synth(&output, samples, classes, seed, &progress)?;
            progress.finish();
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the exit code for an error in recordings or of the tools for sets. `None` for errors that both programs can
/// have: `errors.rs` chooses their exit codes.
fn exit_code(cause: &Cause) -> Option<u8> {
    match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(PrepError::Base(_) | PrepError::Shard(_)), _) => None,
        (Some(_), _) => Some(BAD_RECORDING),
        (_, Some(SetsError::MissingParts { .. })) => Some(errors::BAD_SET),
        _ => None,
    }
}

/// Replaces parameter names with flags in notes of the library, as [`Typed::with_flags`] does.
fn with_flags(typed: &Typed, notes: Vec<String>) -> Vec<String> {
    notes.iter().map(|note| typed.with_flags(note)).collect()
}

/// Prints the notes of a conversion on stderr. With `quiet`, prints only warnings. With `json`, prints nothing, because
/// the JSON object contains the notes.
fn report_notes(notes: &[String], quiet: bool, json: bool) {
    /// Maximum number of notes that are printed. The JSON has all of them.
    const MOST: usize = 12;
    if json {
        return;
    }
    let (warnings, notes): (Vec<_>, Vec<_>) = notes.iter().partition(|note| note.starts_with("warning: "));
    warnings.iter().for_each(|warning| eprintln!("convert: {}", printable(warning)));
    if quiet {
        return;
    }
    notes.iter().take(MOST).for_each(|note| eprintln!("convert: note: {}", printable(note)));
    if notes.len() > MOST {
        eprintln!("convert: note: and {} more of the kind", notes.len() - MOST);
    }
}

/// Prints a result as one JSON object if `json` is true, or else as text. Invisible characters in names become escapes.
fn say(out: &mut impl Write, json: bool, value: impl Fn() -> Value, text: impl Fn() -> String) -> anyhow::Result<()> {
    if json {
        writeln!(out, "{}", printable_json(&value().to_string()))?;
    } else {
        writeln!(out, "{}", printable_lines(text().trim_end()))?;
    }
    Ok(out.flush()?)
}

/// Returns a path as text for one line. Invisible characters become escapes.
fn shown(path: &Path) -> String {
    printable(&path.display().to_string()).into_owned()
}

/// Returns the first error as `Err`, so that the caller shows it, and prints the other errors on stderr. Returns `Ok`
/// if there are no errors.
fn refuse(faults: Vec<ShardError>) -> anyhow::Result<()> {
    let mut faults = faults.into_iter();
    let Some(first) = faults.next() else { return Ok(()) };
    faults.for_each(|fault| eprintln!("tonic-prep: error: {}", printable(&fault.to_string())));
    Err(first.into())
}
