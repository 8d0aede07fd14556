//! The arithmetic of training, one file an op, so that each can be read, tested and replaced by itself.
//!
//! ```text
//! activity   a sample's input, or a layer's spikes, as (cell, count) of each step
//! linear     activity times W, and both gradients of it
//! iaf        integrate-and-fire neurons: forward and backward over time
//! sample     one sample through all layers and back, from those three
//! exp        the exponential of the surrogate gradient and of the softmax
//! loss       softmax cross entropy of the summed readout
//! adam       the update
//! isa        the instruction sets that the kernels are compiled for
//! vector     sixteen float32 side by side on each of them
//! cuda       the way to a GPU: its memory, streams and compiler
//! interface  what the host and the CUDA kernels hand each other
//! program    the CUDA kernels, whose sources are beside their CPU code
//! ```
//!
//! Neurons are handled in tiles of [`TILE`] neighbours: a tile's membrane state stays in registers while its columns
//! of W stay in L1 for all steps of a sample. Layers are padded to whole tiles with weights of zero, and a padded
//! neuron's spikes and gradient go nowhere.
//!
//! **The same bits everywhere.** A kernel is written once and compiled for several instruction sets, one of which is
//! chosen at run time. Where multiply-add is fused, it is on all of them, and each sum has one order that depends on neither the
//! vector length nor the number of threads, so that results are equal to the bit on every machine.

mod activity;
pub mod adam;
pub mod cuda;
pub mod exp;
pub mod iaf;
pub mod interface;
pub mod isa;
pub mod linear;
pub mod loss;
pub mod program;
pub(crate) mod sample;
mod vector;

pub use activity::Activity;

/// Neurons that are handled together.
pub const TILE: usize = 32;

/// One number for each neuron of a tile.
pub type Tile = [f32; TILE];

/// A tile's two halves.
#[inline(always)]
fn halves(tile: &Tile) -> [&[f32; 16]; 2] {
    let halves = tile.as_chunks().0;
    [&halves[0], &halves[1]]
}

/// The same, to write to.
#[inline(always)]
fn halves_mut(tile: &mut Tile) -> [&mut [f32; 16]; 2] {
    let (low, high) = tile.as_chunks_mut().0.split_at_mut(1);
    [&mut low[0], &mut high[0]]
}

/// What can be wrong with a batch.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum KernelError {
    /// A sample's cell is not one of the network's inputs.
    #[error("sample {sample} of the batch has an event in cell {cell}, but the network has {inputs} inputs")]
    CellOutsideInputs {
        /// Which sample of the batch.
        sample: usize,
        /// The cell.
        cell: u32,
        /// Inputs of the network.
        inputs: usize,
    },
    /// A sample's frame sizes do not add up to its cells, or it has not one count for each cell.
    #[error("sample {sample} of the batch is inconsistent: frames of {sizes} cells, {cells} cells, {counts} counts")]
    RaggedSample {
        /// Which sample of the batch.
        sample: usize,
        /// The sum of its frame sizes.
        sizes: u64,
        /// Its cells.
        cells: usize,
        /// Its counts.
        counts: usize,
    },
    /// A label is not one of the readout's classes.
    #[error("sample {sample} of the batch has label {label}, but the readout has {classes} classes")]
    LabelOutsideReadout {
        /// Which sample of the batch.
        sample: usize,
        /// The label.
        label: u32,
        /// Classes of the readout.
        classes: usize,
    },
    /// Not one label for each sample.
    #[error("a batch of {samples} samples has {labels} labels")]
    LabelsMissing {
        /// Samples of the batch.
        samples: usize,
        /// Labels of the batch.
        labels: usize,
    },
    /// The mean loss of no samples is asked for.
    #[error("a batch has no samples")]
    EmptyBatch,
    /// The loss is NaN or infinite: the weights have diverged.
    #[error("the loss is {loss}: training has diverged")]
    NonFiniteLoss {
        /// The loss.
        loss: f64,
    },
}
