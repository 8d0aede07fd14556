//! Structs that the host and the CUDA kernels exchange, each defined once for both.
//!
//! Arrays over time are (batch, T, neurons), with T and neurons rounded up to multiples of
//! [`TILE`](super::program::TILE). bfloat16 values have the type `u16` here. The CUDA sources describe each kernel.

use crate::gpu::{Address, kernel_structs};

kernel_structs! {
    /// A sample in device memory: where it starts in the columns, its number of frames and its class.
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

    /// Columns of many samples, in the program's [`ColumnTypes`](super::program::ColumnTypes).
    pub(crate) struct SampleColumns {
        /// For each frame, the end of its entries, counted from the start of its sample.
        pub(crate) frame_ends: Address<u8>,
        /// Cell index of each entry.
        pub(crate) cells: Address<u8>,
        /// Count of each entry, or a surface's value.
        pub(crate) counts: Address<u8>,
        /// Start, number of frames and class of each sample.
        pub(crate) samples: Address<Sample>,
    }

    /// A keyed permutation of 0..n, computed as in `shard/order.rs`.
    pub(crate) struct DrawPermutation {
        /// Key of each Feistel round.
        pub(crate) key: [u32; 8],
        /// Half the number of permuted bits.
        pub(crate) half_bits: u32,
        /// Number of elements.
        pub(crate) n: u32,
    }

    /// The order of an epoch, computed as in `shard/order.rs`.
    pub(crate) struct DrawOrder {
        /// Permutation of the samples of each window.
        pub(crate) within: Address<DrawPermutation>,
        /// Number of positions in the epoch, without those of a last batch that is left out.
        pub(crate) end: u64,
        /// Permutation of slots to chunks.
        pub(crate) slots: DrawPermutation,
        /// 1 if the samples are permuted, else 0.
        pub(crate) shuffled: u32,
        /// 1 if the samples are those of one batch, so that every draw starts at sample 0; else 0.
        pub(crate) one_batch: u32,
        /// Samples per chunk.
        pub(crate) chunk_samples: u32,
        /// How many samples the last chunk is short of `chunk_samples`.
        pub(crate) missing: u32,
        /// Slots per window.
        pub(crate) window_chunks: u32,
        /// Number of windows.
        pub(crate) windows: u32,
        /// Slot of the last chunk.
        pub(crate) short_slot: u32,
    }

    /// Progress of training in device memory. `draw` advances it by one batch.
    pub(crate) struct State {
        /// Position in the epoch of the next batch's first sample.
        pub(crate) next: u64,
        /// Position in the epoch of this batch's first sample.
        pub(crate) begin: u64,
        /// Number of updates of the parameters, including this batch's.
        pub(crate) updates: u64,
        /// Number of samples in this batch.
        pub(crate) samples: u32,
        /// Index of this batch among those drawn in the epoch, from 0.
        pub(crate) batch: u32,
        /// Number of batches drawn in the epoch.
        pub(crate) batches: u32,
        /// 1 if a loss was not finite: later batches are empty. Else 0.
        pub(crate) stopped: u32,
        /// 1 if a neuron spiked more than 256 times in a step, a count that bfloat16 rounds. Else 0.
        pub(crate) rounded: u32,
    }

    /// A sample of the batch that was drawn.
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

    /// Arguments of `draw`.
    pub(crate) struct DrawArgs {
        /// Progress of training, updated.
        pub(crate) state: Address<State>,
        /// Order of the epoch.
        pub(crate) order: Address<DrawOrder>,
        /// Samples of the set, or of the one batch.
        pub(crate) samples: Address<Sample>,
        /// Samples of the batch, (batch,), written.
        pub(crate) drawn: Address<Drawn>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// Minimum number of steps of a sample, or [`LONGEST_OF_BATCH`](super::program::LONGEST_OF_BATCH).
        pub(crate) steps: u32,
    }

    /// Arguments of `inflate`.
    pub(crate) struct InflateArgs {
        /// Order of the epoch.
        pub(crate) order: Address<DrawOrder>,
        /// Columns of the set.
        pub(crate) columns: SampleColumns,
        /// Dense frames of the batch, (batch, T, C), written.
        pub(crate) dense: Address<f32>,
        /// Position in the epoch of the batch's first sample.
        pub(crate) position: u64,
        /// Number of frames, T.
        pub(crate) steps: u32,
        /// Number of cells in a frame, C.
        pub(crate) cells: u32,
        /// Number of frames that a block writes.
        pub(crate) block_frames: u32,
        /// Number of cells that a block writes.
        pub(crate) block_cells: u32,
    }

    /// Arguments of `inflate_input`.
    pub(crate) struct InflateInputArgs {
        /// Progress of training; the kernel reads the number of samples in the batch.
        pub(crate) state: Address<State>,
        /// Samples of the batch, (batch,).
        pub(crate) drawn: Address<Drawn>,
        /// Columns of the input.
        pub(crate) columns: SampleColumns,
        /// Dense input in bfloat16 pieces, (input pieces, batch, T, width), written.
        pub(crate) out: Address<u16>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// Maximum number of steps, rounded up to whole tiles.
        pub(crate) time: u32,
        /// Number of cells, rounded up to whole tiles.
        pub(crate) width: u32,
        /// Number of frames that a block writes.
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
        /// The surrogate's largest value.
        pub(crate) peak: f32,
        /// Decay rate of the surrogate away from theta.
        pub(crate) rate: f32,
        /// 1 if v / theta and v * (1 / theta) have the same bits for every v, else 0.
        pub(crate) exact: u32,
    }

    /// Arguments of `iaf_forward` and `iaf_forward_cells`.
    pub(crate) struct ForwardArgs {
        /// Progress of training. The kernel reads the number of samples and writes `rounded`.
        pub(crate) state: Address<State>,
        /// Samples of the batch, (batch,).
        pub(crate) drawn: Address<Drawn>,
        /// Constants of the layer's neurons.
        pub(crate) neuron: NeuronArgs,
        /// First layer: columns of the input.
        pub(crate) columns: SampleColumns,
        /// Other layers: spike counts of the layer before, (batch, T, before_width).
        pub(crate) before: Address<u16>,
        /// Other layers: W in bfloat16 pieces, (pieces, width, before_width).
        pub(crate) pieces: Address<u16>,
        /// First layer: W^T, (inputs, neurons).
        pub(crate) weights: Address<f32>,
        /// Bias, (neurons,).
        pub(crate) bias: Address<f32>,
        /// Membrane potentials, (batch, T, width), written; null without training.
        pub(crate) v: Address<f32>,
        /// Spike counts, (batch, T, width), written; null for the last layer.
        pub(crate) spikes: Address<u16>,
        /// Spikes summed over time, (batch, width), written; null for all but the last layer.
        pub(crate) totals: Address<f32>,
        /// Maximum number of steps, rounded up to whole tiles.
        pub(crate) time: u32,
        /// Number of neurons, rounded up to whole tiles.
        pub(crate) width: u32,
        /// Number of neurons of the layer before, rounded up to whole tiles.
        pub(crate) before_width: u32,
        /// Number of neurons.
        pub(crate) neurons: u32,
    }

    /// Arguments of `count_spikes`.
    pub(crate) struct SpikesArgs {
        /// Progress of training; the kernel reads the number of samples in the batch.
        pub(crate) state: Address<State>,
        /// Samples of the batch, (batch,).
        pub(crate) drawn: Address<Drawn>,
        /// Constants of the layer's neurons.
        pub(crate) neuron: NeuronArgs,
        /// Membrane potentials, (batch, T, width).
        pub(crate) v: Address<f32>,
        /// Spikes of each sample, (batch, width), written.
        pub(crate) spikes: Address<f64>,
        /// Steps with a spike of each sample, (batch, width), written.
        pub(crate) active_steps: Address<u32>,
        /// T, rounded up to whole tiles.
        pub(crate) time: u32,
        /// Number of neurons, rounded up to whole tiles.
        pub(crate) width: u32,
        /// Number of neurons.
        pub(crate) neurons: u32,
    }

    /// Arguments of `iaf_backward` and `iaf_backward_constant`.
    pub(crate) struct BackwardArgs {
        /// Progress of training; the kernel reads the number of samples in the batch.
        pub(crate) state: Address<State>,
        /// Samples of the batch, (batch,).
        pub(crate) drawn: Address<Drawn>,
        /// Constants of the layer's neurons.
        pub(crate) neuron: NeuronArgs,
        /// Lambda of the layer above in bfloat16 pieces, (pieces, batch, T, above_width).
        pub(crate) above: Address<u16>,
        /// W^T of the layer above in bfloat16 pieces, (pieces, width, above_width).
        pub(crate) pieces: Address<u16>,
        /// Last hidden layer: g, the same at every step, (batch, width).
        pub(crate) row: Address<f32>,
        /// Membrane potentials, (batch, T, width).
        pub(crate) v: Address<f32>,
        /// Lambda in bfloat16 pieces, (pieces, batch, T, width), written.
        pub(crate) lambda: Address<u16>,
        /// Lambda summed over time, (batch, width), written.
        pub(crate) totals: Address<f32>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// Maximum number of steps, rounded up to whole tiles.
        pub(crate) time: u32,
        /// Number of neurons, rounded up to whole tiles.
        pub(crate) width: u32,
        /// Number of neurons of the layer above, rounded up to whole tiles.
        pub(crate) above_width: u32,
    }

    /// Arguments of `weight_gradient`, `weight_gradient_input` and `weight_gradient_cells`.
    pub(crate) struct GradientArgs {
        /// Progress of training; the kernel reads the number of samples in the batch.
        pub(crate) state: Address<State>,
        /// Samples of the batch, (batch,).
        pub(crate) drawn: Address<Drawn>,
        /// `weight_gradient_cells`: columns of the input.
        pub(crate) columns: SampleColumns,
        /// `weight_gradient_input`: output of `inflate_input`; `weight_gradient`: spike counts of the layer before. Both are
        /// (batch, T, before_width).
        pub(crate) before: Address<u16>,
        /// Lambda in bfloat16 pieces, (pieces, batch, T, width).
        pub(crate) lambda: Address<u16>,
        /// Partial sums of the gradient, (splits, before_width, width), written.
        pub(crate) partials: Address<f32>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// Maximum number of steps, rounded up to whole tiles.
        pub(crate) time: u32,
        /// Number of neurons, rounded up to whole tiles.
        pub(crate) width: u32,
        /// Number of inputs, rounded up to whole tiles.
        pub(crate) before_width: u32,
    }

    /// Arguments of `readout` and `readout_gradient`.
    pub(crate) struct ReadoutArgs {
        /// Progress of training. The kernels read the number of samples; `readout_gradient` writes `stopped`.
        pub(crate) state: Address<State>,
        /// Samples of the batch, (batch,).
        pub(crate) drawn: Address<Drawn>,
        /// Spike counts of the last hidden layer summed over time, (batch, width).
        pub(crate) totals: Address<f32>,
        /// W^T, (neurons, classes).
        pub(crate) weights: Address<f32>,
        /// Bias, (classes,).
        pub(crate) bias: Address<f32>,
        /// Logits, (batch, classes), written.
        pub(crate) logits: Address<f32>,
        /// Gradient of the loss by the logits, (batch, classes), written.
        pub(crate) gradient: Address<f32>,
        /// Loss of each sample of the batch, or of the epoch, written.
        pub(crate) losses: Address<f64>,
        /// Predicted class of each sample of the batch, or of the epoch, written.
        pub(crate) predicted: Address<u32>,
        /// Label of each sample of the batch, or of the epoch, written.
        pub(crate) labels: Address<u32>,
        /// Gradient of the loss by each spike, (batch, width), written; null without training.
        pub(crate) row: Address<f32>,
        /// Gradients of weights and bias, (neurons + 1, classes), written by `readout_gradient`.
        pub(crate) out: Address<f32>,
        /// Weight of each class in the loss, (classes); null for a plain mean.
        pub(crate) class_weights: Address<f32>,
        /// Score of each batch of the epoch, written by `readout_gradient`.
        pub(crate) scores: Address<BatchScore>,
        /// Number of neurons, rounded up to whole tiles.
        pub(crate) width: u32,
        /// Number of neurons of the last hidden layer.
        pub(crate) neurons: u32,
        /// Number of classes.
        pub(crate) classes: u32,
        /// 1 if `losses`, `predicted` and `labels` have room for the whole epoch, 0 if for one batch.
        pub(crate) by_position: u32,
    }

    /// A linear layer: the partial sums of its gradient, and the copies of its weights.
    pub(crate) struct Layer {
        /// W in bfloat16 pieces for the forward pass, (pieces, output_width, input_width); null in the first layer and
        /// the readout.
        pub(crate) forward: Address<u16>,
        /// W^T in bfloat16 pieces, for the gradient by the inputs, (pieces, input_width, output_width); null in the
        /// first layer, in the readout, and if the network isn't trained.
        pub(crate) backward: Address<u16>,
        /// Partial sums of the weight gradient, (splits, input_width, output_width).
        pub(crate) partials: Address<f32>,
        /// Gradient of the bias for each sample, (batch, output_width); null in the readout.
        pub(crate) bias_sums: Address<f32>,
        /// Number of inputs.
        pub(crate) inputs: u32,
        /// Number of outputs.
        pub(crate) outputs: u32,
        /// Rows of `partials`: the inputs, rounded up to whole tiles; in the readout inputs + 1, the last for the bias.
        pub(crate) input_width: u32,
        /// Columns of `partials`: the outputs, rounded up to whole tiles; in the readout not rounded.
        pub(crate) output_width: u32,
        /// Number of partial sums of the weight gradient.
        pub(crate) splits: u32,
        /// 1 if this is the readout: its bias gradient is the last row of its weight gradient. Else 0.
        pub(crate) readout: u32,
    }

    /// Arguments of `update` and `pack`.
    pub(crate) struct UpdateArgs {
        /// Progress of training: the kernels read the number of samples and of updates.
        pub(crate) state: Address<State>,
        /// All layers, from the input to the readout.
        pub(crate) layers: Address<Layer>,
        /// Parameters, flat, in the order of [`Parameters`](crate::network::Parameters).
        pub(crate) parameters: Address<f32>,
        /// Gradients, flat, in the same order, written; null if they are not wanted.
        pub(crate) gradients: Address<f32>,
        /// Adam's moving average m of the gradient; null to make no update.
        pub(crate) mean: Address<f32>,
        /// Adam's moving average v of the squared gradient.
        pub(crate) mean_square: Address<f32>,
        /// Learning rate, in device memory.
        pub(crate) lr: Address<f64>,
        /// Number of parameters.
        pub(crate) count: u64,
        /// Decay of m, Adam's beta1.
        pub(crate) beta1: f64,
        /// Decay of v, Adam's beta2.
        pub(crate) beta2: f64,
        /// Adam's epsilon, which keeps the update finite if gradients vanish.
        pub(crate) eps: f64,
    }
}
