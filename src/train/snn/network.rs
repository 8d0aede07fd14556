//! The network: Linear IAF Linear IAF ... Linear, as one flat list of parameters.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::init;
use super::surrogate::SingleExponential;
use crate::train::kernel::iaf::Neuron;

/// Hidden layers of the reference network.
pub const HIDDEN: [usize; 3] = [128, 128, 128];

/// The integrate-and-fire neurons of the hidden layers: many spikes a step, each takes theta from the membrane, no
/// leak.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Iaf {
    /// Spike threshold.
    pub theta: f32,
    /// Lower bound of the membrane potential.
    pub min_v_mem: Option<f32>,
    /// Stands for the derivative of the spikes.
    pub surrogate: SingleExponential,
}

impl Default for Iaf {
    /// Sinabs' defaults.
    fn default() -> Iaf {
        Iaf { theta: 1.0, min_v_mem: None, surrogate: SingleExponential::default() }
    }
}

impl Iaf {
    /// The constants of the kernels.
    pub fn constants(&self) -> Neuron {
        let width = self.theta * self.surrogate.grad_width;
        Neuron {
            theta: self.theta,
            min_v_mem: self.min_v_mem,
            peak: self.surrogate.grad_scale / width,
            rate: 1.0 / width,
        }
    }
}

/// The sizes of a network, each at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Cells of a frame.
    pub inputs: usize,
    /// Neurons of each hidden layer, the first next to the input.
    pub hidden: Vec<usize>,
    /// Outputs of the readout.
    pub classes: usize,
}

impl Shape {
    /// The reference network's hidden layers between `inputs` and `classes`.
    pub fn reference(inputs: usize, classes: usize) -> Shape {
        Shape { inputs, hidden: HIDDEN.to_vec(), classes }
    }

    /// `(inputs, outputs)` of each linear layer.
    pub fn linears(&self) -> impl DoubleEndedIterator<Item = (usize, usize)> + ExactSizeIterator + '_ {
        (0..self.hidden.len() + 1).map(|i| {
            let inputs = if i == 0 { self.inputs } else { self.hidden[i - 1] };
            (inputs, self.hidden.get(i).copied().unwrap_or(self.classes))
        })
    }

    /// How many weights and biases.
    pub fn parameters(&self) -> usize {
        self.linears().map(|(inputs, outputs)| (inputs + 1) * outputs).sum()
    }
}

/// One number for each weight and bias: the parameters themselves, or their gradients.
///
/// They lie flat in the order of the state dict of the equivalent `nn.Sequential` (`0.weight`, `0.bias`, `2.weight`,
/// ...), except that a weight is kept transposed, (in, out) row-major: one row for each input, so that an active cell
/// finds its weights side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    shape: Shape,
    values: Vec<f32>,
}

/// One linear layer's part of [`Parameters`].
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// How many inputs.
    pub inputs: usize,
    /// How many outputs.
    pub outputs: usize,
    /// W^T, (in, out) row-major.
    pub weight_t: &'a [f32],
    /// (out)
    pub bias: &'a [f32],
}

impl Linear<'_> {
    /// W, (out, in) row-major, as PyTorch keeps it.
    pub fn weight(&self) -> Vec<f32> {
        (0..self.outputs).flat_map(|o| self.weight_t.iter().skip(o).step_by(self.outputs).copied()).collect()
    }
}

/// One linear layer's part of [`Parameters`], to write to.
#[derive(Debug)]
pub struct LinearMut<'a> {
    /// How many inputs.
    pub inputs: usize,
    /// How many outputs.
    pub outputs: usize,
    /// W^T, (in, out) row-major.
    pub weight_t: &'a mut [f32],
    /// (out)
    pub bias: &'a mut [f32],
}

impl LinearMut<'_> {
    /// Copies from W, (out, in) row-major, as PyTorch keeps it.
    pub fn set_weight(&mut self, weight: &[f32]) {
        for (o, row) in weight.chunks_exact(self.inputs).enumerate() {
            self.weight_t.iter_mut().skip(o).step_by(self.outputs).zip(row).for_each(|(to, from)| *to = *from);
        }
    }
}

impl Parameters {
    /// Zeros.
    pub fn zeros(shape: Shape) -> Parameters {
        let values = vec![0.0; shape.parameters()];
        Parameters { shape, values }
    }

    /// The sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// All of them, for the optimiser and the checkpoint.
    pub fn flat(&self) -> &[f32] {
        &self.values
    }

    /// All of them, to write to.
    pub fn flat_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The linear layers, the first next to the input. Layer i is number 2 i of the `nn.Sequential`.
    pub fn layers(&self) -> impl Iterator<Item = Linear<'_>> {
        let mut rest = self.values.as_slice();
        self.shape.linears().map(move |(inputs, outputs)| {
            let (weight_t, after) = rest.split_at(inputs * outputs);
            let (bias, after) = after.split_at(outputs);
            rest = after;
            Linear { inputs, outputs, weight_t, bias }
        })
    }

    /// The linear layers, to write to.
    pub fn layers_mut(&mut self) -> impl Iterator<Item = LinearMut<'_>> {
        let mut rest = self.values.as_mut_slice();
        self.shape.linears().map(move |(inputs, outputs)| {
            let (weight_t, after) = std::mem::take(&mut rest).split_at_mut(inputs * outputs);
            let (bias, after) = after.split_at_mut(outputs);
            rest = after;
            LinearMut { inputs, outputs, weight_t, bias }
        })
    }
}

/// A spiking network: its neurons and its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Of all hidden layers.
    pub neuron: Iaf,
    /// Weights and biases.
    pub parameters: Parameters,
}

impl Network {
    /// A network with PyTorch's default initialisation ([`init`]), the same for the same seed.
    pub fn new(shape: Shape, neuron: Iaf, rng: &mut ChaCha8Rng) -> Network {
        let mut parameters = Parameters::zeros(shape);
        init::default_linear(&mut parameters, rng);
        Network { neuron, parameters }
    }

    /// The sizes.
    pub fn shape(&self) -> &Shape {
        self.parameters.shape()
    }
}
