//! The tensors of a network: their names, their shapes, and their ranges in the flat list of parameters.

use std::ops::Range;

use crate::network::iaf::Iaf;
use crate::network::layers::{Layers, LinearInit, Readout};
use crate::network::neuron::{Draw, FAST_DECAY, Learned};

/// The sizes of a network. Each is at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of inputs: the number of cells in a frame.
    pub inputs: usize,
    /// Number of neurons of each hidden layer, in the order from the input to the readout.
    pub hidden: Vec<usize>,
    /// Number of classes: the number of outputs of the readout.
    pub classes: usize,
}

impl Shape {
    /// Returns the sizes of the reference network, which has three hidden layers of 128 neurons.
    pub fn reference(inputs: usize, classes: usize) -> Shape {
        Shape { inputs, hidden: vec![128; 3], classes }
    }

    /// Returns an architecture with these sizes and with the layers of [`Layers::iaf`].
    pub fn iaf(&self, neuron: Iaf) -> Architecture {
        Architecture::new(self.inputs, Layers::iaf(&self.hidden, neuron), self.classes)
    }

    /// Returns `(inputs, outputs)` of each linear layer, the readout last.
    pub(crate) fn linears(&self) -> impl DoubleEndedIterator<Item = (usize, usize)> + ExactSizeIterator + '_ {
        (0..self.hidden.len() + 1).map(|i| {
            let inputs = if i == 0 { self.inputs } else { self.hidden[i - 1] };
            (inputs, self.hidden.get(i).copied().unwrap_or(self.classes))
        })
    }
}

/// Role of a tensor in its layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TensorKind {
    /// Weights of a linear layer, stored transposed, (in, out).
    Weight(LinearInit),
    /// Weights of a recurrent connection, (from, to). The diagonal is not used.
    Recurrent,
    /// Biases of a linear layer, (out,).
    Bias,
    /// Scale of a norm, (channels,), initially 1.
    Scale,
    /// Shift of a norm, (channels,), initially 0.
    Shift,
    /// A number that each neuron of a layer learns, (neurons,).
    Neuron(Learned),
}

/// A tensor of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Name in the model file, such as `2.weight`. The number counts the layers of the network file from 0. The rest
    /// is the name that PyTorch gives the tensor.
    pub name: String,
    /// Index of the hidden layer that the tensor belongs to. The index of the readout is the number of hidden layers.
    pub layer: usize,
    /// Role of the tensor in its layer.
    pub kind: TensorKind,
    /// Number of inputs of a weight matrix, and 1 for a vector.
    pub inputs: usize,
    /// Number of outputs, channels or neurons.
    pub outputs: usize,
    /// Indices of the tensor's values in the flat list of parameters.
    pub range: Range<usize>,
}

impl Tensor {
    /// Whether the tensor is a weight matrix. Weight decay acts on weight matrices only.
    pub fn is_weight(&self) -> bool {
        matches!(self.kind, TensorKind::Weight(_) | TensorKind::Recurrent)
    }

    /// Returns whether `names` has the tensor's name, such as `0.weight`, or the number before its dot, such as `0`.
    pub fn is_in(&self, names: &[String]) -> bool {
        names.iter().any(|name| {
            self.name.strip_prefix(name.as_str()).is_some_and(|rest| matches!(rest.as_bytes(), [] | [b'.', ..]))
        })
    }
}

/// What a statistic of a norm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatisticKind {
    /// Means of the channels. The initial value is 0.
    Mean,
    /// Variances of the channels. The initial value is 1.
    Variance,
}

/// Describes the running means or variances of a norm. [`Parameters::statistics`](super::Parameters::statistics) has
/// the values.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistic {
    /// Name in the model file, such as `1.running_mean`.
    pub name: String,
    /// Weight of a new batch in the running value, see [`Norm::momentum`](super::Norm::momentum).
    pub momentum: f32,
    /// Whether the values are means or variances.
    pub kind: StatisticKind,
    /// Index of the layer, see [`Tensor::layer`].
    pub layer: usize,
    /// Indices of the values in the list of statistics.
    pub range: Range<usize>,
}

/// The sizes and layers of a network, and the names, shapes and ranges of its tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Sizes of the network.
    pub shape: Shape,
    /// Layers of the network.
    pub layers: Layers,
    pub(super) tensors: Vec<Tensor>,
    pub(super) statistics: Vec<Statistic>,
}

impl Architecture {
    /// Makes the architecture of a network with `inputs` inputs and `classes` outputs.
    pub fn new(inputs: usize, layers: Layers, classes: usize) -> Architecture {
        let hidden: Vec<usize> = layers.hidden.iter().map(|layer| layer.neurons).collect();
        let mut list = List::default();
        let mut before = inputs;
        for layer in &layers.hidden {
            let neurons = layer.neurons;
            list.linear(before, neurons, layer.linear.bias, layer.linear.init);
            if let Some(norm) = layer.norm {
                list.norm(neurons, norm.momentum);
            }
            if layer.recurrent {
                list.add("weight", TensorKind::Recurrent, neurons, neurons);
                list.entry += 1;
            }
            list.neurons(&layer.neuron.learned(), neurons);
            list.entry += usize::from(layer.dropout.is_some());
            list.layer += 1;
            before = neurons;
        }
        let readout = &layers.readout;
        list.linear(before, classes, readout.linear.bias, readout.linear.init);
        if let Some(norm) = readout.norm {
            list.norm(classes, norm.momentum);
        }
        if readout.readout != Readout::Sum {
            let leak = Learned { name: "alpha", draw: Draw::Uniform(FAST_DECAY), clamp: Some(FAST_DECAY) };
            list.neurons(&[leak], classes);
        }
        let List { tensors, statistics, .. } = list;
        Architecture { shape: Shape { inputs, hidden, classes }, layers, tensors, statistics }
    }

    /// Returns the tensors of the layer with this index, see [`Tensor::layer`].
    pub(crate) fn layer(&self, layer: usize) -> impl Iterator<Item = &Tensor> {
        self.tensors.iter().filter(move |tensor| tensor.layer == layer)
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.tensors.last().map_or(0, |tensor| tensor.range.end)
    }

    /// Returns all tensors, in the order of the flat list of parameters.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Returns the running statistics of all norms: mean and variance of each.
    pub fn statistics(&self) -> &[Statistic] {
        &self.statistics
    }
}

/// Tensors and statistics of the layers that were added so far.
#[derive(Default)]
struct List {
    tensors: Vec<Tensor>,
    statistics: Vec<Statistic>,
    /// Number that the next entry of the network file gets in names of tensors.
    entry: usize,
    layer: usize,
}

impl List {
    fn add(&mut self, name: &str, kind: TensorKind, inputs: usize, outputs: usize) {
        let start = self.tensors.last().map_or(0, |tensor| tensor.range.end);
        let (name, range) = (format!("{}.{name}", self.entry), start..start + inputs * outputs);
        self.tensors.push(Tensor { name, layer: self.layer, kind, inputs, outputs, range });
    }

    fn linear(&mut self, inputs: usize, outputs: usize, bias: bool, init: LinearInit) {
        self.add("weight", TensorKind::Weight(init), inputs, outputs);
        if bias {
            self.add("bias", TensorKind::Bias, 1, outputs);
        }
        self.entry += 1;
    }

    fn norm(&mut self, channels: usize, momentum: f32) {
        self.add("weight", TensorKind::Scale, 1, channels);
        self.add("bias", TensorKind::Shift, 1, channels);
        for (name, kind) in [("running_mean", StatisticKind::Mean), ("running_var", StatisticKind::Variance)] {
            let start = self.statistics.last().map_or(0, |statistic| statistic.range.end);
            let (name, range) = (format!("{}.{name}", self.entry), start..start + channels);
            self.statistics.push(Statistic { name, momentum, kind, layer: self.layer, range });
        }
        self.entry += 1;
    }

    fn neurons(&mut self, learned: &[Learned], neurons: usize) {
        for learned in learned {
            self.add(learned.name, TensorKind::Neuron(*learned), 1, neurons);
        }
        self.entry += 1;
    }
}
