//! Which samples of a batch a process takes, if several processes train together.

use std::ops::Range;

use tonic_ranks::Ranks;

/// Maximum number of blocks that a batch is divided into. `tonic-train` uses fewer blocks for networks with more than
/// 2^20 parameters.
pub const MAX_BLOCKS: usize = 32;

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

    /// Returns which samples of a batch of `samples` samples this rank takes. The ranks take consecutive samples, in
    /// the order of the ranks. If there are fewer blocks than ranks, the last ranks take none.
    pub fn of(&self, samples: usize) -> Range<usize> {
        let size = self.block_size(samples);
        in_blocks(samples, size, self.ranks.own(samples.div_ceil(size)))
    }

    /// Like [`Share::of`], for rank `rank` of `size` ranks, with at most [`MAX_BLOCKS`] blocks. This is the division
    /// in which `tonic-train` trains networks with at most 2^20 parameters.
    pub fn of_rank(samples: usize, rank: usize, size: usize) -> Range<usize> {
        let block = Share { blocks: MAX_BLOCKS, ..Share::whole() }.block_size(samples);
        in_blocks(samples, block, tonic_ranks::own(samples.div_ceil(block), rank, size))
    }

    /// Returns whether this rank takes the sample at a position of an epoch with batches of `batch_size` samples.
    /// `samples` is the number of samples in the epoch.
    pub(crate) fn has(&self, position: u64, batch_size: usize, samples: u64) -> bool {
        let first = position - position % batch_size as u64;
        let own = self.of((samples - first).min(batch_size as u64) as usize);
        own.contains(&((position - first) as usize))
    }
}

/// Returns the samples in the blocks with the indices `blocks`. Each block has `size` samples; the last can have fewer.
fn in_blocks(samples: usize, size: usize, blocks: Range<usize>) -> Range<usize> {
    (blocks.start * size).min(samples)..(blocks.end * size).min(samples)
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn ranks_that_divide_the_blocks_of_whole_batches_take_equal_parts() {
        for ranks in [1, 2, 4, 8, 16, 32] {
            for samples in [32, 128, 4096] {
                let each = samples / ranks;
                let parts = (0..ranks).map(|rank| Share::of_rank(samples, rank, ranks));
                assert!(parts.eq((0..ranks).map(|rank| rank * each..(rank + 1) * each)));
            }
            // The parts of any other batch follow each other, and the last parts may be empty.
            for samples in [1, 5, 33, 105] {
                let parts: Vec<_> = (0..ranks).map(|rank| Share::of_rank(samples, rank, ranks)).collect();
                assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
                assert_eq!((parts[0].start, parts[ranks - 1].end), (0, samples));
            }
        }
        assert_eq!([0, 1, 2].map(|rank| Share::of_rank(105, rank, 3)), [0..36, 36..72, 72..105]);
    }

    #[test]
    fn blocks_of_a_batch_are_equal_except_for_the_last() {
        let share = Share { blocks: 32, ..Share::whole() };
        for (samples, size) in [(128, 4), (100, 4), (33, 2), (32, 1), (5, 1), (0, 1)] {
            assert_eq!((share.block_size(samples), share.of(samples)), (size, 0..samples));
        }
        assert!((0..7).all(|position| share.has(position, 3, 7)));
    }
}
