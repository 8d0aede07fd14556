//! Where the kernels draw batches from: columns of samples in device memory, and the order of an epoch.

use std::sync::atomic::{AtomicU64, Ordering};

use tonic_shard::{OrderParts, Permutation};

use crate::gpu::Address;
use crate::kernel::interface::{DrawOrder, DrawPermutation, SampleColumns};

/// Where batches are drawn from: columns of samples in device memory, and their order.
#[derive(Clone, Copy, Debug)]
pub struct BatchSource {
    /// Unique for these addresses, so that a recorded graph is never replayed on freed memory.
    pub(crate) id: u64,
    /// Columns of the set, or of a batch.
    pub(crate) columns: SampleColumns,
    /// Order of the epoch, or of the batch.
    pub(crate) order: Address<DrawOrder>,
}

impl BatchSource {
    /// Makes a source with a unique id.
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
    /// The first `end` positions of an epoch's permutation. `within` holds the permutations of its windows.
    pub(crate) fn shuffled(parts: &OrderParts, within: Address<DrawPermutation>, end: u64) -> DrawOrder {
        DrawOrder {
            within,
            end,
            slots: (&parts.slots).into(),
            shuffled: 1,
            one_batch: 0,
            chunk_samples: parts.chunk_samples,
            missing: parts.missing,
            window_chunks: parts.window_chunks,
            windows: parts.within.len() as u32,
            short_slot: parts.short_slot,
        }
    }

    /// One batch of `samples` samples, in their order.
    pub(crate) fn sequential(samples: u64) -> DrawOrder {
        DrawOrder {
            within: Address::null(),
            end: samples,
            slots: DrawPermutation { key: [0; 8], half_bits: 1, n: 0 },
            shuffled: 0,
            one_batch: 1,
            chunk_samples: 1,
            missing: 0,
            window_chunks: 1,
            windows: 0,
            short_slot: 0,
        }
    }
}
