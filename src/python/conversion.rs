//! Runs conversions for Python. A Rust thread does the work. Meanwhile, the calling thread checks for Ctrl-C.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use pyo3::exceptions::{PyKeyboardInterrupt, PyUserWarning};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tonic_base::{interrupt, print_line, printable};
use tonic_prep::{Converted, Inputs, Recipe, Result};
use tonic_shard::OutputDir;

use crate::error::{exception, prep_exception};
use crate::options::{EventArgs, RecipeArgs, SourceArgs, WriteArgs};
use crate::progress::show_in_python;
use crate::threads::{TICK, lost, receive};

/// Locked while a conversion runs. A process runs one conversion at a time, because a request to stop is for the whole
/// process.
static RUNNING: Mutex<()> = Mutex::new(());
/// Which conversion of this process is running, counted from 1. 0 if none is running.
static CURRENT: AtomicU64 = AtomicU64::new(0);
static LAST: AtomicU64 = AtomicU64::new(0);
/// How long Python waits for an interrupted conversion to end.
const GRACE: Duration = Duration::from_millis(1000);

/// Converts recordings. `options` has a value for each field of SourceArgs, EventArgs, RecipeArgs and WriteArgs.
#[pyfunction]
pub(crate) fn convert(
    py: Python<'_>,
    inputs: Vec<PathBuf>,
    output: PathBuf,
    options: &Bound<'_, PyDict>,
) -> PyResult<()> {
    let events = options.extract::<EventArgs>()?.options()?;
    let (inputs, source) = options.extract::<SourceArgs>()?.resolve(py, inputs, events)?;
    let write = options.extract::<WriteArgs>()?;
    let quiet = write.quiet();
    let conversion = write.conversion(py, inputs, output, source, options.extract::<RecipeArgs>()?)?;
    let work = move || tonic_prep::convert(&conversion, |inputs| say_opening(inputs, quiet));
    let converted = run(py, "complete shards are kept; continue with resume=True", work)?;
    report(py, &converted, quiet)
}

/// The transforms and framings that a recipe can name, with their parameters, as JSON.
#[pyfunction]
pub(crate) fn catalogue() -> String {
    tonic_prep::catalogue().json().to_string()
}

/// Checks a recipe in TOML, and returns it in the form in which a set stores it.
#[pyfunction]
pub(crate) fn check_recipe(text: &str) -> PyResult<String> {
    Ok(Recipe::parse(None, text).map_err(prep_exception)?.to_toml())
}

/// Prints how the recordings were opened.
pub(crate) fn say_opening(inputs: &Inputs, quiet: bool) {
    if !quiet {
        inputs.lines().iter().for_each(|line| print_line(&format!("convert: {}", printable(line))));
    }
}

/// Turns the warnings of a conversion into warnings of Python. Prints the other notes, unless `quiet` is true.
pub(crate) fn report(py: Python<'_>, converted: &Converted, quiet: bool) -> PyResult<()> {
    for note in converted.opening_notes.iter().chain(&converted.outcome) {
        match note.strip_prefix("warning: ") {
            Some(warning) => {
                let text = std::ffi::CString::new(warning).unwrap_or_default();
                PyErr::warn(py, &py.get_type::<PyUserWarning>(), &text, callers_level(py)?)?;
            }
            None if !quiet => print_line(&format!("convert: note: {}", printable(note))),
            None => {}
        }
    }
    Ok(())
}

/// Returns the `stacklevel` for a warning. With it, Python shows the line of the user's code that called this package.
fn callers_level(py: Python<'_>) -> PyResult<i32> {
    let (mut frame, mut level) = (py.import("sys")?.call_method0("_getframe")?, 1);
    while !frame.is_none() {
        let module = frame.getattr("f_globals")?.get_item("__name__").and_then(|name| name.extract::<String>());
        if !module.is_ok_and(|name| name.split('.').next() == Some("tonic_shards")) {
            break;
        }
        (frame, level) = (frame.getattr("f_back")?, level + 1);
    }
    Ok(level)
}

/// Returns an error if the directory holds a set already and the options don't allow that.
pub(crate) fn check_output(args: &WriteArgs, output: &std::path::Path) -> PyResult<()> {
    let is_new = !output.exists();
    let opened = OutputDir::open(output, args.existing()?).map(drop).map_err(exception);
    if is_new {
        let _ = std::fs::remove_dir(output); // empty
    }
    opened
}

/// Runs a conversion in a thread. After Ctrl-C, asks the conversion to stop, and waits at most [`GRACE`] until it has
/// ended. Then returns a KeyboardInterrupt with the text `saved`. This text says what is left on disk and what to type
/// next.
pub(crate) fn run(
    py: Python<'_>,
    saved: &str,
    work: impl FnOnce() -> Result<Converted> + Send + 'static,
) -> PyResult<Converted> {
    show_in_python(py)?;
    let number = LAST.fetch_add(1, Ordering::SeqCst) + 1;
    let (out, done) = bounded(1);
    let task = move || {
        let _turn = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        CURRENT.store(number, Ordering::SeqCst);
        let converted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        CURRENT.store(0, Ordering::SeqCst);
        interrupt::reset();
        // A panic has printed its message.
        if let Ok(converted) = converted {
            let _ = out.send(converted); // after Ctrl-C, perhaps nobody waits
        }
    };
    std::thread::Builder::new().name("tonic_shards convert".into()).spawn(task)?;
    match receive(py, &done) {
        Ok(Some(converted)) => converted.map_err(prep_exception),
        Ok(None) => Err(lost()),
        Err(raised) => {
            if CURRENT.load(Ordering::SeqCst) == number {
                interrupt::request();
            }
            await_end(py, &done);
            let is_ctrl_c = raised.is_instance_of::<PyKeyboardInterrupt>(py);
            Err(if is_ctrl_c { PyKeyboardInterrupt::new_err(format!("interrupted: {saved}")) } else { raised })
        }
    }
}

/// Waits for an interrupted conversion to end. Stops waiting when [`GRACE`] has passed or Ctrl-C is pressed again.
fn await_end(py: Python<'_>, done: &Receiver<Result<Converted>>) {
    for _ in 0..GRACE.as_millis() / TICK.as_millis() {
        let ended = !matches!(py.detach(|| done.recv_timeout(TICK)), Err(crossbeam_channel::RecvTimeoutError::Timeout));
        if ended || py.check_signals().is_err() {
            return;
        }
    }
}
