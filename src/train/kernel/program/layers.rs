//! The CUDA kernels of layered networks, and the constants of their sources.

use crate::error::Result;
use crate::kernel::TILE_WIDTH;
use crate::kernel::cell::{CONSTANTS, CUDA_CELLS, PARAMETER_SUMS, SUMS};
use crate::kernel::dropout::{DIGITS, STATE_STREAMS};
use crate::kernel::norm::EPS;
use crate::kernel::product::TILE;
use crate::kernel::program::sized::{BLOCK_THREADS, CELLS_BYTES, SizedKernel};
use tonic_loader::{MIX_FACTORS, MIX_INCREMENT};

/// Number of steps whose values a thread of `cell_forward` or `cell_backward` has in registers. With more steps, fewer
/// threads of the backward pass fit on a multiprocessor. Must divide [`TILE`].
pub(crate) const CELL_AHEAD: usize = 8;
/// Number of neurons in a 32-bit word of dropout's masks.
pub(crate) const MASK_TILE: usize = TILE_WIDTH;
/// Number of channels per CUDA block, for kernels that add up numbers over the samples.
pub(crate) const NORM_CHANNELS: usize = 32;
/// Number that stands for integrate-and-fire neurons in [`CellArgs`](crate::kernel::layer_interface::CellArgs).
/// [`CUDA_CELLS`] has the numbers of the other cells.
pub(crate) const CELL_IAF: u32 = 0;
/// Number that stands for a readout in [`CellArgs`](crate::kernel::layer_interface::CellArgs), for `layer_gradient`.
pub(crate) const CELL_LEAKY: u32 = 100;
/// Numbers that stand for the readouts over time in the CUDA sources.
pub(crate) const REDUCE_SUM: u32 = 0;
pub(crate) const REDUCE_SOFTMAX: u32 = 1;
pub(crate) const REDUCE_MAX: u32 = 2;
pub(crate) const REDUCE_LAST: u32 = 3;
/// Number of rows that `layer_gradient` writes: the gradients of gamma, of beta, of biases, and of a cell's parameters.
pub(crate) const VECTORS: usize = 3 + CONSTANTS;
/// Number of sums over a batch that `norm_statistics` needs for each channel.
pub(crate) const NORM_TOTALS: usize = 3;
/// Number of sums over a batch that `layer_gradient` needs for each channel.
pub(crate) const GRADIENT_TOTALS: usize = SUMS + 1;

/// Returns the preprocessor macros of the kernels, as (name, value).
pub(super) fn defines() -> impl Iterator<Item = (&'static str, String)> {
    let [lif_soft, lif_hard, silif] = CUDA_CELLS.map(|(_, _, number)| number);
    let numbers = [
        ("CELL_IAF", CELL_IAF),
        ("CELL_LIF_SOFT", lif_soft),
        ("CELL_LIF_HARD", lif_hard),
        ("CELL_SILIF", silif),
        ("CELL_LEAKY", CELL_LEAKY),
        ("REDUCE_SUM", REDUCE_SUM),
        ("REDUCE_SOFTMAX", REDUCE_SOFTMAX),
        ("REDUCE_MAX", REDUCE_MAX),
        ("REDUCE_LAST", REDUCE_LAST),
        ("MASK_DIGITS", DIGITS),
    ];
    let sizes = [
        ("CELL_AHEAD", CELL_AHEAD),
        ("MASK_TILE", MASK_TILE),
        ("NORM_CHANNELS", NORM_CHANNELS),
        ("CONSTANTS", CONSTANTS),
        ("PARAMETER_SUMS", PARAMETER_SUMS),
    ];
    let words = [
        ("STATE_STREAMS", STATE_STREAMS),
        ("MIX_INCREMENT", MIX_INCREMENT),
        ("MIX_FIRST", MIX_FACTORS[0]),
        ("MIX_SECOND", MIX_FACTORS[1]),
    ];
    let numbers = numbers.into_iter().map(|(name, value)| (name, format!("{value}u")));
    let sizes = sizes.into_iter().map(|(name, value)| (name, value.to_string()));
    let words = words.into_iter().map(|(name, value)| (name, format!("{value}ull")));
    numbers.chain(sizes).chain(words).chain([("NORM_EPS", format!("{EPS:?}"))])
}

/// The kernels of layered networks.
#[derive(Debug)]
pub(crate) struct LayerKernels {
    /// Outputs of a linear layer after the first.
    pub(crate) outputs: SizedKernel,
    /// Outputs of the first linear layer, from dense input.
    pub(crate) outputs_input: SizedKernel,
    /// Outputs of the first linear layer, from sparse input.
    pub(crate) outputs_cells: SizedKernel,
    /// Gradient for the input of a linear layer after the first.
    pub(crate) input_gradient: SizedKernel,
    pub(crate) norm_sums: SizedKernel,
    pub(crate) norm_statistics: SizedKernel,
    /// Gradient for the outputs of a linear layer, in pieces.
    pub(crate) norm_backward: SizedKernel,
    /// Updates the running statistics of a norm.
    pub(crate) norm_follow: SizedKernel,
    pub(crate) dropout_masks: SizedKernel,
    pub(crate) cell_constants: SizedKernel,
    pub(crate) cell_forward: SizedKernel,
    pub(crate) cell_backward: SizedKernel,
    /// Gradients of a layer's vectors: norm, biases, and parameters of the cell.
    pub(crate) layer_gradient: SizedKernel,
    /// Readout over time, forward and backward.
    pub(crate) reduce: SizedKernel,
    pub(crate) reduce_backward: SizedKernel,
    /// Losses, and the gradients for the logits.
    pub(crate) cross_entropy: SizedKernel,
}

impl LayerKernels {
    /// Loads the kernels. `sized` loads a kernel with its number of threads and its shared memory per CUDA block.
    /// `products` returns the shared memory of a product, given the number of pieces of its left operand. Numbers of
    /// the dense input have `input` pieces, and gradients have `pieces` pieces.
    pub(super) fn new(
        sized: impl Fn(&'static str, usize, usize) -> Result<SizedKernel>,
        products: impl Fn(usize) -> usize,
        [input, pieces]: [usize; 2],
    ) -> Result<LayerKernels> {
        // Shared memory in bytes to add up `n` numbers of each channel over the samples.
        let sums = |n: usize| n * BLOCK_THREADS * size_of::<f64>();
        let block = |name, bytes| sized(name, BLOCK_THREADS, bytes);
        Ok(LayerKernels {
            outputs: block("outputs", products(1))?,
            outputs_input: block("outputs_input", products(input))?,
            outputs_cells: block("outputs_cells", CELLS_BYTES)?,
            input_gradient: block("input_gradient", products(pieces))?,
            norm_sums: block("norm_sums", sums(2))?,
            norm_statistics: block("norm_statistics", sums(NORM_TOTALS))?,
            norm_backward: block("norm_backward", 0)?,
            norm_follow: block("norm_follow", 0)?,
            dropout_masks: block("dropout_masks", 0)?,
            cell_constants: block("cell_constants", 0)?,
            cell_forward: sized("cell_forward", TILE, 0)?,
            cell_backward: sized("cell_backward", TILE, 0)?,
            layer_gradient: block("layer_gradient", sums(GRADIENT_TOTALS))?,
            reduce: block("reduce", 0)?,
            reduce_backward: block("reduce_backward", 0)?,
            cross_entropy: block("cross_entropy", 2 * BLOCK_THREADS * size_of::<f32>())?,
        })
    }
}
