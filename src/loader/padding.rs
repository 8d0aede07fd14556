//! Padding: how long the samples of a batch are.

use tonic_shard::Manifest;

/// Returns the number of frames that all samples are padded to: the recipe's limit. Returns the length of the longest
/// sample if there is no limit, or if the limit is more than twice this length.
pub fn fixed_steps(manifest: &Manifest) -> usize {
    let longest = manifest.totals.max_frames;
    let limit = manifest.description.frame_limit.filter(|&limit| limit <= longest.saturating_mul(2));
    limit.unwrap_or(longest) as usize
}
