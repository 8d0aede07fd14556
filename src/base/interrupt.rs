//! Handles signals that ask a run to stop: Ctrl-C, and the signals of a batch system when a job's time is over.
//!
//! The run then saves its state and stops. With [`OnSignal::StopWithin`], there is a time limit. After it, the process
//! ends even if the run has not stopped. No file is damaged, because files are written atomically.

#[cfg(unix)]
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{BaseFault, Error, Result};

#[cfg(unix)]
use crate::publish::discard_drafts;

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// Whether a request waits until the processes that work together have agreed.
static HELD: AtomicBool = AtomicBool::new(false);
/// Whether this process says nothing about signals, because another process speaks for it.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Exit code of an interrupted run.
pub const INTERRUPTED: u8 = 130;

/// What the first signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSignal {
    /// Ends the process at once, for commands that have nothing to save.
    End,
    /// Asks the run to stop, and gives it unlimited time.
    Stop,
    /// Asks the run to stop. If the process still runs after this duration, prints the text and ends the process.
    StopWithin(Duration, &'static str),
}

/// Installs a handler for SIGINT, SIGTERM, SIGHUP and SIGUSR1:
///
/// - The first signal does what `on_signal` says.
/// - A later SIGINT ends the process at once. Other later signals do nothing.
/// - If SIGHUP is ignored already, as under `nohup`, it stays ignored.
///
/// A process that the handler ends has the exit code [`INTERRUPTED`] and leaves no temporary file.
///
/// # Errors
/// The error of the operating system if the handler cannot be installed.
#[cfg(unix)]
pub fn install(on_signal: OnSignal) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

    let handled = [SIGINT, SIGTERM, SIGUSR1].into_iter().chain((!ignores_hangup()).then_some(SIGHUP));
    let mut signals = signal_hook::iterator::Signals::new(handled)?;
    let watch = move || {
        for signal in signals.forever() {
            let again = REQUESTED.swap(true, Ordering::SeqCst);
            match on_signal {
                OnSignal::End => end("interrupted"),
                _ if again && signal == SIGINT => end("stopped"),
                _ if again => continue,
                OnSignal::Stop => {}
                OnSignal::StopWithin(grace, saved) => {
                    std::thread::spawn(move || {
                        std::thread::sleep(grace);
                        end(&format!("interrupted: {saved}"));
                    });
                }
            }
            if !SILENT.load(Ordering::SeqCst) {
                say("\nstopping at the next safe place; Ctrl-C once more stops at once");
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(watch)?;
    Ok(())
}

/// Whether this process ignores SIGHUP, as under `nohup`. Returns false on systems other than Linux.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

/// Prints a line and ends the process at once. Doesn't call exit handlers of libraries, because other threads still use
/// these libraries.
#[cfg(unix)]
fn end(said: &str) -> ! {
    discard_drafts();
    say(said);
    signal_hook::low_level::exit(INTERRUPTED.into())
}

/// Prints a line on stderr. Doesn't fail if stderr is closed.
#[cfg(unix)]
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Does nothing: on systems other than Unix, a signal ends the process at once.
#[cfg(not(unix))]
pub fn install(_on_signal: OnSignal) -> std::io::Result<()> {
    Ok(())
}

/// Asks the run to stop, as a signal does. Use it in a program that handles signals itself, such as Python.
pub fn request() {
    REQUESTED.store(true, Ordering::SeqCst);
}

/// Withdraws the request to stop. Call this function after the run that had to stop has ended.
pub fn reset() {
    REQUESTED.store(false, Ordering::SeqCst);
    HELD.store(false, Ordering::SeqCst);
}

/// Whether a signal or [`request`] has asked the run to stop. Always false while requests are held back.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst) && !HELD.load(Ordering::SeqCst)
}

/// Holds requests back until [`release`]. For processes that work together: all call [`is_waiting`] at the same places
/// of the program, and all stop if a request waits in one of them. Only one process should be the `speaker`, which
/// prints on stderr that the program stops.
pub fn hold(speaker: bool) {
    SILENT.store(!speaker, Ordering::SeqCst);
    HELD.store(true, Ordering::SeqCst);
}

/// Whether a request is held back.
pub fn is_waiting() -> bool {
    REQUESTED.load(Ordering::SeqCst) && HELD.load(Ordering::SeqCst)
}

/// Asks the run to stop, and no longer holds requests back.
pub fn release() {
    request();
    HELD.store(false, Ordering::SeqCst);
}

/// Returns an error if a signal or [`request`] has asked the run to stop. `saved` says what was saved.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn check(saved: &str) -> Result<()> {
    if requested() { Err(Error::interrupted(saved)) } else { Ok(()) }
}
