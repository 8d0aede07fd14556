//! What the host and the CUDA kernels hand each other: one definition of every struct, for both.
//!
//! Matrices over time are (batch, T, neurons), T and neurons rounded up to whole tiles of [`TILE`]; bfloat16 numbers are
//! `u16` here. The kernels of each file and what they do are described there.

use std::sync::atomic::{AtomicU64, Ordering};

use super::cuda::{Address, KernelStruct};
use crate::kernel_struct;
use crate::shard::order::{self, OrderParts};

/// Time steps, and neurons, of a tile of the CUDA kernels.
pub const TILE: usize = 64;

kernel_struct! {
    /// Where a sample's columns begin, and what it is.
    pub struct Sample {
        /// Its first frame, among all.
        pub first_frame: u64,
        /// Its first entry, among all.
        pub first_entry: u64,
        /// T.
        pub frames: u32,
        /// Its class.
        pub label: u32,
    }

    /// The columns of many samples, at the widths of the program's form.
    pub struct Columns {
        /// Of each frame, where its entries end in its sample.
        pub frame_ends: Address<u8>,
        /// Of each entry, its cell.
        pub cells: Address<u8>,
        /// Of each entry, its count, or a surface's value.
        pub counts: Address<u8>,
        /// Of each sample.
        pub samples: Address<Sample>,
    }

    /// A keyed permutation of 0..n, as `shard/order.rs` has it.
    pub struct Permutation {
        /// Of each round.
        pub key: [u32; 8],
        /// Half of the bits that are permuted.
        pub half_bits: u32,
        /// How many.
        pub n: u32,
    }

    /// The order of an epoch, as `shard/order.rs` has it.
    pub struct Order {
        /// Of each window, what permutes its samples.
        pub within: Address<Permutation>,
        /// Positions of the epoch that are used.
        pub end: u64,
        /// Which chunk is in which slot.
        pub slots: Permutation,
        /// Whether samples are permuted at all.
        pub shuffled: u32,
        /// Whether every batch begins at position 0, being all there is.
        pub streamed: u32,
        /// Samples of a chunk.
        pub chunk_samples: u32,
        /// Samples that the last chunk has not.
        pub missing: u32,
        /// Slots of a window.
        pub window_chunks: u32,
        /// Windows.
        pub windows: u32,
        /// The slot of the last chunk.
        pub short_slot: u32,
    }

    /// Where training is.
    pub struct State {
        /// Position of the next batch in the epoch.
        pub next: u64,
        /// Position of this batch.
        pub begin: u64,
        /// Updates made, this batch's included.
        pub updates: u64,
        /// Samples of this batch.
        pub samples: u32,
        /// Its number in the epoch.
        pub batch: u32,
        /// Batches drawn in the epoch.
        pub batches: u32,
        /// Whether a loss was not finite: nothing happens any more.
        pub stopped: u32,
        /// Whether a neuron spiked more than 256 times in a step, which bfloat16 rounds.
        pub rounded: u32,
    }

    /// A sample of the batch.
    pub struct Drawn {
        /// Its first frame.
        pub first_frame: u64,
        /// Its first entry.
        pub first_entry: u64,
        /// T.
        pub frames: u32,
        /// Steps that it runs for.
        pub steps: u32,
        /// Its class.
        pub label: u32,
    }

    /// How well a batch was classified.
    pub struct Score {
        /// Mean cross entropy.
        pub loss: f64,
        /// Samples classified rightly.
        pub correct: u32,
        /// Samples.
        pub samples: u32,
    }

    /// Of `draw`.
    pub struct DrawArgs {
        /// Written.
        pub state: Address<State>,
        /// The epoch's.
        pub order: Address<Order>,
        /// All of the set, or of the batch.
        pub samples: Address<Sample>,
        /// (batch), written.
        pub drawn: Address<Drawn>,
        /// Samples of a batch at most.
        pub batch_size: u32,
        /// Steps of every sample at least; 2^32 - 1 for the batch's longest.
        pub steps: u32,
    }

    /// Of `inflate`.
    pub struct InflateArgs {
        /// The epoch's.
        pub order: Address<Order>,
        /// The set's.
        pub columns: Columns,
        /// (batch, T, C), written.
        pub dense: Address<f32>,
        /// Where the batch begins.
        pub position: u64,
        /// T.
        pub steps: u32,
        /// C.
        pub cells: u32,
        /// Frames of a block.
        pub block_frames: u32,
        /// Cells of a block.
        pub block_cells: u32,
    }

    /// Of `inflate_input`.
    pub struct InflateInputArgs {
        /// The batch's size.
        pub state: Address<State>,
        /// The batch.
        pub drawn: Address<Drawn>,
        /// The input.
        pub columns: Columns,
        /// In pieces, (input pieces, batch, T, width), written.
        pub out: Address<u16>,
        /// Samples of a batch at most.
        pub batch_size: u32,
        /// T, rounded up.
        pub time: u32,
        /// Cells, rounded up.
        pub width: u32,
        /// Frames of a block.
        pub block_frames: u32,
    }

    /// A layer's neurons; see [`Neuron`](super::iaf::Neuron).
    pub struct NeuronArgs {
        /// Threshold.
        pub theta: f32,
        /// 1 / theta.
        pub reciprocal: f32,
        /// Lower bound of the membrane potential, or negative infinity.
        pub lower: f32,
        /// The surrogate's largest value.
        pub peak: f32,
        /// How fast it falls off.
        pub rate: f32,
        /// Whether v / theta is v * (1 / theta) to the bit.
        pub exact: u32,
    }

    /// Of `iaf_forward` and `iaf_forward_cells`.
    pub struct ForwardArgs {
        /// `rounded` is written.
        pub state: Address<State>,
        /// The batch.
        pub drawn: Address<Drawn>,
        /// The layer's neurons.
        pub neuron: NeuronArgs,
        /// Of the first layer: the input.
        pub columns: Columns,
        /// Of the others: the spikes of the layer before, (batch, T, before_width).
        pub before: Address<u16>,
        /// Of the others: W in pieces, (pieces, width, before_width).
        pub pieces: Address<u16>,
        /// Of the first layer: W^T, (inputs, neurons).
        pub weights: Address<f32>,
        /// (neurons)
        pub bias: Address<f32>,
        /// (batch, T, width), written; null where nothing is trained.
        pub v: Address<f32>,
        /// (batch, T, width), written; null for the last layer.
        pub spikes: Address<u16>,
        /// (batch, width), each sample's spikes, written; null for all but the last layer.
        pub totals: Address<f32>,
        /// T, rounded up.
        pub time: u32,
        /// Neurons, rounded up.
        pub width: u32,
        /// Those of the layer before, rounded up.
        pub before_width: u32,
        /// Neurons.
        pub neurons: u32,
    }

    /// Of `iaf_backward` and `iaf_backward_constant`.
    pub struct BackwardArgs {
        /// The batch's size.
        pub state: Address<State>,
        /// The batch.
        pub drawn: Address<Drawn>,
        /// The layer's neurons.
        pub neuron: NeuronArgs,
        /// Lambda of the layer above in pieces, (pieces, batch, T, above_width).
        pub above: Address<u16>,
        /// W^T of the layer above in pieces, (pieces, width, above_width).
        pub pieces: Address<u16>,
        /// Below the readout: g, the same at each step, (batch, width).
        pub row: Address<f32>,
        /// (batch, T, width)
        pub v: Address<f32>,
        /// In pieces, (pieces, batch, T, width), written.
        pub lambda: Address<u16>,
        /// Lambda summed over time, (batch, width), written.
        pub totals: Address<f32>,
        /// Samples of a batch at most.
        pub batch_size: u32,
        /// T, rounded up.
        pub time: u32,
        /// Neurons, rounded up.
        pub width: u32,
        /// Those of the layer above, rounded up.
        pub above_width: u32,
    }

    /// Of `weight_gradient`, `weight_gradient_input` and `weight_gradient_cells`.
    pub struct GradientArgs {
        /// The batch's size.
        pub state: Address<State>,
        /// The batch.
        pub drawn: Address<Drawn>,
        /// Of the last: the input.
        pub columns: Columns,
        /// Of the others: what `inflate_input` made, or the spikes of the layer before, (batch, T, before_width).
        pub before: Address<u16>,
        /// In pieces, (pieces, batch, T, width).
        pub lambda: Address<u16>,
        /// (splits, before_width, width), written.
        pub partials: Address<f32>,
        /// Samples of a batch at most.
        pub batch_size: u32,
        /// T, rounded up.
        pub time: u32,
        /// Neurons, rounded up.
        pub width: u32,
        /// Inputs, rounded up.
        pub before_width: u32,
    }

    /// Of `readout` and `readout_gradient`.
    pub struct ReadoutArgs {
        /// `stopped` is written by the second.
        pub state: Address<State>,
        /// The batch.
        pub drawn: Address<Drawn>,
        /// The last layer's spikes of each sample, (batch, width).
        pub totals: Address<f32>,
        /// W^T, (neurons, classes).
        pub weights: Address<f32>,
        /// (classes)
        pub bias: Address<f32>,
        /// (batch, classes), written.
        pub logits: Address<f32>,
        /// Of the loss by the logits, (batch, classes), written.
        pub gradient: Address<f32>,
        /// Of each sample of the batch, or of the epoch, written.
        pub losses: Address<f64>,
        /// The same.
        pub predicted: Address<u32>,
        /// The same: its class.
        pub labels: Address<u32>,
        /// Of the loss by each spike, (batch, width), written; null where nothing is trained.
        pub row: Address<f32>,
        /// Gradients of weights and bias, (neurons + 1, classes), written by the second.
        pub out: Address<f32>,
        /// Of each batch of the epoch, written by the second.
        pub scores: Address<Score>,
        /// Neurons, rounded up.
        pub width: u32,
        /// Neurons of the last layer.
        pub neurons: u32,
        /// Classes.
        pub classes: u32,
        /// Whether `losses`, `predicted` and `labels` are the epoch's.
        pub by_position: u32,
    }

    /// A linear layer: where its gradients come from, and where its weights go.
    pub struct Layer {
        /// W in pieces for the currents, (pieces, output_width, input_width); null where it is not read so.
        pub forward: Address<u16>,
        /// W^T in pieces for the gradient of the inputs, (pieces, input_width, output_width); null likewise.
        pub backward: Address<u16>,
        /// Its gradient in parts, (splits, input_width, output_width).
        pub partials: Address<f32>,
        /// Its bias' gradient by sample, (batch, output_width).
        pub bias_sums: Address<f32>,
        /// Inputs.
        pub inputs: u32,
        /// Outputs.
        pub outputs: u32,
        /// Inputs, as they lie.
        pub input_width: u32,
        /// Outputs, as they lie.
        pub output_width: u32,
        /// Parts of the gradient.
        pub splits: u32,
        /// Whether it is the readout, whose bias' gradient is the last row of its weights'.
        pub readout: u32,
    }

    /// Of `update` and `pack`.
    pub struct UpdateArgs {
        /// The batch's size, and the updates made.
        pub state: Address<State>,
        /// All, in order.
        pub layers: Address<Layer>,
        /// Flat, in the order of [`Parameters`](crate::train::snn::Parameters).
        pub parameters: Address<f32>,
        /// Flat, written; may be null.
        pub gradients: Address<f32>,
        /// Adam's; null to make no update.
        pub mean: Address<f32>,
        /// Adam's.
        pub mean_square: Address<f32>,
        /// The learning rate.
        pub lr: Address<f64>,
        /// Parameters.
        pub count: u64,
        /// Adam's.
        pub beta1: f64,
        /// Adam's.
        pub beta2: f64,
        /// Adam's.
        pub eps: f64,
    }
}

/// Where batches are drawn from: the columns of samples in device memory, and an order of them.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Another for other addresses, so that recorded work is not replayed on memory that is gone.
    pub id: u64,
    /// Of the set, or of a batch.
    pub columns: Columns,
    /// Of the epoch, or of the batch.
    pub order: Address<Order>,
}

impl Source {
    /// Of an id that no other has.
    pub fn new(columns: Columns, order: Address<Order>) -> Source {
        static IDS: AtomicU64 = AtomicU64::new(0);
        Source { id: IDS.fetch_add(1, Ordering::Relaxed), columns, order }
    }
}

impl From<&order::Permutation> for Permutation {
    fn from(of: &order::Permutation) -> Permutation {
        Permutation { key: of.key, half_bits: of.half_bits, n: of.n }
    }
}

impl Order {
    /// The first `end` positions of an epoch's permutation, whose windows' are at `within`.
    pub fn shuffled(parts: &OrderParts, within: Address<Permutation>, end: u64) -> Order {
        Order {
            within,
            end,
            slots: (&parts.slots).into(),
            shuffled: 1,
            streamed: 0,
            chunk_samples: parts.chunk_samples,
            missing: parts.missing,
            window_chunks: parts.window_chunks,
            windows: parts.within.len() as u32,
            short_slot: parts.short_slot,
        }
    }

    /// Samples as they lie, all in one batch.
    pub fn sequential(samples: u64) -> Order {
        Order {
            within: Address::null(),
            end: samples,
            slots: Permutation { key: [0; 8], half_bits: 1, n: 0 },
            shuffled: 0,
            streamed: 1,
            chunk_samples: 1,
            missing: 0,
            window_chunks: 1,
            windows: 0,
            short_slot: 0,
        }
    }
}

/// The definitions of all of them in CUDA C++, each before those that hold it.
pub fn declarations() -> String {
    [
        Sample::declaration(),
        Columns::declaration(),
        Permutation::declaration(),
        Order::declaration(),
        State::declaration(),
        Drawn::declaration(),
        Score::declaration(),
        DrawArgs::declaration(),
        InflateArgs::declaration(),
        InflateInputArgs::declaration(),
        NeuronArgs::declaration(),
        ForwardArgs::declaration(),
        BackwardArgs::declaration(),
        GradientArgs::declaration(),
        ReadoutArgs::declaration(),
        Layer::declaration(),
        UpdateArgs::declaration(),
    ]
    .concat()
}
