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

impl EpochOrder {
    /// Returns the key from which the random numbers of a sample in this epoch are drawn. `sample` is the index of the
    /// sample in the set. With [`EpochOrder::Sequential`], a sample has the same key in every epoch.
    pub fn key(self, sample: u64) -> u64 {
        let (seed, epoch) = match self {
            EpochOrder::Sequential => (0, 0),
            // An epoch that is shuffled never has the key of an evaluation.
            EpochOrder::Shuffled { seed, epoch } => (seed, epoch.wrapping_add(1)),
        };
        [epoch, sample].into_iter().fold(mix(seed), |key, part| mix(key ^ mix(part)))
    }
}

/// Returns SplitMix64's output for a state (Steele, Lea and Flood 2014): a hash whose bits look random.
pub fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
