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
        mix(self.epoch_key() ^ mix(sample))
    }

    /// Returns the key of the epoch, which depends only on the seed and the epoch. [`key`](EpochOrder::key) makes the keys
    /// of samples from it: `mix(epoch_key ^ mix(sample))`.
    pub fn epoch_key(self) -> u64 {
        let (seed, epoch) = match self {
            EpochOrder::Sequential => (0, 0),
            // Plus 1, so that a shuffled epoch never has the key of `Sequential`.
            EpochOrder::Shuffled { seed, epoch } => (seed, epoch.wrapping_add(1)),
        };
        mix(mix(seed) ^ mix(epoch))
    }
}

/// What [`mix`] adds to the state: SplitMix64's increment.
pub const MIX_INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;
/// The two factors of [`mix`].
pub const MIX_FACTORS: [u64; 2] = [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

/// Returns SplitMix64's output for a state (Steele, Lea and Flood 2014): a hash whose bits look random.
pub fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(MIX_INCREMENT);
    let z = (z ^ z >> 30).wrapping_mul(MIX_FACTORS[0]);
    let z = (z ^ z >> 27).wrapping_mul(MIX_FACTORS[1]);
    z ^ z >> 31
}
