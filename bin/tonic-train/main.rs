//! `tonic-train`: trains spiking networks from frame shards. Each command parses its arguments, makes one library call
//! and prints the result.

mod advice;
mod bench_args;
mod cli;
mod device_args;
#[cfg(test)]
mod error_texts;
#[path = "../errors.rs"]
mod errors;
#[path = "../existing_args.rs"]
mod existing_args;
#[path = "../quoted.rs"]
mod quoted;
mod values;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use tonic_base::{BaseFault, Verbosity, interrupt, printable, printable_json};
use tonic_shard::Existing;
use tonic_train::Error;
use tonic_train::Isa;
use tonic_train::check::{Check, check};
use tonic_train::engine::EngineChoice;
use tonic_train::learner::Warning;
use tonic_train::run::{Config, EvalOptions, FitOptions, Fitted, eval, fit};

use crate::cli::{Cli, Command, FitArgs};
use crate::device_args::DeviceArgs;
use crate::errors::{Cause, Typed};
use crate::values::use_threads;

/// Exit code if training diverged: the loss became NaN, infinite or far too large.
const DIVERGED: u8 = 5;

fn main() -> ExitCode {
    let (cli, typed): (Cli, Typed) = Typed::parse();
    let ready = match cli.command {
        Command::Bench(_) => Ok(()), // may end at once
        _ => interrupt::install(None).context("cannot listen for Ctrl-C"),
    };
    match ready.and_then(|()| run(cli.command)) {
        Ok(code) => code,
        Err(e) => errors::report(&typed, &e, exit_code, |cause| {
            let error = cause.downcast_ref()?;
            advice::advice(error).or_else(|| advice::contradiction(error, |field| typed.flag(field)))
        }),
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    Isa::named()?;
    match command {
        Command::Fit(args) => run_fit(args).map(|()| ExitCode::SUCCESS),
        Command::Eval { model, data, best, png, device, threads, json } => {
            use_threads(threads)?;
            let png = png.unwrap_or_else(|| model.join("confusion.png"));
            let verbosity = if json { Verbosity::Quiet } else { Verbosity::Normal };
            let warn = if json { |_: &Warning| () } else { |warning: &Warning| show(warning, advice::for_evaluation) };
            let options = EvalOptions { run: model, data, best, verbosity, warn };
            let evaluation = eval(&options, |engine| device.choose(engine))?;
            evaluation.picture()?.write_png(&png)?;
            let mut out = std::io::stdout().lock();
            if json {
                out.write_all(printable_json(&evaluation.json()).as_bytes())?;
            } else {
                let png = png.display().to_string();
                write!(out, "{}\nconfusion matrix: {}\n", evaluation.text(), printable(&png))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { quick, device, json } => run_check(&device, quick, json),
        Command::Bench(args) => bench_args::run(args).map(|()| ExitCode::SUCCESS),
    }
}

/// Prints a warning on stderr, followed by the advice on it.
fn show(warning: &Warning, advice: fn(&Warning) -> Option<&'static str>) {
    let advice = advice(warning).map_or(String::new(), |advice| format!("; {advice}"));
    eprintln!("warning  {}{advice}", printable(&warning.to_string()));
}

/// Returns the exit code for an error of training. `None` for errors that both programs can have: `errors.rs` chooses
/// their exit codes.
fn exit_code(cause: &Cause) -> Option<u8> {
    match cause.downcast_ref()? {
        Error::Base(_) | Error::Shard(_) | Error::Report(_) => None,
        Error::Kernel(_) | Error::Model { .. } => Some(errors::BAD_SET),
        Error::Diverged { .. } => Some(DIVERGED),
        Error::Unlabelled { .. } => Some(errors::USAGE),
        _ => Some(errors::SYSTEM),
    }
}

/// Compares the GPU kernels with the CPU's. Prints the result of each check as soon as it ends. Returns exit code 0 if
/// all checks passed, else 1.
fn run_check(args: &DeviceArgs, quick: bool, json: bool) -> anyhow::Result<ExitCode> {
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
    Ok(if checked.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_fit(args: FitArgs) -> anyhow::Result<()> {
    use_threads(args.threads)?;
    let existing = args.existing.existing();
    let resumes = existing == Existing::Resume || existing == Existing::Auto && Config::is_in(&args.output);
    let run = resumes.then(|| Config::read(&args.output)).transpose()?;
    let engine = args.engine.or(run.as_ref().map(|run| run.engine)).unwrap_or_default();
    let backend = args.device.choose_resumed(engine, run.map(|run| run.matmul_precision).unwrap_or_default())?;
    if args.deterministic && backend.engine == EngineChoice::Reference && backend.device.is_some() {
        let why = "libtorch's own kernels add in an order that may change; use --device cpu or --engine fused";
        return Err(Error::unavailable("deterministic", why).into());
    }
    let fitted = fit(&FitOptions {
        train: args.train,
        valid: args.valid,
        test: args.test,
        run: args.output,
        epochs: args.epochs,
        batch_size: args.batch_size,
        drop_last: args.drop_last,
        hidden: args.hidden.map(|hidden| hidden.0),
        theta: args.theta,
        gain: args.gain,
        min_v_mem: args.min_v_mem,
        lr: args.lr,
        seed: args.seed,
        class_weights: args.class_weights,
        backend,
        pad: args.pad,
        cache: args.cache,
        pin: args.pin,
        existing,
        verbosity: if args.quiet || args.json { Verbosity::Quiet } else { Verbosity::Normal },
        warn: if args.json { |_| () } else { |warning| show(warning, advice::for_training) },
    })?;
    let mut out = std::io::stdout().lock();
    if args.json {
        let Fitted { epochs, test, seconds, warnings } = fitted;
        let mut report = serde_json::json!({"epochs": epochs, "test": test, "seconds": seconds});
        if !warnings.is_empty() {
            report["warnings"] = serde_json::json!(warnings);
        }
        writeln!(out, "{}", printable_json(&report.to_string()))?;
    } else if let Some(test) = &fitted.test {
        write!(out, "{}", test.text())?;
    }
    Ok(())
}
