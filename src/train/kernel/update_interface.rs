//! Structs that the host passes to the CUDA kernels of the optimiser. `interface.rs` explains shapes and terms.

use crate::gpu::{Address, kernel_structs};
use crate::kernel::interface::State;

kernel_structs! {
    /// A linear layer, for the kernels `update` and `pack`: sizes, gradients, and copies of the weights. Each tensor of
    /// other parameters is a layer without inputs and with one row.
    pub(crate) struct UpdatedLayer {
        /// Copy of W for the forward pass, (pieces, output_width, input_width). Null if no kernel reads it.
        pub(crate) forward: Address<u16>,
        /// Copy of W^T for the backward pass, (pieces, input_width, output_width). Null if no kernel reads it.
        pub(crate) backward: Address<u16>,
        /// Partial sums of the gradient of W^T over groups of samples, (splits, input_width, output_width).
        pub(crate) partials: Address<f32>,
        /// Gradient of the bias for each sample, (batch_size, output_width). Null if `row_in_partials` is 1, or
        /// without a bias.
        pub(crate) bias_sums: Address<f32>,
        /// Index of the layer's first weight in the flat list of the network's parameters.
        pub(crate) at: u64,
        pub(crate) inputs: u32,
        pub(crate) outputs: u32,
        /// Number of rows of a partial sum: `inputs` + 1 if `row_in_partials` is 1, else `inputs` rounded up to a
        /// multiple of `TILE`.
        pub(crate) input_width: u32,
        /// Number of columns of a partial sum: `outputs` in the readout of integrate-and-fire networks, else `outputs`
        /// rounded up to a multiple of `TILE`.
        pub(crate) output_width: u32,
        /// Number of partial sums of the gradient of W^T.
        pub(crate) splits: u32,
        /// 1 if the last row of `partials` is the gradient of the row after the weights, as in the readout of
        /// integrate-and-fire networks and in every vector of layered networks. 0 if `bias_sums` has the gradient of
        /// that row.
        pub(crate) row_in_partials: u32,
        /// Number of rows of parameters: `inputs`, and one more if there is a bias.
        pub(crate) rows: u32,
        /// Index of the first CUDA block of the layer.
        pub(crate) first_block: u32,
        /// 1 if the weights keep their values.
        pub(crate) frozen_weights: u32,
        /// 1 if the row after the weights keeps its values.
        pub(crate) frozen_row: u32,
        /// Factor of the sums of the gradient of W^T.
        pub(crate) scale: f32,
    }

    /// Arguments of `update` (updates the parameters) and `pack` (copies the weights for matrix products).
    pub(crate) struct UpdateArgs {
        /// State of training, which only `update` reads.
        pub(crate) state: Address<State>,
        /// In integrate-and-fire networks, one record for each linear layer, the readout last. In other networks, one
        /// record for each tensor.
        pub(crate) layers: Address<UpdatedLayer>,
        /// All weights and biases as one flat list, in the order of [`Parameters`](crate::network::Parameters).
        pub(crate) parameters: Address<f32>,
        /// Output: gradient of each parameter; 0 for frozen parameters. Null if nobody needs the gradients.
        pub(crate) gradients: Address<f32>,
        /// Factor for the gradients. If it is given, `update` reads `gradients` and doesn't compute them. Null without
        /// clipping, and in the launch before clipping, which computes the gradients.
        pub(crate) clipped: Address<f32>,
        /// Moving average m of each gradient, or velocity of SGD. If null, `update` only computes the gradients.
        pub(crate) mean: Address<f32>,
        /// Moving average v of each squared gradient. SGD doesn't use it.
        pub(crate) mean_square: Address<f32>,
        /// Learning rate and momentum (beta1 of Adam) of each batch since [`State::batches`] was 0, (batches, 2).
        pub(crate) rates: Address<f64>,
        /// Weight of the old value in Adam's moving average v.
        pub(crate) beta2: f64,
        /// Small number in the denominator of Adam's update, which avoids a division by 0.
        pub(crate) eps: f64,
        /// Factor of the weight decay, which acts on the weights and not on the biases.
        pub(crate) weight_decay: f64,
        /// The formula of the update: `RULE_ADAM`, `RULE_ADAMW`, `RULE_SGD` or `RULE_NESTEROV`.
        pub(crate) rule: u32,
        /// Number of `layers`.
        pub(crate) layer_count: u32,
    }

    /// Arguments of `squares` and `clip`, which compute the factor by which `update` multiplies all gradients to clip them.
    pub(crate) struct ClipArgs {
        /// Gradient of each parameter, (parameters,).
        pub(crate) gradients: Address<f32>,
        /// Output of `squares`: sum of the squares of each chunk of `CLIP_CHUNK` gradients.
        pub(crate) squares: Address<f64>,
        /// Output of `clip`: the factor for all gradients, (1,).
        pub(crate) factor: Address<f32>,
        /// Maximum norm of all gradients together.
        pub(crate) clip_norm: f64,
        pub(crate) parameters: u64,
    }
}
