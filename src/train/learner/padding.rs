//! Padding: the number of time steps that a sample runs for.

use serde::{Deserialize, Serialize};
use tonic_shard::{Manifest, ShardSet};

/// What samples are padded to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pad {
    /// The recipe's limit, or the training set's longest sample: a sample's result does not depend on its batch.
    #[default]
    Fixed,
    /// The longest sample of the batch, as Tonic's PadTensors.
    Batch,
}

/// How samples are padded, and to how many steps.
#[derive(Clone, Copy, Debug)]
pub struct Padding {
    /// What samples are padded to.
    pub pad: Pad,
    /// Steps of [`Pad::Fixed`].
    pub steps: usize,
}

impl Padding {
    /// Minimum number of steps of every sample; `None` if samples are padded to the longest of their batch.
    pub fn fixed(self) -> Option<usize> {
        match self.pad {
            Pad::Fixed => Some(self.steps),
            Pad::Batch => None,
        }
    }

    /// Number of steps of a batch whose longest sample has `longest` frames.
    pub fn of_batch(self, longest: usize) -> usize {
        self.fixed().unwrap_or(longest)
    }
}

/// Number of steps that every sample of a training set is padded to: the recipe's limit, which is the same for all sets
/// of the recipe. If the limit is more than twice as long as the longest sample, it is that sample's number of frames,
/// because most steps would be empty.
pub(crate) fn fixed_steps(manifest: &Manifest) -> usize {
    let longest = manifest.totals.max_frames;
    let limit = manifest.description.frame_limit.filter(|&limit| limit <= longest.saturating_mul(2));
    limit.unwrap_or(longest) as usize
}

/// Maximum number of steps of a sample of `sets`, if samples are padded to `steps`.
pub fn longest_steps(steps: usize, sets: &[&ShardSet]) -> usize {
    let frames = sets.iter().map(|set| set.manifest().totals.max_frames as usize);
    frames.chain([steps]).max().unwrap_or(steps)
}
