//! The backward pass: computes the gradients layer by layer, and each layer for all samples.

use rayon::prelude::*;
use tonic_base::interrupt;

use crate::engine::layered::LayeredEngine;
use crate::engine::layered::block::{BackwardScratch, Block, Gradients, Sums};
use crate::engine::layered::pack::{AfterNorm, PackedLayer, learned};
use crate::engine::layered::sample::SampleLayers;
use crate::engine::step::check_interrupt;
use crate::error::Result;
use crate::kernel::cell::{self, CellInput, PARAMETER_SUMS, SUMS, backward_recurrent};
use crate::kernel::isa::Isa;
use crate::kernel::linear::{self, Panels};
use crate::kernel::norm::{self, over_samples};
use crate::kernel::readout::{self, Leaky};
use crate::kernel::sampled;
use crate::kernel::{Aligned, TILE_WIDTH, Tile, iaf, sample};
use crate::network::{Network, Parameters, TensorKind};

impl LayeredEngine {
    /// Writes the gradients of all layers to `gradient`. `errors` is the gradient for the logits, (batch, classes).
    ///
    /// For each sample, the gradients pass through the norm and the linear layer of one layer, and directly after that
    /// through the neurons of the layer below. The gradients in between thus stay in the CPU's cache.
    pub(super) fn backward(&mut self, network: &Network, errors: &[f32], gradient: &mut Parameters) -> Result<()> {
        let blocks = self.samples.len().div_ceil(self.block_size());
        self.blocks.resize_with(blocks.max(self.blocks.len()), Block::default);
        self.size_sums(self.samples.len());
        let mut sums = std::mem::take(&mut self.sums);
        self.through_readout(errors, sums.last_mut().map_or(&mut [], |sums| sums));
        for i in (0..self.layers.len()).rev() {
            let (below, own) = sums.split_at_mut(i);
            self.through_layer(network, i, &own[0], gradient, below.last_mut());
            check_interrupt()?;
        }
        self.sums = sums;
        Ok(())
    }

    /// Computes the gradient for the input currents of the readout in all samples, and the sums over time of each
    /// sample and tile.
    fn through_readout(&mut self, errors: &[f32], sums: &mut [Sums]) {
        let (isa, size, i) = (self.isa, self.block_size(), self.layers.len() - 1);
        let (layer, classes) = (&self.layers[i], self.architecture.shape.classes);
        let tiles = layer.tiles();
        let parts = (self.samples.par_chunks_mut(size), sums.par_chunks_mut(size * tiles));
        (self.blocks.par_iter_mut(), parts.0, parts.1, errors.par_chunks(size * classes)).into_par_iter().for_each(
            |(block, samples, sums, errors)| {
                for ((sample, sums), errors) in
                    samples.iter_mut().zip(sums.chunks_exact_mut(tiles)).zip(errors.chunks_exact(classes))
                {
                    through_neurons(isa, layer, i, (&mut block.work, &mut Panels::default()), sample, errors, sums);
                }
            },
        );
    }

    /// Runs the backward pass of layer `i` for all samples:
    /// - writes the gradients of layer `i` to `gradient`, except for its recurrent weights
    /// - computes the gradient for the input currents of the layer below
    /// - writes the gradient of the recurrent weights of the layer below to `gradient`
    ///
    /// `sums` has the sums over time of layer `i`. Writes those of the layer below, if there is one, to `sums_below`.
    /// After an interruption, returns early with invalid results.
    fn through_layer(
        &mut self,
        network: &Network,
        i: usize,
        sums: &[Sums],
        gradient: &mut Parameters,
        sums_below: Option<&mut Aligned<Sums>>,
    ) {
        let (isa, ranks, rows, size) = (self.isa, self.share.ranks, self.rows(), self.block_size());
        let layer = &self.layers[i];
        let below = i.checked_sub(1).map(|below| &self.layers[below]);
        let totals = over_samples(ranks, sums, layer.linear.outputs());
        write_neurons(network, i, layer, &totals, gradient);
        let by = layer.is_normed.then(|| {
            let architecture = network.architecture().clone();
            let range = |kind: TensorKind| {
                let tensor = architecture.layer(i).find(|tensor| tensor.kind == kind);
                tensor.map_or(0..0, |tensor| tensor.range.clone())
            };
            let (scale, shift) = (range(TensorKind::Scale), range(TensorKind::Shift));
            // The scale comes directly before the shift.
            let both = &mut gradient.flat_mut()[scale.start..shift.end];
            let parts = both.split_at_mut(scale.len());
            let gamma = &network.parameters.flat()[scale];
            norm::NormBackward::new(gamma, &layer.statistics, rows, |j| [totals[j][4], totals[j][5]], parts)
        });
        let tiles_below = below.map_or(0, PackedLayer::tiles);
        let parts = self.samples.chunks_mut(size);
        let mut rest = sums_below.map_or(&mut [][..], |sums| sums);
        let parts: Vec<_> = parts
            .map(|samples| (rest.split_off_mut(..samples.len() * tiles_below).unwrap_or_default(), samples))
            .collect();
        self.blocks.par_iter_mut().zip(parts).for_each(|(block, (sums, samples))| {
            let Block { gradients, work, .. } = block;
            gradients.resize_with(gradients.len().max(1), Gradients::default);
            gradients[0].reset(layer, below);
            for (n, sample) in samples.iter_mut().enumerate().take_while(|_| !interrupt::requested()) {
                let sums = &mut sums[n * tiles_below..][..tiles_below];
                through_sample(isa, (layer, below), by.as_ref(), i, sample, work, &mut gradients[0], sums);
            }
        });
        self.add_blocks(i, self.samples.len().div_ceil(size), 0, gradient);
    }

    /// Adds up the gradients of layer `i`'s weights, and of the recurrent weights of the layer below, over the first
    /// `used` blocks, which have them in `gradients[at]`. Writes the sums to `gradient`.
    pub(super) fn add_blocks(&mut self, i: usize, used: usize, at: usize, gradient: &mut Parameters) {
        let (isa, ranks) = (self.isa, self.share.ranks);
        let (inputs, neurons) = (self.layers[i].linear.inputs(), self.layers[i].linear.outputs());
        let below = i.checked_sub(1).map(|below| &self.layers[below].after_norm);
        let blocks = &mut self.blocks[..used];
        let linear = blocks.iter_mut().map(|block| &mut block.gradients[at].linear).collect();
        self.sum.reset(inputs, neurons);
        write_weights(Panels::sum(isa, ranks, linear, &mut self.sum), i, gradient);
        if let Some(AfterNorm::Cell(_, Some(_))) = below {
            let recurrent = blocks.iter_mut().map(|block| &mut block.gradients[at].recurrent).collect();
            self.sum.reset(inputs, inputs);
            write_recurrent(Panels::sum(isa, ranks, recurrent, &mut self.sum), i - 1, gradient);
        }
    }

    /// Writes the batch statistics of each norm to the statistics of `gradient`: mean and unbiased variance of each
    /// neuron over all time steps of the last batch.
    pub(super) fn write_statistics(&self, gradient: &mut Parameters) {
        let rows = self.rows();
        let unbiased = rows / (rows - 1.0).max(1.0);
        let architecture = gradient.architecture().clone();
        for pair in architecture.statistics().chunks_exact(2) {
            let of = &self.layers[pair[0].layer].statistics;
            let all = gradient.statistics_mut();
            let mean = all[pair[0].range.clone()].iter_mut().zip(&of.mean);
            mean.for_each(|(to, from)| *to = *from as f32);
            let variance = all[pair[1].range.clone()].iter_mut().zip(&of.variance);
            variance.for_each(|(to, from)| *to = (*from * unbiased) as f32);
        }
    }
}

impl Gradients {
    /// Sets the sizes of the gradients of `layer`, and all gradients to 0.
    pub(super) fn reset(&mut self, layer: &PackedLayer, below: Option<&PackedLayer>) {
        let inputs = layer.linear.inputs();
        self.linear.reset(inputs, layer.linear.outputs());
        if let Some(PackedLayer { after_norm: AfterNorm::Cell(_, Some(_)), .. }) = below {
            self.recurrent.reset(inputs, inputs);
        }
    }
}

/// Runs the backward pass of layer `i` for one sample. Adds the gradients of the layer's weights, and of the recurrent
/// weights of the layer below, to `gradients`. Writes the sums over time of the layer below to `sums`.
#[allow(clippy::too_many_arguments)] // a layer, a sample, and where their results go
pub(super) fn through_sample(
    isa: Isa,
    (layer, below): (&PackedLayer, Option<&PackedLayer>),
    by: Option<&norm::NormBackward>,
    i: usize,
    sample: &mut SampleLayers,
    work: &mut BackwardScratch,
    gradients: &mut Gradients,
    sums: &mut [Sums],
) {
    through_norm(isa, by, i, sample, &mut work.dy, layer.tiles());
    sample::add_weight_gradient(isa, &sample.active[i], &work.dy, &mut work.dense, &mut gradients.linear);
    if let (Some(below), Some(weights)) = (below, &layer.backward) {
        let (steps, stride) = (sample.steps(), sample.stride());
        let scale = below.dropout.map_or(1.0, |dropout| dropout.scale());
        let open = &sample.layers[i - 1].open;
        work.g.resize(below.tiles() * stride, [0.0; TILE_WIDTH]);
        sampled::input_gradient(isa, weights, &work.dy, stride, steps, open, scale, &mut work.g);
        through_neurons(isa, below, i - 1, (work, &mut gradients.recurrent), sample, &[], sums);
    }
}

/// Computes the gradient for the input currents of layer `i` in one sample, and writes the layer's sums over time to
/// `sums`.
///
/// The inputs are the gradient for the spikes (`work.g`) in a hidden layer, and the gradient for the logits
/// (`errors`) in the readout. Adds the gradient of recurrent weights to `of_recurrent`.
pub(super) fn through_neurons(
    isa: Isa,
    layer: &PackedLayer,
    i: usize,
    (work, of_recurrent): (&mut BackwardScratch, &mut Panels),
    sample: &mut SampleLayers,
    errors: &[f32],
    sums: &mut [Sums],
) {
    let (steps, stride, tiles) = (sample.steps(), sample.stride(), layer.tiles());
    let SampleLayers { layers, current_gradient, rates, .. } = sample;
    let trace = &layers[i];
    current_gradient.resize(tiles * stride, [0.0; TILE_WIDTH]);
    let input = CellInput { y: &trace.y, stride, steps, norm: &layer.norm, start: trace.start.as_deref() };
    if let Some(rates) = rates.get(i) {
        for (column, rate) in work.g.chunks_exact_mut(stride).zip(rates) {
            let steps = column[..steps].iter_mut().flat_map(|row| row.iter_mut().zip(rate));
            steps.for_each(|(g, rate)| *g += rate);
        }
    }
    match &layer.after_norm {
        AfterNorm::Iaf(neuron) => {
            for (tile, sums) in sums.iter_mut().enumerate() {
                let column = tile * stride..tile * stride + steps;
                current_gradient[column.clone()].copy_from_slice(&work.g[column.clone()]);
                iaf::backward_tile(isa, neuron, &trace.states[column.clone()], &mut current_gradient[column.clone()]);
                let [total, product] =
                    norm::backward_sums(isa, &layer.norm, tile, &trace.y[column.clone()], &current_gradient[column]);
                (sums[PARAMETER_SUMS], sums[PARAMETER_SUMS + 1]) = (total, product);
            }
        }
        AfterNorm::Cell(constants, None) => {
            cell::backward(isa, constants, &input, &mut work.trace, &work.g, current_gradient, sums);
        }
        AfterNorm::Cell(constants, Some(recurrent)) => {
            let BackwardScratch { g, state, .. } = work;
            backward_recurrent(isa, constants, recurrent, &input, state, g, current_gradient, sums);
            linear::weight_gradient(isa, state.spikes_before(), current_gradient, stride, of_recurrent);
        }
        AfterNorm::Sum => {
            for (tile, (errors, sums)) in errors.chunks(TILE_WIDTH).zip(sums).enumerate() {
                let mut row = [0.0; TILE_WIDTH];
                row[..errors.len()].copy_from_slice(errors);
                let column = tile * stride..tile * stride + steps;
                current_gradient[column.clone()].fill(row);
                let [total, product] =
                    norm::backward_sums(isa, &layer.norm, tile, &trace.y[column.clone()], &current_gradient[column]);
                (sums[PARAMETER_SUMS], sums[PARAMETER_SUMS + 1]) = (total, product);
            }
        }
        AfterNorm::Leaky(leaky) => {
            let mut own = vec![[[0.0; TILE_WIDTH]; readout::SUMS]; tiles];
            readout::backward(isa, leaky, &input, &trace.states, errors, current_gradient, &mut own);
            for ([leak, total, product], sums) in own.into_iter().zip(sums) {
                (sums[0], sums[PARAMETER_SUMS], sums[PARAMETER_SUMS + 1]) = (leak, total, product);
            }
        }
    }
}

/// Computes the gradient for the inputs of layer `i`'s norm in one sample, from the gradient for the norm's outputs.
fn through_norm(
    isa: Isa,
    by: Option<&norm::NormBackward>,
    i: usize,
    sample: &mut SampleLayers,
    dy: &mut Aligned<Tile>,
    tiles: usize,
) {
    let (steps, stride) = (sample.steps(), sample.stride());
    let SampleLayers { layers, current_gradient, .. } = sample;
    let Some(by) = by else {
        std::mem::swap(current_gradient, dy);
        return;
    };
    dy.resize(tiles * stride, [0.0; TILE_WIDTH]);
    for tile in 0..tiles {
        let column = tile * stride..tile * stride + steps;
        let (y, g) = (&layers[i].y[column.clone()], &current_gradient[column.clone()]);
        norm::backward(isa, by, tile, y, g, &mut dy[column]);
    }
}

/// Writes the gradients of the learned parameters of layer `i`'s neurons, or of the readout.
pub(super) fn write_neurons(
    network: &Network,
    i: usize,
    layer: &PackedLayer,
    totals: &[[f64; SUMS]],
    gradient: &mut Parameters,
) {
    let architecture = network.architecture();
    let ranges = architecture.layer(i).filter(|tensor| matches!(tensor.kind, TensorKind::Neuron(_)));
    let ranges: Vec<_> = ranges.map(|tensor| tensor.range.clone()).collect();
    let learned = learned(network, i);
    let mut computed: Vec<Vec<f32>> = learned.iter().map(|of| vec![0.0; of.values.len()]).collect();
    match &layer.after_norm {
        _ if learned.is_empty() => {}
        AfterNorm::Cell(constants, _) => {
            let mut parts: Vec<&mut [f32]> = computed.iter_mut().map(Vec::as_mut_slice).collect();
            constants.write_gradients(&learned, |neuron| &totals[neuron][..PARAMETER_SUMS], &mut parts);
        }
        AfterNorm::Leaky(_) => Leaky::write_gradient(learned[0], |class| totals[class][0], &mut computed[0]),
        AfterNorm::Iaf(_) | AfterNorm::Sum => {}
    }
    ranges.into_iter().zip(computed).for_each(|(range, values)| gradient.flat_mut()[range].copy_from_slice(&values));
}

/// Writes `sum`, the gradients of layer `i`'s weights and biases, to `gradient`.
fn write_weights(sum: &Panels, i: usize, gradient: &mut Parameters) {
    if let Some(layer) = gradient.layers_mut().nth(i) {
        let mut unused = vec![0.0; layer.outputs];
        let bias = if layer.bias.is_empty() { &mut unused } else { layer.bias };
        sum.unpack(layer.weight_t, bias);
    }
}

/// Writes `sum`, the gradient of layer `i`'s recurrent weights, to `gradient`.
fn write_recurrent(sum: &Panels, i: usize, gradient: &mut Parameters) {
    let architecture = gradient.architecture().clone();
    if let Some(tensor) = architecture.layer(i).find(|tensor| tensor.kind == TensorKind::Recurrent) {
        let weights = &mut gradient.flat_mut()[tensor.range.clone()];
        sum.unpack(weights, &mut vec![0.0; tensor.outputs]);
        weights.iter_mut().step_by(tensor.outputs + 1).for_each(|diagonal| *diagonal = 0.0);
    }
}
