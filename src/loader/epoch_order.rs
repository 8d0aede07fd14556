//! The order in which an epoch visits the samples.

/// Order of an epoch's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochOrder {
    /// Samples in the order of the set.
    Sequential,
    /// Samples shuffled by the permutation that the format defines ([`tonic_shard::Order`]).
    Shuffled {
        /// Seed of the run.
        seed: u64,
        /// Index of the epoch, from 0.
        epoch: u64,
    },
}
