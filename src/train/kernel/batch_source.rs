//! Where the CUDA kernels get the samples of batches: samples in GPU memory, and their order.

use std::sync::atomic::{AtomicU64, Ordering};

use tonic_shard::{OrderParts, Permutation};

use crate::gpu::Address;
use crate::kernel::interface::{DrawOrder, DrawPermutation, SampleColumns};

/// Where the CUDA kernels get the samples of batches: samples in GPU memory, and their order.
#[derive(Clone, Copy, Debug)]
pub struct BatchSource {
    /// Number of this source, unique in the process. Its recorded CUDA graph is stored under this number.
    pub(crate) id: u64,
    pub(crate) columns: SampleColumns,
    pub(crate) order: Address<DrawOrder>,
}

impl BatchSource {
    pub(crate) fn new(columns: SampleColumns, order: Address<DrawOrder>) -> BatchSource {
        static IDS: AtomicU64 = AtomicU64::new(0);
        BatchSource { id: IDS.fetch_add(1, Ordering::Relaxed), columns, order }
    }
}

impl From<&Permutation> for DrawPermutation {
    fn from(of: &Permutation) -> DrawPermutation {
        DrawPermutation { key: of.key, half_bits: of.half_bits, n: of.n }
    }
}

impl DrawOrder {
    /// Makes the order of a shuffled epoch of `end` samples. `window_permutations` is the address in GPU memory that
    /// has a copy of `parts.window_permutations`. `epoch_key` is [`epoch_key`](tonic_loader::EpochOrder::epoch_key).
    pub(crate) fn shuffled(
        parts: &OrderParts,
        window_permutations: Address<DrawPermutation>,
        end: u64,
        epoch_key: u64,
    ) -> DrawOrder {
        DrawOrder {
            window_permutations,
            end,
            first: 0,
            epoch_key,
            slots: (&parts.slots).into(),
            shuffled: 1,
            one_batch: 0,
            chunk_samples: parts.chunk_samples,
            missing: parts.missing,
            window_chunks: parts.window_chunks,
            windows: parts.window_permutations.len() as u32,
            short_slot: parts.short_slot,
        }
    }

    /// Makes the order of a single batch: samples 0 to `samples - 1`, not shuffled.
    pub(crate) fn batch(samples: u64) -> DrawOrder {
        DrawOrder { one_batch: 1, ..DrawOrder::sequential(0, samples, 0) }
    }

    /// Makes an unshuffled order of `samples` samples, which starts at position `first` in the epoch of `epoch_key`.
    pub(crate) fn sequential(first: u64, samples: u64, epoch_key: u64) -> DrawOrder {
        DrawOrder {
            window_permutations: Address::null(),
            end: samples,
            first,
            epoch_key,
            slots: DrawPermutation { key: [0; 8], half_bits: 1, n: 0 },
            shuffled: 0,
            one_batch: 0,
            chunk_samples: 1,
            missing: 0,
            window_chunks: 1,
            windows: 0,
            short_slot: 0,
        }
    }
}
