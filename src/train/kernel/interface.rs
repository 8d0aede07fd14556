//! Structs that the host and the CUDA kernels exchange. Their definitions in CUDA C++ are generated.
//!
//! Shapes such as (batch_size, time, width) use the names of fields. "Pieces" are bfloat16 numbers (here `u16`) whose
//! sum is one number of higher precision. lambda is the gradient of the loss with respect to the outputs of a linear
//! layer, which are the input currents of neurons without norm.

use crate::gpu::{Address, kernel_structs};
use crate::kernel::iaf::Neuron;

kernel_structs! {
    /// A sample in GPU memory: where it starts in [`SampleColumns`], its number of frames, and its class.
    pub(crate) struct Sample {
        /// Index of the sample's first element in the column `frame_ends`.
        pub(crate) first_frame: u64,
        /// Index of the sample's first element in the columns `cells` and `counts`.
        pub(crate) first_entry: u64,
        pub(crate) frames: u32,
        /// Index of the sample's class, from 0.
        pub(crate) label: u32,
        /// Index of the sample in its set, from which the key of its random numbers is made. With
        /// [`DrawOrder::one_batch`], that key itself.
        pub(crate) key: u64,
    }

    /// Samples in GPU memory, as one array per column. Columns declared as `u8` have the types in
    /// [`ColumnTypes`](super::program::ColumnTypes).
    pub(crate) struct SampleColumns {
        /// For each frame, the number of the sample's active cells up to the end of this frame.
        pub(crate) frame_ends: Address<u8>,
        /// Index of each active cell in its frame.
        pub(crate) cells: Address<u8>,
        /// Count of each active cell, or the value of the cell in time surfaces.
        pub(crate) counts: Address<u8>,
        pub(crate) samples: Address<Sample>,
    }

    /// A random permutation of the numbers 0 to n - 1, computed with a Feistel network as in `shard/order.rs`.
    pub(crate) struct DrawPermutation {
        /// A key for each of the eight rounds of the Feistel network.
        pub(crate) key: [u32; 8],
        /// Number of bits in each half of a number in the Feistel network.
        pub(crate) half_bits: u32,
        /// Length of the permutation.
        pub(crate) n: u32,
    }

    /// The order of the samples in an epoch, computed as in `shard/order.rs`.
    pub(crate) struct DrawOrder {
        /// One permutation for the samples of each window (a group of chunks). Null if `shuffled` is 0.
        pub(crate) window_permutations: Address<DrawPermutation>,
        /// Number of samples in this order.
        pub(crate) end: u64,
        /// Position in the epoch at which this order starts. 0 for a whole epoch.
        pub(crate) first: u64,
        /// The key of the epoch, from which the keys of its samples are made.
        pub(crate) epoch_key: u64,
        /// The order of the chunks: maps a position among the shuffled chunks to the index of a chunk in the set.
        pub(crate) slots: DrawPermutation,
        /// 1 if the samples are shuffled, 0 if they keep their order.
        pub(crate) shuffled: u32,
        /// 1 if the samples are a single batch, which every draw repeats.
        pub(crate) one_batch: u32,
        /// Number of samples in each chunk of the set, except the last chunk.
        pub(crate) chunk_samples: u32,
        /// `chunk_samples` minus the number of samples in the last chunk of the set.
        pub(crate) missing: u32,
        /// Number of chunks in each window, except the last window.
        pub(crate) window_chunks: u32,
        /// Number of windows in the epoch.
        pub(crate) windows: u32,
        /// Position of the set's last chunk among the shuffled chunks. Only this chunk can be shorter than the others.
        pub(crate) short_slot: u32,
    }

    /// State of the epoch and of training, in GPU memory. The kernel `draw` advances it by one batch.
    pub(crate) struct State {
        /// Where the next batch begins: a position in the epoch.
        pub(crate) next: u64,
        /// Where the current batch begins: a position in the epoch.
        pub(crate) begin: u64,
        /// Number of parameter updates since the start of training, including the current batch's update.
        pub(crate) updates: u64,
        /// Number of samples in the current batch. 0 at the end of the epoch, or if `stopped` is 1.
        pub(crate) samples: u32,
        /// Index of the current batch, counted from 0 at the start of the epoch or at a resume.
        pub(crate) batch: u32,
        /// Number of batches drawn since the start of the epoch, or since a resume.
        pub(crate) batches: u32,
        /// 1 after a loss or a potential that is NaN or infinite. Later batches are then empty, and the parameters
        /// don't change.
        pub(crate) stopped: u32,
        /// Number of the lowest hidden layer, from 1, with a potential that is NaN or infinite. 0 if there is none.
        pub(crate) overflowed: u32,
        /// 1 if a neuron spiked more than 256 times in a time step, so that its spike count was rounded to bfloat16.
        pub(crate) rounded: u32,
    }

    /// A sample of the current batch, as the kernel `draw` chose it.
    pub(crate) struct Drawn {
        /// Index of the sample's first element in the column `frame_ends`.
        pub(crate) first_frame: u64,
        /// Index of the sample's first element in the columns `cells` and `counts`.
        pub(crate) first_entry: u64,
        pub(crate) frames: u32,
        /// Number of time steps that the sample runs for, at least `frames`.
        pub(crate) steps: u32,
        /// Index of the sample's class, from 0.
        pub(crate) label: u32,
        /// Key from which the sample's random numbers in this epoch are drawn.
        pub(crate) key: u64,
    }

    pub(crate) struct BatchScore {
        /// Loss of the batch: the mean cross entropy, weighted by class if there are class weights, plus the penalty.
        pub(crate) loss: f64,
        /// Penalty for spike rates.
        pub(crate) penalty: f64,
        pub(crate) correct: u32,
        pub(crate) samples: u32,
        /// [`State::overflowed`] after the batch.
        pub(crate) overflowed: u32,
    }

    /// Arguments of the kernel `draw`, which chooses the samples of the next batch.
    pub(crate) struct DrawArgs {
        pub(crate) state: Address<State>,
        pub(crate) order: Address<DrawOrder>,
        pub(crate) samples: Address<Sample>,
        /// Output: the samples of the chosen batch, (batch_size,).
        pub(crate) drawn: Address<Drawn>,
        pub(crate) batch_size: u32,
        /// Number of time steps per sample, or [`LONGEST_OF_BATCH`](super::program::LONGEST_OF_BATCH). Longer
        /// samples run for all their frames.
        pub(crate) steps: u32,
    }

    /// Arguments of the kernel `inflate`, which writes a batch as dense float32 frames.
    pub(crate) struct InflateArgs {
        pub(crate) order: Address<DrawOrder>,
        pub(crate) columns: SampleColumns,
        /// Output: dense frames, (batch, steps, cells).
        pub(crate) dense: Address<f32>,
        /// Where the batch begins: an index in `order`.
        pub(crate) position: u64,
        /// Number of frames per sample in the output. Longer samples are cut, shorter samples are padded with zeros.
        pub(crate) steps: u32,
        pub(crate) cells: u32,
        /// Maximum number of frames that a CUDA block writes. 1 if a block writes only a part of a frame.
        pub(crate) block_frames: u32,
        /// In each frame, a CUDA block writes at most this many cells.
        pub(crate) block_cells: u32,
        /// Number of CUDA blocks per sample that earlier launches for the same batches have run.
        pub(crate) first_block: u32,
    }

    /// Arguments of the kernel `inflate_input`, which writes a batch as dense bfloat16 frames for the first layer.
    pub(crate) struct InflateInputArgs {
        pub(crate) state: Address<State>,
        pub(crate) drawn: Address<Drawn>,
        pub(crate) columns: SampleColumns,
        /// Output: dense frames, (pieces, batch_size, time, width). A count is the sum of its bfloat16 pieces.
        pub(crate) out: Address<u16>,
        pub(crate) batch_size: u32,
        /// Maximum number of time steps per sample, rounded up to a multiple of `TILE`.
        pub(crate) time: u32,
        /// Number of cells in a frame, rounded up to a multiple of `TILE`.
        pub(crate) width: u32,
        /// Maximum number of frames that a CUDA block writes.
        pub(crate) block_frames: u32,
    }

    /// Constants of the neurons, like [`Neuron`](super::iaf::Neuron) on the CPU.
    pub(crate) struct NeuronArgs {
        /// Spike threshold theta, a positive number.
        pub(crate) theta: f32,
        /// 1 / theta.
        pub(crate) reciprocal: f32,
        /// Lower bound of the membrane potential. Negative infinity without a bound.
        pub(crate) lower: f32,
        /// Largest value of the surrogate gradient sigma. It is reached at v = theta.
        pub(crate) peak: f32,
        /// Decay rate of the surrogate gradient: sigma(v) = peak * exp(-rate * |v - theta|).
        pub(crate) rate: f32,
        /// Largest number below theta.
        pub(crate) largest_silent: f32,
        /// 1 if v * (1 / theta) and v / theta have the same bits for every v.
        pub(crate) exact: u32,
        /// 1 if a neuron spikes at most once per time step.
        pub(crate) single: u32,
    }

    /// Arguments of `iaf_forward_cells` and `iaf_forward_input` (first layer), and of `iaf_forward` (other layers).
    pub(crate) struct ForwardArgs {
        pub(crate) state: Address<State>,
        pub(crate) drawn: Address<Drawn>,
        pub(crate) neuron: NeuronArgs,
        /// The samples, which only `iaf_forward_cells` reads.
        pub(crate) columns: SampleColumns,
        /// Dense bfloat16 input, (batch_size, time, before_width), or (pieces, batch_size, time, before_width) in
        /// the first layer. Null with sparse input.
        pub(crate) before: Address<u16>,
        /// Weight matrix W as bfloat16 pieces, (pieces, width, before_width). Null for `iaf_forward_cells`.
        pub(crate) weight_pieces: Address<u16>,
        /// Transposed weight matrix W^T, (inputs, neurons), which only `iaf_forward_cells` reads.
        pub(crate) weights: Address<f32>,
        /// Biases, (neurons,).
        pub(crate) bias: Address<f32>,
        /// Output: membrane potentials, (batch_size, time, width). Null in an evaluation.
        pub(crate) v: Address<f32>,
        /// Output: spike counts as bfloat16, (batch_size, time, width). Null in the last hidden layer.
        pub(crate) spikes: Address<u16>,
        /// Output: spike counts summed over time, (batch_size, width). Null except in the last hidden layer.
        pub(crate) totals: Address<f32>,
        pub(crate) batch_size: u32,
        /// Maximum number of time steps per sample, rounded up to a multiple of `TILE`.
        pub(crate) time: u32,
        /// Number of neurons, rounded up to a multiple of `TILE`.
        pub(crate) width: u32,
        /// Number of inputs of the layer, rounded up to a multiple of `TILE`.
        pub(crate) before_width: u32,
        pub(crate) neurons: u32,
        /// 1 if a CUDA block keeps its weights in shared memory during all time steps.
        pub(crate) resident: u32,
        /// Number of buffers for operands of the matrix product, 1 to 3.
        pub(crate) stages: u32,
        /// Index of the hidden layer, from 0.
        pub(crate) layer: u32,
    }

    /// Arguments of the kernel `count_spikes`, which counts the spikes of a hidden layer.
    pub(crate) struct SpikesArgs {
        pub(crate) state: Address<State>,
        pub(crate) drawn: Address<Drawn>,
        pub(crate) neuron: NeuronArgs,
        /// Membrane potentials of the layer, (batch_size, time, width).
        pub(crate) v: Address<f32>,
        /// Output: number of spikes of each neuron in each sample, (batch_size, width).
        pub(crate) spikes: Address<f64>,
        /// Output: number of time steps with a spike, for each neuron in each sample, (batch_size, width).
        pub(crate) active_steps: Address<u32>,
        /// Maximum number of time steps per sample, rounded up to a multiple of `TILE`.
        pub(crate) time: u32,
        /// Number of neurons, rounded up to a multiple of `TILE`.
        pub(crate) width: u32,
        pub(crate) neurons: u32,
    }

    /// Arguments of `iaf_backward_constant` (last hidden layer) and `iaf_backward` (other hidden layers).
    pub(crate) struct BackwardArgs {
        pub(crate) state: Address<State>,
        pub(crate) drawn: Address<Drawn>,
        pub(crate) neuron: NeuronArgs,
        /// Gradient for the input currents of the next hidden layer, (pieces, batch_size, time, above_width). Null
        /// in the last hidden layer.
        pub(crate) above: Address<u16>,
        /// W^T of the next hidden layer, (pieces, width, above_width). Null in the last hidden layer.
        pub(crate) weight_pieces: Address<u16>,
        /// Gradient for the last hidden layer's spikes, the same at every time step, (batch_size, width).
        pub(crate) row: Address<f32>,
        /// Gradient of the penalty for spike rates, the same at every time step, (batch_size, width). Null without
        /// penalty.
        pub(crate) rates: Address<f32>,
        /// Membrane potentials of the layer, (batch_size, time, width).
        pub(crate) v: Address<f32>,
        /// Output: gradient of the loss with respect to the layer's input currents, (pieces, batch_size, time, width).
        pub(crate) lambda: Address<u16>,
        /// Output: `lambda` summed over time, (batch_size, width).
        pub(crate) totals: Address<f32>,
        pub(crate) batch_size: u32,
        /// Maximum number of time steps per sample, rounded up to a multiple of `TILE`.
        pub(crate) time: u32,
        /// Number of neurons, rounded up to a multiple of `TILE`.
        pub(crate) width: u32,
        /// Number of neurons of the next hidden layer, rounded up to a multiple of `TILE`. 0 in the last hidden layer.
        pub(crate) above_width: u32,
        /// 1 if a CUDA block keeps its weights in shared memory during all time steps.
        pub(crate) resident: u32,
        /// 1 if the results of the matrix product have their own shared memory, 0 if they overwrite operands.
        pub(crate) apart: u32,
        /// Number of buffers for operands of the matrix product, 1 to 3.
        pub(crate) stages: u32,
    }

    /// Arguments of `weight_gradient_input` and `weight_gradient_cells` (first layer), and `weight_gradient` (others).
    pub(crate) struct GradientArgs {
        pub(crate) state: Address<State>,
        pub(crate) drawn: Address<Drawn>,
        /// The samples, which only `weight_gradient_cells` reads.
        pub(crate) columns: SampleColumns,
        /// Dense bfloat16 input, (batch_size, time, before_width), or (pieces, batch_size, time, before_width) in
        /// the first layer. Null with sparse input.
        pub(crate) before: Address<u16>,
        /// Gradient of the loss with respect to the layer's input currents, (pieces, batch_size, time, width).
        pub(crate) lambda: Address<u16>,
        /// Output: partial sums of the gradient of W^T over groups of samples, (splits, before_width, width).
        pub(crate) partials: Address<f32>,
        pub(crate) batch_size: u32,
        /// Maximum number of time steps per sample, rounded up to a multiple of `TILE`.
        pub(crate) time: u32,
        /// Number of neurons, rounded up to a multiple of `TILE`.
        pub(crate) width: u32,
        /// Number of inputs of the layer, rounded up to a multiple of `TILE`.
        pub(crate) before_width: u32,
        /// Number of buffers for operands of the matrix product, 1 to 3.
        pub(crate) stages: u32,
    }

    /// Arguments of `readout` (logits and losses), `readout_gradient` (gradients of the readout's parameters), and
    /// `cross_entropy` (losses for given logits).
    pub(crate) struct ReadoutArgs {
        pub(crate) state: Address<State>,
        pub(crate) drawn: Address<Drawn>,
        /// Spike counts of the last hidden layer summed over time, (batch_size, width).
        pub(crate) totals: Address<f32>,
        /// Transposed weight matrix W^T of the readout, (neurons, classes).
        pub(crate) weights: Address<f32>,
        /// Biases of the readout, (classes,).
        pub(crate) bias: Address<f32>,
        /// Output of `readout`: logits, (batch_size, classes).
        pub(crate) logits: Address<f32>,
        /// Output of `readout`: gradient of the loss with respect to the logits, (batch_size, classes).
        pub(crate) gradient: Address<f32>,
        /// Output of `readout`: loss of each sample of the epoch or of the batch, see `by_position`.
        pub(crate) losses: Address<f64>,
        /// Output of `readout`: predicted class of each sample of the epoch or of the batch, see `by_position`.
        pub(crate) predicted: Address<u32>,
        /// Output of `readout`: label of each sample of the epoch or of the batch, see `by_position`.
        pub(crate) labels: Address<u32>,
        /// Output of `readout`: gradient for the last hidden layer's spikes, (batch_size, width). Null in an
        /// evaluation.
        pub(crate) row: Address<f32>,
        /// Output of `readout_gradient`: gradients of W^T and, in the last row, of the biases, (neurons + 1, classes).
        pub(crate) out: Address<f32>,
        /// Weight of each class in the loss, (classes,). Null if the loss is the plain mean.
        pub(crate) class_weights: Address<f32>,
        /// Output with label smoothing: loss of each sample, with its class weights but not yet divided by the sum of
        /// the batch's weights, (batch_size,). Null without label smoothing.
        pub(crate) smoothed: Address<f64>,
        /// Penalty for the spike rates of each hidden layer in each sample, (penalty_layers, batch_size). Null without
        /// a penalty.
        pub(crate) penalties: Address<f64>,
        /// Sum of the weights of all classes.
        pub(crate) weight_sum: f64,
        /// Sum of the weights of the batch's samples on all ranks. 0 if this process has the whole batch: the kernels
        /// then add up the weights themselves.
        pub(crate) whole_weight: f64,
        /// Label smoothing, from 0 to below 1.
        pub(crate) smoothing: f64,
        /// Output of `readout_gradient`: loss and correct predictions of each batch of the epoch, (batches,).
        pub(crate) scores: Address<BatchScore>,
        /// Number of neurons of the last hidden layer, rounded up to a multiple of `TILE`.
        pub(crate) width: u32,
        pub(crate) neurons: u32,
        pub(crate) classes: u32,
        /// 1 if `losses`, `predicted` and `labels` have one element per sample of the epoch, 0 if one per sample of the
        /// batch.
        pub(crate) by_position: u32,
        /// Number of layers with a penalty for spike rates.
        pub(crate) penalty_layers: u32,
        pub(crate) batch_size: u32,
    }
}

impl From<&Neuron> for NeuronArgs {
    fn from(neuron: &Neuron) -> NeuronArgs {
        NeuronArgs {
            theta: neuron.theta,
            reciprocal: 1.0 / neuron.theta,
            lower: neuron.min_v_mem.unwrap_or(f32::NEG_INFINITY),
            peak: neuron.peak,
            rate: neuron.rate,
            largest_silent: neuron.largest_silent(),
            exact: neuron.has_exact_reciprocal().into(),
            single: neuron.is_single.into(),
        }
    }
}
