//! Dropout of spikes: draws the masks that say which neurons a time step keeps.
//!
//! A mask depends only on (seed, epoch, sample, layer, step, tile). It is therefore the same with any number of threads
//! or ranks, and after a resume.
//!
//! Each bit of a mask is 1 with probability k / 2^16, where k is (1 - p) 2^16, rounded. A mask starts as 0. Each bit of
//! k, from the lowest bit that is 1 to the highest, then combines the mask with a new random word: with OR if the bit
//! is 1, with AND if the bit is 0. So p = 0.5 needs one random word, and p = 0.25 needs two. The words come from
//! SplitMix64 (Steele, Lea and Flood 2014). Each output of SplitMix64 gives two words.

use tonic_loader::{MIX_INCREMENT, mix};

/// Number of binary digits of the probability.
pub(super) const DIGITS: u32 = 16;
/// Smallest and largest probability with which a spike can be dropped, apart from 0. Masks round this probability to a
/// multiple of 2^-16.
pub(crate) const DROPOUT: [f32; 2] = [1.0 / (1 << DIGITS) as f32, 1.0 - 1.0 / (1 << DIGITS) as f32];
/// The random stream of layer i's initial states has the number `STATE_STREAMS` + i. The stream of the layer's dropout
/// has the number i.
pub(crate) const STATE_STREAMS: u64 = 1 << 32;

/// A layer's dropout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Dropout {
    /// Probability that a neuron is kept, times 2^[`DIGITS`].
    kept: u32,
    /// Whether a sample has one mask for all of its steps.
    per_sample: bool,
}

/// The random stream of one layer and one sample in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DropoutKey(u64);

impl DropoutKey {
    /// Makes the key. `sample` is the key of the sample in the epoch, from
    /// [`EpochOrder::key`](tonic_loader::EpochOrder::key).
    pub(crate) fn new(sample: u64, layer: u64) -> DropoutKey {
        DropoutKey(mix(sample ^ mix(layer)))
    }
}

impl Dropout {
    /// Makes a dropout that drops each spike with probability `p`, from 0 to less than 1. With `per_sample`, a neuron
    /// is kept or dropped in all steps of a sample.
    pub(crate) fn new(p: f32, per_sample: bool) -> Dropout {
        assert!((0.0..1.0).contains(&p), "dropout of {p}");
        let all = 1u32 << DIGITS;
        Dropout { kept: ((1.0 - f64::from(p)) * f64::from(all)).round().max(1.0) as u32, per_sample }
    }

    /// Returns the probability that a neuron is kept, times 2^[`DIGITS`].
    pub(crate) fn kept(&self) -> u32 {
        self.kept
    }

    /// Returns whether a sample has one mask for all of its steps.
    pub(crate) fn is_per_sample(&self) -> bool {
        self.per_sample
    }

    /// Returns the factor for the kept spikes: 1 / (1 - p), where p is rounded to a multiple of 2^-16.
    pub(crate) fn scale(&self) -> f32 {
        (f64::from(1u32 << DIGITS) / f64::from(self.kept)) as f32
    }

    /// Returns a mask for a tile: bit j is 1 if step `t` keeps neuron j of the tile.
    pub(crate) fn mask(&self, key: DropoutKey, t: usize, tile: usize) -> u32 {
        if self.kept >> DIGITS != 0 {
            return u32::MAX;
        }
        let digits = self.kept.trailing_zeros()..DIGITS;
        let step = if self.per_sample { 0 } else { t as u64 };
        // The counter has room for 8 outputs of SplitMix64 per tile, 2^24 tiles and 2^37 steps.
        let counter = (step << 27) + ((tile as u64) << 3);
        let mut mask = 0;
        for (i, digit) in digits.enumerate() {
            let pair = mix(key.0.wrapping_add((counter + i as u64 / 2).wrapping_mul(MIX_INCREMENT)));
            let word = (pair >> (32 * (i % 2))) as u32;
            mask = if self.kept >> digit & 1 == 1 { mask | word } else { mask & word };
        }
        mask
    }

    /// Writes the masks of all steps: `masks[t * tiles + tile]`.
    pub(crate) fn masks(&self, key: DropoutKey, tiles: usize, masks: &mut [u32]) {
        for (i, mask) in masks.iter_mut().enumerate() {
            *mask = self.mask(key, i / tiles, i % tiles);
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic_loader::EpochOrder;

    use super::{Dropout, DropoutKey};

    fn key(seed: u64, epoch: u64, sample: u64, layer: u64) -> DropoutKey {
        DropoutKey::new(EpochOrder::Shuffled { seed, epoch }.key(sample), layer)
    }

    fn masks(p: f32, per_sample: bool, key: DropoutKey) -> Vec<u32> {
        let mut masks = vec![0; 250 * 16];
        Dropout::new(p, per_sample).masks(key, 16, &mut masks);
        masks
    }

    #[test]
    fn a_mask_keeps_its_share_in_every_position() {
        for p in [0.5f32, 0.25, 0.1, 0.9, 0.013] {
            let masks: Vec<u32> = (0..8).flat_map(|i| masks(p, false, key(1, 2, i, 4))).collect();
            for bit in 0..32 {
                let kept = masks.iter().filter(|&&mask| mask >> bit & 1 == 1).count() as f64;
                let n = masks.len() as f64;
                let sigma = (f64::from(p) * (1.0 - f64::from(p)) * n).sqrt();
                assert!((kept - (1.0 - f64::from(p)) * n).abs() < 4.5 * sigma, "{p}, bit {bit}: {kept} of {n}");
            }
            let scale = f64::from(Dropout::new(p, false).scale());
            assert!((scale * (1.0 - f64::from(p)) - 1.0).abs() < 1e-3, "{p}: {scale}");
        }
        assert!(masks(0.0, false, key(0, 0, 0, 0)).iter().all(|&mask| mask == u32::MAX));
        assert_eq!(Dropout::new(0.0, false).scale(), 1.0);
    }

    #[test]
    fn masks_of_other_counters_are_independent() {
        let reference = masks(0.5, false, key(1, 2, 3, 4));
        let others = [key(2, 2, 3, 4), key(1, 3, 3, 4), key(1, 2, 4, 4), key(1, 2, 3, 5), key(2, 1, 3, 4)];
        let n = 32.0 * reference.len() as f64;
        let shifted = [1, 2, 16].map(|by| reference[by..].to_vec());
        for other in others.map(|key| masks(0.5, false, key)).into_iter().chain(shifted) {
            let equal: u32 = reference.iter().zip(&other).map(|(a, b)| (!(a ^ b)).count_ones()).sum();
            let n = 32.0 * other.len().min(reference.len()) as f64;
            assert!((f64::from(equal) - n / 2.0).abs() < 4.5 * n.sqrt() / 2.0, "{equal} of {n} bits are equal");
        }
        let ones: u32 = reference.iter().map(|mask| mask.count_ones()).sum();
        assert!((f64::from(ones) - n / 2.0).abs() < 4.5 * n.sqrt() / 2.0);
    }

    #[test]
    fn one_mask_per_sample_is_the_same_at_every_step() {
        let masks = masks(0.25, true, key(1, 2, 3, 4));
        assert!(masks.chunks(16).all(|step| step == &masks[..16]));
        assert!(masks[..16].iter().any(|mask| *mask != masks[0]));
    }

    /// The masks must never change, because a resumed run must draw the same masks.
    #[test]
    fn masks_stay_what_they_are() {
        let dropout = Dropout::new(0.3, false);
        let key = key(13, 1, 99, 2);
        assert_eq!([(0, 0), (249, 15)].map(|(t, tile)| dropout.mask(key, t, tile)), [3_987_369_940, 4_188_741_567]);
    }
}
