//! Random numbers for augmentation. They depend only on the seed, the epoch, the sample and the step of the
//! augmentation. They are the same for any number of threads, workers and ranks, with and without a cache, and after a
//! resume.

use crate::epoch_order::{MIX_INCREMENT, mix};

/// Random number generator for one step of the augmentation, for one sample in one epoch.
///
/// This is SplitMix64 (Steele, Lea and Flood 2014). Its first state is a hash of the sample's key and the step's
/// index.
#[derive(Clone, Debug)]
pub(super) struct Draws(u64);

const GAMMA: u64 = MIX_INCREMENT;
/// Part of the hash in [`Draws::new`]. The network draws its random numbers from the same keys. This constant makes
/// the numbers of the augmentation different from those of the network.
const AUGMENTATION: u64 = 1 << 33;

impl Draws {
    /// Creates the generator for a step. `key` is the sample's key, see [`EpochOrder::key`](crate::EpochOrder::key).
    /// `step` is the index of the step in the augmentation.
    pub(super) fn new(key: u64, step: usize) -> Draws {
        Draws(mix(key ^ mix(AUGMENTATION + step as u64)))
    }

    fn next(&mut self) -> u64 {
        let output = mix(self.0);
        self.0 = self.0.wrapping_add(GAMMA);
        output
    }

    /// Returns a uniform random number in [0, 1). It is a multiple of 2^-53.
    pub(super) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a random whole number from 0 to `n` - 1. `n` must not be 0.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// Returns a random number with mean 0 and standard deviation 1. Its distribution is almost normal: it is the sum
    /// of twelve uniform numbers, minus 6. The result has the same bits on every processor.
    pub(super) fn normal(&mut self) -> f64 {
        let lanes = |word: u64| (0..4).map(move |lane| (word >> (16 * lane)) & 0xffff).sum::<u64>();
        let sum = lanes(self.next()) + lanes(self.next()) + lanes(self.next());
        // Each of the twelve 16-bit numbers k stands for (k + 0.5) / 2^16, so that the mean is exactly 0.
        (sum as f64 + 6.0) / 65536.0 - 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::Draws;
    use crate::epoch_order::EpochOrder;

    fn draws(seed: u64, epoch: u64, sample: u64, step: usize) -> Draws {
        Draws::new(EpochOrder::Shuffled { seed, epoch }.key(sample), step)
    }

    #[test]
    fn each_counter_gives_other_numbers() {
        let first = |seed, epoch, sample, step| draws(seed, epoch, sample, step).next();
        let all = [first(1, 2, 3, 4), first(2, 1, 3, 4), first(1, 3, 2, 4), first(1, 2, 4, 3), first(0, 0, 0, 0)];
        let different: std::collections::BTreeSet<u64> = all.into_iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(first(1, 2, 3, 4), first(1, 2, 3, 4));
    }

    #[test]
    fn numbers_have_their_distributions() {
        let n = 100_000;
        let mut draws = draws(1, 2, 3, 4);
        let moments = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / n as f64;
            (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n as f64)
        };
        let (mean, variance) = moments(&(0..n).map(|_| draws.share()).collect::<Vec<_>>());
        assert!((mean - 0.5).abs() < 5e-3 && (variance - 1.0 / 12.0).abs() < 2e-3, "{mean} {variance}");
        let normal: Vec<f64> = (0..n).map(|_| draws.normal()).collect();
        let (mean, variance) = moments(&normal);
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        let inside = normal.iter().filter(|value| value.abs() < 1.0).count() as f64 / n as f64;
        assert!((inside - 0.6827).abs() < 0.01, "{inside}");
        let mut counts = [0; 7];
        (0..n).for_each(|_| counts[draws.below(7) as usize] += 1);
        assert!(counts.iter().all(|&count| (count as f64 / n as f64 - 1.0 / 7.0).abs() < 5e-3), "{counts:?}");
    }
}
