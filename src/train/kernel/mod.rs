//! The arithmetic of training, one operation per file, with the CUDA source next to the Rust source.
//!
//! ```text
//! active_cells  the input of a layer in sparse form: (cell, count) of each active cell at each time step
//! linear        linear layers: the outputs, and the gradients with respect to inputs and weights
//! iaf           integrate-and-fire neurons, forward and backward over time
//! cell          spiking cells with learned parameters, forward and backward over time, and their surrogate gradients
//! norm          batch norm over batch and time
//! dropout       dropout of spikes, with random numbers that depend on counters only
//! sampled       the gradient for a linear layer's inputs, computed only where it is used
//! readout       the leaky readout: softmax summed over time, largest value, last value
//! spikes        spike counts of each neuron
//! sample        forward and backward pass of one sample, built on active_cells, linear and iaf
//! aligned       arrays that begin at a cache line
//! exp           the exponential function of the surrogate gradient and of the softmax
//! loss          softmax cross entropy of the logits
//! optimiser     the update of the parameters: Adam, AdamW, SGD
//! isa           the instruction sets that the CPU kernels are compiled for
//! vector        vectors of sixteen float32 on each instruction set
//! batch_source  the samples in GPU memory from which the CUDA kernels draw batches
//! product       how the CUDA kernels' matrix products use the GPU's shared memory
//! interface     structs that the host and the CUDA kernels exchange; layer_interface has the structs of networks with
//!               any kinds of layers, update_interface the structs of the optimiser
//! program       the CUDA kernels, compiled and loaded
//! ```
//!
//! In `active_cells`, `linear` and kernels such as `iaf_forward_cells`, a cell is an input of a layer, such as a place of
//! a frame. In `cell` and kernels such as `cell_forward`, it is a kind of neuron.
//!
//! The CPU kernels handle neurons in tiles of [`TILE_WIDTH`] neurons. Weights of zero fill the last tile of a layer.
//!
//! **The same bits on every CPU.** Every sum has a fixed order, which does not depend on the vector length or on the
//! number of threads. A multiply-add is fused on all instruction sets or on none.

mod active_cells;
mod aligned;
pub(crate) mod batch_source;
pub(crate) mod cell;
pub(crate) mod dropout;
mod exp;
pub(crate) mod iaf;
pub(crate) mod interface;
pub(crate) mod isa;
pub(crate) mod layer_interface;
pub(crate) mod linear;
pub(crate) mod loss;
pub(crate) mod norm;
mod optimiser;
pub(crate) mod product;
pub(crate) mod program;
pub(crate) mod readout;
pub(crate) mod sample;
pub(crate) mod sampled;
mod spikes;
#[cfg(test)]
mod tests;
pub(crate) mod update_interface;
mod vector;

pub(crate) use active_cells::ActiveCells;
pub(crate) use aligned::Aligned;
pub(crate) use optimiser::power;
pub use optimiser::{Group, Moments, Optimiser, OptimiserConfig, Rule};
pub use spikes::SpikeCounts;

/// Number of neurons in a tile of the CPU kernels.
pub(crate) const TILE_WIDTH: usize = 32;

/// One value for each of the [`TILE_WIDTH`] neurons of a tile.
pub(crate) type Tile = [f32; TILE_WIDTH];

/// A [`Tile`] in float64, for sums.
pub(crate) type DoubleTile = [f64; TILE_WIDTH];

#[inline(always)]
fn halves<T>(tile: &[T; TILE_WIDTH]) -> [&[T; 16]; 2] {
    let halves = tile.as_chunks().0;
    [&halves[0], &halves[1]]
}

#[inline(always)]
fn halves_mut<T>(tile: &mut [T; TILE_WIDTH]) -> [&mut [T; 16]; 2] {
    let (low, high) = tile.as_chunks_mut().0.split_at_mut(1);
    [&mut low[0], &mut high[0]]
}
