//! Where the kernels draw batches from: columns of samples in device memory, and the order of an epoch.

use std::sync::atomic::{AtomicU64, Ordering};

use tonic_shard::{OrderParts, Permutation};

use crate::gpu::Address;
use crate::kernel::interface::{DrawOrder, DrawPermutation, SampleColumns};

/// Where batches are drawn from: columns of samples in device memory, and the order of the samples.
#[derive(Clone, Copy, Debug)]
pub struct BatchSource {
    /// Unique number of this source. Recorded graphs are kept by this number, so that a graph is never replayed on the
    /// freed memory of another source.
    pub(crate) id: u64,
    /// Columns of all samples of a set, or of a single batch.
    pub(crate) columns: SampleColumns,
    /// Order in which the samples are drawn.
    pub(crate) order: Address<DrawOrder>,
}

impl BatchSource {
    /// Makes a source with a new unique id.
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
    /// Makes the order of a shuffled epoch from the parts of its permutation. Only the first `end` positions are drawn.
    /// `within` is the device address of `parts.within`, the permutation of each window.
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

    /// Makes the order of a single batch: samples 0 to `samples - 1`, not shuffled.
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
