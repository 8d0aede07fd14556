//! Structs that the host and the CUDA kernels exchange. Each struct is defined once, in Rust. Its definition in CUDA
//! C++ is generated.
//!
//! Samples are stored as columns of entries ([`SampleColumns`]). An entry is an active cell of a frame, with its count.
//!
//! Arrays over time are (batch, T, neurons), with T and the number of neurons rounded up to multiples of
//! [`TILE`](super::program::TILE). Some arrays have a first dimension "pieces": each number is then the sum of one to
//! three bfloat16 numbers, its pieces. bfloat16 numbers have the type `u16` here. lambda is the gradient of the loss by
//! the input currents of a layer. The CUDA sources describe the kernels.

use crate::gpu::{Address, kernel_structs};

kernel_structs! {
    /// Where a sample is in the columns in device memory, its number of frames, and its class.
    pub(crate) struct Sample {
        /// Index of the sample's first element in the column `frame_ends`.
        pub(crate) first_frame: u64,
        /// Index of the sample's first element in the columns `cells` and `counts`.
        pub(crate) first_entry: u64,
        /// Number of frames of the sample.
        pub(crate) frames: u32,
        /// Class of the sample, from 0.
        pub(crate) label: u32,
    }

    /// Samples in device memory, as columns with the frames of all samples. The first three columns have elements of
    /// the types in [`ColumnTypes`](super::program::ColumnTypes): `u8` stands for any of these types.
    pub(crate) struct SampleColumns {
        /// End of each frame: the index after the frame's last element in `cells` and `counts`, counted from the first
        /// element of the sample.
        pub(crate) frame_ends: Address<u8>,
        /// Active cells of all frames, each as its index in the frame.
        pub(crate) cells: Address<u8>,
        /// Count of each active cell; for time surfaces, the cell's value.
        pub(crate) counts: Address<u8>,
        /// One record for each sample: where it is in the columns, its number of frames, and its class.
        pub(crate) samples: Address<Sample>,
    }

    /// A permutation of the numbers 0 to n - 1, which depends on a key. The kernels compute it with a Feistel network,
    /// as `shard/order.rs` does.
    pub(crate) struct DrawPermutation {
        /// One key for each of the eight rounds of the Feistel network.
        pub(crate) key: [u32; 8],
        /// Half the number of bits of the numbers that the Feistel network permutes.
        pub(crate) half_bits: u32,
        /// Number of elements that are permuted: 0 to n - 1.
        pub(crate) n: u32,
    }

    /// The order in which an epoch draws the samples. It is computed as in `shard/order.rs`: the chunks of the set are
    /// shuffled into slots, and the samples inside each window of consecutive slots are shuffled.
    pub(crate) struct DrawOrder {
        /// One permutation for each window, which shuffles the samples of the window. Null if `shuffled` is 0.
        pub(crate) within: Address<DrawPermutation>,
        /// Number of samples that are drawn in the epoch. It is the number of all samples, or fewer if a smaller last
        /// batch is left out.
        pub(crate) end: u64,
        /// Permutation of the chunks: maps the index of a slot to the index of the chunk in this slot.
        pub(crate) slots: DrawPermutation,
        /// 1 if the samples are shuffled. 0 if they are drawn in the order of `SampleColumns::samples`.
        pub(crate) shuffled: u32,
        /// 1 if the samples are a single batch: every draw then starts at sample 0. 0 if they are a set: a draw then
        /// continues where the draw before ended.
        pub(crate) one_batch: u32,
        /// Number of samples per chunk. Only the last chunk of the set can have fewer.
        pub(crate) chunk_samples: u32,
        /// `chunk_samples` minus the number of samples in the last chunk of the set.
        pub(crate) missing: u32,
        /// Number of slots per window. Only the last window can have fewer.
        pub(crate) window_chunks: u32,
        /// Number of windows in the epoch.
        pub(crate) windows: u32,
        /// Index of the slot with the last chunk of the set, which can have fewer samples than the others.
        pub(crate) short_slot: u32,
    }

    /// Progress of the epoch and of training, in device memory. The kernel `draw` advances it by one batch.
    pub(crate) struct State {
        /// Position in the epoch of the first sample of the next batch.
        pub(crate) next: u64,
        /// Position in the epoch of the first sample of the current batch.
        pub(crate) begin: u64,
        /// Number of updates of the parameters so far, including the update with the current batch.
        pub(crate) updates: u64,
        /// Number of samples in the current batch. 0 if no samples are left in the epoch, or if `stopped` is 1.
        pub(crate) samples: u32,
        /// Index of the current batch, from 0 for the first batch that was drawn in the epoch. If training was resumed
        /// inside the epoch, the batches before the resume don't count.
        pub(crate) batch: u32,
        /// Number of batches drawn in the epoch so far, including the current batch. If training was resumed inside the
        /// epoch, the batches before the resume don't count.
        pub(crate) batches: u32,
        /// 1 if the loss of a batch was NaN or infinite, otherwise 0. If it is 1, the parameters are no longer updated,
        /// and all later batches are empty.
        pub(crate) stopped: u32,
        /// 1 if a neuron of any hidden layer but the last spiked more than 256 times in one step, otherwise 0. Such
        /// spike counts are rounded, because the next layer reads them as bfloat16.
        pub(crate) rounded: u32,
    }

    /// Record of a sample of the current batch, written by the kernel `draw`: where the sample is in the columns, its
    /// number of steps, and its class.
    pub(crate) struct Drawn {
        /// Index of the sample's first element in the column `frame_ends`.
        pub(crate) first_frame: u64,
        /// Index of the sample's first element in the columns `cells` and `counts`.
        pub(crate) first_entry: u64,
        /// Number of frames of the sample.
        pub(crate) frames: u32,
        /// Number of time steps that the sample runs for. It is at least `frames`.
        pub(crate) steps: u32,
        /// Class of the sample, from 0.
        pub(crate) label: u32,
    }

    /// Loss of a batch, and number of correct predictions.
    pub(crate) struct BatchScore {
        /// Mean cross entropy of the samples, weighted by class if there are class weights.
        pub(crate) loss: f64,
        /// Number of samples whose predicted class is their label.
        pub(crate) correct: u32,
        /// Number of samples in the batch.
        pub(crate) samples: u32,
    }

    /// Arguments of the kernel `draw`.
    pub(crate) struct DrawArgs {
        /// Progress of the epoch and of training. The kernel advances it by one batch.
        pub(crate) state: Address<State>,
        /// Order in which the epoch draws the samples.
        pub(crate) order: Address<DrawOrder>,
        /// One record for each sample of the set, or of a single batch: where it is in the columns, its number of
        /// frames, and its class.
        pub(crate) samples: Address<Sample>,
        /// Output: one record for each sample of the batch, (batch,).
        pub(crate) drawn: Address<Drawn>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// Number of steps that each sample runs for; a sample with more frames runs for all its frames. With the value
        /// [`LONGEST_OF_BATCH`](super::program::LONGEST_OF_BATCH), it is the largest number of frames in the batch.
        pub(crate) steps: u32,
    }

    /// Arguments of the kernel `inflate`.
    pub(crate) struct InflateArgs {
        /// Order in which the epoch draws the samples.
        pub(crate) order: Address<DrawOrder>,
        /// Columns of all samples of the set.
        pub(crate) columns: SampleColumns,
        /// Output: dense frames of the batch, (batch, steps, cells).
        pub(crate) dense: Address<f32>,
        /// Position in the epoch of the first sample of the batch.
        pub(crate) position: u64,
        /// Number of frames per sample in the output. Longer samples are cut, and shorter samples are padded with
        /// zeros.
        pub(crate) steps: u32,
        /// Number of cells in a frame.
        pub(crate) cells: u32,
        /// Maximum number of frames that a CUDA block writes.
        pub(crate) block_frames: u32,
        /// Maximum number of cells of each frame that a CUDA block writes.
        pub(crate) block_cells: u32,
    }

    /// Arguments of the kernel `inflate_input`.
    pub(crate) struct InflateInputArgs {
        /// Progress of training. The kernel reads the number of samples in the batch.
        pub(crate) state: Address<State>,
        /// One record for each sample of the batch, (batch,). The kernel `draw` has written them.
        pub(crate) drawn: Address<Drawn>,
        /// Columns of all samples that batches are drawn from.
        pub(crate) columns: SampleColumns,
        /// Output: dense input of the batch, each number as the sum of bfloat16 pieces, (pieces, batch, T, width).
        pub(crate) out: Address<u16>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// T: the maximum number of steps of a sample, rounded up to a multiple of the tile size.
        pub(crate) time: u32,
        /// Number of cells in a frame, rounded up to a multiple of the tile size.
        pub(crate) width: u32,
        /// Maximum number of frames that a CUDA block writes.
        pub(crate) block_frames: u32,
    }

    /// Constants of a layer's neurons, like [`Neuron`](super::iaf::Neuron) on the CPU.
    pub(crate) struct NeuronArgs {
        /// Spike threshold theta, a positive number.
        pub(crate) theta: f32,
        /// 1 / theta.
        pub(crate) reciprocal: f32,
        /// Lower bound of the membrane potential; negative infinity if there is no bound.
        pub(crate) lower: f32,
        /// Largest value of the surrogate gradient sigma, at v = theta.
        pub(crate) peak: f32,
        /// Decay rate of the surrogate gradient: sigma(v) = peak * exp(-rate * |v - theta|).
        pub(crate) rate: f32,
        /// 1 if v / theta and v * (1 / theta) have the same bits for every v, otherwise 0.
        pub(crate) exact: u32,
    }

    /// Arguments of the kernels `iaf_forward` and `iaf_forward_cells`.
    pub(crate) struct ForwardArgs {
        /// Progress of training. The kernels read the number of samples in the batch. In all hidden layers but the
        /// last, they set `rounded` if a neuron spikes more than 256 times in a step.
        pub(crate) state: Address<State>,
        /// One record for each sample of the batch, (batch,). The kernel `draw` has written them.
        pub(crate) drawn: Address<Drawn>,
        /// Constants of the layer's neurons.
        pub(crate) neuron: NeuronArgs,
        /// Columns of all samples that batches are drawn from. Only `iaf_forward_cells`, the kernel of the first layer,
        /// reads them.
        pub(crate) columns: SampleColumns,
        /// Spike counts of the layer before, as bfloat16, (batch, T, before_width). Null in the first layer.
        pub(crate) before: Address<u16>,
        /// Weight matrix W, each weight as the sum of bfloat16 pieces, (pieces, width, before_width). Null in the first
        /// layer.
        pub(crate) pieces: Address<u16>,
        /// Transposed weight matrix W^T in float32, (inputs, neurons). Only `iaf_forward_cells`, the kernel of the
        /// first layer, reads it.
        pub(crate) weights: Address<f32>,
        /// Bias, (neurons,).
        pub(crate) bias: Address<f32>,
        /// Output: membrane potentials, (batch, T, width). Null if the network is only evaluated.
        pub(crate) v: Address<f32>,
        /// Output: spike counts as bfloat16, (batch, T, width). Null in the last hidden layer.
        pub(crate) spikes: Address<u16>,
        /// Output: spike counts summed over time, (batch, width). Null in all hidden layers but the last.
        pub(crate) totals: Address<f32>,
        /// T: the maximum number of steps of a sample, rounded up to a multiple of the tile size.
        pub(crate) time: u32,
        /// Number of neurons, rounded up to a multiple of the tile size.
        pub(crate) width: u32,
        /// Number of neurons of the layer before, rounded up to a multiple of the tile size.
        pub(crate) before_width: u32,
        /// Number of neurons of the layer.
        pub(crate) neurons: u32,
    }

    /// Arguments of the kernel `count_spikes`.
    pub(crate) struct SpikesArgs {
        /// Progress of training. The kernel reads the number of samples in the batch.
        pub(crate) state: Address<State>,
        /// One record for each sample of the batch, (batch,). The kernel `draw` has written them.
        pub(crate) drawn: Address<Drawn>,
        /// Constants of the layer's neurons.
        pub(crate) neuron: NeuronArgs,
        /// Membrane potentials, (batch, T, width).
        pub(crate) v: Address<f32>,
        /// Output: number of spikes of each neuron in each sample, (batch, width).
        pub(crate) spikes: Address<f64>,
        /// Output: number of steps in which each neuron spiked, in each sample, (batch, width).
        pub(crate) active_steps: Address<u32>,
        /// T: the maximum number of steps of a sample, rounded up to a multiple of the tile size.
        pub(crate) time: u32,
        /// Number of neurons, rounded up to a multiple of the tile size.
        pub(crate) width: u32,
        /// Number of neurons of the layer.
        pub(crate) neurons: u32,
    }

    /// Arguments of the kernels `iaf_backward` and `iaf_backward_constant`.
    pub(crate) struct BackwardArgs {
        /// Progress of training. The kernels read the number of samples in the batch.
        pub(crate) state: Address<State>,
        /// One record for each sample of the batch, (batch,). The kernel `draw` has written them.
        pub(crate) drawn: Address<Drawn>,
        /// Constants of the layer's neurons.
        pub(crate) neuron: NeuronArgs,
        /// Gradient of the loss by the input currents of the layer above. Each number is the sum of bfloat16 pieces,
        /// (pieces, batch, T, above_width). Null in the last hidden layer.
        pub(crate) above: Address<u16>,
        /// Transposed weight matrix W^T of the layer above, each weight as the sum of bfloat16 pieces, (pieces, width,
        /// above_width). Null in the last hidden layer.
        pub(crate) pieces: Address<u16>,
        /// Gradient of the loss by the spikes of the last hidden layer, (batch, width). It is the same at every step.
        /// Only `iaf_backward_constant`, the kernel of the last hidden layer, reads it.
        pub(crate) row: Address<f32>,
        /// Membrane potentials, (batch, T, width).
        pub(crate) v: Address<f32>,
        /// Output: gradient of the loss by the input currents (lambda). Each number is the sum of bfloat16 pieces,
        /// (pieces, batch, T, width).
        pub(crate) lambda: Address<u16>,
        /// Output: gradient of the loss by the input currents (lambda), summed over time, (batch, width).
        pub(crate) totals: Address<f32>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// T: the maximum number of steps of a sample, rounded up to a multiple of the tile size.
        pub(crate) time: u32,
        /// Number of neurons, rounded up to a multiple of the tile size.
        pub(crate) width: u32,
        /// Number of neurons of the layer above, rounded up to a multiple of the tile size.
        pub(crate) above_width: u32,
    }

    /// Arguments of the kernels `weight_gradient`, `weight_gradient_input` and `weight_gradient_cells`.
    pub(crate) struct GradientArgs {
        /// Progress of training. The kernels read the number of samples in the batch.
        pub(crate) state: Address<State>,
        /// One record for each sample of the batch, (batch,). The kernel `draw` has written them.
        pub(crate) drawn: Address<Drawn>,
        /// Columns of all samples that batches are drawn from. Only the kernel `weight_gradient_cells` reads them.
        pub(crate) columns: SampleColumns,
        /// Dense input of the layer, as bfloat16. For the kernel `weight_gradient`, it is the spike counts of the layer
        /// before, (batch, T, before_width). For `weight_gradient_input`, it is the output of `inflate_input`, (pieces,
        /// batch, T, before_width). Null for `weight_gradient_cells`.
        pub(crate) before: Address<u16>,
        /// Gradient of the loss by the input currents (lambda). Each number is the sum of bfloat16 pieces, (pieces,
        /// batch, T, width).
        pub(crate) lambda: Address<u16>,
        /// Output: partial sums of the weight gradient, one for each part of the batch, (parts, before_width, width).
        pub(crate) partials: Address<f32>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// T: the maximum number of steps of a sample, rounded up to a multiple of the tile size.
        pub(crate) time: u32,
        /// Number of neurons, rounded up to a multiple of the tile size.
        pub(crate) width: u32,
        /// Number of inputs of the layer, rounded up to a multiple of the tile size.
        pub(crate) before_width: u32,
    }

    /// Arguments of the kernels `readout` and `readout_gradient`.
    pub(crate) struct ReadoutArgs {
        /// Progress of training. Both kernels read the number of samples in the batch. `readout_gradient` sets
        /// `stopped` if the loss of the batch is NaN or infinite.
        pub(crate) state: Address<State>,
        /// One record for each sample of the batch, (batch,). The kernel `draw` has written them.
        pub(crate) drawn: Address<Drawn>,
        /// Spike counts of the last hidden layer summed over time, (batch, width).
        pub(crate) totals: Address<f32>,
        /// Transposed weight matrix W^T of the readout, (neurons, classes).
        pub(crate) weights: Address<f32>,
        /// Bias of the readout, (classes,).
        pub(crate) bias: Address<f32>,
        /// Output of `readout`: logits, (batch, classes).
        pub(crate) logits: Address<f32>,
        /// Output of `readout`: gradient of the loss by the logits, (batch, classes).
        pub(crate) gradient: Address<f32>,
        /// Output of `readout`: loss of each sample. If `by_position` is 1, there is one element for each sample of the
        /// epoch, otherwise one for each sample of the batch.
        pub(crate) losses: Address<f64>,
        /// Output of `readout`: predicted class of each sample. If `by_position` is 1, there is one element for each
        /// sample of the epoch, otherwise one for each sample of the batch.
        pub(crate) predicted: Address<u32>,
        /// Output of `readout`: label of each sample. If `by_position` is 1, there is one element for each sample of
        /// the epoch, otherwise one for each sample of the batch.
        pub(crate) labels: Address<u32>,
        /// Output of `readout`: gradient of the loss by the spikes of the last hidden layer, (batch, width). It is the
        /// same at every step. Null if the network is only evaluated.
        pub(crate) row: Address<f32>,
        /// Output of `readout_gradient`: gradient of W^T, followed by the gradient of the bias as the last row,
        /// (neurons + 1, classes).
        pub(crate) out: Address<f32>,
        /// Weight of each class in the loss, (classes,). Null if the loss is a plain mean.
        pub(crate) class_weights: Address<f32>,
        /// Output of `readout_gradient`: score of each batch of the epoch, (batches,). The kernel writes only the score
        /// of the current batch.
        pub(crate) scores: Address<BatchScore>,
        /// Number of neurons of the last hidden layer, rounded up to a multiple of the tile size.
        pub(crate) width: u32,
        /// Number of neurons of the last hidden layer.
        pub(crate) neurons: u32,
        /// Number of classes.
        pub(crate) classes: u32,
        /// 1 if `losses`, `predicted` and `labels` have one element for each sample of the epoch. 0 if they have one
        /// element for each sample of a batch.
        pub(crate) by_position: u32,
    }

    /// A linear layer, as the kernels `update` and `pack` see it: sizes, partial sums of the gradients, and copies of
    /// the weights.
    pub(crate) struct Layer {
        /// Copy of the weight matrix W for the forward pass. Each weight is the sum of bfloat16 pieces, (pieces,
        /// output_width, input_width). Null in the first layer and in the readout.
        pub(crate) forward: Address<u16>,
        /// Copy of the transposed weight matrix W^T for the backward pass. Each weight is the sum of bfloat16 pieces,
        /// (pieces, input_width, output_width). Null in the first layer, in the readout, and if the network is only
        /// evaluated.
        pub(crate) backward: Address<u16>,
        /// Partial sums of the weight gradient, one for each part of the batch, (splits, input_width, output_width).
        pub(crate) partials: Address<f32>,
        /// Gradient of the bias for each sample, (batch, output_width). Null in the readout, where `partials` has the
        /// gradient of the bias.
        pub(crate) bias_sums: Address<f32>,
        /// Number of inputs.
        pub(crate) inputs: u32,
        /// Number of outputs.
        pub(crate) outputs: u32,
        /// Number of rows of each partial sum. In a hidden layer, it is the number of inputs, rounded up to a multiple
        /// of the tile size. In the readout, it is the number of inputs + 1, and the last row is for the bias.
        pub(crate) input_width: u32,
        /// Number of columns of each partial sum. In a hidden layer, it is the number of outputs, rounded up to a
        /// multiple of the tile size. In the readout, it is the number of outputs.
        pub(crate) output_width: u32,
        /// Number of partial sums in `partials`. The weight gradient is their total.
        pub(crate) splits: u32,
        /// 1 if the layer is the readout, otherwise 0. In the readout, the last row of `partials` is the gradient of
        /// the bias.
        pub(crate) readout: u32,
    }

    /// Arguments of the kernels `update` and `pack`.
    pub(crate) struct UpdateArgs {
        /// Progress of training. `update` reads the number of samples in the batch, the number of updates, and
        /// `stopped`.
        pub(crate) state: Address<State>,
        /// One record for each linear layer, from the first to the readout.
        pub(crate) layers: Address<Layer>,
        /// All weights and biases as one flat list, in the order of [`Parameters`](crate::network::Parameters).
        pub(crate) parameters: Address<f32>,
        /// Output: gradient of each parameter, in the order of `parameters`. Null if the gradients are not needed.
        pub(crate) gradients: Address<f32>,
        /// Adam's moving average m of the gradient of each parameter. If it is null, `update` only computes the
        /// gradients.
        pub(crate) mean: Address<f32>,
        /// Adam's moving average v of the squared gradient of each parameter.
        pub(crate) mean_square: Address<f32>,
        /// Learning rate: one number in device memory.
        pub(crate) lr: Address<f64>,
        /// Number of parameters.
        pub(crate) count: u64,
        /// Adam's beta1, the share of the old value in the moving average m.
        pub(crate) beta1: f64,
        /// Adam's beta2, the share of the old value in the moving average v.
        pub(crate) beta2: f64,
        /// Adam's epsilon: a small number in the denominator, so that the update is finite even if all gradients are 0.
        pub(crate) eps: f64,
    }
}
