//! Parameters of a layer in the order in which the kernels read them.

use crate::kernel::cell::{CellParameter, Constants, Recurrent};
use crate::kernel::dropout::Dropout;
use crate::kernel::iaf;
use crate::kernel::linear::Panels;
use crate::kernel::norm::{Norm, Statistics};
use crate::kernel::readout::{Leaky, Reduction};
use crate::kernel::sampled::InputWeights;
use crate::network::{Architecture, Learned, Mask, Network, Neuron, Readout, Tensor, TensorKind};

/// A layer of a network: linear layer, norm, neurons or readout, and dropout.
#[derive(Debug)]
pub(super) struct PackedLayer {
    pub(super) linear: Panels,
    /// The linear layer's weights, in the order in which the backward pass reads them. `None` in the first layer.
    pub(super) backward: Option<InputWeights>,
    /// Whether the layer has a norm.
    pub(super) is_normed: bool,
    pub(super) norm: Norm,
    /// Statistics of the norm in the last pass.
    pub(super) statistics: Statistics,
    pub(super) after_norm: AfterNorm,
    pub(super) dropout: Option<Dropout>,
}

/// What follows the linear layer and the norm.
#[derive(Debug)]
pub(super) enum AfterNorm {
    /// Integrate-and-fire neurons.
    Iaf(iaf::Neuron),
    /// Other spiking cells: their constants, and the recurrent weights if the layer has them.
    Cell(Constants, Option<Recurrent>),
    /// The readout that sums over time.
    Sum,
    /// A readout with leaky integrators.
    Leaky(Leaky),
}

/// Returns the learned parameters of layer `i`'s neurons, or of the readout, in the order that the kernels expect.
pub(super) fn learned(network: &Network, i: usize) -> Vec<CellParameter<'_>> {
    let of = |tensor: &Tensor| match tensor.kind {
        TensorKind::Neuron(Learned { clamp, .. }) => {
            Some(CellParameter { values: &network.parameters.flat()[tensor.range.clone()], clamp })
        }
        _ => None,
    };
    network.architecture().layer(i).filter_map(of).collect()
}

impl PackedLayer {
    pub(super) fn new(architecture: &Architecture, i: usize) -> PackedLayer {
        let shape = &architecture.shape;
        let inputs = if i == 0 { shape.inputs } else { shape.hidden[i - 1] };
        let outputs = shape.hidden.get(i).copied().unwrap_or(shape.classes);
        let layers = &architecture.layers;
        let below = i.checked_sub(1).map(|below| &layers.hidden[below]);
        let (is_normed, dropout) = match layers.hidden.get(i) {
            Some(layer) => (layer.norm.is_some(), layer.dropout),
            None => (layers.readout.norm.is_some(), None),
        };
        PackedLayer {
            linear: Panels::zeros(inputs, outputs),
            backward: below.map(|below| InputWeights::zeros(inputs, outputs, below.neuron.cell().map(|of| of.1))),
            is_normed,
            norm: Norm::identity(outputs),
            statistics: Statistics::default(),
            after_norm: AfterNorm::Sum,
            dropout: dropout.map(|dropout| Dropout::new(dropout.p, dropout.mask == Mask::Sample)),
        }
    }

    /// Copies the parameters of layer `i`, except for the parameters of the norm. `trains` says whether a backward pass
    /// follows. Only a backward pass reads `backward`.
    pub(super) fn pack(&mut self, network: &Network, i: usize, trains: bool) {
        let architecture = network.architecture();
        let outputs = self.linear.outputs();
        if let Some(layer) = network.parameters.layers().nth(i) {
            let zeros;
            let bias = if layer.bias.is_empty() {
                zeros = vec![0.0; outputs];
                &zeros
            } else {
                layer.bias
            };
            self.linear.pack(layer.weight_t, bias);
            if let Some(backward) = self.backward.as_mut().filter(|_| trains) {
                backward.pack(layer.weight_t);
            }
        }
        let learned = learned(network, i);
        self.after_norm = match architecture.layers.hidden.get(i) {
            Some(layer) => match (layer.neuron, layer.neuron.cell()) {
                (Neuron::Iaf(neuron), _) => AfterNorm::Iaf(neuron.constants()),
                (_, None) => AfterNorm::Sum, // not reached: only iaf has no cell
                (neuron, Some((cell, surrogate))) => {
                    let fixed: Vec<Vec<f32>> = neuron.fixed().into_iter().map(|value| vec![value; outputs]).collect();
                    let fixed = fixed.iter().map(|values| CellParameter { values, clamp: None });
                    let parameters: Vec<CellParameter<'_>> = learned.into_iter().chain(fixed).collect();
                    let constants = Constants::new(cell, surrogate, &parameters);
                    let recurrent = layer.recurrent.then(|| {
                        let mut recurrent = Recurrent::zeros(outputs);
                        let weights = architecture.layer(i).find(|tensor| tensor.kind == TensorKind::Recurrent);
                        weights.iter().for_each(|of| recurrent.pack(&network.parameters.flat()[of.range.clone()]));
                        recurrent
                    });
                    AfterNorm::Cell(constants, recurrent)
                }
            },
            None => match architecture.layers.readout.readout {
                Readout::Sum => AfterNorm::Sum,
                Readout::Leaky => AfterNorm::Leaky(Leaky::new(Reduction::SoftmaxSum, learned[0])),
                Readout::Max => AfterNorm::Leaky(Leaky::new(Reduction::Max, learned[0])),
                Readout::Last => AfterNorm::Leaky(Leaky::new(Reduction::Last, learned[0])),
            },
        };
    }

    pub(super) fn tiles(&self) -> usize {
        self.linear.tiles()
    }
}
