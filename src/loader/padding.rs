//! Padding: the number of frames that all samples are padded to.

use tonic_shard::Manifest;

/// Returns the number of frames that all samples are padded to. If the recipe sets a maximum number of frames, and
/// this maximum is at most twice the length of the longest sample, returns the maximum. Otherwise returns the length
/// of the longest sample.
pub fn fixed_steps(manifest: &Manifest) -> usize {
    let longest = manifest.totals.max_frames;
    let limit = manifest.description.frame_limit.filter(|&limit| limit <= longest.saturating_mul(2));
    limit.unwrap_or(longest) as usize
}
