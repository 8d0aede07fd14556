//! Structs that the host and the CUDA kernels exchange. Each struct is defined once, in Rust. Its definition in CUDA
//! C++ is generated.
//!
//! Samples are stored as columns of entries ([`SampleColumns`]). An entry is an active cell of a frame, with its count.
//!
//! Arrays over time have the shape (batch, T, neurons). T and the number of neurons are rounded up to multiples of
//! [`TILE`](super::product::TILE). Some arrays have a first dimension "pieces": a number is then the sum of one to
//! three bfloat16 numbers, its pieces. A bfloat16 number has the type `u16` here. lambda is the gradient of the loss by
//! the input currents of a layer. The CUDA sources describe the kernels.

use crate::gpu::{Address, kernel_structs};

kernel_structs! {
    /// Record of a sample in device memory: where its frames are in the columns ([`SampleColumns`]), its number of
    /// frames, and its class.
    pub(crate) struct Sample {
        /// Index of the sample's first element in the column `frame_ends`.
        pub(crate) first_frame: u64,
        /// Index of the sample's first element in the columns `cells` and `counts`.
        pub(crate) first_entry: u64,
        /// Number of frames of the sample.
        pub(crate) frames: u32,
        /// Index of the sample's class, from 0.
        pub(crate) label: u32,
    }

    /// Samples in device memory, as columns. A column is one array with the values of all samples. The first three
    /// columns have the type `u8` here, but their elements really have the types in
    /// [`ColumnTypes`](super::program::ColumnTypes).
    pub(crate) struct SampleColumns {
        /// End of each frame: the index after the frame's last element in `cells` and `counts`, counted from the first
        /// element of the sample.
        pub(crate) frame_ends: Address<u8>,
        /// Index of each active cell in its frame.
        pub(crate) cells: Address<u8>,
        /// Count of each active cell. For time surfaces, it is the value of the cell.
        pub(crate) counts: Address<u8>,
        /// One record for each sample: where its frames are in the other columns, its number of frames, and its class.
        pub(crate) samples: Address<Sample>,
    }

    /// A random permutation of the numbers 0 to n - 1. `key` chooses the permutation. The kernels compute it with a
    /// Feistel network, as `shard/order.rs` does.
    pub(crate) struct DrawPermutation {
        /// One key for each of the eight rounds of the Feistel network.
        pub(crate) key: [u32; 8],
        /// Number of bits in each of the two halves of a number in the Feistel network.
        pub(crate) half_bits: u32,
        /// Size of the permutation, which permutes the numbers 0 to n - 1.
        pub(crate) n: u32,
    }

    /// The order in which an epoch draws the samples. It is computed as in `shard/order.rs`: the chunks of the set are
    /// shuffled into slots, one chunk per slot. Consecutive slots form a window, and the samples of each window are
    /// shuffled.
    pub(crate) struct DrawOrder {
        /// One permutation for each window (a group of consecutive slots), which shuffles the samples of the window.
        /// Null if `shuffled` is 0.
        pub(crate) within: Address<DrawPermutation>,
        /// Number of samples that the epoch draws: all samples, or fewer if a smaller last batch is left out.
        pub(crate) end: u64,
        /// Position in the epoch of the first sample of this order. It is 0 unless the samples are a part of an epoch.
        pub(crate) origin: u64,
        /// Permutation of the chunks: maps the index of a slot to the index of the chunk in that slot.
        pub(crate) slots: DrawPermutation,
        /// 1 if the samples are shuffled. 0 if they are drawn in the order of `SampleColumns::samples`.
        pub(crate) shuffled: u32,
        /// 1 if the samples are a single batch, so that every draw starts at sample 0. 0 if they are a set, so that
        /// each draw starts where the previous draw ended.
        pub(crate) one_batch: u32,
        /// Number of samples in each chunk of the set. Only the last chunk can have fewer samples.
        pub(crate) chunk_samples: u32,
        /// `chunk_samples` minus the number of samples in the last chunk of the set.
        pub(crate) missing: u32,
        /// Number of slots in each window (a group of consecutive slots). Only the last window can have fewer slots.
        pub(crate) window_chunks: u32,
        /// Number of windows (groups of consecutive slots) in the epoch.
        pub(crate) windows: u32,
        /// Index of the slot that has the last chunk of the set. This chunk can have fewer samples than the other
        /// chunks.
        pub(crate) short_slot: u32,
    }

    /// Progress of the epoch and of the whole training, in device memory. The kernel `draw` advances it by one batch.
    pub(crate) struct State {
        /// Position in the order of the epoch at which the next batch begins.
        pub(crate) next: u64,
        /// Position in the order of the epoch at which the current batch begins.
        pub(crate) begin: u64,
        /// Number of updates of the parameters since the start of training, including the update with the current
        /// batch.
        pub(crate) updates: u64,
        /// Number of samples in the current batch. 0 if no samples are left in the epoch, or if `stopped` is 1.
        pub(crate) samples: u32,
        /// Index of the current batch in the epoch, from 0. If training was resumed in the middle of the epoch, the
        /// first batch after the resume has index 0.
        pub(crate) batch: u32,
        /// Number of batches drawn in the epoch so far, including the current batch. If training was resumed in the
        /// middle of the epoch, only the batches after the resume are counted.
        pub(crate) batches: u32,
        /// 1 if the loss of a batch was NaN or infinite, otherwise 0. While it is 1, the parameters are not updated,
        /// and all batches are empty.
        pub(crate) stopped: u32,
        /// 1 if a spike count above 256 was stored for the next hidden layer, otherwise 0. The counts are stored as
        /// bfloat16, which rounds numbers above 256.
        pub(crate) rounded: u32,
    }

    /// Record of a sample of the current batch: where its frames are in the columns, its number of time steps, and its
    /// class. The kernel `draw` writes it.
    pub(crate) struct Drawn {
        /// Index of the sample's first element in the column `frame_ends`.
        pub(crate) first_frame: u64,
        /// Index of the sample's first element in the columns `cells` and `counts`.
        pub(crate) first_entry: u64,
        /// Number of frames of the sample.
        pub(crate) frames: u32,
        /// Number of time steps that the sample runs for. It is at least `frames`.
        pub(crate) steps: u32,
        /// Index of the sample's class, from 0.
        pub(crate) label: u32,
    }

    /// Loss of a batch, and number of its samples that were classified correctly.
    pub(crate) struct BatchScore {
        /// Mean cross entropy of the samples of the batch, weighted by class if there are class weights.
        pub(crate) loss: f64,
        /// Number of samples whose predicted class is their label.
        pub(crate) correct: u32,
        /// Number of samples in the batch.
        pub(crate) samples: u32,
    }

    /// Arguments of the kernel `draw`, which chooses the samples of the next batch.
    pub(crate) struct DrawArgs {
        /// Progress of the epoch and of the whole training. The kernel advances it by one batch.
        pub(crate) state: Address<State>,
        /// Order in which the epoch draws the samples.
        pub(crate) order: Address<DrawOrder>,
        /// One record for each sample that can be drawn, in the order of the set or of the single batch.
        pub(crate) samples: Address<Sample>,
        /// Output: one record for each sample of the chosen batch, (batch,).
        pub(crate) drawn: Address<Drawn>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// Number of time steps that each sample runs for. A sample with more frames runs for all its frames. The value
        /// [`LONGEST_OF_BATCH`](super::program::LONGEST_OF_BATCH) means that every sample runs for as many time steps
        /// as the longest sample of the batch has frames.
        pub(crate) steps: u32,
    }

    /// Arguments of the kernel `inflate`, which writes a batch as dense frames of float32.
    pub(crate) struct InflateArgs {
        /// Order in which the epoch draws the samples.
        pub(crate) order: Address<DrawOrder>,
        /// All samples of the set, as columns.
        pub(crate) columns: SampleColumns,
        /// Output: dense frames of the batch, (batch, steps, cells).
        pub(crate) dense: Address<f32>,
        /// Position in the order of the epoch at which the batch begins.
        pub(crate) position: u64,
        /// Number of frames per sample in the output. Longer samples are cut, and shorter samples are padded with
        /// zeros.
        pub(crate) steps: u32,
        /// Number of cells in a frame.
        pub(crate) cells: u32,
        /// Maximum number of frames that a CUDA block writes. 1 if a block writes only a part of a frame.
        pub(crate) block_frames: u32,
        /// Maximum number of cells of each frame that a CUDA block writes.
        pub(crate) block_cells: u32,
        /// Number of blocks per sample that earlier launches have written: a grid has at most 65,535 blocks in y.
        pub(crate) first_block: u32,
    }

    /// Arguments of the kernel `inflate_input`, which writes a batch as dense frames for the products of the first
    /// layer.
    pub(crate) struct InflateInputArgs {
        /// Progress of training, from which the kernel reads the number of samples in the batch.
        pub(crate) state: Address<State>,
        /// One record for each sample of the batch, (batch,), written by the kernel `draw`.
        pub(crate) drawn: Address<Drawn>,
        /// All samples that batches are drawn from, as columns.
        pub(crate) columns: SampleColumns,
        /// Output: dense frames of the batch, (pieces, batch, T, width). Each count is the sum of its bfloat16 pieces.
        pub(crate) out: Address<u16>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// T: the maximum number of time steps of a sample, rounded up to a multiple of `TILE`.
        pub(crate) time: u32,
        /// Number of cells in a frame, rounded up to a multiple of `TILE`.
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
        /// 1 if v * (1 / theta) has the same bits as v / theta for every v, so that the kernels can multiply. Otherwise
        /// 0, and the kernels divide.
        pub(crate) exact: u32,
    }

    /// Arguments of the kernels `iaf_forward_cells` and `iaf_forward_input` (for the first layer) and `iaf_forward`
    /// (for later hidden layers), which run a layer forward in time.
    pub(crate) struct ForwardArgs {
        /// Progress of training. The kernels read the number of samples in the batch, and set [`State::rounded`] if
        /// they store a spike count above 256.
        pub(crate) state: Address<State>,
        /// One record for each sample of the batch, (batch,), written by the kernel `draw`.
        pub(crate) drawn: Address<Drawn>,
        /// Constants of the layer's neurons.
        pub(crate) neuron: NeuronArgs,
        /// All samples that batches are drawn from, as columns. Only `iaf_forward_cells` reads them.
        pub(crate) columns: SampleColumns,
        /// Dense input of the layer, as bfloat16. For `iaf_forward`, it is the spike counts of the layer before,
        /// (batch, T, before_width). For `iaf_forward_input`, it is the output of `inflate_input`, (pieces, batch, T,
        /// before_width). Null for `iaf_forward_cells`.
        pub(crate) before: Address<u16>,
        /// Weight matrix W, (pieces, width, before_width). Each weight is the sum of its bfloat16 pieces. Null for
        /// `iaf_forward_cells`.
        pub(crate) weight_pieces: Address<u16>,
        /// Transposed weight matrix W^T in float32, (inputs, neurons). Only `iaf_forward_cells` reads it.
        pub(crate) weights: Address<f32>,
        /// Biases of the neurons, (neurons,).
        pub(crate) bias: Address<f32>,
        /// Output: membrane potentials, (batch, T, width). Null if the network is only evaluated.
        pub(crate) v: Address<f32>,
        /// Output: spike counts as bfloat16, (batch, T, width). Null in the last hidden layer.
        pub(crate) spikes: Address<u16>,
        /// Output of the last hidden layer: spike counts summed over time, (batch, width). Null in all other layers.
        pub(crate) totals: Address<f32>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// T: the maximum number of time steps of a sample, rounded up to a multiple of `TILE`.
        pub(crate) time: u32,
        /// Number of neurons of the layer, rounded up to a multiple of `TILE`.
        pub(crate) width: u32,
        /// Number of neurons of the layer before, rounded up to a multiple of `TILE`.
        pub(crate) before_width: u32,
        /// Number of neurons of the layer.
        pub(crate) neurons: u32,
        /// 1 if a block keeps its weights in shared memory. 0 if it loads them again for each tile of time steps.
        pub(crate) resident: u32,
        /// Number of stages of the product, 1 to 3.
        pub(crate) stages: u32,
    }

    /// Arguments of the kernel `count_spikes`, which counts the spikes of a hidden layer.
    pub(crate) struct SpikesArgs {
        /// Progress of training, from which the kernel reads the number of samples in the batch.
        pub(crate) state: Address<State>,
        /// One record for each sample of the batch, (batch,), written by the kernel `draw`.
        pub(crate) drawn: Address<Drawn>,
        /// Constants of the layer's neurons.
        pub(crate) neuron: NeuronArgs,
        /// Membrane potentials of the layer, (batch, T, width).
        pub(crate) v: Address<f32>,
        /// Output: number of spikes of each neuron, for each sample, (batch, width).
        pub(crate) spikes: Address<f64>,
        /// Output: number of time steps in which each neuron spiked at least once, for each sample, (batch, width).
        pub(crate) active_steps: Address<u32>,
        /// T: the maximum number of time steps of a sample, rounded up to a multiple of `TILE`.
        pub(crate) time: u32,
        /// Number of neurons of the layer, rounded up to a multiple of `TILE`.
        pub(crate) width: u32,
        /// Number of neurons of the layer.
        pub(crate) neurons: u32,
    }

    /// Arguments of the kernels `iaf_backward_constant` (for the last hidden layer) and `iaf_backward` (for earlier
    /// hidden layers), which run a layer backward in time.
    pub(crate) struct BackwardArgs {
        /// Progress of training, from which the kernels read the number of samples in the batch.
        pub(crate) state: Address<State>,
        /// One record for each sample of the batch, (batch,), written by the kernel `draw`.
        pub(crate) drawn: Address<Drawn>,
        /// Constants of the layer's neurons.
        pub(crate) neuron: NeuronArgs,
        /// Gradient of the loss by the input currents of the next hidden layer, (pieces, batch, T, above_width). Each
        /// number is the sum of its bfloat16 pieces. Null in the last hidden layer.
        pub(crate) above: Address<u16>,
        /// Transposed weight matrix W^T of the next hidden layer, (pieces, width, above_width). Each weight is the sum
        /// of its bfloat16 pieces. Null in the last hidden layer.
        pub(crate) weight_pieces: Address<u16>,
        /// Gradient of the loss by the spikes of the last hidden layer, (batch, width). It is the same at every time
        /// step. Only `iaf_backward_constant`, the kernel of the last hidden layer, reads it.
        pub(crate) row: Address<f32>,
        /// Membrane potentials of the layer, (batch, T, width).
        pub(crate) v: Address<f32>,
        /// Output: lambda, the gradient of the loss by the layer's input currents, (pieces, batch, T, width). Each
        /// number is the sum of its bfloat16 pieces.
        pub(crate) lambda: Address<u16>,
        /// Output: lambda, the gradient of the loss by the layer's input currents, summed over time, (batch, width).
        pub(crate) totals: Address<f32>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// T: the maximum number of time steps of a sample, rounded up to a multiple of `TILE`.
        pub(crate) time: u32,
        /// Number of neurons of the layer, rounded up to a multiple of `TILE`.
        pub(crate) width: u32,
        /// Number of neurons of the next hidden layer, rounded up to a multiple of `TILE`. 0 in the last hidden layer.
        pub(crate) above_width: u32,
        /// 1 if a block keeps its weights in shared memory. 0 if it loads them again for each tile of time steps.
        pub(crate) resident: u32,
        /// 1 if the results of the product have shared memory of their own. 0 if they reuse a stage.
        pub(crate) apart: u32,
        /// Number of stages of the product, 1 to 3.
        pub(crate) stages: u32,
    }

    /// Arguments of the kernels `weight_gradient`, `weight_gradient_input` and `weight_gradient_cells`, which compute
    /// the weight gradient of a hidden layer. The last two are for the first layer.
    pub(crate) struct GradientArgs {
        /// Progress of training, from which the kernels read the number of samples in the batch.
        pub(crate) state: Address<State>,
        /// One record for each sample of the batch, (batch,), written by the kernel `draw`.
        pub(crate) drawn: Address<Drawn>,
        /// All samples that batches are drawn from, as columns. Only the kernel `weight_gradient_cells` reads them.
        pub(crate) columns: SampleColumns,
        /// Dense input of the layer, as bfloat16. For the kernel `weight_gradient`, it is the spike counts of the layer
        /// before, (batch, T, before_width). For `weight_gradient_input`, it is the output of `inflate_input`, (pieces,
        /// batch, T, before_width). Null for `weight_gradient_cells`.
        pub(crate) before: Address<u16>,
        /// Lambda, the gradient of the loss by the layer's input currents, (pieces, batch, T, width). Each number is
        /// the sum of its bfloat16 pieces.
        pub(crate) lambda: Address<u16>,
        /// Output: partial sums of the gradient of W^T, (splits, before_width, width). The samples of the batch are
        /// split, and each split has one partial sum.
        pub(crate) partials: Address<f32>,
        /// Maximum number of samples in a batch.
        pub(crate) batch_size: u32,
        /// T: the maximum number of time steps of a sample, rounded up to a multiple of `TILE`.
        pub(crate) time: u32,
        /// Number of neurons of the layer, rounded up to a multiple of `TILE`.
        pub(crate) width: u32,
        /// Number of inputs of the layer, rounded up to a multiple of `TILE`.
        pub(crate) before_width: u32,
        /// Number of stages of the product, 1 to 3.
        pub(crate) stages: u32,
    }

    /// Arguments of the kernels `readout`, which computes the logits and the loss of each sample, and
    /// `readout_gradient`, which computes the gradients of the readout's parameters, and the loss and number of correct
    /// predictions of the batch.
    pub(crate) struct ReadoutArgs {
        /// Progress of training. Both kernels read the number of samples in the batch. `readout_gradient` sets
        /// `stopped` if the loss of the batch is NaN or infinite.
        pub(crate) state: Address<State>,
        /// One record for each sample of the batch, (batch,), written by the kernel `draw`.
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
        /// Output of `readout`: loss of each sample. If `by_position` is 1, it has one element for each sample of the
        /// epoch. Otherwise it has one element for each sample of the batch.
        pub(crate) losses: Address<f64>,
        /// Output of `readout`: predicted class of each sample. If `by_position` is 1, it has one element for each
        /// sample of the epoch. Otherwise it has one element for each sample of the batch.
        pub(crate) predicted: Address<u32>,
        /// Output of `readout`: label of each sample. If `by_position` is 1, it has one element for each sample of the
        /// epoch. Otherwise it has one element for each sample of the batch.
        pub(crate) labels: Address<u32>,
        /// Output of `readout`: gradient of the loss by the spikes of the last hidden layer, (batch, width). It is the
        /// same at every time step. Null if the network is only evaluated.
        pub(crate) row: Address<f32>,
        /// Output of `readout_gradient`: gradient of the loss by the readout's parameters, (neurons + 1, classes). The
        /// last row is for the bias, and the rows before it are for W^T.
        pub(crate) out: Address<f32>,
        /// Weight of each class in the loss, (classes,). Null if the loss is a plain mean.
        pub(crate) class_weights: Address<f32>,
        /// Output of `readout_gradient`: loss and number of correct predictions of each batch of the epoch, (batches,).
        /// A launch writes only the element of the current batch.
        pub(crate) scores: Address<BatchScore>,
        /// Number of neurons of the last hidden layer, rounded up to a multiple of `TILE`.
        pub(crate) width: u32,
        /// Number of neurons of the last hidden layer.
        pub(crate) neurons: u32,
        /// Number of classes.
        pub(crate) classes: u32,
        /// 1 if `losses`, `predicted` and `labels` have one element for each sample of the epoch. 0 if they have one
        /// element for each sample of the batch.
        pub(crate) by_position: u32,
    }

    /// A linear layer, as the kernels `update` and `pack` need it: its sizes, the partial sums of its gradients, and
    /// copies of its weights.
    pub(crate) struct Layer {
        /// Copy of the weight matrix W for the forward pass, (pieces, output_width, input_width). Each weight is the
        /// sum of its bfloat16 pieces. Null in the first layer and in the readout.
        pub(crate) forward: Address<u16>,
        /// Copy of the transposed weight matrix W^T for the backward pass, (pieces, input_width, output_width). Each
        /// weight is the sum of its bfloat16 pieces. Null in the first layer and in the readout, and if the network is
        /// only evaluated.
        pub(crate) backward: Address<u16>,
        /// Partial sums of the gradient of W^T, (splits, input_width, output_width). The samples of the batch are
        /// split, and each split has one partial sum.
        pub(crate) partials: Address<f32>,
        /// Gradient of the bias for each sample, (batch, output_width). Null in the readout, where `partials` has the
        /// gradient of the bias.
        pub(crate) bias_sums: Address<f32>,
        /// Index of the layer's first weight in the network's flat list of parameters.
        pub(crate) at: u64,
        /// Number of inputs of the layer.
        pub(crate) inputs: u32,
        /// Number of outputs of the layer.
        pub(crate) outputs: u32,
        /// Number of rows of each partial sum in `partials`. In a hidden layer, it is the number of inputs, rounded up
        /// to a multiple of `TILE`. In the readout, it is the number of inputs + 1, and the last row is for the bias.
        pub(crate) input_width: u32,
        /// Number of columns of each partial sum in `partials`. In a hidden layer, it is the number of outputs, rounded
        /// up to a multiple of `TILE`. In the readout, it is the number of outputs.
        pub(crate) output_width: u32,
        /// Number of partial sums in `partials`. The gradient of W^T is the sum of all of them.
        pub(crate) splits: u32,
        /// 1 if the layer is the readout, otherwise 0. In the readout, the last row of `partials` is the gradient of
        /// the bias.
        pub(crate) readout: u32,
    }

    /// Arguments of the kernels `update`, which updates the parameters with Adam, and `pack`, which copies the weights
    /// for the matrix products.
    pub(crate) struct UpdateArgs {
        /// Progress of training. Only `update` reads it: the number of samples in the batch, the number of updates, and
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
        /// Learning rate, as one number in device memory.
        pub(crate) lr: Address<f64>,
        /// Adam's beta1, the share of the old value in the moving average m.
        pub(crate) beta1: f64,
        /// Adam's beta2, the share of the old value in the moving average v.
        pub(crate) beta2: f64,
        /// Adam's epsilon: a small number that is added to the denominator of the update, so that the update is finite
        /// even if all gradients are 0.
        pub(crate) eps: f64,
    }
}
