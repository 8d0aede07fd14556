//! Spiking cells whose parameters are learned, forward and backward over time, with a surrogate gradient.
//!
//! ```text
//! definition  the cells, their parameters, and the constants that the kernels read
//! surrogate   the surrogate gradients
//! dynamics    the recursion of each cell, one file each: lif, cuba_lif, adaptive, complex
//! tile        a layer over time, one tile of neurons after the other
//! cuda        the same formulas as CUDA C++, for tile.cu
//! recurrent   a layer whose neurons also receive the layer's spikes of the previous time step
//! ```
//!
//! All cells have theta = 1 and at most one spike per step: s\[t\] = 1 if the potential is above theta, else 0. The
//! surrogate sigma replaces the derivative of s with respect to the potential wherever s is used: in the output, in the
//! reset, in the adaptation and in the recurrent weights. Nothing is detached from the gradient.
//!
//! **A training step with batch norm.** Batch norm needs the statistics of the whole batch, so all samples pass through
//! a layer before the next layer starts. For each sample and layer, a training step stores only:
//! - the output y of the linear layer (`y[tile * stride + t]`)
//! - one bit per neuron and time step for the spikes
//! - one bit per neuron and time step that says whether the surrogate can differ from 0
//! - the list of the spikes, which is the input of the next layer
//!
//! The backward pass computes the potentials again, because this is faster than storing them.
//!
//! ```text
//! forward, each layer   y = W s (sample::outputs), sums of (y - mean)^2 (norm::squares), for all samples
//!                       the norm's scale and shift (norm::Norm), then the cell (forward) and dropout, for all samples
//! backward, each layer  the cell (backward) gives dL/dI, and sums for the gradients of cell and norm, for all samples
//!                       dL/dy (norm::NormBackward), the gradient of the weights (sample::add_weight_gradient), and the
//!                       gradient of the spikes below (sampled::input_gradient), for all samples
//! ```
//!
//! The gradients of a layer's weights and the backward pass of the cell below are computed sample by sample, one directly
//! after the other, so that the gradient of the spikes stays in the cache.

mod adaptive;
mod complex;
mod cuba_lif;
mod cuda;
mod definition;
mod dynamics;
mod lif;
mod recurrent;
mod surrogate;
#[cfg(test)]
mod tests;
mod tile;

pub(crate) use cuda::CUDA_CELLS;
pub(super) use cuda::cuda_source;
pub use definition::Reset;
pub(crate) use definition::{Cell, CellParameter, Constants};
pub(crate) use recurrent::{Recurrent, RecurrentState, backward_recurrent, forward_recurrent};
pub use surrogate::Surrogate;
pub(in crate::kernel) use tile::load;
pub(crate) use tile::{CellInput, StateTrace, backward, forward};

/// Number of sums over time that [`backward`] computes for each neuron of a sample: first for the cell's constants,
/// then for the norm.
pub(crate) const SUMS: usize = PARAMETER_SUMS + 2;
/// Number of sums for the cell's constants. Sum i is the gradient of the loss with respect to constant i of
/// [`Constants`].
pub(crate) const PARAMETER_SUMS: usize = 4;
/// Number of constants per neuron that the kernels read.
pub(crate) const CONSTANTS: usize = 5;
