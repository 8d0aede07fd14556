//! Structs that the host and the CUDA kernels exchange, each defined once for both.
//!
//! Matrices over time are (batch, T, neurons), with T and neurons rounded up to whole tiles of
//! `TILE`. bfloat16 numbers are `u16` here. The sources describe what each kernel does.

use std::sync::atomic::{AtomicU64, Ordering};

use tonic_shard::{OrderParts, Permutation};

use crate::gpu::{Address, kernel_structs};

kernel_structs! {
    /// A sample: where its columns start, its frames and its label.
    pub(crate) struct Sample {
        /// Number of its first frame among all.
        pub(crate) first_frame: u64,
        /// Number of its first entry among all.
        pub(crate) first_entry: u64,
        /// Number of frames, T.
        pub(crate) frames: u32,
        /// Label.
        pub(crate) label: u32,
    }

    /// Columns of many samples, at the widths of the program's form.
    pub(crate) struct SampleColumns {
        /// For each frame, the end of its entries in its sample.
        pub(crate) frame_ends: Address<u8>,
        /// Cell of each entry.
        pub(crate) cells: Address<u8>,
        /// Count of each entry, or a surface's value.
        pub(crate) counts: Address<u8>,
        /// Table of the samples.
        pub(crate) samples: Address<Sample>,
    }

    /// A keyed permutation of 0..n, as `shard/order.rs` has it.
    pub(crate) struct DrawPermutation {
        /// Key of each round.
        pub(crate) key: [u32; 8],
        /// Half of the number of permuted bits.
        pub(crate) half_bits: u32,
        /// Number of elements.
        pub(crate) n: u32,
    }

    /// The order of an epoch, as `shard/order.rs` has it.
    pub(crate) struct DrawOrder {
        /// Permutation of each window's samples.
        pub(crate) within: Address<DrawPermutation>,
        /// Number of positions of the epoch that are used.
        pub(crate) end: u64,
        /// Permutation of slots to chunks.
        pub(crate) slots: DrawPermutation,
        /// Whether samples are permuted.
        pub(crate) shuffled: u32,
        /// Whether the samples are one batch, so that every draw starts at position 0.
        pub(crate) streamed: u32,
        /// Samples per chunk.
        pub(crate) chunk_samples: u32,
        /// Samples by which the last chunk is shorter.
        pub(crate) missing: u32,
        /// Slots per window.
        pub(crate) window_chunks: u32,
        /// Number of windows.
        pub(crate) windows: u32,
        /// Slot of the last chunk.
        pub(crate) short_slot: u32,
    }

    /// State of training.
    pub(crate) struct State {
        /// Position of the next batch in the epoch.
        pub(crate) next: u64,
        /// Position of this batch.
        pub(crate) begin: u64,
        /// Number of updates, with this batch's.
        pub(crate) updates: u64,
        /// Samples of this batch.
        pub(crate) samples: u32,
        /// Number of this batch in the epoch.
        pub(crate) batch: u32,
        /// Number of batches drawn in the epoch.
        pub(crate) batches: u32,
        /// Whether a loss was not finite, after which nothing more is done.
        pub(crate) stopped: u32,
        /// Whether a neuron spiked more than 256 times in a step, which bfloat16 rounds.
        pub(crate) rounded: u32,
    }

    /// A sample of the batch.
    pub(crate) struct Drawn {
        /// Number of its first frame among all.
        pub(crate) first_frame: u64,
        /// Number of its first entry among all.
        pub(crate) first_entry: u64,
        /// Number of frames, T.
        pub(crate) frames: u32,
        /// Number of steps.
        pub(crate) steps: u32,
        /// Label.
        pub(crate) label: u32,
    }

    /// How well a batch was classified.
    pub(crate) struct BatchScore {
        /// Mean cross entropy.
        pub(crate) loss: f64,
        /// Number of samples that were classified correctly.
        pub(crate) correct: u32,
        /// Number of samples.
        pub(crate) samples: u32,
    }

    /// Arguments of `draw`.
    pub(crate) struct DrawArgs {
        /// State of training, written.
        pub(crate) state: Address<State>,
        /// Order of the epoch.
        pub(crate) order: Address<DrawOrder>,
        /// Samples of the set, or of the batch.
        pub(crate) samples: Address<Sample>,
        /// The batch, (batch), written.
        pub(crate) drawn: Address<Drawn>,
        /// Most samples of a batch.
        pub(crate) batch_size: u32,
        /// Least steps of every sample, or [`LONGEST_OF_BATCH`](super::program::LONGEST_OF_BATCH).
        pub(crate) steps: u32,
    }

    /// Arguments of `inflate`.
    pub(crate) struct InflateArgs {
        /// Order of the epoch.
        pub(crate) order: Address<DrawOrder>,
        /// Columns of the set.
        pub(crate) columns: SampleColumns,
        /// Dense batch, (batch, T, C), written.
        pub(crate) dense: Address<f32>,
        /// Position of the batch in the epoch.
        pub(crate) position: u64,
        /// Number of frames, T.
        pub(crate) steps: u32,
        /// Cells of a frame, C.
        pub(crate) cells: u32,
        /// Frames that a block writes.
        pub(crate) block_frames: u32,
        /// Cells that a block writes.
        pub(crate) block_cells: u32,
    }

    /// Arguments of `inflate_input`.
    pub(crate) struct InflateInputArgs {
        /// Size of the batch.
        pub(crate) state: Address<State>,
        /// The batch.
        pub(crate) drawn: Address<Drawn>,
        /// The input.
        pub(crate) columns: SampleColumns,
        /// Input in pieces, (input pieces, batch, T, width), written.
        pub(crate) out: Address<u16>,
        /// Most samples of a batch.
        pub(crate) batch_size: u32,
        /// T, rounded up.
        pub(crate) time: u32,
        /// Cells, rounded up.
        pub(crate) width: u32,
        /// Frames that a block writes.
        pub(crate) block_frames: u32,
    }

    /// Neurons of a layer; see [`Neuron`](super::iaf::Neuron).
    pub(crate) struct NeuronArgs {
        /// Threshold.
        pub(crate) theta: f32,
        /// 1 / theta.
        pub(crate) reciprocal: f32,
        /// Lower bound of the membrane potential, or negative infinity.
        pub(crate) lower: f32,
        /// The surrogate's largest value.
        pub(crate) peak: f32,
        /// Decay of the surrogate.
        pub(crate) rate: f32,
        /// Whether v / theta is v * (1 / theta) to the bit.
        pub(crate) exact: u32,
    }

    /// Arguments of `iaf_forward` and `iaf_forward_cells`.
    pub(crate) struct ForwardArgs {
        /// State of training, whose `rounded` is written.
        pub(crate) state: Address<State>,
        /// The batch.
        pub(crate) drawn: Address<Drawn>,
        /// The layer's neurons.
        pub(crate) neuron: NeuronArgs,
        /// First layer: columns of the input.
        pub(crate) columns: SampleColumns,
        /// Other layers: spikes of the layer before, (batch, T, before_width).
        pub(crate) before: Address<u16>,
        /// Other layers: W in pieces, (pieces, width, before_width).
        pub(crate) pieces: Address<u16>,
        /// First layer: W^T, (inputs, neurons).
        pub(crate) weights: Address<f32>,
        /// Bias, (neurons).
        pub(crate) bias: Address<f32>,
        /// Membrane potentials, (batch, T, width), written; null without training.
        pub(crate) v: Address<f32>,
        /// Spikes, (batch, T, width), written; null for the last layer.
        pub(crate) spikes: Address<u16>,
        /// Spikes summed over time, (batch, width), written; null for all but the last layer.
        pub(crate) totals: Address<f32>,
        /// T, rounded up.
        pub(crate) time: u32,
        /// Neurons, rounded up.
        pub(crate) width: u32,
        /// Neurons of the layer before, rounded up.
        pub(crate) before_width: u32,
        /// Neurons.
        pub(crate) neurons: u32,
    }

    /// Arguments of `iaf_backward` and `iaf_backward_constant`.
    pub(crate) struct BackwardArgs {
        /// Size of the batch.
        pub(crate) state: Address<State>,
        /// The batch.
        pub(crate) drawn: Address<Drawn>,
        /// The layer's neurons.
        pub(crate) neuron: NeuronArgs,
        /// Lambda of the layer above in pieces, (pieces, batch, T, above_width).
        pub(crate) above: Address<u16>,
        /// W^T of the layer above in pieces, (pieces, width, above_width).
        pub(crate) pieces: Address<u16>,
        /// Below the readout: g, the same at every step, (batch, width).
        pub(crate) row: Address<f32>,
        /// Membrane potentials, (batch, T, width).
        pub(crate) v: Address<f32>,
        /// Lambda in pieces, (pieces, batch, T, width), written.
        pub(crate) lambda: Address<u16>,
        /// Lambda summed over time, (batch, width), written.
        pub(crate) totals: Address<f32>,
        /// Most samples of a batch.
        pub(crate) batch_size: u32,
        /// T, rounded up.
        pub(crate) time: u32,
        /// Neurons, rounded up.
        pub(crate) width: u32,
        /// Neurons of the layer above, rounded up.
        pub(crate) above_width: u32,
    }

    /// Arguments of `weight_gradient`, `weight_gradient_input` and `weight_gradient_cells`.
    pub(crate) struct GradientArgs {
        /// Size of the batch.
        pub(crate) state: Address<State>,
        /// The batch.
        pub(crate) drawn: Address<Drawn>,
        /// `weight_gradient_cells`: columns of the input.
        pub(crate) columns: SampleColumns,
        /// The others: output of `inflate_input`, or spikes of the layer before, (batch, T, before_width).
        pub(crate) before: Address<u16>,
        /// Lambda in pieces, (pieces, batch, T, width).
        pub(crate) lambda: Address<u16>,
        /// Parts of the gradient, (splits, before_width, width), written.
        pub(crate) partials: Address<f32>,
        /// Most samples of a batch.
        pub(crate) batch_size: u32,
        /// T, rounded up.
        pub(crate) time: u32,
        /// Neurons, rounded up.
        pub(crate) width: u32,
        /// Inputs, rounded up.
        pub(crate) before_width: u32,
    }

    /// Arguments of `readout` and `readout_gradient`.
    pub(crate) struct ReadoutArgs {
        /// State of training, whose `stopped` the second writes.
        pub(crate) state: Address<State>,
        /// The batch.
        pub(crate) drawn: Address<Drawn>,
        /// Spikes of the last hidden layer summed over time, (batch, width).
        pub(crate) totals: Address<f32>,
        /// W^T, (neurons, classes).
        pub(crate) weights: Address<f32>,
        /// Bias, (classes).
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
        /// Gradients of weights and bias, (neurons + 1, classes), which the second writes.
        pub(crate) out: Address<f32>,
        /// Score of each batch of the epoch, which the second writes.
        pub(crate) scores: Address<BatchScore>,
        /// Neurons, rounded up.
        pub(crate) width: u32,
        /// Neurons of the last layer.
        pub(crate) neurons: u32,
        /// Number of classes.
        pub(crate) classes: u32,
        /// Whether `losses`, `predicted` and `labels` have the whole epoch.
        pub(crate) by_position: u32,
    }

    /// A linear layer: the parts of its gradient, and the copies of its weights.
    pub(crate) struct Layer {
        /// W in pieces for the currents, (pieces, output_width, input_width); null if it is not needed.
        pub(crate) forward: Address<u16>,
        /// W^T in pieces for the gradient of the inputs, (pieces, input_width, output_width); null if it is not needed.
        pub(crate) backward: Address<u16>,
        /// Parts of the weight gradient, (splits, input_width, output_width).
        pub(crate) partials: Address<f32>,
        /// Gradient of the bias by sample, (batch, output_width).
        pub(crate) bias_sums: Address<f32>,
        /// Number of inputs.
        pub(crate) inputs: u32,
        /// Number of outputs.
        pub(crate) outputs: u32,
        /// Inputs, rounded up.
        pub(crate) input_width: u32,
        /// Outputs, rounded up.
        pub(crate) output_width: u32,
        /// Number of parts of the gradient.
        pub(crate) splits: u32,
        /// Whether this is the readout. The gradient of its bias is the last row of that of its weights.
        pub(crate) readout: u32,
    }

    /// Arguments of `update` and `pack`.
    pub(crate) struct UpdateArgs {
        /// Size of the batch, and number of updates.
        pub(crate) state: Address<State>,
        /// All layers, in order.
        pub(crate) layers: Address<Layer>,
        /// Parameters, flat, in the order of [`Parameters`](crate::network::Parameters).
        pub(crate) parameters: Address<f32>,
        /// Gradients, flat, written; may be null.
        pub(crate) gradients: Address<f32>,
        /// Adam's mean gradient; null to make no update.
        pub(crate) mean: Address<f32>,
        /// Adam's mean squared gradient.
        pub(crate) mean_square: Address<f32>,
        /// Learning rate.
        pub(crate) lr: Address<f64>,
        /// Number of parameters.
        pub(crate) count: u64,
        /// Decay of the mean gradient.
        pub(crate) beta1: f64,
        /// Decay of the mean squared gradient.
        pub(crate) beta2: f64,
        /// Keeps the step finite if gradients vanish.
        pub(crate) eps: f64,
    }
}

/// Where batches are drawn from: columns of samples in device memory, and their order.
#[derive(Clone, Copy, Debug)]
pub struct BatchSource {
    /// Unique for these addresses, so that recorded work is never replayed on freed memory.
    pub(crate) id: u64,
    /// Columns of the set, or of a batch.
    pub(crate) columns: SampleColumns,
    /// Order of the epoch, or of the batch.
    pub(crate) order: Address<DrawOrder>,
}

impl BatchSource {
    /// Makes a source with a unique id.
    pub(crate) fn new(columns: SampleColumns, order: Address<DrawOrder>) -> BatchSource {
        static IDS: AtomicU64 = AtomicU64::new(0);
        BatchSource { id: IDS.fetch_add(1, Ordering::Relaxed), columns, order }
    }
}

impl From<&Permutation> for DrawPermutation {
    fn from(of: &Permutation) -> DrawPermutation {
        DrawPermutation { key: of.key, half_bits: of.half_bits, n: of.n }
    }
}

impl DrawOrder {
    /// The first `end` positions of an epoch's permutation; those of its windows are at `within`.
    pub(crate) fn shuffled(parts: &OrderParts, within: Address<DrawPermutation>, end: u64) -> DrawOrder {
        DrawOrder {
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

    /// Samples in their order, all in one batch.
    pub(crate) fn sequential(samples: u64) -> DrawOrder {
        DrawOrder {
            within: Address::null(),
            end: samples,
            slots: DrawPermutation { key: [0; 8], half_bits: 1, n: 0 },
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
