//! Gradients of a block of samples, and scratch memory for its backward pass.

use crate::kernel::Tile;
use crate::kernel::cell::{RecurrentState, Trace};
use crate::kernel::linear::Panels;

/// Gradients of a block of consecutive samples, and scratch memory.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) linear: Panels,
    pub(super) recurrent: Panels,
    /// Gradient for the spikes of the layer below: `g[tile * stride + t]`.
    pub(super) g: Vec<Tile>,
    /// Gradient for the outputs of the linear layer: `outputs[tile * stride + t]`.
    pub(super) outputs: Vec<Tile>,
    pub(super) dense: Vec<Tile>,
    pub(super) trace: Trace,
    pub(super) state: RecurrentState,
}
