//! The CUDA program: all CUDA sources of this folder, compiled for one device, for the types of the columns of samples,
//! and for one precision of matrix products.
//!
//! ```text
//! device.cuh       used by the other files: definitions of terms, bfloat16 pieces, products of tiles
//! order.cu         draw: chooses the samples of a batch
//! inflate.cu       inflate: a batch as dense float32
//!                  inflate_input: a batch in bfloat16 pieces, for the first layer's products
//! iaf.cu           the neuron; iaf_forward.cu, iaf_backward.cu and spikes.cu use this file
//! iaf_forward.cu   iaf_forward_cells and iaf_forward_input (first layer), iaf_forward: forward pass of a layer
//! iaf_backward.cu  iaf_backward, iaf_backward_constant (last hidden layer): backward pass of a layer
//! spikes.cu        count_spikes: counts the spikes of each neuron; spike_rates: the penalty for spike rates
//! linear_outputs.cu, dropout.cu, norm.cu, cell/tile.cu, readout.cu
//!                  layered networks, such as norms, dropout and other neurons (program/layers.rs)
//! linear.cu        weight_gradient, weight_gradient_input and weight_gradient_cells (first layer), readout_gradient:
//!                  sums over the samples of a batch
//! loss.cu          readout: logits, loss and its gradient; cross_entropy: loss and gradient of given logits
//! optimiser.cu     update: updates the parameters; pack: copies the weights for the other kernels; squares, clip: the
//!                  norm of the gradients
//! ```
//!
//! "Pieces" are bfloat16 numbers whose sum is one number of higher precision. device.cuh explains the other terms.

mod layers;
mod sized;

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tonic_shard::{FrameShape, Width};

use crate::error::{Error, Result};
use crate::gpu::{CudaSource, Device, Image, cached};
use crate::kernel::interface::{self, Sample};
use crate::kernel::product::{PLANE, PLANE_BYTES, Product, Products, STRIDE, TILE, WIDE};
use crate::kernel::program::layers::LayerKernels;
pub(crate) use crate::kernel::program::layers::{
    CELL_AHEAD, CELL_IAF, CELL_LEAKY, GRADIENT_TOTALS, MASK_TILE, NORM_CHANNELS, NORM_TOTALS, REDUCE_LAST, REDUCE_MAX,
    REDUCE_SOFTMAX, REDUCE_SUM, VECTORS,
};
pub(crate) use crate::kernel::program::sized::{BLOCK_THREADS, SizedKernel};
use crate::kernel::program::sized::{CELLS_BYTES, ENTRIES};
use crate::kernel::{cell, exp, layer_interface, optimiser, update_interface};

/// The CUDA sources, in an order in which each file uses only files before it.
const SOURCES: [&str; 14] = [
    include_str!("order.cu"),
    include_str!("inflate.cu"),
    include_str!("iaf.cu"),
    include_str!("iaf_forward.cu"),
    include_str!("iaf_backward.cu"),
    include_str!("spikes.cu"),
    include_str!("linear.cu"),
    include_str!("loss.cu"),
    include_str!("linear_outputs.cu"),
    include_str!("dropout.cu"),
    include_str!("norm.cu"),
    include_str!("cell/tile.cu"),
    include_str!("readout.cu"),
    include_str!("optimiser.cu"),
];
/// Number of threads per CUDA block, for `iaf_forward` and `iaf_forward_input`.
const FORWARD_THREADS: usize = BLOCK_THREADS + TILE;
/// The grid of a kernel launch has at most this many CUDA blocks in the direction y.
pub(crate) const MAX_GRID_Y: usize = 65_535;
/// Number of threads in a warp. A CUDA block of `readout_gradient` computes this many results.
pub(crate) const WARP: usize = 32;
/// Number of classes that the warps of `readout` compute at a time, two in each thread. Must be twice [`WARP`].
const READOUT_CLASSES: usize = 2 * WARP;
/// Number of rows of W^T that a CUDA block of `update` or `pack` handles.
pub(crate) const UPDATE_ROWS: usize = 4;
pub(crate) const UPDATE_COLUMNS: usize = 16;
/// Value of `steps` in [`DrawArgs`](crate::kernel::interface::DrawArgs) that pads to the longest sample of the batch.
pub(crate) const LONGEST_OF_BATCH: u32 = u32::MAX;
/// Numbers that stand for the formulas of an update in the CUDA sources, see [`Rule`](crate::kernel::Rule).
pub(crate) const RULE_ADAM: u32 = 0;
pub(crate) const RULE_ADAMW: u32 = 1;
pub(crate) const RULE_SGD: u32 = 2;
/// Number that stands for SGD with Nesterov's momentum in the CUDA sources.
pub(crate) const RULE_NESTEROV: u32 = 3;
/// Number of steps whose values a thread loads into registers before it computes these steps. A power of two that
/// divides [`TILE`].
const AHEAD: usize = 16;
/// Number of gradients whose squares a CUDA block of `squares` adds up.
pub(crate) const CLIP_CHUNK: usize = 1 << 12;
/// Maximum number of frames that a CUDA block of `inflate` or `inflate_input` writes: a power of two up to [`WARP`].
pub(crate) const INFLATE_FRAMES: usize = 32;
/// Maximum size in bytes of the frames in the shared memory of a CUDA block of `inflate` or `inflate_input`.
pub(crate) const INFLATE_BYTES: usize = 32 << 10;
/// Size in bytes of the struct `BlockFrames`, which comes before the frames in shared memory. Must be a multiple of 16.
pub(crate) const INFLATE_HEAD: usize = 16 + INFLATE_FRAMES * size_of::<u32>();

/// Precision of matrix products on a GPU, with the names of PyTorch's `set_float32_matmul_precision`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatmulPrecision {
    /// Nearly the precision of float32. Each number in a product is the sum of three bfloat16 numbers.
    #[default]
    Highest,
    /// Precision of 16 bits (TF32 has 11). Each number in a product is the sum of two bfloat16 numbers.
    High,
    /// Precision of 8 bits. Each number in a product is one bfloat16 number.
    Medium,
}

impl MatmulPrecision {
    /// Returns the number of bfloat16 numbers whose sum stands for one number of a matrix product.
    pub fn pieces(self) -> usize {
        match self {
            MatmulPrecision::Highest => 3,
            MatmulPrecision::High => 2,
            MatmulPrecision::Medium => 1,
        }
    }
}

impl FromStr for MatmulPrecision {
    type Err = String;

    fn from_str(text: &str) -> Result<MatmulPrecision, String> {
        match text {
            "highest" => Ok(MatmulPrecision::Highest),
            "high" => Ok(MatmulPrecision::High),
            "medium" => Ok(MatmulPrecision::Medium),
            _ => Err("expected highest, high or medium".into()),
        }
    }
}

/// The number type of each column in which GPU memory stores samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnTypes {
    /// Type of the end of a frame: the number of active cells in this frame and all frames before it.
    pub frame_ends: Width,
    /// Type of the indices of cells.
    pub cells: Width,
    /// Type of the cells' counts, or of the cells' values in time surfaces.
    pub counts: Width,
}

impl ColumnTypes {
    /// Returns the smallest number types that hold all samples. Ends of frames have at least two bytes.
    ///
    /// - `longest`: number of frames of the longest sample
    /// - `counts`: for each set, the type of its counts
    pub fn of(shape: FrameShape, longest: usize, counts: impl IntoIterator<Item = Width>) -> ColumnTypes {
        // At least two bytes: one byte would be enough only for tiny samples, which need little memory anyway.
        let entries = shape.cells().saturating_mul(longest as u64).clamp(1 << 8, u32::MAX.into());
        ColumnTypes {
            frame_ends: Width::holding(entries as u32),
            cells: Width::holding((shape.cells() - 1) as u32),
            counts: counts.into_iter().max().unwrap_or(Width::U8),
        }
    }

    /// Returns the size of samples in GPU memory, in bytes. `frames` and `entries` (active cells) are totals.
    pub fn bytes(&self, samples: u64, frames: u64, entries: u64) -> u64 {
        samples * size_of::<Sample>() as u64
            + frames * self.frame_ends.bytes() as u64
            + entries * (self.cells.bytes() + self.counts.bytes()) as u64
    }

    /// Returns how many bfloat16 numbers represent any count exactly, after its conversion to float32.
    pub(crate) fn input_pieces(&self) -> usize {
        match self.counts {
            Width::U8 => 1,
            Width::U16 => 2,
            Width::U32 | Width::F32 => 3,
        }
    }
}

/// Settings for which the CUDA kernels are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    pub column_types: ColumnTypes,
    pub precision: MatmulPrecision,
    /// Maximum shared memory of one CUDA block, in bytes.
    pub shared_memory: usize,
}

impl Variant {
    /// Returns the CUDA sources as one text.
    pub(crate) fn text() -> String {
        let head = include_str!("device.cuh");
        let structs = [interface::declarations(), layer_interface::declarations(), update_interface::declarations()];
        let cells = cell::cuda_source();
        [structs.concat().as_str(), head, &cells].into_iter().chain(SOURCES).collect::<Vec<_>>().join("\n")
    }

    /// Returns the preprocessor macros for the CUDA sources, as (name, value).
    pub(crate) fn defines(&self) -> Vec<(String, String)> {
        let number = |width: Width| match width {
            Width::U8 => "unsigned char",
            Width::U16 => "unsigned short",
            Width::U32 => "unsigned int",
            Width::F32 => "float",
        };
        let ColumnTypes { frame_ends, cells, counts } = self.column_types;
        let defines = [
            ("FrameEnd", number(frame_ends).to_string()),
            ("Cell", number(cells).to_string()),
            ("Count", number(counts).to_string()),
            ("PIECES", self.precision.pieces().to_string()),
            ("INPUT_PIECES", self.column_types.input_pieces().to_string()),
            ("TILE", TILE.to_string()),
            ("STRIDE", STRIDE.to_string()),
            ("PLANE", PLANE.to_string()),
            ("WARP", WARP.to_string()),
            ("READOUT_CLASSES", READOUT_CLASSES.to_string()),
            ("BLOCK_THREADS", BLOCK_THREADS.to_string()),
            ("FORWARD_THREADS", FORWARD_THREADS.to_string()),
            ("UPDATE_ROWS", UPDATE_ROWS.to_string()),
            ("UPDATE_COLUMNS", UPDATE_COLUMNS.to_string()),
            ("INFLATE_FRAMES", INFLATE_FRAMES.to_string()),
            ("INFLATE_HEAD", INFLATE_HEAD.to_string()),
            ("ENTRIES", ENTRIES.to_string()),
            ("LONGEST_OF_BATCH", format!("{LONGEST_OF_BATCH}u")),
            ("RULE_ADAM", format!("{RULE_ADAM}u")),
            ("RULE_ADAMW", format!("{RULE_ADAMW}u")),
            ("RULE_NESTEROV", format!("{RULE_NESTEROV}u")),
            ("AHEAD", AHEAD.to_string()),
            ("CLIP_CHUNK", CLIP_CHUNK.to_string()),
            ("CLIP_EPS", format!("{:?}", optimiser::CLIP_EPS)),
        ];
        let exp = exp::SHARED.iter().map(|(name, value)| (*name, format!("({value:?}f)")));
        defines.into_iter().chain(exp).chain(layers::defines()).map(|(name, value)| (name.to_string(), value)).collect()
    }

    fn products(&self) -> Products {
        Products { pieces: self.precision.pieces(), shared_memory: self.shared_memory }
    }
}

/// The CUDA kernels, compiled and loaded on a GPU.
#[derive(Debug)]
pub struct Program {
    device: Device,
    variant: Variant,
    /// Chooses the samples of the next batch.
    pub(crate) draw: SizedKernel,
    /// Writes a batch as dense float32 frames.
    pub(crate) inflate: SizedKernel,
    /// Writes a batch as dense bfloat16 frames, the input of `iaf_forward_input`.
    pub(crate) inflate_input: SizedKernel,
    /// Forward pass of the first layer, from sparse input.
    pub(crate) iaf_forward_cells: SizedKernel,
    /// Forward pass of the first layer, from dense input.
    pub(crate) iaf_forward_input: SizedKernel,
    /// Forward pass of a hidden layer after the first.
    pub(crate) iaf_forward: SizedKernel,
    pub(crate) count_spikes: SizedKernel,
    /// Computes logits and losses, and the gradients for the logits and for the last hidden layer's spikes.
    pub(crate) readout: SizedKernel,
    /// Computes the gradients of the readout's parameters, and the score of the batch.
    pub(crate) readout_gradient: SizedKernel,
    /// Backward pass of the last hidden layer.
    pub(crate) iaf_backward_constant: SizedKernel,
    /// Backward pass of a hidden layer before the last.
    pub(crate) iaf_backward: SizedKernel,
    /// Weight gradient of the first layer, from sparse input.
    pub(crate) weight_gradient_cells: SizedKernel,
    /// Weight gradient of the first layer, from dense input.
    pub(crate) weight_gradient_input: SizedKernel,
    /// Weight gradient of a hidden layer after the first.
    pub(crate) weight_gradient: SizedKernel,
    /// Adds up the partial sums of the gradients, and updates the parameters.
    pub(crate) update: SizedKernel,
    /// Copies the weights to the arrays that the matrix products read.
    pub(crate) pack: SizedKernel,
    /// Adds up the squares of the gradients.
    pub(crate) squares: SizedKernel,
    /// Computes the factor of clipped gradients.
    pub(crate) clip: SizedKernel,
    /// Computes the penalty for spike rates.
    pub(crate) spike_rates: SizedKernel,
    /// Kernels of layered networks.
    pub(crate) layers: LayerKernels,
}

impl Program {
    /// Loads the kernels on the device. Compiles them first if the cache on disk doesn't have them.
    ///
    /// # Errors
    /// [`Unavailable`](tonic_base::Error::Unavailable) if NVRTC is missing, or if the driver is too old for NVRTC.
    /// [`Error::Cuda`] if the driver or NVRTC returns an error.
    pub fn new(device: &Device, column_types: ColumnTypes, precision: MatmulPrecision) -> Result<Program> {
        let (variant, image) = Program::compile(device, column_types, precision)?;
        let module = device.load(&image)?;
        let sized = |name, threads: usize, shared_bytes| {
            let kernel = module.kernel(name, shared_bytes)?;
            Ok::<SizedKernel, Error>(SizedKernel::new(kernel, threads, shared_bytes))
        };
        let words = BLOCK_THREADS * size_of::<u32>();
        // The shared memory of a product is chosen at each launch. The kernel must allow the largest choice: all that a
        // block can have, or what the product needs at least, if that is more (then loading the kernel fails).
        let (input, products) = (column_types.input_pieces(), variant.products());
        let allowed = |product: Product| product.bytes.max(variant.shared_memory);
        let forward = |pieces| allowed(products.forward(pieces, WIDE));
        let from_input = allowed(products.gradient(input));
        let linear = |pieces| allowed(products.linear(pieces, WIDE));
        Ok(Program {
            draw: sized("draw", BLOCK_THREADS, words)?,
            inflate: sized("inflate", BLOCK_THREADS, INFLATE_HEAD + INFLATE_BYTES)?,
            inflate_input: sized("inflate_input", BLOCK_THREADS, INFLATE_HEAD + INFLATE_BYTES)?,
            iaf_forward_cells: sized("iaf_forward_cells", BLOCK_THREADS, CELLS_BYTES)?,
            iaf_forward_input: sized("iaf_forward_input", FORWARD_THREADS, forward(input))?,
            iaf_forward: sized("iaf_forward", FORWARD_THREADS, forward(1))?,
            count_spikes: sized("count_spikes", BLOCK_THREADS, 3 * words)?,
            readout: sized("readout", BLOCK_THREADS, 4 * words)?,
            readout_gradient: sized("readout_gradient", BLOCK_THREADS, 7 * words)?,
            iaf_backward_constant: sized("iaf_backward_constant", BLOCK_THREADS, 4 * PLANE_BYTES)?,
            iaf_backward: sized("iaf_backward", BLOCK_THREADS, allowed(products.backward(WIDE)))?,
            weight_gradient_cells: sized("weight_gradient_cells", BLOCK_THREADS, from_input)?,
            weight_gradient_input: sized("weight_gradient_input", BLOCK_THREADS, from_input)?,
            weight_gradient: sized("weight_gradient", BLOCK_THREADS, allowed(products.gradient(1)))?,
            update: sized("update", BLOCK_THREADS, words + 2 * size_of::<f32>())?,
            pack: sized("pack", BLOCK_THREADS, 0)?,
            squares: sized("squares", BLOCK_THREADS, 2 * words)?,
            clip: sized("clip", BLOCK_THREADS, 2 * words)?,
            spike_rates: sized("spike_rates", BLOCK_THREADS, 2 * words)?,
            layers: LayerKernels::new(sized, linear, [input, precision.pieces()])?,
            device: device.clone(),
            variant,
        })
    }

    /// Compiles the kernels, or reads the compiled code from the cache on disk. Returns the settings and the code.
    pub(crate) fn compile(
        device: &Device,
        column_types: ColumnTypes,
        precision: MatmulPrecision,
    ) -> Result<(Variant, Image)> {
        let variant = Variant { column_types, precision, shared_memory: device.shared_memory_limit() };
        let (text, defines) = (Variant::text(), variant.defines());
        Ok((variant, cached(&CudaSource { text: &text, defines: &defines }, device)?))
    }

    /// Returns the GPU that the kernels are loaded on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn products(&self) -> Products {
        self.variant.products()
    }

    /// Returns the number types of the columns that the kernels read.
    pub fn column_types(&self) -> ColumnTypes {
        self.variant.column_types
    }

    /// Returns the number of bfloat16 numbers whose sum stands for one weight or gradient in a matrix product.
    pub fn pieces(&self) -> usize {
        self.variant.precision.pieces()
    }
}

#[cfg(test)]
mod tests;
