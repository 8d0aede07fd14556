//! Thread pools that also work in a forked process, and functions that wait for a result and stop waiting at Ctrl-C.
//!
//! A forked process has none of the threads of its parent, so the pool of the parent would never do its work. Work that
//! uses rayon must therefore run in a pool of this module, and never in rayon's global pool.
//!
//! If a forked process uses a lock of this crate, a thread must hold the GIL when it takes this lock. Python's `fork`
//! holds the GIL too, so no other thread holds such a lock when the process is forked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tonic_base::Error as BaseError;

/// The shared pool, and the id of the process that made it. In a forked process, this can be the pool of the parent.
static SHARED: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);
/// A thread that waits for a result checks for Ctrl-C each time that this much time has passed.
pub(crate) const TICK: Duration = Duration::from_millis(50);

pub(crate) fn pool(threads: usize) -> PyResult<Arc<ThreadPool>> {
    // The panic was already printed. The thread that waits for the work gets no result, and returns the error `lost`.
    let builder = ThreadPoolBuilder::new().num_threads(threads).panic_handler(|_| ());
    let named = builder.thread_name(|i| format!("tonic_shards {i}"));
    Ok(Arc::new(named.build().map_err(|e| PyRuntimeError::new_err(format!("cannot start {threads} threads: {e}")))?))
}

/// Returns the pool that all sets and loaders of this process share. It has a thread for each core.
pub(crate) fn shared(_py: Python<'_>) -> PyResult<Arc<ThreadPool>> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    match &*shared {
        Some((process, pool)) if *process == std::process::id() => return Ok(pool.clone()),
        _ => {}
    }
    let made = pool(tonic_base::cores())?;
    // The threads of a parent's pool don't exist in this process. To drop the pool would tell these threads to end.
    std::mem::forget(shared.replace((std::process::id(), made.clone())));
    Ok(made)
}

/// Does `work` in a pool and returns its result. After Ctrl-C, returns KeyboardInterrupt at once. Then the pool still
/// finishes the work, but the result is dropped.
pub(crate) fn wait<T: Send + 'static>(
    py: Python<'_>,
    pool: &ThreadPool,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    let (out, done) = bounded(1);
    pool.spawn(move || {
        let _ = out.send(work()); // nobody waits after Ctrl-C
    });
    receive(py, &done)?.ok_or_else(lost)
}

/// Waits for a value with the GIL released. Returns `None` if the sender is gone.
///
/// # Errors
/// What Python's signal handlers raise: KeyboardInterrupt after Ctrl-C.
pub(crate) fn receive<T: Send>(py: Python<'_>, from: &Receiver<T>) -> PyResult<Option<T>> {
    loop {
        py.check_signals()?; // before the first wait too: a loop in C, such as `list(loader)`, checks no signals
        match py.detach(|| from.recv_timeout(TICK)) {
            Ok(value) => return Ok(Some(value)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// The error for work that panicked.
pub(crate) fn lost() -> PyErr {
    PyRuntimeError::new_err(BaseError::WorkerLost { doing: "read the set" }.to_string())
}
