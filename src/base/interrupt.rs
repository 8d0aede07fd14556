//! Signals that end a run: Ctrl-C, and those by which a batch system says that a job's time is over.
//!
//! A run stops at its next safe place. All that a run keeps is written atomically, so it may also end between safe
//! places: a run without one within reach is ended when its grace is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Exit code of an interrupted run.
pub const INTERRUPTED: u8 = 130;

/// Handles SIGINT, SIGTERM, SIGHUP and SIGUSR1 for the whole process. The first signal asks the run to stop; a second
/// SIGINT ends the process at once. Batch systems send several signals, so others that follow change nothing.
///
/// If the process still runs when the time `grace` has passed since the first signal, it is ended, and `saved` is
/// printed, which says what was kept. Without `grace`, it may take as long as it needs.
///
/// # Errors
/// The error of the operating system if the handler cannot be installed.
#[cfg(unix)]
pub fn install(grace: Option<(Duration, &'static str)>) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1])?;
    let watch = move || {
        for signal in signals.forever() {
            let again = REQUESTED.swap(true, Ordering::SeqCst);
            if again && signal == SIGINT {
                std::process::exit(INTERRUPTED.into());
            }
            if again {
                continue;
            }
            eprintln!("\nstopping at the next safe place; Ctrl-C once more stops at once");
            if let Some((grace, saved)) = grace {
                std::thread::spawn(move || {
                    std::thread::sleep(grace);
                    eprintln!("interrupted: {saved}; continue with --resume");
                    std::process::exit(INTERRUPTED.into());
                });
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(watch)?;
    Ok(())
}

/// Does nothing: on this system, signals end the process at once, which loses nothing that is kept.
#[cfg(not(unix))]
pub fn install(_grace: Option<(Duration, &'static str)>) -> std::io::Result<()> {
    Ok(())
}

/// Whether a signal has asked the run to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
