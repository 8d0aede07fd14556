//! Which samples of a batch a process takes, if several processes train together.

use std::ops::Range;

use tonic_ranks::Ranks;

/// The samples of each batch that a rank takes: whole blocks of consecutive samples.
///
/// The division of a batch into blocks doesn't depend on the number of ranks. Sums over blocks, in their order, are
/// therefore the same for any number of ranks.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// The ranks that train together.
    pub ranks: Ranks,
    /// Maximum number of blocks in a batch.
    pub blocks: usize,
}

impl Share {
    /// All samples of a batch.
    pub fn whole() -> Share {
        Share { ranks: Ranks::solo(), blocks: 1 }
    }

    /// Returns the number of samples per block, for a batch of `samples` samples. The last block can be smaller.
    pub fn block_size(&self, samples: usize) -> usize {
        samples.div_ceil(self.blocks).max(1)
    }

    /// Returns which samples of a batch of `samples` samples this rank takes. The ranks take consecutive samples, in the
    /// order of the ranks. If there are fewer blocks than ranks, the last ranks take none.
    pub fn of(&self, samples: usize) -> Range<usize> {
        let size = self.block_size(samples);
        let Range { start, end } = self.ranks.own(samples.div_ceil(size));
        start * size..(end * size).min(samples)
    }

    /// Returns whether this rank takes the sample at a position of an epoch with batches of `batch_size` samples.
    /// `samples` is the number of samples in the epoch.
    pub(crate) fn has(&self, position: u64, batch_size: usize, samples: u64) -> bool {
        let first = position - position % batch_size as u64;
        let own = self.of((samples - first).min(batch_size as u64) as usize);
        own.contains(&((position - first) as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn blocks_of_a_batch_are_equal_except_for_the_last() {
        let share = Share { blocks: 32, ..Share::whole() };
        for (samples, size) in [(128, 4), (100, 4), (33, 2), (32, 1), (5, 1), (0, 1)] {
            assert_eq!((share.block_size(samples), share.of(samples)), (size, 0..samples));
        }
        assert!((0..7).all(|position| share.has(position, 3, 7)));
    }
}
