//! Padding: the number of time steps that a sample runs for.

use serde::{Deserialize, Serialize};
use tonic_ranks::Ranks;
use tonic_shard::ShardSet;

/// The number of time steps that samples are padded to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pad {
    /// All samples have the same number of time steps, computed from the training set by
    /// [`fixed_steps`](tonic_loader::fixed_steps).
    #[default]
    Fixed,
    /// Each batch is padded to the number of frames of its longest sample, as with Tonic's PadTensors.
    Batch,
}

/// The choice of padding, and the number of time steps for [`Pad::Fixed`].
#[derive(Clone, Copy, Debug)]
pub struct Padding {
    /// Whether to pad to a fixed number of time steps, or to the longest sample of the batch.
    pub pad: Pad,
    /// Number of time steps that [`Pad::Fixed`] pads to.
    pub steps: usize,
}

impl Padding {
    /// Returns the number of time steps that all samples are padded to, or `None` for [`Pad::Batch`].
    pub fn fixed(self) -> Option<usize> {
        match self.pad {
            Pad::Fixed => Some(self.steps),
            Pad::Batch => None,
        }
    }

    /// Returns the number of time steps that a batch is padded to, if several ranks share the batch. `longest` is the
    /// number of frames of the longest sample in this rank's share.
    pub(crate) fn of_share(self, ranks: Ranks, longest: usize) -> usize {
        self.fixed().unwrap_or_else(|| ranks.max(longest as u64) as usize)
    }

    /// Returns the number of time steps that a batch is padded to. Its longest sample has `longest` frames.
    pub fn of_batch(self, longest: usize) -> usize {
        self.fixed().unwrap_or(longest)
    }
}

/// Returns the number of time steps of the longest sample of `sets`, or `steps` if that is larger.
pub fn longest_steps(steps: usize, sets: &[&ShardSet]) -> usize {
    let frames = sets.iter().map(|set| set.manifest().totals.max_frames as usize);
    frames.chain([steps]).max().unwrap_or(steps)
}
