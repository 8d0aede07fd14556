//! Structs that the host and the CUDA kernels exchange. Each struct is defined once, for Rust and for CUDA.
//!
//! Arrays over time are (batch, T, neurons), with T and the number of neurons rounded up to multiples of
//! [`TILE`](super::program::TILE). bfloat16 numbers have the type `u16` here. "In bfloat16 pieces" means that each
//! number is a sum of one to three bfloat16 numbers. lambda is the gradient of the loss by the input currents of a
//! layer. The CUDA sources describe each kernel.

use crate::gpu::{Address, kernel_structs};

kernel_structs! {
    /// A sample in device memory: start in the columns, number of frames, and class.
    pub(crate) struct Sample {
        /// Index of the sample's first frame in `frame_ends`.
        pub(crate) first_frame: u64,
        /// Index of the sample's first entry in `cells` and `counts`.
        pub(crate) first_entry: u64,
        /// Number of frames in the sample, T.
        pub(crate) frames: u32,
        /// Class of the sample.
        pub(crate) label: u32,
    }

    /// Columns of many samples. The elements have the types that [`ColumnTypes`](super::program::ColumnTypes) says.
    pub(crate) struct SampleColumns {
        /// For each frame, the index after its last entry, counted from the first entry of the sample.
        pub(crate) frame_ends: Address<u8>,
        /// Cell index of each entry.
        pub(crate) cells: Address<u8>,
        /// Count of each entry, or value of each entry of a time surface.
        pub(crate) counts: Address<u8>,
        /// Start in the columns, number of frames, and class of each sample.
        pub(crate) samples: Address<Sample>,
    }

    /// A permutation of 0..n that depends on a key, computed as in `shard/order.rs`.
    pub(crate) struct DrawPermutation {
        /// Key of each Feistel round.
        pub(crate) key: [u32; 8],
        /// Half the number of bits that the Feistel network permutes.
        pub(crate) half_bits: u32,
        /// Number of permuted elements.
        pub(crate) n: u32,
    }

    /// The order of an epoch, computed as in `shard/order.rs`: chunks are shuffled into slots, and samples are shuffled
    /// inside windows of consecutive slots.
    pub(crate) struct DrawOrder {
        /// Permutation of the samples of each window.
        pub(crate) within: Address<DrawPermutation>,
        /// Number of samples that an epoch draws: all samples, or all but those of a smaller last batch.
        pub(crate) end: u64,
        /// Permutation that maps slots to chunks.
        pub(crate) slots: DrawPermutation,
        /// 1 if the samples are permuted, else 0.
        pub(crate) shuffled: u32,
        /// 1 if the samples are a single batch, so that every draw starts at sample 0. 0 if they are a set.
        pub(crate) one_batch: u32,
        /// Number of samples per chunk.
        pub(crate) chunk_samples: u32,
        /// `chunk_samples` minus the number of samples in the last chunk.
        pub(crate) missing: u32,
        /// Number of slots per window.
        pub(crate) window_chunks: u32,
        /// Number of windows.
        pub(crate) windows: u32,
        /// Slot of the last chunk, which may have fewer samples than the others.
        pub(crate) short_slot: u32,
    }

    /// Progress of training, kept in device memory. The kernel `draw` advances it by one batch.
    pub(crate) struct State {
        /// Position in the epoch of the next batch's first sample.
        pub(crate) next: u64,
        /// Position in the epoch of this batch's first sample.
        pub(crate) begin: u64,
        /// Number of updates of the parameters so far, including the update with this batch.
        pub(crate) updates: u64,
        /// Number of samples in this batch.
        pub(crate) samples: u32,
        /// Number of this batch in the epoch, counted from 0 for the first batch that was drawn.
        pub(crate) batch: u32,
        /// Number of batches that were drawn in the epoch so far.
        pub(crate) batches: u32,
        /// 1 if a loss was NaN or infinite, which makes all later batches empty. Otherwise 0.
        pub(crate) stopped: u32,
        /// 1 if a neuron spiked more than 256 times in a step, because bfloat16 rounds such counts. Otherwise 0.
        pub(crate) rounded: u32,
    }

    /// A sample of the current batch, as the kernel `draw` writes it.
    pub(crate) struct Drawn {
        /// Index of the sample's first frame in `frame_ends`.
        pub(crate) first_frame: u64,
        /// Index of the sample's first entry in `cells` and `counts`.
        pub(crate) first_entry: u64,
        /// Number of frames in the sample, T.
        pub(crate) frames: u32,
        /// Number of time steps that the sample runs for, at least `frames`.
        pub(crate) steps: u32,
        /// Class of the sample.
        pub(crate) label: u32,
    }

    /// Loss and accuracy of a batch.
    pub(crate) struct BatchScore {
        /// Mean cross entropy of the batch, weighted by class if there are class weights.
        pub(crate) loss: f64,
        /// Number of samples that were classified correctly.
        pub(crate) correct: u32,
        /// Number of samples in the batch.
        pub(crate) samples: u32,
    }

    /// Arguments of the kernel `draw`.
    pub(crate) struct DrawArgs {
        /// Progress of training. The kernel advances it by one batch.
        pub(crate) state: Address<State>,
        /// Order of the epoch.
        pub(crate) order: Address<DrawOrder>,
        /// All samples of the set, or of a single batch.
        pub(crate) samples: Address<Sample>,
        /// Output: samples of the batch, (batch,).
        pub(crate) drawn: Address<Drawn>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// Minimum number of steps of a sample, or [`LONGEST_OF_BATCH`](super::program::LONGEST_OF_BATCH).
        pub(crate) steps: u32,
    }

    /// Arguments of the kernel `inflate`.
    pub(crate) struct InflateArgs {
        /// Order of the epoch.
        pub(crate) order: Address<DrawOrder>,
        /// Columns of all samples of the set.
        pub(crate) columns: SampleColumns,
        /// Output: dense frames of the batch, (batch, T, C).
        pub(crate) dense: Address<f32>,
        /// Position in the epoch of the batch's first sample.
        pub(crate) position: u64,
        /// Number of frames per sample of the output, T.
        pub(crate) steps: u32,
        /// Number of cells in a frame, C.
        pub(crate) cells: u32,
        /// Number of frames that each CUDA block writes.
        pub(crate) block_frames: u32,
        /// Number of cells that each CUDA block writes.
        pub(crate) block_cells: u32,
    }

    /// Arguments of the kernel `inflate_input`.
    pub(crate) struct InflateInputArgs {
        /// Progress of training; the kernel reads the number of samples in the batch.
        pub(crate) state: Address<State>,
        /// Samples of the batch, (batch,).
        pub(crate) drawn: Address<Drawn>,
        /// Columns of all samples that batches are drawn from.
        pub(crate) columns: SampleColumns,
        /// Output: dense input in bfloat16 pieces, (pieces, batch, T, width).
        pub(crate) out: Address<u16>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// Maximum number of steps, rounded up to a multiple of the tile size.
        pub(crate) time: u32,
        /// Number of cells, rounded up to a multiple of the tile size.
        pub(crate) width: u32,
        /// Number of frames that each CUDA block writes.
        pub(crate) block_frames: u32,
    }

    /// Constants of a layer's neurons; see [`Neuron`](super::iaf::Neuron).
    pub(crate) struct NeuronArgs {
        /// Spike threshold.
        pub(crate) theta: f32,
        /// 1 / theta.
        pub(crate) reciprocal: f32,
        /// Lower bound of the membrane potential; negative infinity if there is none.
        pub(crate) lower: f32,
        /// Largest value of the surrogate gradient, at v = theta.
        pub(crate) peak: f32,
        /// Decay rate of the surrogate gradient, which is peak * exp(-rate * |v - theta|).
        pub(crate) rate: f32,
        /// 1 if v / theta and v * (1 / theta) have the same bits for every v, otherwise 0.
        pub(crate) exact: u32,
    }

    /// Arguments of the kernels `iaf_forward` and `iaf_forward_cells`.
    pub(crate) struct ForwardArgs {
        /// Progress of training. The kernel reads the number of samples in the batch, and may set `rounded`.
        pub(crate) state: Address<State>,
        /// Samples of the batch, (batch,).
        pub(crate) drawn: Address<Drawn>,
        /// Constants of the layer's neurons.
        pub(crate) neuron: NeuronArgs,
        /// Columns of all samples that batches are drawn from. Only the first layer reads them.
        pub(crate) columns: SampleColumns,
        /// Spike counts of the layer before, (batch, T, before_width). Null in the first layer.
        pub(crate) before: Address<u16>,
        /// W in bfloat16 pieces, (pieces, width, before_width). Not read in the first layer.
        pub(crate) pieces: Address<u16>,
        /// W^T, (inputs, neurons). Only the first layer reads it.
        pub(crate) weights: Address<f32>,
        /// Bias, (neurons,).
        pub(crate) bias: Address<f32>,
        /// Output: membrane potentials, (batch, T, width). Null if the network isn't trained.
        pub(crate) v: Address<f32>,
        /// Output: spike counts, (batch, T, width). Null in the last hidden layer.
        pub(crate) spikes: Address<u16>,
        /// Output: spike counts summed over time, (batch, width). Null in all hidden layers but the last.
        pub(crate) totals: Address<f32>,
        /// Maximum number of steps, rounded up to a multiple of the tile size.
        pub(crate) time: u32,
        /// Number of neurons, rounded up to a multiple of the tile size.
        pub(crate) width: u32,
        /// Number of neurons of the layer before, rounded up to a multiple of the tile size.
        pub(crate) before_width: u32,
        /// Number of neurons.
        pub(crate) neurons: u32,
    }

    /// Arguments of the kernel `count_spikes`.
    pub(crate) struct SpikesArgs {
        /// Progress of training; the kernel reads the number of samples in the batch.
        pub(crate) state: Address<State>,
        /// Samples of the batch, (batch,).
        pub(crate) drawn: Address<Drawn>,
        /// Constants of the layer's neurons.
        pub(crate) neuron: NeuronArgs,
        /// Membrane potentials, (batch, T, width).
        pub(crate) v: Address<f32>,
        /// Output: number of spikes of each neuron in each sample, (batch, width).
        pub(crate) spikes: Address<f64>,
        /// Output: number of steps in which each neuron spiked, for each sample, (batch, width).
        pub(crate) active_steps: Address<u32>,
        /// Maximum number of steps, rounded up to a multiple of the tile size.
        pub(crate) time: u32,
        /// Number of neurons, rounded up to a multiple of the tile size.
        pub(crate) width: u32,
        /// Number of neurons.
        pub(crate) neurons: u32,
    }

    /// Arguments of the kernels `iaf_backward` and `iaf_backward_constant`.
    pub(crate) struct BackwardArgs {
        /// Progress of training; the kernel reads the number of samples in the batch.
        pub(crate) state: Address<State>,
        /// Samples of the batch, (batch,).
        pub(crate) drawn: Address<Drawn>,
        /// Constants of the layer's neurons.
        pub(crate) neuron: NeuronArgs,
        /// lambda (dL/dx) of the layer above in bfloat16 pieces, (pieces, batch, T, above_width). Null in the last
        /// hidden layer.
        pub(crate) above: Address<u16>,
        /// W^T of the layer above in bfloat16 pieces, (pieces, width, above_width). Null in the last hidden layer.
        pub(crate) pieces: Address<u16>,
        /// Gradient of the loss by the spikes of any step, (batch, width). Only the last hidden layer reads it.
        pub(crate) row: Address<f32>,
        /// Membrane potentials, (batch, T, width).
        pub(crate) v: Address<f32>,
        /// Output: lambda (dL/dx) in bfloat16 pieces, (pieces, batch, T, width).
        pub(crate) lambda: Address<u16>,
        /// Output: lambda (dL/dx) summed over time, (batch, width).
        pub(crate) totals: Address<f32>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// Maximum number of steps, rounded up to a multiple of the tile size.
        pub(crate) time: u32,
        /// Number of neurons, rounded up to a multiple of the tile size.
        pub(crate) width: u32,
        /// Number of neurons of the layer above, rounded up to a multiple of the tile size.
        pub(crate) above_width: u32,
    }

    /// Arguments of the kernels `weight_gradient`, `weight_gradient_input` and `weight_gradient_cells`.
    pub(crate) struct GradientArgs {
        /// Progress of training; the kernel reads the number of samples in the batch.
        pub(crate) state: Address<State>,
        /// Samples of the batch, (batch,).
        pub(crate) drawn: Address<Drawn>,
        /// Columns of all samples that batches are drawn from. Only `weight_gradient_cells` reads them.
        pub(crate) columns: SampleColumns,
        /// Input of the layer, with the shape (batch, T, before_width) for each piece. `weight_gradient_input` reads
        /// the output of `inflate_input` here, and `weight_gradient` the spike counts of the layer before.
        pub(crate) before: Address<u16>,
        /// lambda (dL/dx) in bfloat16 pieces, (pieces, batch, T, width).
        pub(crate) lambda: Address<u16>,
        /// Output: partial sums of the weight gradient, (splits, before_width, width).
        pub(crate) partials: Address<f32>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// Maximum number of steps, rounded up to a multiple of the tile size.
        pub(crate) time: u32,
        /// Number of neurons, rounded up to a multiple of the tile size.
        pub(crate) width: u32,
        /// Number of inputs of the layer, rounded up to a multiple of the tile size.
        pub(crate) before_width: u32,
    }

    /// Arguments of the kernels `readout` and `readout_gradient`.
    pub(crate) struct ReadoutArgs {
        /// Progress of training. Both kernels read the number of samples in the batch; `readout_gradient` may set
        /// `stopped`.
        pub(crate) state: Address<State>,
        /// Samples of the batch, (batch,).
        pub(crate) drawn: Address<Drawn>,
        /// Spike counts of the last hidden layer summed over time, (batch, width).
        pub(crate) totals: Address<f32>,
        /// W^T, (neurons, classes).
        pub(crate) weights: Address<f32>,
        /// Bias, (classes,).
        pub(crate) bias: Address<f32>,
        /// Output: logits, (batch, classes).
        pub(crate) logits: Address<f32>,
        /// Output of `readout`: gradient of the loss by the logits, (batch, classes).
        pub(crate) gradient: Address<f32>,
        /// Output: loss of each sample of the batch, or of the epoch if `by_position` is 1.
        pub(crate) losses: Address<f64>,
        /// Output: predicted class of each sample of the batch, or of the epoch if `by_position` is 1.
        pub(crate) predicted: Address<u32>,
        /// Output: label of each sample of the batch, or of the epoch if `by_position` is 1.
        pub(crate) labels: Address<u32>,
        /// Output: gradient of the loss by a spike of each neuron, (batch, width). Null if the network isn't trained.
        pub(crate) row: Address<f32>,
        /// Output of `readout_gradient`: gradients of the weights, and of the bias in the last row, (neurons + 1,
        /// classes).
        pub(crate) out: Address<f32>,
        /// Weight of each class in the loss, (classes,). Null for a plain mean.
        pub(crate) class_weights: Address<f32>,
        /// Output of `readout_gradient`: score of each batch of the epoch.
        pub(crate) scores: Address<BatchScore>,
        /// Number of neurons, rounded up to a multiple of the tile size.
        pub(crate) width: u32,
        /// Number of neurons of the last hidden layer.
        pub(crate) neurons: u32,
        /// Number of classes.
        pub(crate) classes: u32,
        /// 1 if `losses`, `predicted` and `labels` have an element for each sample of the epoch, 0 if only for each
        /// sample of a batch.
        pub(crate) by_position: u32,
    }

    /// A linear layer: sizes, partial sums of the gradients, and copies of the weights.
    pub(crate) struct Layer {
        /// W in bfloat16 pieces for the forward pass, (pieces, output_width, input_width). Null in the first layer and
        /// in the readout.
        pub(crate) forward: Address<u16>,
        /// W^T in bfloat16 pieces for the backward pass, (pieces, input_width, output_width). Null in the first layer,
        /// in the readout, and if the network isn't trained.
        pub(crate) backward: Address<u16>,
        /// Partial sums of the weight gradient, (splits, input_width, output_width).
        pub(crate) partials: Address<f32>,
        /// Gradient of the bias for each sample, (batch, output_width). Null in the readout.
        pub(crate) bias_sums: Address<f32>,
        /// Number of inputs.
        pub(crate) inputs: u32,
        /// Number of outputs.
        pub(crate) outputs: u32,
        /// Number of rows of `partials`. In a hidden layer, it is the number of inputs, rounded up to a multiple of the
        /// tile size. In the readout, it is the number of inputs + 1, and the last row is for the bias.
        pub(crate) input_width: u32,
        /// Number of columns of `partials`. In a hidden layer, it is the number of outputs, rounded up to a multiple of
        /// the tile size. In the readout, it is the number of outputs.
        pub(crate) output_width: u32,
        /// Number of partial sums of the weight gradient.
        pub(crate) splits: u32,
        /// 1 if the layer is the readout, otherwise 0. The readout's bias gradient is the last row of `partials`.
        pub(crate) readout: u32,
    }

    /// Arguments of the kernels `update` and `pack`.
    pub(crate) struct UpdateArgs {
        /// Progress of training. The kernels read the number of samples in the batch, and the number of updates.
        pub(crate) state: Address<State>,
        /// All layers, from the input to the readout.
        pub(crate) layers: Address<Layer>,
        /// Parameters, flat, in the order of [`Parameters`](crate::network::Parameters).
        pub(crate) parameters: Address<f32>,
        /// Output: gradients, flat, in the order of `parameters`. Null if they are not wanted.
        pub(crate) gradients: Address<f32>,
        /// Adam's moving average m of the gradient. Null if the kernel shall not update the parameters.
        pub(crate) mean: Address<f32>,
        /// Adam's moving average v of the squared gradient.
        pub(crate) mean_square: Address<f32>,
        /// Learning rate, in device memory.
        pub(crate) lr: Address<f64>,
        /// Number of parameters.
        pub(crate) count: u64,
        /// Adam's beta1, the decay factor of m.
        pub(crate) beta1: f64,
        /// Adam's beta2, the decay factor of v.
        pub(crate) beta2: f64,
        /// Adam's epsilon, which keeps the update finite even if all gradients are 0.
        pub(crate) eps: f64,
    }
}
