//! The buffers and kernel launches of layered networks: those that have more than linear layers and integrate-and-fire
//! neurons, as far as a GPU computes their layers. Batch norm needs the statistics of a whole
//! batch, so a layer is computed for all samples before the next layer starts.
//!
//! ```text
//! forward    outputs -> norm_sums -> norm_statistics -> cell_forward, for each layer (dropout_masks before it)
//!            outputs -> norm_sums -> norm_statistics -> reduce -> cross_entropy, in the readout
//! backward   reduce_backward, or cell_backward -> layer_gradient -> norm_backward -> input_gradient, for each layer
//!                                                                              +-> weight_gradient (second stream)
//! ```

mod backward;
mod forward;

use crate::engine::gpu_network::buffers::{Extent, POISON, padded, splits};
use crate::error::Result;
use crate::gpu::{Address, Buffer, Stream};
use crate::kernel::cell::{CONSTANTS, CUDA_CELLS, SUMS};
use crate::kernel::dropout::Dropout;
use crate::kernel::interface::NeuronArgs;
use crate::kernel::layer_interface::ParameterArgs;
use crate::kernel::program::{
    CELL_AHEAD, CELL_IAF, CELL_LEAKY, MASK_TILE, Program, REDUCE_LAST, REDUCE_MAX, REDUCE_SOFTMAX, REDUCE_SUM, VECTORS,
};
use crate::kernel::update_interface::UpdatedLayer;
use crate::network::{
    Architecture, Iaf, InitState, Layers, Learned, Mask, Network, Neuron, Readout, Tensor, TensorKind,
};

/// The layers of a network on a GPU, the readout last.
#[derive(Debug)]
pub(super) struct Layered {
    pub(super) layers: Vec<LayerBuffers>,
    /// Gradient of one layer at a time, (batch, time, width): first for its spikes (dL/ds), then for its input currents
    /// (dL/dI).
    pub(super) gradient: Buffer<f32>,
    /// Running statistics of all norms, and the statistics of the last batch in training or in a measurement.
    pub(super) running: Buffer<f32>,
    pub(super) batch: Buffer<f32>,
}

/// Buffers of a layer. `width` is the number of neurons, and `before_width` the number of inputs, both rounded up to
/// multiples of `TILE`.
#[derive(Debug)]
pub(super) struct LayerBuffers {
    pub(super) index: usize,
    pub(super) neurons: usize,
    pub(super) width: usize,
    pub(super) before_width: usize,
    /// Indices of the first weight and of the first bias in the flat list of the network's parameters.
    pub(super) weights_at: usize,
    pub(super) bias_at: Option<usize>,
    /// W and W^T in bfloat16 pieces.
    pub(super) forward: Buffer<u16>,
    pub(super) backward: Buffer<u16>,
    /// Outputs of the linear layer, (batch, time, width).
    pub(super) y: Buffer<f32>,
    pub(super) norm: Option<NormPlace>,
    /// Sums of y and y^2 of each sample, (2, batch, width).
    pub(super) norm_sums: Buffer<f64>,
    /// Scale, shift and mean of the norm, (3, width).
    pub(super) scales: Buffer<f32>,
    pub(super) inverse: Buffer<f64>,
    pub(super) coefficients: Buffer<f32>,
    /// Gradient for the outputs of the linear layer, (pieces, batch, time, width).
    pub(super) lambda: Buffer<u16>,
    pub(super) splits: usize,
    pub(super) partials: Buffer<f32>,
    /// Sums over time of the backward pass, (SUMS, batch, width).
    pub(super) sums: Buffer<f32>,
    /// Gradients of the layer's vectors, (VECTORS, width).
    pub(super) vectors: Buffer<f32>,
    pub(super) parameters: [ParameterArgs; CONSTANTS],
    /// Number of state variables that start at random numbers.
    pub(super) random_states: u32,
    pub(super) after_norm: AfterNorm,
}

/// Where the parameters and the statistics of a norm are in the lists of the network.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormPlace {
    pub(super) gamma_at: usize,
    pub(super) beta_at: usize,
    pub(super) statistics_at: usize,
    pub(super) momentum: f32,
}

/// What follows the linear layer and the norm.
#[derive(Debug)]
pub(super) enum AfterNorm {
    Neurons(Neurons),
    Readout { reduction: u32, values: Buffer<f32>, softmax: Buffer<f32> },
}

#[derive(Debug)]
pub(super) struct Neurons {
    pub(super) cell: u32,
    pub(super) iaf: NeuronArgs,
    /// Number of the surrogate's formula, and its constants.
    pub(super) surrogate: (u32, [f32; 2]),
    pub(super) dropout: Option<Dropout>,
    /// Constants of the cells, (CONSTANTS, width).
    pub(super) constants: Buffer<f32>,
    /// Masks of dropout, (batch, time, width / MASK_TILE). Empty without dropout.
    pub(super) masks: Buffer<u32>,
    /// Spikes after dropout, not scaled, (batch, time, width).
    pub(super) spikes: Buffer<u16>,
    /// States before every CELL_AHEAD steps, (batch, time / CELL_AHEAD, 2, width).
    pub(super) checkpoints: Buffer<f32>,
}

/// Returns the names of those features of the layers that the kernels of a GPU don't compute.
pub(super) fn missing(layers: &Layers) -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for layer in &layers.hidden {
        names.extend(layer.recurrent.then_some("recurrent"));
        names.extend(cell(&layer.neuron).is_none().then(|| layer.neuron.name()));
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// Returns the number of a kind of neuron in the kernels, or `None` if the kernels don't compute these neurons.
fn cell(neuron: &Neuron) -> Option<u32> {
    match neuron.cell() {
        None => Some(CELL_IAF),
        Some((cell, _)) => CUDA_CELLS.iter().find(|(of, ..)| *of == cell).map(|(.., number)| *number),
    }
}

impl Layered {
    /// Allocates the buffers. `parameters` are the network's parameters in GPU memory.
    pub(super) fn new(
        program: &Program,
        extent: Extent,
        network: &Network,
        parameters: &Buffer<f32>,
        dense: bool,
    ) -> Result<Layered> {
        let (architecture, device) = (network.architecture(), program.device());
        let layers = (0..=architecture.layers.hidden.len())
            .map(|i| LayerBuffers::new(program, extent, architecture, i, parameters, dense))
            .collect::<Result<Vec<_>>>()?;
        let widest = layers.iter().map(|layer| layer.width).max().unwrap_or(0);
        let statistics = network.parameters.statistics().len();
        Ok(Layered {
            gradient: device.buffer(extent.if_training(extent.rows() * widest))?,
            running: device.buffer(statistics)?,
            batch: device.buffer(extent.if_training(statistics))?,
            layers,
        })
    }

    /// Returns the records of all tensors, for the table of parameters.
    pub(super) fn records(&self, architecture: &Architecture) -> Vec<UpdatedLayer> {
        let of = |layer: &LayerBuffers| {
            let scale = self.input_scale(layer.index);
            let mut next_of_cell = 3;
            let record = |tensor: &Tensor| {
                let row = match tensor.kind {
                    TensorKind::Scale => 0,
                    TensorKind::Shift => 1,
                    TensorKind::Neuron(_) => {
                        next_of_cell += 1;
                        next_of_cell - 1
                    }
                    _ => 2,
                };
                layer.record(tensor, row, scale)
            };
            architecture.layer(layer.index).map(record).collect::<Vec<_>>()
        };
        self.layers.iter().flat_map(of).collect()
    }

    /// Returns the factor for the inputs of layer `i` in training: that of the dropout in the layer below.
    pub(super) fn input_scale(&self, i: usize) -> f32 {
        match i.checked_sub(1).map(|below| &self.layers[below].after_norm) {
            Some(AfterNorm::Neurons(Neurons { dropout: Some(dropout), .. })) => dropout.scale(),
            _ => 1.0,
        }
    }

    /// Fills with NaN everything that a training step writes.
    pub(super) fn poison(&self, stream: &Stream) -> Result<()> {
        let fill = |buffers: &[&Buffer<f32>]| buffers.iter().try_for_each(|buffer| stream.fill(buffer, POISON));
        fill(&[&self.gradient, &self.batch])?;
        for layer in &self.layers {
            let LayerBuffers { y, coefficients, partials, sums, vectors, lambda, .. } = layer;
            fill(&[y, coefficients, partials, sums, vectors])?;
            stream.fill(lambda, POISON)?;
            stream.fill(&layer.norm_sums, POISON)?;
            if layer.norm.is_some() {
                fill(&[&layer.scales])?;
                stream.fill(&layer.inverse, POISON)?;
            }
            match &layer.after_norm {
                AfterNorm::Neurons(Neurons { constants, masks, spikes, checkpoints, .. }) => {
                    fill(&[constants, checkpoints])?;
                    stream.fill(masks, POISON)?;
                    stream.fill(spikes, POISON)?;
                }
                AfterNorm::Readout { values, softmax, .. } => fill(&[values, softmax])?,
            }
        }
        Ok(())
    }
}

impl LayerBuffers {
    fn new(
        program: &Program,
        extent: Extent,
        architecture: &Architecture,
        i: usize,
        parameters: &Buffer<f32>,
        dense: bool,
    ) -> Result<LayerBuffers> {
        let (device, pieces, rows) = (program.device(), program.pieces(), extent.rows());
        let (shape, layers) = (&architecture.shape, &architecture.layers);
        let hidden = layers.hidden.get(i);
        let inputs = if i == 0 { shape.inputs } else { shape.hidden[i - 1] };
        let neurons = shape.hidden.get(i).copied().unwrap_or(shape.classes);
        let (width, before_width) = (padded(neurons), padded(inputs));
        let at = |kind: fn(&TensorKind) -> bool| {
            architecture.layer(i).find(|tensor| kind(&tensor.kind)).map(|tensor| tensor.range.start)
        };
        let norm = hidden.map_or(layers.readout.norm, |layer| layer.norm).map(|norm| NormPlace {
            gamma_at: at(|kind| *kind == TensorKind::Scale).unwrap_or(0),
            beta_at: at(|kind| *kind == TensorKind::Shift).unwrap_or(0),
            statistics_at: architecture.statistics().iter().find(|of| of.layer == i).map_or(0, |of| of.range.start),
            momentum: norm.momentum,
        });
        let weights = |is_needed: bool| if is_needed { pieces * width * before_width } else { 0 };
        let splits = splits(extent.batch, before_width, width);
        let is_random = layers.init_state == InitState::Uniform;
        let (after_norm, states) = match hidden {
            Some(layer) => {
                let dropout = layer.dropout.map(|dropout| Dropout::new(dropout.p, dropout.mask == Mask::Sample));
                let masks = if dropout.is_some() { rows * width / MASK_TILE } else { 0 };
                let is_iaf = matches!(layer.neuron, Neuron::Iaf(_));
                let neurons = Neurons {
                    cell: cell(&layer.neuron).unwrap_or(CELL_IAF),
                    iaf: (&iaf(&layer.neuron).constants()).into(),
                    surrogate: layer.neuron.cell().map_or((0, [0.0; 2]), |(_, surrogate)| {
                        let (formula, constants) = surrogate.formula();
                        (formula as u32, constants)
                    }),
                    dropout,
                    constants: device.buffer(CONSTANTS * width)?,
                    masks: device.buffer(extent.if_training(masks))?,
                    spikes: device.buffer(rows * width)?,
                    checkpoints: device.buffer(extent.if_training(rows / CELL_AHEAD * 2 * width))?,
                };
                (AfterNorm::Neurons(neurons), if is_iaf { 0 } else { layer.neuron.states() })
            }
            None => {
                let (reduction, leaks) = match layers.readout.readout {
                    Readout::Sum => (REDUCE_SUM, 0),
                    Readout::Leaky => (REDUCE_SOFTMAX, rows * width),
                    Readout::Max => (REDUCE_MAX, rows * width),
                    Readout::Last => (REDUCE_LAST, rows * width),
                };
                let softmax = device.buffer(if reduction == REDUCE_SOFTMAX { 2 * rows } else { 0 })?;
                (AfterNorm::Readout { reduction, values: device.buffer(leaks)?, softmax }, usize::from(leaks > 0))
            }
        };
        // Scale 1, shift 0, mean 0: this stays in a layer without norm.
        let scales = [vec![1.0; width], vec![0.0; 2 * width]].concat();
        let normed = |len: usize| if norm.is_some() { len } else { 0 };
        Ok(LayerBuffers {
            index: i,
            neurons,
            width,
            before_width,
            weights_at: at(|kind| matches!(kind, TensorKind::Weight(_))).unwrap_or(0),
            bias_at: at(|kind| *kind == TensorKind::Bias),
            forward: device.buffer(weights(i > 0 || dense))?,
            backward: device.buffer(extent.if_training(weights(i > 0)))?,
            y: device.buffer(rows * width)?,
            norm,
            norm_sums: device.buffer(extent.if_training(normed(2 * extent.batch * width)))?,
            scales: device.buffer_from(&scales)?,
            inverse: device.buffer(normed(width))?,
            coefficients: device.buffer(extent.if_training(normed(3 * width)))?,
            lambda: device.buffer(extent.if_training(pieces * rows * width))?,
            splits,
            partials: device.buffer(extent.if_training(splits * before_width * width))?,
            sums: device.buffer(extent.if_training(SUMS * extent.batch * width))?,
            vectors: device.buffer(extent.if_training(VECTORS * width))?,
            parameters: cell_parameters(architecture, i, parameters),
            random_states: if is_random { states as u32 } else { 0 },
            after_norm,
        })
    }

    /// Number of the layer's kind of neuron in the kernels. The readout has a number too.
    pub(super) fn cell(&self) -> u32 {
        match &self.after_norm {
            AfterNorm::Neurons(neurons) => neurons.cell,
            AfterNorm::Readout { .. } => CELL_LEAKY,
        }
    }

    /// Returns the record of one of the layer's tensors. `row` is the row of its gradient in `vectors`, unless the
    /// tensor has weights. `scale` is the factor of the layer's inputs.
    fn record(&self, tensor: &Tensor, row: usize, scale: f32) -> UpdatedLayer {
        let vector = UpdatedLayer {
            forward: Address::null(),
            backward: Address::null(),
            partials: if self.vectors.len() > 0 { self.vectors.at(row * self.width) } else { Address::null() },
            bias_sums: Address::null(),
            at: tensor.range.start as u64,
            inputs: 0,
            outputs: tensor.outputs as u32,
            input_width: 1,
            output_width: self.width as u32,
            splits: 1,
            row_in_partials: 1,
            rows: 1,
            first_block: 0,
            frozen_weights: 0,
            frozen_row: 0,
            scale: 1.0,
        };
        match tensor.kind {
            TensorKind::Weight(_) => UpdatedLayer {
                forward: self.forward.address(),
                backward: self.backward.address(),
                partials: self.partials.address(),
                inputs: tensor.inputs as u32,
                input_width: self.before_width as u32,
                splits: self.splits as u32,
                row_in_partials: 0,
                rows: tensor.inputs as u32,
                scale,
                ..vector
            },
            _ => vector,
        }
    }
}

/// Returns the settings of integrate-and-fire neurons, and the default for other neurons.
fn iaf(neuron: &Neuron) -> Iaf {
    if let Neuron::Iaf(iaf) = neuron { *iaf } else { Iaf::default() }
}

/// Returns the parameters of layer `i`'s neurons, or of the readout. Unused entries have the value 0.
fn cell_parameters(architecture: &Architecture, i: usize, parameters: &Buffer<f32>) -> [ParameterArgs; CONSTANTS] {
    let free = ParameterArgs { values: Address::null(), fixed: 0.0, low: f32::NEG_INFINITY, high: f32::INFINITY };
    let learned = architecture.layer(i).filter_map(|tensor| match tensor.kind {
        TensorKind::Neuron(Learned { clamp, .. }) => {
            let [low, high] = clamp.unwrap_or([free.low, free.high]);
            Some(ParameterArgs { values: parameters.at(tensor.range.start), low, high, ..free })
        }
        _ => None,
    });
    let fixed = architecture.layers.hidden.get(i).map_or(Vec::new(), |layer| layer.neuron.fixed());
    let mut all = learned.chain(fixed.into_iter().map(|fixed| ParameterArgs { fixed, ..free }));
    std::array::from_fn(|_| all.next().unwrap_or(free))
}
