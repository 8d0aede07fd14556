//! Structs that the host passes to the CUDA kernels of layered networks: batch norm, dropout, cells
//! with learned parameters, leaky readouts. `interface.rs` explains shapes and terms.
//!
//! `width` is the number of neurons or classes of a layer, rounded up to a multiple of `TILE`. "y" is the output of the
//! linear layer, and "I" the input current of the neurons: y after the norm.

use crate::gpu::{Address, kernel_structs};
use crate::kernel::cell::CONSTANTS;
use crate::kernel::interface::{Drawn, NeuronArgs, SampleColumns, State};

kernel_structs! {
    /// Arguments of the products of a linear layer: `outputs`, `outputs_input` and `outputs_cells` compute y, and
    /// `input_gradient` the gradient for the layer's input.
    pub(crate) struct OutputsArgs {
        pub(crate) state: Address<State>,
        pub(crate) drawn: Address<Drawn>,
        /// The samples, which only `outputs_cells` reads.
        pub(crate) columns: SampleColumns,
        /// Left operand in bfloat16, (pieces, batch_size, time, before_width). Null for `outputs_cells`.
        pub(crate) before: Address<u16>,
        /// Right operand in bfloat16, (PIECES, width, before_width). Null for `outputs_cells`.
        pub(crate) weight_pieces: Address<u16>,
        /// Transposed weight matrix W^T, (inputs, neurons), which only `outputs_cells` reads.
        pub(crate) weights: Address<f32>,
        /// Biases, (neurons,). Null without biases.
        pub(crate) bias: Address<f32>,
        /// Output: the product times `scale`, plus the biases, (batch_size, time, width).
        pub(crate) out: Address<f32>,
        pub(crate) batch_size: u32,
        /// Maximum number of time steps per sample, rounded up to a multiple of `TILE`.
        pub(crate) time: u32,
        pub(crate) width: u32,
        pub(crate) before_width: u32,
        pub(crate) neurons: u32,
        /// 1 if a CUDA block keeps its part of the right operand in shared memory during all time steps.
        pub(crate) resident: u32,
        /// Number of buffers for operands of the matrix product, 1 to 3.
        pub(crate) stages: u32,
        pub(crate) scale: f32,
    }

    /// Arguments of `norm_sums`, `norm_statistics`, `norm_backward` and `norm_follow`.
    pub(crate) struct NormArgs {
        pub(crate) state: Address<State>,
        pub(crate) drawn: Address<Drawn>,
        /// Outputs of the linear layer, (batch_size, time, width).
        pub(crate) y: Address<f32>,
        /// Sums of y and of y^2 over the time steps of each sample, (2, batch_size, width).
        pub(crate) sums: Address<f64>,
        /// Totals over all samples of the batch: the number of time steps, the sum of y and the sum of y^2, (3, width).
        /// Null if this process has the whole batch. Otherwise, `norm_statistics` is launched twice: the first launch
        /// writes the totals of this rank, and the second reads the totals of all ranks.
        pub(crate) totals: Address<f64>,
        /// gamma and beta, (channels,) each. Null in a layer without norm.
        pub(crate) gamma: Address<f32>,
        pub(crate) beta: Address<f32>,
        /// Running mean and running variance, (2, channels).
        pub(crate) running: Address<f32>,
        /// Output in training: mean and unbiased variance of the batch, (2, channels).
        pub(crate) batch: Address<f32>,
        /// Output: scale, shift and mean, (3, width). I = y * scale + shift.
        pub(crate) norm: Address<f32>,
        /// Output: 1 / sqrt(variance + eps), (width,).
        pub(crate) inverse: Address<f64>,
        /// a, b and c, (3, width). dL/dy = a dL/dI + b (y - mean) + c.
        pub(crate) coefficients: Address<f32>,
        /// dL/dI, (batch_size, time, width).
        pub(crate) gradient: Address<f32>,
        /// Output of `norm_backward`: dL/dy in bfloat16, (PIECES, batch_size, time, width).
        pub(crate) lambda: Address<u16>,
        pub(crate) batch_size: u32,
        pub(crate) time: u32,
        pub(crate) width: u32,
        pub(crate) channels: u32,
        /// Weight of a batch in the running statistics.
        pub(crate) momentum: f32,
        /// 1 in evaluations, which use the running statistics.
        pub(crate) evaluates: u32,
        /// 1 if `totals` has the sums of all ranks.
        pub(crate) has_totals: u32,
    }

    /// Arguments of `dropout_masks`.
    pub(crate) struct MaskArgs {
        pub(crate) state: Address<State>,
        pub(crate) drawn: Address<Drawn>,
        /// Output: one bit for each neuron, (batch_size, time, tiles). Bit j of a word is 1 if the neuron
        /// `tile * MASK_TILE + j` is kept.
        pub(crate) masks: Address<u32>,
        pub(crate) batch_size: u32,
        pub(crate) time: u32,
        pub(crate) tiles: u32,
        /// Probability that a neuron is kept, times 2^`MASK_DIGITS`.
        pub(crate) kept: u32,
        /// 1 if a sample has one mask for all time steps.
        pub(crate) per_sample: u32,
        /// Index of the layer.
        pub(crate) layer: u32,
    }

    /// A parameter of all neurons of a layer.
    pub(crate) struct ParameterArgs {
        /// Values, (neurons,). Null if all neurons have the value `fixed`.
        pub(crate) values: Address<f32>,
        pub(crate) fixed: f32,
        /// Range to which values are clamped when they are used.
        pub(crate) low: f32,
        pub(crate) high: f32,
    }

    /// Arguments of `cell_constants`, `cell_forward`, `cell_backward` and `layer_gradient`.
    pub(crate) struct CellArgs {
        pub(crate) state: Address<State>,
        pub(crate) drawn: Address<Drawn>,
        pub(crate) parameters: [ParameterArgs; CONSTANTS],
        /// Constants of integrate-and-fire neurons.
        pub(crate) neuron: NeuronArgs,
        /// Constants of each neuron, (CONSTANTS, width), which `cell_constants` writes.
        pub(crate) constants: Address<f32>,
        /// Outputs of the linear layer, (batch_size, time, width).
        pub(crate) y: Address<f32>,
        /// Scale, shift and mean of the norm, (3, width).
        pub(crate) norm: Address<f32>,
        /// Masks of dropout, (batch_size, time, width / MASK_TILE). Null without dropout.
        pub(crate) masks: Address<u32>,
        /// Output of `cell_forward`: spikes after dropout in bfloat16, not scaled, (batch_size, time, width).
        pub(crate) spikes: Address<u16>,
        /// States before every CELL_AHEAD steps, (batch_size, time / CELL_AHEAD, 2, width). Null in evaluations.
        pub(crate) checkpoints: Address<f32>,
        /// dL/ds on input, dL/dI on output, (batch_size, time, width).
        pub(crate) gradient: Address<f32>,
        /// Gradient of the penalty for spike rates, which is added to dL/ds, (batch_size, width). Null without penalty.
        pub(crate) rates: Address<f32>,
        /// Sums over the time steps of each sample, (SUMS, batch_size, width): first the gradients of the cell's
        /// constants, then the sum of dL/dI, then the sum of dL/dI * (y - mean).
        pub(crate) sums: Address<f32>,
        /// Totals of `sums` over the samples of the batch, and the number of time steps of these samples,
        /// (SUMS + 1, width). Null without norm, or if this process has the whole batch. Otherwise, `layer_gradient` is
        /// launched twice: the first launch writes the totals of this rank, the second reads those of all ranks.
        pub(crate) totals: Address<f64>,
        /// Output: number of spikes before dropout and number of time steps with a spike, (batch_size, width). Null if
        /// nobody needs them.
        pub(crate) counted: Address<f64>,
        pub(crate) active_steps: Address<u32>,
        /// gamma of the norm, (neurons,). Null without norm.
        pub(crate) gamma: Address<f32>,
        /// 1 / sqrt(variance + eps) of the norm, (width,).
        pub(crate) inverse: Address<f64>,
        /// Output of `layer_gradient`: the coefficients of [`NormArgs`], (3, width).
        pub(crate) coefficients: Address<f32>,
        /// Output of `layer_gradient`: the gradients of gamma, of beta, of the linear layer's biases, and of each
        /// parameter of the cell, (VECTORS, width).
        pub(crate) vectors: Address<f32>,
        pub(crate) batch_size: u32,
        pub(crate) time: u32,
        pub(crate) width: u32,
        pub(crate) neurons: u32,
        /// Number that stands for the kind of cell: `CELL_IAF`, `CELL_LEAKY`, or a number in `CUDA_CELLS`.
        pub(crate) cell: u32,
        /// Number that stands for the surrogate's formula, and the two constants of this formula.
        pub(crate) surrogate: u32,
        pub(crate) surrogate_a: f32,
        pub(crate) surrogate_b: f32,
        /// Index of the layer, from 0: part of the key of random initial states, and the source of
        /// [`State::overflowed`].
        pub(crate) layer: u32,
        /// Number of state variables that start at random numbers. 0 if all states start at 0.
        pub(crate) random_states: u32,
        /// 1 if `totals` has the sums of all ranks.
        pub(crate) has_totals: u32,
    }

    /// Arguments of `reduce` and `reduce_backward`: the readout over time, without its linear layer.
    pub(crate) struct ReduceArgs {
        pub(crate) state: Address<State>,
        pub(crate) drawn: Address<Drawn>,
        /// Outputs of the linear layer, (batch_size, time, width).
        pub(crate) y: Address<f32>,
        /// Scale, shift and mean of the norm, (3, width).
        pub(crate) norm: Address<f32>,
        /// Decay factor of each class's integrator. Not used by the sum.
        pub(crate) leak: ParameterArgs,
        /// Values of the integrators, (batch_size, time, width). Not used by the sum.
        pub(crate) values: Address<f32>,
        /// For each step, the largest value m over the classes and the sum of e^(value - m), (batch_size, time, 2).
        /// Only for the softmax.
        pub(crate) softmax: Address<f32>,
        /// Output of `reduce`, (batch_size, classes).
        pub(crate) logits: Address<f32>,
        /// Gradient for the logits, (batch_size, classes).
        pub(crate) errors: Address<f32>,
        /// Output of `reduce_backward`: dL/dI, (batch_size, time, width).
        pub(crate) gradient: Address<f32>,
        /// Output of `reduce_backward`: sums over time, as in [`CellArgs`]. The first is the gradient for the leak.
        pub(crate) sums: Address<f32>,
        pub(crate) batch_size: u32,
        pub(crate) time: u32,
        pub(crate) width: u32,
        pub(crate) classes: u32,
        /// `REDUCE_SUM`, `REDUCE_SOFTMAX`, `REDUCE_MAX` or `REDUCE_LAST`.
        pub(crate) reduction: u32,
        /// Index of the layer, from 0: part of the key of random initial states.
        pub(crate) layer: u32,
        /// 1 if the integrators start at random numbers.
        pub(crate) random_states: u32,
    }

    /// Arguments of `spike_rates`: the penalty for the spike rates of a hidden layer.
    pub(crate) struct RateArgs {
        pub(crate) state: Address<State>,
        pub(crate) drawn: Address<Drawn>,
        /// Number of spikes of each neuron in each sample, (batch_size, width).
        pub(crate) counted: Address<f64>,
        /// Output: gradient of the penalty with respect to the spikes, the same at every step, (batch_size, width).
        pub(crate) rates: Address<f32>,
        /// Output: penalty of each sample, (batch_size,).
        pub(crate) penalties: Address<f64>,
        /// Smallest wanted number of spikes of a neuron per time step.
        pub(crate) least: f64,
        /// Largest wanted number of spikes of a neuron per time step.
        pub(crate) most: f64,
        /// Factor of the penalty in the loss.
        pub(crate) weight: f64,
        /// Number of samples in the batch, on all ranks together. 0 if this process has the whole batch.
        pub(crate) whole_samples: f64,
        pub(crate) width: u32,
        pub(crate) neurons: u32,
    }
}
