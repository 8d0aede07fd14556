//! The order of an epoch: a permutation of a set's samples that is computed, not stored. FORMAT.md, "Order", has the
//! formulas.
//!
//! First the chunks are shuffled. Consecutive chunks of the shuffled order form windows of at most 8,192 samples, and
//! the samples of each window are shuffled. So a reader needs only one window in memory at a time.

use std::ops::Range;

/// Maximum number of samples in a window. A chunk with more samples is a window of its own.
pub const WINDOW_SAMPLES: u32 = 8192;

/// Order of the samples in an epoch. It depends only on the set id, the seed and the index of the epoch.
#[derive(Clone, Debug)]
pub struct Order {
    base: [u8; 48],
    samples: u64,
    chunk_samples: u64,
    chunks: u32,
    window_chunks: u32,
    slots: Permutation,
    /// Position, in the shuffled order, of the chunk with the largest index. Only this chunk can have fewer samples.
    short_slot: u32,
}

/// A window: consecutive chunks of an epoch, whose samples are all visited before the next window.
#[derive(Clone, Debug)]
pub struct Window {
    /// Positions in the epoch that the window covers.
    pub positions: Range<u64>,
    /// Indices, in the set, of the window's chunks, in the order of the epoch.
    pub chunks: Vec<u32>,
    /// For each chunk, the number of samples before it in the window. One or more further items follow, each larger
    /// than the index of any sample in the window.
    starts: Vec<u32>,
    permutation: Option<Permutation>,
}

impl Order {
    /// Creates the order of an epoch for a set of `samples` samples, with `chunk_samples` samples per chunk.
    ///
    /// # Panics
    /// If `chunk_samples` is 0, or if there are 2^32 chunks or more.
    pub fn new(set_id: [u8; 32], samples: u64, chunk_samples: u32, seed: u64, epoch: u64) -> Order {
        let chunks = u32::try_from(samples.div_ceil(u64::from(chunk_samples))).expect("fewer than 2^32 chunks");
        let mut base = [0; 48];
        base[..32].copy_from_slice(&set_id);
        base[32..40].copy_from_slice(&seed.to_le_bytes());
        base[40..].copy_from_slice(&epoch.to_le_bytes());
        let slots = Permutation::new(&base, 0, chunks);
        let short_slot = (0..chunks).find(|&s| slots.at(s) == chunks - 1).unwrap_or(0);
        let window_chunks = (WINDOW_SAMPLES / chunk_samples).max(1);
        Order { base, samples, chunk_samples: chunk_samples.into(), chunks, window_chunks, slots, short_slot }
    }

    /// Number of windows in the epoch.
    pub fn windows(&self) -> u32 {
        self.chunks.div_ceil(self.window_chunks)
    }

    /// Window number `w` of the epoch, counted from 0.
    ///
    /// # Panics
    /// If `w` is not below [`Order::windows`].
    pub fn window(&self, w: u32) -> Window {
        assert!(w < self.windows());
        let slots = w * self.window_chunks..((w + 1) * self.window_chunks).min(self.chunks);
        let positions = self.samples_before(slots.start)..self.samples_before(slots.end);
        let starts: Vec<u32> =
            (slots.start..=slots.end).map(|s| (self.samples_before(s) - positions.start) as u32).collect();
        let samples = starts[starts.len() - 1];
        Window {
            chunks: slots.map(|s| self.slots.at(s)).collect(),
            permutation: Some(Permutation::new(&self.base, 1 + u64::from(w), samples)),
            positions,
            starts,
        }
    }

    /// The constants from which the order is computed, for other implementations such as the GPU's.
    pub fn parts(&self) -> OrderParts {
        OrderParts {
            slots: self.slots.clone(),
            window_permutations: (0..self.windows()).filter_map(|w| self.window(w).permutation).collect(),
            chunk_samples: self.chunk_samples as u32,
            missing: self.missing() as u32,
            window_chunks: self.window_chunks,
            short_slot: self.short_slot,
        }
    }

    /// `chunk_samples` minus the number of samples in the last chunk.
    fn missing(&self) -> u64 {
        u64::from(self.chunks) * self.chunk_samples - self.samples
    }

    /// Number of samples in all chunks before `slot`, a position in the shuffled order of the chunks.
    fn samples_before(&self, slot: u32) -> u64 {
        u64::from(slot) * self.chunk_samples - if slot > self.short_slot { self.missing() } else { 0 }
    }
}

impl Window {
    /// Window number `w`, from 0, of an epoch without shuffling. `None` if the epoch has no such window.
    pub fn sequential(w: u32, samples: u64, chunk_samples: u32) -> Option<Window> {
        let per_chunk = u64::from(chunk_samples);
        let window_chunks = u64::from((WINDOW_SAMPLES / chunk_samples).max(1));
        let first = u64::from(w) * window_chunks;
        let chunks = first..(first + window_chunks).min(samples.div_ceil(per_chunk));
        let positions = first * per_chunk..(chunks.end * per_chunk).min(samples);
        let starts = (0..=window_chunks).map(|slot| slot as u32 * chunk_samples).collect();
        let chunks = chunks.map(|chunk| chunk as u32).collect();
        (!positions.is_empty()).then_some(Window { positions, chunks, starts, permutation: None })
    }

    /// The sample at `position` of the epoch: the index of its chunk in [`Window::chunks`], and its index in the
    /// chunk.
    ///
    /// # Panics
    /// If `position` is not in [`Window::positions`].
    pub fn at(&self, position: u64) -> (usize, usize) {
        assert!(self.positions.contains(&position));
        let index = (position - self.positions.start) as u32;
        let index = self.permutation.as_ref().map_or(index, |permutation| permutation.at(index));
        let slot = self.starts.partition_point(|&start| start <= index) - 1;
        (slot, (index - self.starts[slot]) as usize)
    }
}

/// The constants from which an [`Order`] is computed.
#[derive(Clone, Debug)]
pub struct OrderParts {
    /// Maps a slot to the index of a chunk. A slot is a position in the shuffled order of the chunks.
    pub slots: Permutation,
    /// One permutation per window. It maps a position in the window to the index of a sample in the window. The index
    /// counts the samples of the window's chunks from 0, in the shuffled order of the chunks.
    pub window_permutations: Vec<Permutation>,
    /// Number of samples per chunk.
    pub chunk_samples: u32,
    /// `chunk_samples` minus the number of samples in the last chunk.
    pub missing: u32,
    /// Number of chunks per window. The last window can have fewer.
    pub window_chunks: u32,
    /// Position, in the shuffled order, of the chunk with the largest index. Only this chunk can have fewer samples.
    pub short_slot: u32,
}

/// A permutation of the numbers 0 to n - 1. A Feistel network with eight rounds, as in block ciphers, permutes all
/// numbers of 2 * `half_bits` bits. Results of n or more are permuted again (cycle walking).
#[derive(Clone, Debug)]
pub struct Permutation {
    /// Keys of the eight rounds of the Feistel network.
    pub key: [u32; 8],
    /// Half the number of bits of a number that the Feistel network permutes: the smallest b >= 1 with 4^b >= n.
    pub half_bits: u32,
    /// How many numbers are permuted: 0 to n - 1.
    pub n: u32,
}

impl Permutation {
    fn new(base: &[u8; 48], stream: u64, n: u32) -> Permutation {
        let hash = blake3::Hasher::new().update(base).update(&stream.to_le_bytes()).finalize();
        let (words, _) = hash.as_bytes().as_chunks();
        let key = std::array::from_fn(|i| u32::from_le_bytes(words[i]));
        let half_bits = (1..16).find(|&b| 1_u64 << (2 * b) >= u64::from(n)).unwrap_or(16);
        Permutation { key, half_bits, n }
    }

    fn at(&self, i: u32) -> u32 {
        debug_assert!(i < self.n);
        let mask = (1_u32 << self.half_bits) - 1;
        let mut i = i;
        loop {
            let (mut left, mut right) = (i >> self.half_bits, i & mask);
            for &k in &self.key {
                (left, right) = (right, left ^ (mix(right ^ k) & mask));
            }
            i = left << self.half_bits | right;
            if i < self.n {
                return i;
            }
        }
    }
}

/// The 32-bit finalizer of MurmurHash3.
fn mix(mut h: u32) -> u32 {
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(samples: u64, chunk_samples: u32, seed: u64, epoch: u64) -> Vec<u64> {
        let order = Order::new([9; 32], samples, chunk_samples, seed, epoch);
        let mut out = Vec::new();
        for w in 0..order.windows() {
            let window = order.window(w);
            assert_eq!(window.positions.start, out.len() as u64);
            for position in window.positions.clone() {
                let (slot, inside) = window.at(position);
                out.push(u64::from(window.chunks[slot]) * u64::from(chunk_samples) + inside as u64);
            }
        }
        out
    }

    #[test]
    fn is_a_permutation_whatever_the_sizes() {
        for (samples, chunk_samples) in [
            (0, 4),
            (1, 1),
            (1, 64),
            (63, 64),
            (64, 64),
            (65, 64),
            (1000, 7),
            (20_000, 64),
            (20_001, 5000),
            (9000, 9000),
        ] {
            let mut seen = epoch(samples, chunk_samples, 3, 1);
            seen.sort_unstable();
            assert_eq!(seen, (0..samples).collect::<Vec<_>>(), "{samples} samples in chunks of {chunk_samples}");
        }
    }

    #[test]
    fn differs_between_epochs_and_seeds_and_repeats_itself() {
        let first = epoch(1000, 64, 0, 0);
        assert_eq!(first, epoch(1000, 64, 0, 0));
        assert_ne!(first, epoch(1000, 64, 0, 1));
        assert_ne!(first, epoch(1000, 64, 1, 0));
    }

    /// The order of an epoch is part of the format, so these values must not change.
    #[test]
    fn is_frozen() {
        // Expected values from a Python implementation of FORMAT.md. The first set has one window, the second has five,
        // one of them short.
        assert_eq!(epoch(1000, 64, 7, 2)[..8], [268, 722, 493, 322, 13, 600, 555, 627]);
        let windows = epoch(20_001, 5000, 7, 2);
        assert_eq!(windows[..4], [2380, 2780, 3314, 3834]);
        assert_eq!(windows[10_001..10_005], [8330, 5321, 8759, 6144]);
        assert_eq!(windows[19_997..], [11_090, 10_241, 11_587, 10_835]);
    }

    #[test]
    fn spreads_samples_evenly() {
        // In a uniform permutation of n, a sample moves by n / 3 on average. A weak permutation leaves neighbours
        // together.
        let order = epoch(4096, 64, 1, 0);
        let n = order.len() as f64;
        let moved = order.iter().enumerate().map(|(i, &s)| (i as f64 - s as f64).abs()).sum::<f64>() / n;
        assert!((moved / n - 1.0 / 3.0).abs() < 0.02, "{moved}");
        let neighbours = order.windows(2).filter(|w| w[0].abs_diff(w[1]) == 1).count();
        assert!(neighbours < 12, "{neighbours} pairs of neighbours where 2 are expected");
    }
}
