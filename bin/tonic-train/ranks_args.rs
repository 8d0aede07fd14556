//! The argument of training on several ranks, and how a program of several ranks ends.

use std::sync::OnceLock;
use std::time::Duration;

use clap::Args;
use tonic_base::{Error as BaseError, say, share_machine};
use tonic_ranks::{Ranks, Silence};
use tonic_train::Error;

use crate::errors::SYSTEM;

#[derive(Args)]
pub(crate) struct RanksArgs {
    /// How many seconds a process waits for the others, if several processes train together (mpirun -n 4 tonic-train
    /// fit, or srun --mpi=pmix). Then it reports the processes that don't answer, and all processes end. The time in
    /// which a scheduler suspends the job doesn't count
    #[arg(long, value_name = "S", default_value = "600", value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,
}

/// The ranks that this process has joined.
static JOINED: OnceLock<Ranks> = OnceLock::new();

impl RanksArgs {
    /// Joins the processes that a launcher has started together with this one. The processes on this machine share its
    /// cores and its memory. Later calls return the same ranks.
    pub(crate) fn join(&self) -> Result<Ranks, BaseError> {
        if let Some(joined) = JOINED.get() {
            return Ok(*joined);
        }
        let ranks = Ranks::join(Duration::from_secs(self.timeout.into()), report)?;
        share_machine(ranks.local_size());
        Ok(*JOINED.get_or_init(|| ranks))
    }
}

fn report(silence: &Silence) -> u8 {
    say(&format!(
        "{}: error: {silence}; all ranks end. The last checkpoint is whole: --resume continues from it, and \
         --timeout S waits longer",
        env!("CARGO_BIN_NAME")
    ));
    SYSTEM
}

/// Leaves the ranks that this process has joined. After an error that may have occurred on this rank only, ends all
/// ranks. Returns the exit code. `report` prints an error and returns its exit code; `code` only returns the exit code.
pub(crate) fn end(
    result: anyhow::Result<u8>,
    report: impl FnOnce(&anyhow::Error) -> u8,
    code: impl FnOnce(&anyhow::Error) -> u8,
) -> u8 {
    let ranks = JOINED.get().copied().unwrap_or_else(Ranks::solo);
    let error = match result {
        Ok(code) => {
            ranks.leave();
            return code;
        }
        Err(error) => error,
    };
    if ranks.is_solo() {
        return report(&error);
    }
    if has_every_rank(&error) {
        let code = if ranks.is_root() { report(&error) } else { code(&error) };
        ranks.leave();
        return code;
    }
    let place = format!("rank {} of {}", ranks.rank(), ranks.size());
    let error = if ranks.is_root() { error } else { error.context(place) };
    ranks.end_all(|| report(&error))
}

/// Whether all ranks end with this error at the same place. This is true for an interruption, because the ranks agree
/// on it. Any other error can occur on one rank only, and the other ranks would then wait for that rank.
fn has_every_rank(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(Error::Base(BaseError::Interrupted { .. }))))
}
