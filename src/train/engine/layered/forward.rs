//! The forward pass of all samples through one layer.

use rayon::prelude::*;
use tonic_base::interrupt;
use tonic_ranks::Ranks;

use crate::engine::layered::LayeredEngine;
use crate::engine::layered::block::ForwardScratch;
use crate::engine::layered::pack::{AfterNorm, PackedLayer};
use crate::engine::layered::sample::{LayerTrace, SampleLayers, uniform_start};
use crate::engine::step::Pass;
use crate::error::KernelError;
use crate::kernel::cell::{self, CellInput, forward_recurrent};
use crate::kernel::dropout::DropoutKey;
use crate::kernel::isa::Isa;
use crate::kernel::norm::{self, Norm, Statistics, over_samples};
use crate::kernel::{Aligned, TILE_WIDTH, Tile, iaf, readout, sample};
use crate::network::{Architecture, InitState, Network, TensorKind};

impl LayeredEngine {
    /// Runs all samples through layer `i`. After an interruption, returns early with invalid results.
    ///
    /// # Errors
    /// [`KernelError::NonFinitePotential`].
    pub(super) fn forward_layer(&mut self, network: &Network, i: usize, pass: Pass) -> Result<(), KernelError> {
        let (isa, ranks, rows) = (self.isa, self.share.ranks, self.rows());
        let states = random_states(&self.architecture, i);
        let is_counted = self.counts(pass);
        let layer = &mut self.layers[i];
        layer.pack(network, i, pass == Pass::Training);
        let is_measured = layer.is_normed && pass.uses_batch();
        if is_measured {
            layer.statistics = mean(layer, network, i, &self.samples, (ranks, rows));
            let (tiles, means) = (layer.tiles(), layer.statistics.mean_tiles());
            let mut squares = Aligned::filled([[0.0; TILE_WIDTH]; 1], self.samples.len() * tiles);
            let samples = self.samples.par_iter_mut().zip(squares.par_chunks_mut(tiles));
            samples.for_each_init(ForwardScratch::default, |scratch, (sample, squares)| {
                linear_outputs(isa, layer, i, scratch, sample);
                let (steps, stride) = (sample.steps(), sample.stride());
                for (tile, (squares, mean)) in squares.iter_mut().zip(&means).enumerate() {
                    *squares = [norm::squares(isa, mean, &sample.layers[i].y[tile * stride..][..steps])];
                }
            });
            let squares: Vec<f64> =
                over_samples(ranks, &squares, layer.linear.outputs()).into_iter().map(|[sum]| sum).collect();
            layer.statistics.set_variance(&squares, rows);
        }
        set_norm(layer, network, i, pass);
        let layer = &self.layers[i];
        let activated = self.samples.par_iter_mut().map_init(ForwardScratch::default, |scratch, sample| {
            if interrupt::requested() {
                return true;
            }
            if !is_measured {
                linear_outputs(isa, layer, i, scratch, sample);
            }
            activate(isa, layer, i, states, (pass, is_counted), scratch, sample)
        });
        // Not `all`, which would stop at the first `false` and leave out samples.
        let finite = activated.reduce(|| true, |some, others| some && others);
        // With the statistics of a shared batch, all ranks stop together.
        let finite = if pass.uses_batch() { !ranks.any(!finite) } else { finite };
        if finite { Ok(()) } else { Err(KernelError::NonFinitePotential { layer: i + 1 }) }
    }
}

/// Returns how many state variables of layer `i` start at random numbers, and whether its initial spikes are random
/// too. Returns `None` if all states and spikes start at 0.
pub(super) fn random_states(architecture: &Architecture, i: usize) -> Option<(usize, bool)> {
    let layers = &architecture.layers;
    let states = layers.hidden.get(i).map_or((1, false), |layer| (layer.neuron.states(), true));
    Some(states).filter(|_| layers.init_state == InitState::Uniform)
}

/// Computes the outputs of layer `i`'s linear layer for one sample.
pub(super) fn linear_outputs(
    isa: Isa,
    layer: &PackedLayer,
    i: usize,
    scratch: &mut ForwardScratch,
    sample: &mut SampleLayers,
) {
    let SampleLayers { active, layers, .. } = sample;
    sample::outputs(isa, &layer.linear, &active[i], &mut scratch.dense, &mut layers[i].y);
}

/// Returns the mean output of each neuron of layer `i`'s linear layer, over all samples and time steps of all ranks.
/// Computes it from the sums of the layer's inputs.
fn mean(
    layer: &PackedLayer,
    network: &Network,
    i: usize,
    samples: &[SampleLayers],
    (ranks, rows): (Ranks, f64),
) -> Statistics {
    let inputs = layer.linear.inputs();
    let of_sample = |sample: &SampleLayers| {
        let mut totals = vec![0.0; inputs];
        sample.active[i].add_totals(&mut totals);
        totals
    };
    let each: Vec<Vec<f64>> = samples.par_iter().map(of_sample).collect();
    let mut totals = vec![0.0; inputs];
    ranks.fold_all(&mut totals, |totals| {
        each.iter().for_each(|of| totals.iter_mut().zip(of).for_each(|(total, x)| *total += x));
    });
    let Some(linear) = network.parameters.layers().nth(i) else { return Statistics::default() };
    let zeros = vec![0.0; linear.outputs];
    let bias = if linear.bias.is_empty() { &zeros } else { linear.bias };
    Statistics::of_mean(&totals, linear.weight_t, bias, rows)
}

/// Sets the norm of layer `i`, with the statistics of the batch or with the running statistics.
pub(super) fn set_norm(layer: &mut PackedLayer, network: &Network, i: usize, pass: Pass) {
    if !layer.is_normed {
        return;
    }
    let architecture = network.architecture();
    if !pass.uses_batch() {
        let mut running = architecture.statistics().iter().filter(|statistic| statistic.layer == i).map(|statistic| {
            let values = &network.parameters.statistics()[statistic.range.clone()];
            values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>()
        });
        let (mean, variance) = (running.next().unwrap_or_default(), running.next().unwrap_or_default());
        layer.statistics = Statistics { mean, variance };
    }
    let of = |kind: TensorKind| {
        let tensor = architecture.layer(i).find(|tensor| tensor.kind == kind);
        tensor.map_or(&[][..], |tensor| &network.parameters.flat()[tensor.range.clone()])
    };
    layer.norm = Norm::new(of(TensorKind::Scale), of(TensorKind::Shift), &layer.statistics);
}

/// Runs one sample through the neurons or the readout of layer `i`. Returns whether the neurons' states are finite.
pub(super) fn activate(
    isa: Isa,
    layer: &PackedLayer,
    i: usize,
    random: Option<(usize, bool)>,
    (pass, is_counted): (Pass, bool),
    scratch: &mut ForwardScratch,
    sample: &mut SampleLayers,
) -> bool {
    let (steps, stride, key) = (sample.steps(), sample.stride(), sample.key);
    let (tiles, neurons) = (layer.tiles(), layer.linear.outputs());
    let SampleLayers { active, layers, logits, undropped, .. } = sample;
    let trace = &mut layers[i];
    trace.start = random.map(|(states, spikes)| uniform_start(key, i, neurons, states, spikes));
    let LayerTrace { y, fired, open, states, start } = trace;
    let input = CellInput { y, stride, steps, norm: &layer.norm, start: start.as_deref() };
    fired.resize(steps * tiles, 0);
    open.resize(steps * tiles, 0);
    let finite = match &layer.after_norm {
        AfterNorm::Iaf(neuron) => {
            states.resize(tiles * stride, [0.0; TILE_WIDTH]);
            for (tile, states) in states.chunks_exact_mut(stride).enumerate() {
                norm::apply(isa, &layer.norm, tile, &y[tile * stride..][..stride], states);
            }
            iaf::forward(isa, neuron, states, stride, steps, fired);
            open.fill(u32::MAX);
            active[i + 1].set_spikes(isa, fired, states, neurons, stride, neuron);
            iaf::ends_finite(neuron, states, stride, steps)
        }
        AfterNorm::Cell(constants, None) => cell::forward(isa, constants, &input, fired, open),
        AfterNorm::Cell(constants, Some(recurrent)) => {
            forward_recurrent(isa, constants, recurrent, &input, &mut scratch.recurrent, fired, open)
        }
        AfterNorm::Sum => {
            logits.resize(neurons, 0.0);
            for (tile, logits) in logits.chunks_mut(TILE_WIDTH).enumerate() {
                states.resize(steps, [0.0; TILE_WIDTH]);
                norm::apply(isa, &layer.norm, tile, input_column(&input, tile), states);
                logits.fill(0.0);
                for row in states.iter() {
                    logits.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
                }
            }
            true // the check of the loss finds infinite outputs
        }
        AfterNorm::Leaky(readout) => {
            logits.resize(neurons, 0.0);
            readout::forward(isa, readout, &input, states, logits);
            true
        }
    };
    if i + 1 == active.len() {
        return finite;
    }
    let spikes = &mut active[i + 1];
    let dropout = layer.dropout.filter(|_| pass == Pass::Training);
    let is_iaf = matches!(layer.after_norm, AfterNorm::Iaf(_));
    if is_counted {
        undropped.push(spikes.clone());
        if let Some(own) = undropped.last_mut().filter(|_| !is_iaf) {
            own.set_bits(fired, tiles, 1.0);
        }
    }
    match dropout {
        Some(dropout) => {
            scratch.masks.resize(steps * tiles, 0);
            dropout.masks(DropoutKey::new(key, i as u64), tiles, &mut scratch.masks);
            open.iter_mut().zip(&scratch.masks).for_each(|(open, mask)| *open &= mask);
            if is_iaf {
                spikes.keep(&scratch.masks, tiles, dropout.scale());
            } else {
                fired.iter_mut().zip(&scratch.masks).for_each(|(fired, mask)| *fired &= mask);
                spikes.set_bits(fired, tiles, dropout.scale());
            }
        }
        None if is_iaf => {}
        None => spikes.set_bits(fired, tiles, 1.0),
    }
    finite
}

fn input_column<'a>(input: &CellInput<'a>, tile: usize) -> &'a [Tile] {
    &input.y[tile * input.stride..][..input.steps]
}
