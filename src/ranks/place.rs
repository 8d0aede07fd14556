//! The place of a process among the ranks, and what ranks send each other.

use std::time::Duration;

/// A type of numbers that ranks send each other.
#[cfg(feature = "mpi")]
pub trait Number: Copy + Default + mpi::traits::Equivalence {}
/// A type of numbers that ranks send each other.
#[cfg(not(feature = "mpi"))]
pub trait Number: Copy + Default {}

impl Number for f32 {}
impl Number for f64 {}
impl Number for u64 {}
impl Number for u8 {}

/// The place of this process among the processes that train together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) rank: usize,
    pub(crate) size: usize,
    /// Number of this process among the ranks on its machine, from 0, and the number of these ranks.
    pub(crate) local_rank: usize,
    pub(crate) local_size: usize,
    /// How long this process waits for another one.
    #[cfg_attr(not(feature = "mpi"), expect(dead_code, reason = "one rank waits for nobody"))]
    pub(crate) patience: Duration,
    /// Called with the ranks that don't answer. Reports them, and returns the exit code.
    #[cfg_attr(not(feature = "mpi"), expect(dead_code, reason = "one rank waits for nobody"))]
    pub(crate) report: fn(&Silence) -> u8,
}

/// Ranks that don't answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} of {size} ranks gave no answer for {} s", names(.ranks), .waited.as_secs())]
pub struct Silence {
    /// The ranks, from the smallest. Empty if all answer but none continues.
    pub ranks: Vec<usize>,
    /// Number of all ranks.
    pub size: usize,
    /// How long this rank has waited.
    pub waited: Duration,
}

fn names(ranks: &[usize]) -> String {
    match ranks {
        [] => "all".into(),
        [one] => format!("rank {one}"),
        several => format!("ranks {}", several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// What a rank has sent so far, and how long it has waited for others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Number of bytes that this rank has sent.
    pub sent: u64,
    /// How long this rank has waited for messages of others.
    pub waited: Duration,
}
