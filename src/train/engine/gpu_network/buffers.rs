//! The buffers of a network on a GPU, layer by layer.

use crate::engine::training_loss::SpikeRate;
use crate::error::Result;
use crate::gpu::{Address, Buffer, Device, DeviceType, Pinned, Stream};
use crate::kernel::OptimiserConfig;
use crate::kernel::interface::BatchScore;
use crate::kernel::product::TILE;
use crate::kernel::program::{CLIP_CHUNK, INFLATE_BYTES, INFLATE_FRAMES, INFLATE_HEAD, MAX_GRID_Y, Program};
use crate::kernel::update_interface::UpdatedLayer;
use crate::network::Shape;

/// Maximum sizes of batches and epochs, which decide the sizes of a network's buffers on a GPU.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Maximum number of samples in a batch.
    pub batch: usize,
    /// Maximum number of time steps that a sample runs for.
    pub longest: usize,
    /// Whether to allocate the buffers that only training needs.
    pub trains: bool,
    /// Number of samples of an epoch for which predictions stay in memory. If 0, only the predictions for the last
    /// batch stay in memory.
    pub kept: u64,
    /// Maximum number of batches in an epoch.
    pub batches: u64,
}

impl Extent {
    /// Returns the number of time steps per sample in the buffers: `longest`, rounded up to a multiple of [`TILE`].
    pub(super) fn time(&self) -> usize {
        padded(self.longest.max(1))
    }

    /// Returns the number of time steps of a whole batch, including padding.
    pub(super) fn rows(&self) -> usize {
        self.batch * self.time()
    }

    /// Returns the length of a buffer that only training needs: `len`, or 0 if the network does not train.
    pub(super) fn if_training(&self, len: usize) -> usize {
        if self.trains { len } else { 0 }
    }
}

/// Wanted number of CUDA blocks for the gradient of one weight matrix.
const GRADIENT_BLOCKS: usize = 128;
/// Maximum number of float32 values in all partial sums of the gradient of one weight matrix.
const MAX_PARTIALS: usize = 1 << 26;

/// Maximum size of the dense input, in bytes.
const MAX_DENSE_INPUT: usize = 1 << 30;
/// Maximum number of cells in a frame if the first layer reads dense input in the forward pass.
const MAX_DENSE_FORWARD: usize = 256;

/// Byte with which [`GpuNetwork::poison`](super::GpuNetwork::poison) fills buffers. Four such bytes are a float32 NaN.
pub(super) const POISON: u8 = 0xff;

/// Dense input of a batch, (pieces, batch, time, width). Each count is stored as one or more bfloat16 pieces, whose sum
/// is the count.
#[derive(Debug)]
pub(super) struct DenseInput {
    pub(super) width: usize,
    pieces: usize,
    pub(super) block_frames: usize,
    pub(super) values: Buffer<u16>,
}

/// Buffers for the spike counts of a hidden layer, (batch, width).
#[derive(Debug)]
pub(super) struct CountedSpikes {
    pub(super) spikes: Buffer<f64>,
    pub(super) active_steps: Buffer<u32>,
}

#[derive(Debug)]
pub(super) struct OptimiserState {
    pub(super) mean: Buffer<f32>,
    pub(super) mean_square: Buffer<f32>,
    /// Learning rate and momentum of each batch of the epoch, (batches, 2).
    pub(super) rates: Buffer<f64>,
    /// Where the host writes `rates`, at the start of each epoch.
    pub(super) host_rates: Pinned<f64>,
    /// Sums of squares of the gradients, and the factor that clips them.
    pub(super) squares: Buffer<f64>,
    pub(super) factor: Buffer<f32>,
    /// Settings of the optimiser. `None` if a step only computes gradients.
    pub(super) config: Option<OptimiserConfig>,
}

/// Settings of the loss of training that the kernels get as arguments.
#[derive(Debug, Default)]
pub(super) struct Loss {
    pub(super) smoothing: f64,
    /// Sum of the weights of all classes.
    pub(super) weight_sum: f64,
    pub(super) penalty: Option<Penalty>,
}

/// The penalty for spike rates.
#[derive(Debug)]
pub(super) struct Penalty {
    pub(super) rate: SpikeRate,
    /// For each hidden layer, the gradient of the penalty for each spike, (batch, width).
    pub(super) rates: Vec<Buffer<f32>>,
    /// Penalty of each hidden layer and sample, (layers, batch).
    pub(super) penalties: Buffer<f64>,
}

/// Buffers of a hidden layer. `width` is the number of neurons, and `before_width` the number of inputs, both rounded
/// up to multiples of [`TILE`].
#[derive(Debug)]
pub(super) struct Hidden {
    pub(super) neurons: usize,
    pub(super) width: usize,
    pub(super) before_width: usize,
    /// Index of the layer's first weight in the flat list of the network's parameters.
    pub(super) weights_at: usize,
    /// Index of the layer's first bias in the flat list of the network's parameters.
    pub(super) bias_at: usize,
    /// Weight matrix W for the forward pass. A weight is the sum of one or more bfloat16 numbers.
    pub(super) forward: Buffer<u16>,
    /// Weight matrix W^T for the backward pass. A weight is the sum of one or more bfloat16 numbers.
    pub(super) backward: Buffer<u16>,
    pub(super) v: Buffer<f32>,
    pub(super) spikes: Buffer<u16>,
    pub(super) lambda: Buffer<u16>,
    pub(super) lambda_totals: Buffer<f32>,
    pub(super) splits: usize,
    pub(super) partials: Buffer<f32>,
}

#[derive(Debug)]
pub(super) struct Readout {
    pub(super) width: usize,
    pub(super) neurons: usize,
    pub(super) weights_at: usize,
    pub(super) bias_at: usize,
    pub(super) totals: Buffer<f32>,
    pub(super) logits: Buffer<f32>,
    pub(super) gradient: Buffer<f32>,
    pub(super) losses: Buffer<f64>,
    pub(super) predicted: Buffer<u32>,
    pub(super) labels: Buffer<u32>,
    pub(super) row: Buffer<f32>,
    pub(super) out: Buffer<f32>,
    /// Weight of each class in the loss. Empty if the loss is the plain mean.
    pub(super) class_weights: Buffer<f32>,
    /// Loss of each sample with label smoothing and class weights. Empty if labels are not smoothed.
    pub(super) smoothed: Buffer<f64>,
    pub(super) scores: Buffer<BatchScore>,
}

/// Where a hidden layer is in the network.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayerPosition {
    pub(super) first: bool,
    pub(super) last: bool,
    /// Whether the forward pass of the layer reads dense input.
    pub(super) dense: bool,
}

impl DenseInput {
    /// Allocates the dense input. Returns `None` if the network doesn't need it, or if it would be too large.
    pub(super) fn new(program: &Program, extent: Extent, cells: usize) -> Result<Option<DenseInput>> {
        let (width, pieces) = (padded(cells), program.column_types().input_pieces());
        let block_frames = (INFLATE_BYTES / (pieces * width * size_of::<u16>())).min(INFLATE_FRAMES);
        let len = pieces.saturating_mul(extent.rows()).saturating_mul(width);
        let needed = extent.trains || width <= MAX_DENSE_FORWARD;
        let too_long = extent.time() > block_frames * MAX_GRID_Y;
        if !needed || block_frames == 0 || too_long || len > MAX_DENSE_INPUT / size_of::<u16>() {
            return Ok(None);
        }
        let values = program.device().buffer(len)?;
        Ok(Some(DenseInput { width, pieces, block_frames, values }))
    }

    /// Whether the first layer reads dense input in the forward pass.
    pub(super) fn feeds_forward(&self) -> bool {
        self.width <= MAX_DENSE_FORWARD
    }

    /// Returns the shared memory in bytes that a CUDA block needs to write dense input.
    pub(super) fn block_bytes(&self) -> usize {
        INFLATE_HEAD + self.pieces * self.width * self.block_frames * size_of::<u16>()
    }
}

impl Hidden {
    /// Allocates a layer whose parameters start at index `at` of the network's flat list.
    pub(super) fn new(
        program: &Program,
        extent: Extent,
        LayerPosition { first, last, dense }: LayerPosition,
        (inputs, outputs): (usize, usize),
        at: usize,
    ) -> Result<Hidden> {
        let (device, pieces, rows) = (program.device(), program.pieces(), extent.rows());
        let (width, before_width) = (padded(outputs), padded(inputs));
        let weights = |needed| if needed { pieces * width * before_width } else { 0 };
        let splits = splits(extent.batch, before_width, width);
        Ok(Hidden {
            neurons: outputs,
            width,
            before_width,
            weights_at: at,
            bias_at: at + inputs * outputs,
            forward: device.buffer(weights(dense))?,
            backward: device.buffer(extent.if_training(weights(!first)))?,
            v: device.buffer(extent.if_training(rows * width))?,
            spikes: device.buffer(if last { 0 } else { rows * width })?,
            lambda: device.buffer(extent.if_training(pieces * rows * width))?,
            lambda_totals: device.buffer(extent.if_training(extent.batch * width))?,
            splits,
            partials: device.buffer(extent.if_training(splits * before_width * width))?,
        })
    }

    pub(super) fn poison(&self, stream: &Stream) -> Result<()> {
        let Hidden { v, lambda_totals, partials, spikes, lambda, .. } = self;
        [v, lambda_totals, partials].into_iter().try_for_each(|buffer| stream.fill(buffer, POISON))?;
        [spikes, lambda].into_iter().try_for_each(|buffer| stream.fill(buffer, POISON))
    }

    /// Returns the number of CUDA blocks in x and y: one block for each sample and each tile of neurons.
    pub(super) fn blocks(&self, batch: usize) -> [usize; 2] {
        [batch, self.width / TILE]
    }

    pub(super) fn args(&self, (inputs, outputs): (usize, usize)) -> UpdatedLayer {
        UpdatedLayer {
            forward: self.forward.address(),
            backward: self.backward.address(),
            partials: self.partials.address(),
            bias_sums: self.lambda_totals.address(),
            at: self.weights_at as u64,
            inputs: inputs as u32,
            outputs: outputs as u32,
            input_width: self.before_width as u32,
            output_width: self.width as u32,
            splits: self.splits as u32,
            row_in_partials: 0,
            rows: inputs as u32 + 1,
            first_block: 0,
            frozen_weights: 0,
            frozen_row: 0,
            scale: 1.0,
        }
    }
}

impl Readout {
    /// Allocates the readout. In a network of integrate-and-fire neurons, it has `neurons` inputs, and its parameters
    /// start at index `at` of the network's flat list. In other networks, `neurons` is 0, because the linear layer of
    /// the readout is one of the layers of `Layered`.
    pub(super) fn new(device: &Device, extent: Extent, shape: &Shape, neurons: usize, at: usize) -> Result<Readout> {
        let classes = shape.classes;
        let (batch, width) = (extent.batch, padded(neurons));
        let kept = if extent.kept > 0 { extent.kept as usize } else { batch };
        Ok(Readout {
            width,
            neurons,
            weights_at: at,
            bias_at: at + neurons * classes,
            totals: device.buffer(batch * width)?,
            logits: device.buffer(batch * classes)?,
            gradient: device.buffer(batch * classes)?,
            losses: device.buffer(kept)?,
            predicted: device.buffer(kept)?,
            labels: device.buffer(kept)?,
            row: device.buffer(extent.if_training(batch * width))?,
            out: device.buffer(extent.if_training((neurons + 1) * classes))?,
            class_weights: device.buffer(0)?,
            smoothed: device.buffer(0)?,
            scores: device.buffer(extent.if_training(extent.batches as usize))?,
        })
    }

    pub(super) fn args(&self, classes: usize) -> UpdatedLayer {
        UpdatedLayer {
            forward: Address::null(),
            backward: Address::null(),
            partials: self.out.address(),
            bias_sums: Address::null(),
            at: self.weights_at as u64,
            inputs: self.neurons as u32,
            outputs: classes as u32,
            input_width: self.neurons as u32 + 1,
            output_width: classes as u32,
            splits: 1,
            row_in_partials: 1,
            rows: self.neurons as u32 + 1,
            first_block: 0,
            frozen_weights: 0,
            frozen_row: 0,
            scale: 1.0,
        }
    }

    pub(super) fn poison(&self, stream: &Stream) -> Result<()> {
        let Readout { totals, logits, gradient, row, out, losses, predicted, labels, .. } = self;
        [totals, logits, gradient, row, out].into_iter().try_for_each(|buffer| stream.fill(buffer, POISON))?;
        [predicted, labels].into_iter().try_for_each(|buffer| stream.fill(buffer, POISON))?;
        stream.fill(losses, POISON)
    }
}

impl CountedSpikes {
    /// Allocates the buffers for a layer of `neurons` neurons.
    pub(super) fn new(device: &Device, extent: Extent, neurons: usize) -> Result<CountedSpikes> {
        let width = padded(neurons);
        let len = extent.if_training(extent.batch * width);
        Ok(CountedSpikes { spikes: device.buffer(len)?, active_steps: device.buffer(len)? })
    }
}

impl OptimiserState {
    pub(super) fn new(device: &Device, extent: Extent, parameters: usize) -> Result<OptimiserState> {
        let rates = extent.if_training(2 * extent.batches as usize);
        Ok(OptimiserState {
            mean: device.buffer(extent.if_training(parameters))?,
            mean_square: device.buffer(extent.if_training(parameters))?,
            rates: device.buffer(rates)?,
            host_rates: device.pinned(rates)?,
            squares: device.buffer(extent.if_training(parameters.div_ceil(CLIP_CHUNK)))?,
            factor: device.buffer(extent.if_training(1))?,
            config: None,
        })
    }
}

pub(super) fn padded(n: usize) -> usize {
    n.next_multiple_of(TILE)
}

/// Returns the number of partial sums of a weight gradient. This number determines the order of the additions, so it
/// must not depend on the GPU.
pub(super) fn splits(batch: usize, before_width: usize, width: usize) -> usize {
    let most = (MAX_PARTIALS / (before_width * width)).max(1);
    // Each sum has at least two samples: adding up more sums would take longer than they save.
    (GRADIENT_BLOCKS / tile_pairs(before_width, width)).min(most).min(batch / 2).max(1)
}

/// Returns the number of CUDA blocks for one partial sum of a weight gradient.
pub(super) fn tile_pairs(before_width: usize, width: usize) -> usize {
    (before_width / TILE).div_ceil(2) * (width / TILE)
}

/// Copies values to the GPU, after all work already queued on `stream`. Returns when the copy has ended.
pub(super) fn put<T: DeviceType>(stream: &Stream, to: &Buffer<T>, from: &[T]) -> Result<()> {
    let mut pinned = stream.device().pinned(from.len())?;
    pinned.as_mut_slice()?.copy_from_slice(from);
    stream.upload(to, 0, &pinned, 0..from.len())
}
