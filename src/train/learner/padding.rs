//! Padding: the number of time steps that a sample runs for.

use serde::{Deserialize, Serialize};
use tonic_shard::{Manifest, ShardSet};

/// The length that samples are padded to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pad {
    /// The same number of time steps for all samples, so that the result of a sample does not depend on the other
    /// samples of its batch. The number is the recipe's limit or the length of the longest training sample.
    #[default]
    Fixed,
    /// The number of frames of the longest sample of the batch, as in Tonic's PadTensors.
    Batch,
}

/// The choice of padding, and the number of time steps for [`Pad::Fixed`].
#[derive(Clone, Copy, Debug)]
pub struct Padding {
    /// The length that samples are padded to.
    pub pad: Pad,
    /// Number of time steps that [`Pad::Fixed`] pads to.
    pub steps: usize,
}

impl Padding {
    /// Returns the number of time steps that all samples are padded to. Returns `None` if each batch is padded to its
    /// longest sample.
    pub fn fixed(self) -> Option<usize> {
        match self.pad {
            Pad::Fixed => Some(self.steps),
            Pad::Batch => None,
        }
    }

    /// Returns the number of time steps that a batch is padded to. `longest` is the number of frames of the longest
    /// sample of the batch.
    pub fn of_batch(self, longest: usize) -> usize {
        self.fixed().unwrap_or(longest)
    }
}

/// Returns the number of time steps that [`Pad::Fixed`] pads samples to, for a training set with this manifest.
///
/// The number is the recipe's limit, which is the same for all sets of the recipe. It is the length of the longest
/// sample if the recipe has no limit, or if the limit is more than twice this length. With so high a limit, more than
/// half of the time steps of every sample would be padding.
pub(crate) fn fixed_steps(manifest: &Manifest) -> usize {
    let longest = manifest.totals.max_frames;
    let limit = manifest.description.frame_limit.filter(|&limit| limit <= longest.saturating_mul(2));
    limit.unwrap_or(longest) as usize
}

/// Returns the maximum number of time steps that a sample of `sets` runs for. Samples with fewer than `steps` frames
/// count as `steps` long, because they are padded.
pub fn longest_steps(steps: usize, sets: &[&ShardSet]) -> usize {
    let frames = sets.iter().map(|set| set.manifest().totals.max_frames as usize);
    frames.chain([steps]).max().unwrap_or(steps)
}
