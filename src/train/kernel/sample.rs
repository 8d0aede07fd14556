//! One sample through all layers and back.
//!
//! Each layer runs over all steps of the sample, tile by tile, before the next: the tile's membrane state is in
//! registers and its weights in L1. What passes from layer to layer is sparse ([`Activity`]), what is kept for
//! backward is v. The readout is linear and its loss is of its sum over time, so it sees only the sum of the spikes,
//! and its gradient is one row for all steps.

use super::iaf::{self, Neuron, backward_tile, backward_tile_constant};
use super::linear::{
    self, Panels, TransposedPanels, constant_gradient_tile, input_gradient, input_gradient_row, product,
    weight_gradient_tile,
};
use super::{Activity, KernelError, TILE, Tile};
use crate::frames::SampleFrames;

/// A layer's weights as its kernels read them.
#[derive(Debug)]
pub(crate) struct PackedLayer {
    pub(crate) forward: Panels,
    /// For the input gradient, which the first layer does not need.
    pub(crate) transposed: Option<TransposedPanels>,
}

/// The network as the kernels read it: hidden layers, then the readout.
#[derive(Debug)]
pub(crate) struct PackedNetwork {
    pub(crate) neuron: Neuron,
    pub(crate) inputs: usize,
    pub(crate) classes: usize,
    pub(crate) hidden: Vec<PackedLayer>,
    pub(crate) readout: PackedLayer,
}

/// Where one sample's pass leaves its state; used again for the next sample.
#[derive(Debug, Default)]
pub(crate) struct SampleState {
    /// The input, then each hidden layer's spikes.
    activities: Vec<Activity>,
    /// v of each hidden layer, `[tile][step]`.
    potentials: Vec<Vec<Tile>>,
    fired: Vec<u32>,
    /// The last layer's spikes summed over time, as one step.
    totals: Activity,
    sums: Vec<f32>,
    /// `[tile][step]`
    lambda: Vec<Tile>,
    /// `[tile][step]`
    incoming: Vec<Tile>,
    /// `[tile]`
    row: Vec<Tile>,
}

impl SampleState {
    /// Each hidden layer's spikes in the last pass.
    pub(crate) fn into_spikes(mut self) -> Vec<Activity> {
        self.activities.split_off(1)
    }
}

impl PackedNetwork {
    /// Runs a sample for `steps` steps, or its own frames if it has more, and writes the readout's sum over time to
    /// `logits`. `index` is the sample's place in the batch, for the error.
    pub(crate) fn forward(
        &self,
        state: &mut SampleState,
        sample: SampleFrames<'_>,
        steps: usize,
        index: usize,
        logits: &mut [f32],
    ) -> Result<(), KernelError> {
        state.activities.resize_with(self.hidden.len() + 1, Activity::default);
        state.potentials.resize_with(self.hidden.len(), Vec::new);
        state.activities[0].set_frames(sample, self.inputs, steps, index)?;
        let steps = state.activities[0].steps();
        let stride = linear::stride(steps);

        for (layer, (packed, v)) in self.hidden.iter().zip(&mut state.potentials).enumerate() {
            let (before, after) = state.activities.split_at_mut(layer + 1);
            let tiles = packed.forward.tiles();
            v.resize(tiles * stride, [0.0; TILE]);
            state.fired.resize(steps * tiles, 0);
            for tile in 0..tiles {
                let (panel, bias) = packed.forward.tile(tile);
                let v = &mut v[tile * stride..][..steps];
                let fired = state.fired.get_mut(tile..).unwrap_or_default();
                linear::forward_tile(panel, bias, &before[layer], v);
                iaf::forward_tile(&self.neuron, v, fired, tiles);
            }
            after[0].set_spikes(&state.fired, v, packed.forward.outputs(), stride, &self.neuron);
        }

        let width = self.readout.forward.inputs();
        state.totals.set_totals(&state.activities[self.hidden.len()], &mut state.sums, width);
        for (tile, logits) in logits.chunks_mut(TILE).enumerate() {
            let (panel, bias) = self.readout.forward.tile(tile);
            let bias = bias.map(|b| b * steps as f32);
            let sums = product(panel, &bias, state.totals.step(0));
            logits.copy_from_slice(&sums[..logits.len()]);
        }
        Ok(())
    }

    /// Adds the gradients of all parameters, one [`Panels`] a layer, given the loss's `gradient` by the logits of the
    /// sample that [`forward`](Self::forward) ran last.
    pub(crate) fn backward(&self, state: &mut SampleState, gradient: &[f32], gradients: &mut [Panels]) {
        let steps = state.activities[0].steps();
        let stride = linear::stride(steps);
        let (readout, hidden) = match gradients.split_last_mut() {
            Some(split) => split,
            None => return,
        };
        for (tile, gradient) in gradient.chunks(TILE).enumerate() {
            let mut lambda = [0.0; TILE];
            lambda[..gradient.len()].copy_from_slice(gradient);
            let (panel, bias) = readout.tile_mut(tile);
            constant_gradient_tile(&state.totals, &lambda, steps, panel, bias);
        }

        let mut above = &self.readout;
        for (layer, (packed, gradients)) in self.hidden.iter().zip(hidden).enumerate().rev() {
            let tiles = packed.forward.tiles();
            let is_last = layer + 1 == self.hidden.len();
            let Some(transposed) = &above.transposed else { return };
            if is_last {
                state.row.resize(tiles, [0.0; TILE]);
                input_gradient_row(transposed, gradient, &mut state.row);
                state.lambda.resize(tiles * stride, [0.0; TILE]);
            } else {
                state.incoming.resize(tiles * stride, [0.0; TILE]);
                input_gradient(transposed, &state.lambda, stride, &mut state.incoming);
                std::mem::swap(&mut state.lambda, &mut state.incoming);
            }
            for tile in 0..tiles {
                let v = &state.potentials[layer][tile * stride..][..steps];
                let lambda = &mut state.lambda[tile * stride..][..steps];
                if is_last {
                    backward_tile_constant(&self.neuron, v, &state.row[tile], lambda);
                } else {
                    backward_tile(&self.neuron, v, lambda);
                }
                let (panel, bias) = gradients.tile_mut(tile);
                weight_gradient_tile(&state.activities[layer], lambda, panel, bias);
            }
            above = packed;
        }
    }
}
