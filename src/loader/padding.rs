//! Padding: the number of frames that all samples are padded to.

use tonic_shard::Manifest;

/// Returns the number of frames that all samples are padded to. This is the length of the longest sample or, if it is
/// at most twice that length, the maximum number of frames that the recipe sets.
pub fn fixed_steps(manifest: &Manifest) -> usize {
    let longest = manifest.totals.max_frames;
    let limit = manifest.description.frame_limit.filter(|&limit| limit <= longest.saturating_mul(2));
    limit.unwrap_or(longest) as usize
}
