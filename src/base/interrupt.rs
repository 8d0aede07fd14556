//! Handles signals that ask a run to stop: Ctrl-C, and the signals that a batch system sends when a job's time is over.
//!
//! After such a signal, the run saves its state and stops as soon as it safely can. If this takes too long, the process
//! ends without waiting for the run (see [`install`]). This damages no file, because files are written atomically.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Exit code of an interrupted run.
pub const INTERRUPTED: u8 = 130;

/// Installs a handler for SIGINT, SIGTERM, SIGHUP and SIGUSR1 in this process. The first signal asks the run to stop:
/// from then on, [`requested`] returns true. After the first signal, a SIGINT (a second Ctrl-C) ends the process at
/// once. The other three signals are then ignored, because batch systems send several.
///
/// `grace` is the time that the run has to stop after the first signal, and a text that says what is saved. When this
/// time is over, the text is printed and the process ends with the exit code [`INTERRUPTED`]. If `grace` is `None`, the
/// run has unlimited time.
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

/// Does nothing on systems other than Unix. There, a signal ends the process at once. This damages no file, because
/// files are written atomically.
#[cfg(not(unix))]
pub fn install(_grace: Option<(Duration, &'static str)>) -> std::io::Result<()> {
    Ok(())
}

/// Whether a signal has asked the run to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
