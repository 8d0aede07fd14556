//! The network Linear-IAF-Linear-IAF-...-Linear: its sizes, and its parameters as one flat list.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::kernel::iaf::Neuron;
use crate::network::surrogate::SingleExponential;

/// Constants of integrate-and-fire neurons without leak. A neuron can spike several times per time step. Each spike
/// subtracts the threshold theta from the membrane potential.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Iaf {
    /// Spike threshold theta, a positive number.
    pub theta: f32,
    /// Lower bound of the membrane potential, or `None` without a bound.
    pub min_v_mem: Option<f32>,
    /// Surrogate gradient: the backward pass uses it instead of the derivative of the spike count.
    pub surrogate: SingleExponential,
}

impl Default for Iaf {
    /// Returns the defaults of Sinabs: a threshold of 1, no lower bound, and the default surrogate gradient.
    fn default() -> Iaf {
        Iaf { theta: 1.0, min_v_mem: None, surrogate: SingleExponential::default() }
    }
}

impl Iaf {
    pub(crate) fn constants(&self) -> Neuron {
        let width = self.theta * self.surrogate.grad_width;
        Neuron {
            theta: self.theta,
            min_v_mem: self.min_v_mem,
            peak: self.surrogate.grad_scale / width,
            rate: 1.0 / width,
        }
    }
}

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

    /// Returns `(inputs, outputs)` of each linear layer, the readout last.
    pub(crate) fn linears(&self) -> impl DoubleEndedIterator<Item = (usize, usize)> + ExactSizeIterator + '_ {
        (0..self.hidden.len() + 1).map(|i| {
            let inputs = if i == 0 { self.inputs } else { self.hidden[i - 1] };
            (inputs, self.hidden.get(i).copied().unwrap_or(self.classes))
        })
    }

    /// Returns the tensors of the parameters, in the order of the flat list.
    pub fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut at = 0;
        for (i, (inputs, outputs)) in self.linears().enumerate() {
            for (kind, len) in [("weight", inputs * outputs), ("bias", outputs)] {
                let name = format!("{}.{kind}", 2 * i);
                parts.push(Part { name, range: at..at + len, is_weight: kind == "weight" });
                at += len;
            }
        }
        parts
    }

    /// Returns the number of weights and biases of the network.
    pub fn parameters(&self) -> usize {
        self.linears().map(|(inputs, outputs)| (inputs + 1) * outputs).sum()
    }
}

/// A tensor of a network's parameters, as in the state dict of the equivalent `nn.Sequential`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Name of the tensor, such as `0.weight`.
    pub name: String,
    /// Where its values are in the flat list of the parameters.
    pub range: Range<usize>,
    /// Whether it is a weight matrix, on which weight decay acts.
    pub is_weight: bool,
}

impl Part {
    /// Returns whether `names` has the name of the tensor, or of its layer: the names before a dot, such as `0`.
    pub fn is_in(&self, names: &[String]) -> bool {
        names.iter().any(|name| {
            self.name.strip_prefix(name.as_str()).is_some_and(|rest| matches!(rest.as_bytes(), [] | [b'.', ..]))
        })
    }
}

/// All weights and biases of a network, or their gradients.
///
/// They are one flat list, in the order of the state dict of the equivalent `nn.Sequential` (`0.weight`, `0.bias`,
/// `2.weight`, ...). Weight matrices are transposed: (in, out) row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    shape: Shape,
    values: Vec<f32>,
}

/// The weights and biases of one linear layer. `Numbers` is `&[f32]` or `&mut [f32]`.
#[derive(Clone, Copy, Debug)]
pub struct Linear<Numbers> {
    /// Number of inputs.
    pub inputs: usize,
    /// Number of outputs.
    pub outputs: usize,
    /// Transposed weight matrix W^T, (in, out) row-major.
    pub weight_t: Numbers,
    /// Biases, (out,).
    pub bias: Numbers,
}

impl Linear<&[f32]> {
    /// Returns the weight matrix W, (out, in) row-major, as in PyTorch.
    pub fn weight(&self) -> Vec<f32> {
        (0..self.outputs).flat_map(|o| self.weight_t.iter().skip(o).step_by(self.outputs).copied()).collect()
    }
}

impl Linear<&mut [f32]> {
    /// Sets the weights of the layer from the weight matrix W, (out, in) row-major, as in PyTorch.
    pub fn set_weight(&mut self, weight: &[f32]) {
        for (o, row) in weight.chunks_exact(self.inputs).enumerate() {
            self.weight_t.iter_mut().skip(o).step_by(self.outputs).zip(row).for_each(|(to, from)| *to = *from);
        }
    }
}

impl Parameters {
    /// Makes parameters that are all 0, for a network with the sizes `shape`.
    pub fn zeros(shape: Shape) -> Parameters {
        let values = vec![0.0; shape.parameters()];
        Parameters { shape, values }
    }

    /// Returns the sizes of the network.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Returns all weights and biases as one flat list, for the optimiser and the checkpoint.
    pub fn flat(&self) -> &[f32] {
        &self.values
    }

    /// Like [`Parameters::flat`], but mutable.
    pub fn flat_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Returns the linear layers, the readout last.
    pub fn layers(&self) -> impl Iterator<Item = Linear<&[f32]>> {
        let mut rest = self.values.as_slice();
        self.shape.linears().map(move |(inputs, outputs)| {
            let (weight_t, after) = rest.split_at(inputs * outputs);
            let (bias, after) = after.split_at(outputs);
            rest = after;
            Linear { inputs, outputs, weight_t, bias }
        })
    }

    /// Like [`Parameters::layers`], but mutable.
    pub fn layers_mut(&mut self) -> impl Iterator<Item = Linear<&mut [f32]>> {
        let mut rest = self.values.as_mut_slice();
        self.shape.linears().map(move |(inputs, outputs)| {
            let (weight_t, after) = std::mem::take(&mut rest).split_at_mut(inputs * outputs);
            let (bias, after) = after.split_at_mut(outputs);
            rest = after;
            Linear { inputs, outputs, weight_t, bias }
        })
    }
}

/// A spiking network: the constants of its neurons, and its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Constants of the neurons in all hidden layers.
    pub neuron: Iaf,
    /// Weights and biases.
    pub parameters: Parameters,
}

impl Network {
    /// Returns the sizes of the network.
    pub fn shape(&self) -> &Shape {
        self.parameters.shape()
    }
}
