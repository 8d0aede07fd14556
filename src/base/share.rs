//! How many processes of one program share this machine.

use std::sync::atomic::{AtomicUsize, Ordering};

static PROCESSES: AtomicUsize = AtomicUsize::new(1);

/// Says that `processes` processes share this machine, this one included. Afterwards, [`cores`](crate::cores) and
/// [`free_memory`](crate::free_memory) return the share of this process.
pub fn share_machine(processes: usize) {
    PROCESSES.store(processes.max(1), Ordering::Relaxed);
}

/// Returns how many processes share this machine, this one included.
pub(crate) fn processes() -> usize {
    PROCESSES.load(Ordering::Relaxed)
}
