//! `tonic-train`: trains spiking networks from frame shards. Each command parses its arguments, makes one library call
//! and prints the result.
//!
//! ```text
//! cli                  the commands and their arguments
//! fit_args, training_args, predict_args, sweep_args, compare_args, bench_args, view_args,
//! exchange_args        arguments of single commands
//! device_args, cache_args, lock_args, best_args, output_args, values    arguments that several commands share
//! ranks_args           several processes that train together
//! options_file         fit --options FILE
//! advice               what to type next after an error of training
//! error_texts          tests of all error texts
//! ```
//!
//! Modules that are shared with `tonic-prep`:
//!
//! ```text
//! existing_args        --resume and --overwrite
//! completions          completion of arguments in shells
//! set_place            sets in directories and at URLs
//! typed                the command line as it was typed
//! quoted               quoting of words for a shell
//! errors               texts and exit codes of errors
//! shared_advice        what to type next after an error
//! ```

mod advice;
mod bench_args;
mod best_args;
#[cfg(feature = "remote")]
mod cache_args;
mod cli;
mod compare_args;
#[path = "../completions.rs"]
mod completions;
mod device_args;
#[cfg(test)]
mod error_texts;
#[path = "../errors.rs"]
mod errors;
mod exchange_args;
#[path = "../existing_args.rs"]
mod existing_args;
mod fit_args;
mod lock_args;
mod options_file;
mod output_args;
mod predict_args;
#[path = "../quoted.rs"]
mod quoted;
mod ranks_args;
#[path = "../set_place.rs"]
mod set_place;
#[path = "../shared_advice.rs"]
mod shared_advice;
mod sweep_args;
mod training_args;
#[path = "../typed.rs"]
mod typed;
mod values;
mod view_args;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use tonic_base::interrupt::{self, OnSignal};
use tonic_base::{BaseFault, printable, printable_json};
use tonic_train::Error;
use tonic_train::Isa;
use tonic_train::check::{Check, check};
use tonic_train::engine::EngineChoice;
use tonic_train::learner::Warning;
use tonic_train::network::Preset;
use tonic_train::run::{EvalOptions, eval};

use crate::cli::{Cli, Command};
use crate::device_args::DeviceArgs;
use crate::errors::{DONE, SYSTEM};
use crate::lock_args::open_locked;
use crate::output_args::use_threads;
use crate::shared_advice::Cause;
use crate::typed::Typed;

/// Exit code if training diverged: the loss became NaN, infinite or far too large.
const DIVERGED: u8 = 5;

const PROGRAM: &str = "tonic-train";

fn main() -> ExitCode {
    ExitCode::from(exit_code_of_run())
}

fn exit_code_of_run() -> u8 {
    let (cli, typed): (Cli, Typed) = Typed::parse(PROGRAM);
    let on_signal = if matches!(cli.command, Command::Fit(_)) { OnSignal::Stop } else { OnSignal::End };
    let ready = interrupt::install(on_signal).context("cannot listen for Ctrl-C");
    let report = |error: &anyhow::Error| {
        errors::report(&typed, error, exit_code, |cause| {
            let error = cause.downcast_ref()?;
            advice::advice(error).or_else(|| advice::contradiction(error, |field| typed.flag(field)))
        })
    };
    ranks_args::end(ready.and_then(|()| run(cli.command)), report, |error| errors::code(error, exit_code))
}

fn run(command: Command) -> anyhow::Result<u8> {
    Isa::named()?;
    match command {
        Command::Fit(args) => fit_args::run(*args).map(|()| DONE),
        Command::Sweep(args) => sweep_args::run(&args).map(|()| DONE),
        Command::Compare(args) => compare_args::run(&args),
        Command::Eval { model, data, lock, best, png, device, output_args } => {
            lock.choose()?;
            output_args.use_threads()?;
            let json = output_args.json;
            let picture = png.clone().unwrap_or_else(|| model.join("confusion.png"));
            let verbosity = output_args.verbosity();
            let warn =
                if json { |_: &Warning| () } else { |warning: &Warning| advice::show(warning, advice::for_evaluation) };
            let best = best.choose(&model);
            let options = EvalOptions { run: model, data, best, open: open_locked, verbosity, warn };
            let evaluation = eval(&options, |engine| device.choose(engine))?;
            let mut out = std::io::stdout().lock();
            if json {
                out.write_all(printable_json(&evaluation.json()).as_bytes())?;
            } else {
                writeln!(out, "{}", evaluation.text())?;
            }
            match evaluation.picture()?.write_png(&picture) {
                Ok(()) if json => {}
                Ok(()) => writeln!(out, "confusion matrix: {}", printable(&picture.display().to_string()))?,
                Err(error) if png.is_none() => {
                    let why = error.to_string();
                    eprintln!("warning: no confusion matrix: {}; --png FILE takes another place", printable(&why));
                }
                Err(error) => return Err(error.into()),
            }
            Ok(DONE)
        }
        Command::Predict(args) => predict_args::run(args).map(|()| DONE),
        Command::Report(args) => view_args::run_report(args).map(|()| DONE),
        Command::Show(args) => view_args::run_show(args).map(|()| DONE),
        Command::Export(args) => exchange_args::run_export(args).map(|()| DONE),
        Command::Import(args) => exchange_args::run_import(args).map(|()| DONE),
        Command::Completions { shell } => {
            completions::print::<Cli>(PROGRAM, shell, &mut std::io::stdout()).map(|()| DONE)
        }
        Command::Presets { name } => print_presets(name.as_deref()).map(|()| DONE),
        Command::Check { quick, device, json } => run_check(&device, quick, json),
        Command::Bench(args) => bench_args::run(args).map(|()| DONE),
    }
}

/// Prints the network file of a preset, or a line for each preset.
fn print_presets(name: Option<&str>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if let Some(preset) = name.and_then(Preset::named) {
        out.write_all(preset.text.as_bytes())?;
        return Ok(());
    }
    for preset in Preset::ALL {
        writeln!(out, "{:12}  {}", preset.name, preset.summary())?;
    }
    Ok(())
}

/// Returns the exit code for an error of training. `None` for errors that `tonic-prep` can have too.
fn exit_code(cause: &Cause) -> Option<u8> {
    match cause.downcast_ref()? {
        Error::Base(_) | Error::Shard(_) | Error::Report(_) => None,
        Error::Kernel(_) | Error::Model { .. } => Some(errors::BAD_SET),
        Error::Diverged { .. } => Some(DIVERGED),
        Error::Unlabelled { .. } => Some(errors::USAGE),
        _ => Some(errors::SYSTEM),
    }
}

/// Compares the GPU kernels with the CPU's and prints the results. Returns exit code 0 if all checks passed, else 1.
fn run_check(args: &DeviceArgs, quick: bool, json: bool) -> anyhow::Result<u8> {
    use_threads(None)?;
    let backend = args.choose(EngineChoice::Fused)?;
    let Some(device) = backend.device else {
        let why = format!("there is no GPU to compare with the CPU ({})", backend.why);
        return Err(Error::unavailable("check", why).into());
    };
    if !json {
        println!("{}", printable(&backend.why));
    }
    let checked = check(&device, quick, |checked| match (json, checked.checks.last()) {
        (true, _) => println!("{}", printable_json(&serde_json::json!(checked).to_string())),
        (false, Some(Check { name, passed, detail })) => {
            let detail = printable(detail);
            println!("{}  {name}: {detail}", if *passed { "ok    " } else { "FAILED" });
        }
        (false, None) => {}
    })?;
    if !json {
        println!("{} passed, {} failed", checked.passed, checked.failed);
    }
    Ok(if checked.failed == 0 { DONE } else { SYSTEM })
}
