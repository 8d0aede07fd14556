//! The order in which an epoch visits the samples.

/// Order of an epoch's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochOrder {
    /// In the order of the set.
    Sequential,
    /// Shuffled by the permutation that the format defines ([`tonic_shard::Order`]).
    Shuffled {
        /// Seed of the run.
        seed: u64,
        /// Number of the epoch, from 0.
        epoch: u64,
    },
}
