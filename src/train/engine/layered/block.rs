//! Gradients and scores of a block of samples, and scratch memory.

use crate::engine::layered::sample::SampleLayers;
use crate::kernel::cell::{RecurrentState, SUMS, Trace};
use crate::kernel::linear::Panels;
use crate::kernel::{Aligned, DoubleTile, Tile};

/// Sums over time for a tile of neurons: first the gradients for the constants of the neurons, then two sums for the
/// norm.
pub(super) type Sums = [DoubleTile; SUMS];

/// Gradients of a block of consecutive samples, and scratch memory.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Gradients of the layers, or of the one layer that the backward pass has reached.
    pub(super) gradients: Vec<Gradients>,
    pub(super) work: BackwardScratch,
    pub(super) scratch: ForwardScratch,
    /// If one sample after the other passes through all layers: the sample that the block has reached.
    pub(super) sample: SampleLayers,
    /// Scores of the samples before it, in training.
    pub(super) scores: Scores,
}

/// Scores of the samples of a block.
#[derive(Debug, Default)]
pub(super) struct Scores {
    pub(super) losses: Vec<f64>,
    /// Penalty of each sample for its spike rates. Empty without a penalty.
    pub(super) penalties: Vec<f64>,
    pub(super) correct: usize,
}

/// Gradients of a layer's weights, and of the recurrent weights of the layer below.
#[derive(Debug, Default)]
pub(super) struct Gradients {
    pub(super) linear: Panels,
    pub(super) recurrent: Panels,
}

/// ForwardScratch memory for the forward pass of one sample.
#[derive(Debug, Default)]
pub(super) struct ForwardScratch {
    pub(super) dense: Aligned<Tile>,
    pub(super) recurrent: RecurrentState,
    pub(super) masks: Vec<u32>,
}

/// ForwardScratch memory for the backward pass of one sample.
#[derive(Debug, Default)]
pub(super) struct BackwardScratch {
    /// Gradient for the spikes of the layer below: `g[tile * stride + t]`.
    pub(super) g: Aligned<Tile>,
    /// Gradient for the outputs of the linear layer: `outputs[tile * stride + t]`.
    pub(super) outputs: Aligned<Tile>,
    pub(super) dense: Aligned<Tile>,
    pub(super) trace: Trace,
    pub(super) state: RecurrentState,
}
