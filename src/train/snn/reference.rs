//! stub
use super::*;
pub(super) fn step(
    _: &Network,
    _: &[SampleFrames<'_>],
    _: &[u32],
    _: usize,
    _: &mut [f32],
    _: &mut Parameters,
) -> Result<BatchLoss, KernelError> {
    Err(KernelError::Torch)
}
pub(super) fn forward(_: &Network, _: &[SampleFrames<'_>], _: usize, _: &mut [f32]) -> Result<(), KernelError> {
    Err(KernelError::Torch)
}
