//! Forward and backward pass of one sample through all layers, on the CPU.
//!
//! Each layer runs over all time steps before the next layer starts. The loss uses the output of the linear readout,
//! summed over time. The gradient for the last hidden layer's spikes is therefore the same at every time step.

use tonic_shard::SampleFrames;

use tonic_base::interrupt;

use crate::error::KernelError;
use crate::kernel::iaf::Neuron;
use crate::kernel::isa::Isa;
use crate::kernel::linear::Panels;
use crate::kernel::{ActiveCells, Aligned, TILE_WIDTH, Tile, iaf, linear};

/// Weights of a layer, in the order in which the kernels read them.
#[derive(Debug)]
pub(crate) struct PackedLinear {
    /// Weights for the forward pass (W^T, with one row per input), and biases.
    pub(crate) forward: Panels,
    /// Weights for the gradient with respect to the layer's inputs (W). `None` in the first layer.
    pub(crate) backward: Option<Panels>,
}

/// The network with its weights in the order in which the kernels read them.
#[derive(Debug)]
pub(crate) struct PackedNetwork {
    pub(crate) isa: Isa,
    pub(crate) neuron: Neuron,
    pub(crate) inputs: usize,
    pub(crate) classes: usize,
    pub(crate) hidden: Vec<PackedLinear>,
    pub(crate) readout: PackedLinear,
}

/// Buffers of the forward and backward pass of a sample, which the next sample reuses.
#[derive(Debug, Default)]
pub(crate) struct SampleState {
    /// The input of the network, and then the spikes of each hidden layer.
    active: Vec<ActiveCells>,
    /// Membrane potentials: `potentials[layer][tile * stride + t]` belongs to one tile of neurons at time step t.
    potentials: Vec<Aligned<Tile>>,
    /// One bit for each neuron of one hidden layer and each time step: whether the neuron spikes.
    fired: Vec<u32>,
    /// Spikes of the last hidden layer, summed over time.
    totals: ActiveCells,
    sums: Vec<f32>,
    /// Gradient for the input currents of one hidden layer: `lambda[tile * stride + t]` is for one tile at time step t.
    lambda: Aligned<Tile>,
    /// Like `lambda`, for the next hidden layer.
    above: Aligned<Tile>,
    /// Dense input of one layer: `dense[tile * stride + t]` has the counts of one tile of inputs at time step t.
    dense: Aligned<Tile>,
}

impl SampleState {
    /// Returns the spikes of each hidden layer in the last forward pass.
    pub(crate) fn spikes(&self) -> &[ActiveCells] {
        &self.active[1..]
    }

    /// Returns the input of the readout in the last forward pass: the spikes of the last hidden layer, or the frames if
    /// there is no hidden layer.
    pub(crate) fn readout_input(&self) -> Option<&ActiveCells> {
        self.active.last()
    }
}

impl PackedNetwork {
    /// Runs a sample forward, and writes the summed output of the readout to `logits`. Error messages name the sample
    /// by `index`.
    ///
    /// After an interruption, this function and [`backward`](Self::backward) return early with invalid results.
    pub(crate) fn forward(
        &self,
        state: &mut SampleState,
        sample: SampleFrames<'_>,
        steps: usize,
        index: usize,
        logits: &mut [f32],
    ) -> Result<(), KernelError> {
        state.active.resize_with(self.hidden.len() + 1, ActiveCells::default);
        state.potentials.resize_with(self.hidden.len(), Aligned::default);
        state.active[0].set_frames(sample, self.inputs, steps, index)?;
        let steps = state.active[0].steps();
        let stride = linear::stride(steps);

        for (layer, (packed, v)) in self.hidden.iter().zip(&mut state.potentials).enumerate() {
            if interrupt::requested() {
                return Ok(());
            }
            let (before, after) = state.active.split_at_mut(layer + 1);
            let (before, panels) = (&before[layer], &packed.forward);
            outputs(self.isa, panels, before, &mut state.dense, v);
            state.fired.resize(steps * panels.tiles(), 0);
            iaf::forward(self.isa, &self.neuron, v, stride, steps, &mut state.fired);
            if !iaf::ends_finite(&self.neuron, v, stride, steps) {
                return Err(KernelError::NonFinitePotential { layer: layer + 1 });
            }
            after[0].set_spikes(self.isa, &state.fired, v, panels.outputs(), stride, &self.neuron);
        }

        let width = self.readout.forward.inputs();
        state.totals.set_totals(&state.active[self.hidden.len()], &mut state.sums, width);
        for (tile, logits) in logits.chunks_mut(TILE_WIDTH).enumerate() {
            let (panel, bias) = self.readout.forward.tile(tile);
            let bias = bias.map(|b| b * steps as f32);
            let sums = linear::product(self.isa, panel, &bias, state.totals.step(0));
            logits.copy_from_slice(&sums[..logits.len()]);
        }
        Ok(())
    }

    /// Computes the gradients for the last sample of [`forward`](Self::forward), and adds them to `gradients`, which
    /// has an element for each layer.
    ///
    /// - `gradient`: gradient of the loss with respect to the logits
    /// - `rates`: for each hidden layer, an additional gradient for the spikes, the same at every time step; may be
    ///   empty
    pub(crate) fn backward(
        &self,
        state: &mut SampleState,
        gradient: &[f32],
        rates: &[Vec<Tile>],
        gradients: &mut [Panels],
    ) {
        let steps = state.active[0].steps();
        let stride = linear::stride(steps);
        let Some((readout, hidden)) = gradients.split_last_mut() else { return };
        for (tile, gradient) in gradient.chunks(TILE_WIDTH).enumerate() {
            let mut lambda = [0.0; TILE_WIDTH];
            lambda[..gradient.len()].copy_from_slice(gradient);
            let (panel, bias) = readout.tile_mut(tile);
            linear::constant_gradient_tile(&state.totals, &lambda, steps, panel, bias);
        }

        let row: Vec<(u32, f32)> = (0..).zip(gradient.iter().copied()).collect();
        let mut above = &self.readout;
        for (layer, (packed, gradients)) in self.hidden.iter().zip(hidden).enumerate().rev() {
            let Some(backward) = &above.backward else { return };
            std::mem::swap(&mut state.lambda, &mut state.above);
            state.lambda.resize(packed.forward.tiles() * stride, [0.0; TILE_WIDTH]);
            if interrupt::requested() {
                return;
            }
            for (tile, lambda) in
                state.lambda.chunks_exact_mut(stride).enumerate().take_while(|_| !interrupt::requested())
            {
                let v = &state.potentials[layer][tile * stride..][..steps];
                let (panel, bias) = backward.tile(tile);
                let bias = rates.get(layer).map_or(bias, |rates| &rates[tile]);
                if layer + 1 == self.hidden.len() {
                    let row = linear::product(self.isa, panel, bias, &row);
                    iaf::backward_tile_constant(self.isa, &self.neuron, v, &row, &mut lambda[..steps]);
                } else {
                    linear::matmul_tile(self.isa, &state.above, stride, panel, bias, lambda);
                    iaf::backward_tile(self.isa, &self.neuron, v, &mut lambda[..steps]);
                }
            }
            add_weight_gradient(self.isa, &state.active[layer], &state.lambda, &mut state.dense, gradients);
            above = packed;
        }
    }
}

/// Writes the outputs of a linear layer to `x[tile * stride + t]`. `stride` is [`stride`](linear::stride) of the
/// number of time steps. `dense` is scratch memory.
///
/// After an interruption, returns early with invalid results.
pub(crate) fn outputs(
    isa: Isa,
    panels: &Panels,
    active: &ActiveCells,
    dense: &mut Aligned<Tile>,
    x: &mut Aligned<Tile>,
) {
    let stride = linear::stride(active.steps());
    x.resize(panels.tiles() * stride, [0.0; TILE_WIDTH]);
    if active.is_dense(panels.inputs()) {
        active.write_dense(panels.inputs(), stride, dense);
        for (tile, x) in x.chunks_exact_mut(stride).enumerate().take_while(|_| !interrupt::requested()) {
            let (panel, bias) = panels.tile(tile);
            linear::matmul_tile(isa, dense, stride, panel, bias, x);
        }
    } else {
        linear::gather(isa, panels, active, stride, x);
    }
}

/// Adds the gradients of a linear layer's weights and biases to `gradients`. `active` is the layer's input. `lambda`
/// is the gradient for the layer's outputs, with the layout of [`outputs`].
pub(crate) fn add_weight_gradient(
    isa: Isa,
    active: &ActiveCells,
    lambda: &[Tile],
    dense: &mut Aligned<Tile>,
    gradients: &mut Panels,
) {
    let (steps, stride) = (active.steps(), linear::stride(active.steps()));
    if active.is_dense(gradients.inputs()) {
        active.write_dense(gradients.inputs(), stride, dense);
        for (tile, lambda) in lambda.chunks_exact(stride).enumerate().take_while(|_| !interrupt::requested()) {
            let (panel, bias) = gradients.tile_mut(tile);
            linear::dense_weight_gradient_tile(isa, dense, stride, &lambda[..steps], panel, bias);
        }
    } else {
        linear::weight_gradient(isa, active, lambda, stride, gradients);
    }
}
