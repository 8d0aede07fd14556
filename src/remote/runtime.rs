//! The asynchronous runtime that runs all transfers. A forked process starts a runtime of its own.

use std::sync::OnceLock;

use tokio::runtime::Runtime;

/// The asynchronous runtime that runs all transfers of a process. Its two threads only move bytes. The threads that
/// call this crate compute the hashes.
struct Transfers {
    process: u32,
    runtime: Runtime,
    /// Runtime of a child process that was forked from this process. Threads do not survive a fork.
    of_fork: OnceLock<Box<Transfers>>,
}

impl Transfers {
    fn start() -> Box<Transfers> {
        // Fails only if a provider is there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().expect("the system has two threads for transfers");
        Box::new(Transfers { process: std::process::id(), runtime, of_fork: OnceLock::new() })
    }
}

/// Returns the runtime of this process. Takes no lock that a thread of the parent process could have held during the
/// fork.
pub(crate) fn runtime() -> &'static Runtime {
    static FIRST: OnceLock<Box<Transfers>> = OnceLock::new();
    let mut transfers = FIRST.get_or_init(Transfers::start);
    while transfers.process != std::process::id() {
        transfers = transfers.of_fork.get_or_init(Transfers::start);
    }
    &transfers.runtime
}
