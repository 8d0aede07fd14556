//! `tonic-prep`: converts event recordings into shard sets, and works with finished sets. It is a library, so that the
//! Python package has the same commands.
//!
//! Each command parses its arguments, makes one library call and prints the result. `tonic-train` also uses the modules
//! with a `*`.
//!
//! ```text
//! cli                          the commands
//! convert_args, plan_args      the arguments of `convert` and of `plan`
//! bench_args, subset_args      the arguments of `bench` and of `subset`
//! card_args, fetch_args        the commands `card` and `fetch`
//! lock_args                    the command `lock`, and `pull --lock`
//! remote_args                  the commands `push`, `pull` and `prune`
//! source_args                  the arguments of every command that reads recordings
//! recipe_args                  the arguments that choose a recipe
//! write_args                   the arguments of every command that writes a set
//! part_arg                     the value of `--part`
//! existing_args *              `--resume` and `--overwrite`
//! dataset_args                 finds data sets by their names
//! completions *                prints a script that lets a shell complete arguments
//! part_commands                suggests a command for each part of a dataset or of a set
//! set_place *                  opens sets in directories and at URLs
//! set_description              reads the description of a finished set
//! notes                        prints the notes of a conversion
//! typed *                      the command line as the user typed it
//! quoted *                     quotes words for a shell
//! errors *                     shows errors, and chooses exit codes
//! shared_advice *              what to type next after an error that both programs can have
//! advice                       what to type next after an error that only this program has
//! clock_advice                 what to type next if times wrap, jump or are out of order
//! error_texts                  tests of all error texts
//! ```

mod advice;
mod bench_args;
mod card_args;
mod cli;
mod clock_advice;
#[path = "../completions.rs"]
mod completions;
mod convert_args;
mod dataset_args;
#[cfg(test)]
mod error_texts;
#[path = "../errors.rs"]
mod errors;
#[path = "../existing_args.rs"]
mod existing_args;
#[cfg(feature = "remote")]
mod fetch_args;
mod lock_args;
mod notes;
mod part_arg;
mod part_commands;
mod plan_args;
#[path = "../quoted.rs"]
mod quoted;
mod recipe_args;
#[cfg(feature = "remote")]
mod remote_args;
mod set_description;
#[path = "../set_place.rs"]
mod set_place;
#[path = "../shared_advice.rs"]
mod shared_advice;
mod source_args;
mod subset_args;
#[path = "../typed.rs"]
mod typed;
mod write_args;

use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tonic_base::interrupt::{self, OnSignal};
use tonic_base::{BaseFault, Error as BaseError, Progress, cores, printable, printable_json, printable_lines};
use tonic_prep::Error as PrepError;
use tonic_prep::{Dataset, Division, Job, Layout, bench, catalogue, convert, synth};
use tonic_sets::Error as SetsError;
use tonic_sets::{
    Donor, Exported, Filter, Sample, Split, class_number, diff, export_npy, holds_set, info, list, merge, repair,
    repair_from, stats, subset,
};
use tonic_shard::verify::{verify_dir, verify_in};
use tonic_shard::{Error as ShardError, MOST_CLASSES, Manifest, Storage};

use crate::cli::{Cli, Command};
use crate::dataset_args::dataset;
use crate::errors::DONE;
use crate::notes::{card_notes, report_notes, report_opening, with_flags};
use crate::part_commands::words_as_text;
pub use crate::set_description::description_of;
use crate::set_place::{open_set, storage, url_of};
use crate::shared_advice::Cause;
use crate::subset_args::SubsetArgs;
use crate::typed::{Typed, WORDS};
use crate::write_args::{threads, verbosity};

/// Time in which an interrupted run must stop by itself. After this time, the process ends anyway.
const GRACE: Duration = Duration::from_millis(1000);
const SAFE_PLACE: OnSignal = OnSignal::StopWithin(GRACE, "complete shards are kept; continue with --resume");
/// Exit code for a bad recording or recipe, or for more lost events than `--max-loss` allows.
const BAD_RECORDING: u8 = 3;
const PROGRAM: &str = "tonic-prep";

/// Runs the command line `words`, which begins with the name of the program. Returns the exit code.
///
/// Call this function at most once per process, because it installs signal handlers. For `--help` and for invalid
/// arguments, the process ends.
pub fn main(words: impl IntoIterator<Item = OsString>) -> u8 {
    WORDS.get_or_init(|| words.into_iter().collect());
    let (cli, typed): (Cli, Typed) = Typed::parse(PROGRAM);
    let on_signal = match &cli.command {
        Command::Convert(args) if !args.dry_run => SAFE_PLACE,
        Command::Merge { .. } | Command::Subset(_) => SAFE_PLACE,
        Command::Repair { .. } => OnSignal::StopWithin(GRACE, "what was mended stays; run the same command again"),
        _ => OnSignal::End,
    };
    let ready = interrupt::install(on_signal).context("cannot listen for Ctrl-C");
    match ready.and_then(|()| run(cli.command, cli.quiet, &typed)) {
        Ok(code) => code,
        Err(e) => errors::report(&typed, &e, exit_code, |cause| {
            #[cfg(feature = "remote")]
            if let Some(advice) = remote_args::advice(cause).or_else(|| fetch_args::advice(cause)) {
                return Some(advice);
            }
            advice::prep_advice(cause).or_else(|| advice::sets_advice(cause))
        }),
    }
}

fn run(command: Command, quiet: bool, typed: &Typed) -> anyhow::Result<u8> {
    if matches!(command, Command::Verify { .. } | Command::Stats { .. } | Command::Repair { .. }) {
        rayon::ThreadPoolBuilder::new().num_threads(cores()).build_global().context("cannot start the threads")?;
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    match command {
        Command::Convert(args) => {
            let (json, dry_run) = (args.write.json, args.dry_run);
            let conversion = args.conversion(quiet)?;
            if dry_run {
                let job = Job::open(&conversion)?;
                let estimate = job.estimate()?;
                let notes = with_flags(typed, &job.foretell(&estimate)?);
                if !json {
                    report_notes(&notes, quiet);
                }
                say(&mut out, json, || estimate.json(&job, &notes), || estimate.text(&job))?;
            } else {
                let mut converted = convert(&conversion, |inputs| report_opening(inputs, typed, quiet))?;
                converted.opening_notes = with_flags(typed, &converted.opening_notes);
                converted.outcome = with_flags(typed, &converted.outcome);
                converted.outcome.extend(card_notes(&conversion.output, &converted.manifest, true));
                if !json {
                    if !quiet {
                        let classes = converted.manifest.class_counts(MOST_CLASSES);
                        eprintln!("convert: classes: {}", printable(&classes));
                    }
                    report_notes(&converted.outcome, quiet);
                }
                say(
                    &mut out,
                    json,
                    || with(converted.json(), json!({"path": conversion.output})),
                    || info::line(&converted.manifest),
                )?;
            }
        }
        Command::Plan(args) => {
            let (json, parts) = (args.convert.write.json, args.parts);
            let conversion = args.convert.conversion(quiet)?;
            let job = Job::open(&conversion)?;
            let division = Division::new(&job, parts)?;
            say(
                &mut out,
                json,
                || plan_args::json(&division, &job, words_as_text()),
                || plan_args::text(&division, &job, words_as_text()),
            )?;
        }
        Command::Bench(args) => {
            let (json, batch_size) = (args.json, args.batch_size as usize);
            let measured = bench(&args.conversion(quiet)?, batch_size)?;
            say(&mut out, json, || measured.json(), || measured.text())?;
        }
        Command::Info { dir, json } => {
            let set = open_set(&dir)?;
            say(&mut out, json, || info::json(&set), || info::text(&set))?;
        }
        Command::Verify { dir, quick, json } => {
            let start = |samples| Progress::start(verbosity(quiet || json), "verify", samples, "samples");
            let progress: Option<&dyn Fn(u64) -> Progress> = if quick { None } else { Some(&start) };
            let faults = match url_of(&dir) {
                Some(url) => verify_in(&*storage(url)?, progress),
                None => verify_dir(&dir, progress),
            };
            let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
            let what = if quick { "manifest, sizes and indexes are" } else { "every chunk is" };
            if json || faults.is_empty() {
                let value = || json!({"whole": said.is_empty(), "quick": quick, "faults": said});
                say(&mut out, json, value, || format!("{}: complete, {what} whole", shown(&dir)))?;
            }
            refuse(faults)?;
        }
        Command::Show { dir, sample, png, json } => {
            let set = open_set(&dir)?;
            let sample = Sample::open(&set, sample)?;
            if let Some(path) = &png {
                sample.picture()?.write_png(path)?;
            }
            let value = || match &png {
                Some(path) => with(sample.json(), json!({"path": path, "bytes": bytes_of(path), "notes": []})),
                None => with(sample.json(), json!({"raster": sample.braille(), "notes": []})),
            };
            say(&mut out, json, value, || match &png {
                Some(path) => format!("{} -> {}", printable(&sample.title()), shown(path)),
                None => format!("{}\n{}", printable(&sample.title()), sample.braille()),
            })?;
        }
        Command::Export { dir, npy, samples, overwrite, json } => {
            let set = open_set(&dir)?;
            let exported = export_npy(&set, &npy, samples.of(&set), overwrite, verbosity(quiet || json))?;
            if json {
                let (Exported { samples, bytes }, labels) = (exported, npy.join("labels.npy"));
                let value = json!({
                    "path": npy, "labels": labels, "set_id": set.manifest().set_id, "first_sample": samples.start,
                    "samples": samples.end - samples.start, "bytes": bytes, "notes": [],
                });
                say(&mut out, json, || value.clone(), String::new)?;
            }
        }
        Command::Ls { dir, samples, class, shards, json } => {
            let set = open_set(&dir)?;
            let class = class.map(|class| class_number(&set, &class)).transpose()?;
            if shards {
                list::shards(&set, json, &mut out)?;
            } else {
                list::samples(&set, samples.of(&set), class, json, &mut out)?;
            }
        }
        Command::Cat { dir, sample, json } => {
            let set = open_set(&dir)?;
            let sample = Sample::open(&set, sample)?;
            if json { sample.write_json(&mut out)? } else { sample.write_tsv(&mut out)? }
        }
        Command::Diff { a, b, list, json } => {
            let (a, b) = (open_set(&a)?, open_set(&b)?);
            let difference = diff(&a, &b, list, threads(None), verbosity(quiet || json))?;
            say(&mut out, json, || difference.json(), || difference.text())?;
            return Ok(if difference.is_none() { DONE } else { errors::BAD_SET });
        }
        Command::Stats { dir, png, json } => {
            let set = open_set(&dir)?;
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
            let (json, output) = (args.write.json, args.write.output(args.out, quiet));
            let sets = subset(open_set(&args.dir)?, &filter, split.as_ref(), &output)?;
            let summary = |(path, manifest): &(PathBuf, Manifest)| {
                info::summary(path, manifest, &card_notes(path, manifest, json))
            };
            let each: Vec<Value> = sets.iter().map(summary).collect();
            let value = || match (&each[..], &split) {
                ([one], None) => one.clone(),
                (each, _) => json!({"sets": each}),
            };
            let line = |(path, manifest): &(PathBuf, Manifest)| format!("{}: {}", shown(path), info::line(manifest));
            say(&mut out, json, value, || sets.iter().map(line).collect::<Vec<_>>().join("\n"))?;
        }
        Command::Repair { dir, from, source, json } => {
            let verbosity = verbosity(quiet || json);
            let repaired = match (&from[..], copy_at(&from, &dir)?) {
                (_, Some(storage)) => repair(&dir, Donor::Server(&*storage), verbosity)?,
                ([copy], _) if holds_set(copy) => repair(&dir, Donor::Copy(copy), verbosity)?,
                _ => {
                    let (recordings, source) = source.resolve(from.clone())?;
                    repair_from(&dir, &recordings, &source, verbosity)?
                }
            };
            say(&mut out, json, || with(repaired.json(), json!({"path": dir, "notes": []})), || repaired.text())?;
            refuse(repaired.faults)?;
        }
        Command::Merge { out: path, sets, chunk_samples, write } => {
            let manifest = merge(&sets, &write.output(path.clone(), quiet), chunk_samples)?;
            let notes = card_notes(&path, &manifest, write.json);
            say(&mut out, write.json, || info::summary(&path, &manifest, &notes), || info::line(&manifest))?;
        }
        Command::Card(args) => say_both(&mut out, args.json, args.run(quiet)?)?,
        Command::Lock(args) => say_both(&mut out, args.json, args.run()?)?,
        #[cfg(feature = "remote")]
        Command::Push(args) => say_both(&mut out, args.network.json, args.run(quiet)?)?,
        #[cfg(feature = "remote")]
        Command::Pull(args) => say_both(&mut out, args.network.json, args.run(quiet)?)?,
        #[cfg(feature = "remote")]
        Command::Prune(args) => say_both(&mut out, args.network.json, args.run(quiet)?)?,
        #[cfg(feature = "remote")]
        Command::Fetch(args) => say_both(&mut out, args.network.json, args.run(quiet)?)?,
        #[cfg(not(feature = "remote"))]
        Command::Remote { .. } => return Err(set_place::without_remote("sending and fetching").into()),
        Command::Completions { shell } => completions::print::<Cli>(PROGRAM, shell, &mut out)?,
        Command::Transforms { json } => say(&mut out, json, || catalogue().json(), || catalogue().text())?,
        Command::Layouts { json } => say(&mut out, json, Layout::json, Layout::text)?,
        Command::Datasets { name: None, json } => say(&mut out, json, Dataset::json_of_all, Dataset::text)?,
        Command::Datasets { name: Some(name), json } => {
            let set = dataset(&name)?;
            say(&mut out, json, || set.json(), || set.details())?;
        }
        Command::Synth { output, samples, classes, seed, json } => {
            let progress = Progress::start(verbosity(quiet || json), "synth", samples, "samples");
            synth(&output, samples, classes, seed, &progress)?;
            progress.finish();
            if json {
                let value = json!({
                    "path": output, "samples": samples, "classes": classes, "seed": seed, "bytes": bytes_of(&output),
                    "notes": [],
                });
                say(&mut out, json, || value.clone(), String::new)?;
            }
        }
    }
    out.flush()?;
    Ok(DONE)
}

/// Returns the exit code for an error that only `tonic-prep` has. `None` for errors that `tonic-train` can have too.
fn exit_code(cause: &Cause) -> Option<u8> {
    #[cfg(feature = "remote")]
    if let Some(code) = remote_args::exit_code(cause) {
        return Some(code);
    }
    match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(PrepError::Base(_) | PrepError::Shard(_)), _) => None,
        (Some(_), _) => Some(BAD_RECORDING),
        (_, Some(SetsError::MissingParts { .. })) => Some(errors::BAD_SET),
        _ => None,
    }
}

/// Adds the fields of `more` to a JSON object.
fn with(mut value: Value, more: Value) -> Value {
    if let (Some(object), Value::Object(more)) = (value.as_object_mut(), more) {
        object.extend(more);
    }
    value
}

/// Returns the size of a file in bytes. `None` if the file doesn't exist.
fn bytes_of(file: &Path) -> Option<u64> {
    file.metadata().ok().map(|meta| meta.len())
}

/// Prints a result as one JSON object or as text. Invisible characters in names become escapes.
fn say(out: &mut impl Write, json: bool, value: impl Fn() -> Value, text: impl Fn() -> String) -> anyhow::Result<()> {
    if json {
        writeln!(out, "{}", printable_json(&value().to_string()))?;
    } else {
        writeln!(out, "{}", printable_lines(text().trim_end()))?;
    }
    Ok(out.flush()?)
}

/// Like [`say`], but takes the JSON and the text instead of functions that make them.
fn say_both(out: &mut impl Write, json: bool, (value, text): (Value, String)) -> anyhow::Result<()> {
    say(out, json, || value.clone(), || text.clone())
}

/// Opens the copy of a set at the URL in `from`. If the URL has no set id, opens the copy with the id of the set in
/// `dir`. `None` if `from` has no URL.
fn copy_at(from: &[PathBuf], dir: &Path) -> anyhow::Result<Option<Box<dyn Storage>>> {
    let Some(url) = from.iter().find_map(|place| url_of(place)) else { return Ok(None) };
    if from.len() > 1 {
        return Err(BaseError::usage("from", "a single URL, or directories and files", from.len()).into());
    }
    Ok(Some(match Manifest::read(dir) {
        Ok(own) if !url.contains('#') => storage(&format!("{url}#{}", own.set_id))?,
        _ => storage(url)?,
    }))
}

/// Returns a path as text on one line, with invisible characters as escapes.
fn shown(path: &Path) -> String {
    printable(&path.display().to_string()).into_owned()
}

/// Returns the first error, and prints the others on stderr. Returns `Ok` if there are no errors.
fn refuse(faults: Vec<ShardError>) -> anyhow::Result<()> {
    let mut faults = faults.into_iter();
    let Some(first) = faults.next() else { return Ok(()) };
    faults.for_each(|fault| eprintln!("tonic-prep: error: {}", printable(&fault.to_string())));
    Err(first.into())
}
