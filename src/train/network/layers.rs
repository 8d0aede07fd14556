//! The layers of a network, from the input to the readout, without the sizes of input and output.

use crate::network::iaf::{Iaf, SpikeFn};
use crate::network::neuron::Neuron;
use crate::network::surrogate::SingleExponential;

/// The layers of a network: any number of hidden layers, and the readout.
///
/// [`Layers::parse`] reads them from the text of a network file, and [`Layers::text`] writes that text.
#[derive(Clone, Debug, PartialEq)]
pub struct Layers {
    /// States of the neurons before the first time step.
    pub init_state: InitState,
    /// Hidden layers, the layer next to the input first.
    pub hidden: Vec<Hidden>,
    /// The last layer.
    pub readout: Output,
}

/// A hidden layer: linear, norm, recurrent, neurons, dropout.
#[derive(Clone, Debug, PartialEq)]
pub struct Hidden {
    /// Number of neurons.
    pub neurons: usize,
    /// The linear layer before the neurons.
    pub linear: LinearLayer,
    /// Batch norm of the linear layer's outputs, if any.
    pub norm: Option<Norm>,
    /// Whether the layer has recurrent weights: a dense connection to its neurons from its own spikes at the previous
    /// time step.
    pub recurrent: bool,
    /// The neurons.
    pub neuron: Neuron,
    /// Dropout of the neurons' spikes, if any.
    pub dropout: Option<Dropout>,
}

/// Numbers of neurons of the hidden layers of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HiddenSizes {
    /// The same number in every hidden layer. The number of layers is that of the network.
    Every(usize),
    /// The number of neurons of each hidden layer, the layer next to the input first. The length of the list is the
    /// number of hidden layers.
    Each(Vec<usize>),
}

impl HiddenSizes {
    /// Returns the number of neurons of each hidden layer. `layers` is the number of hidden layers for
    /// [`HiddenSizes::Every`].
    pub fn of(&self, layers: usize) -> Vec<usize> {
        match self {
            HiddenSizes::Every(neurons) => vec![*neurons; layers],
            HiddenSizes::Each(neurons) => neurons.clone(),
        }
    }
}

/// The last layer: linear, norm, and the readout over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The linear layer. It has one output for each class.
    pub linear: LinearLayer,
    /// Batch norm of the linear layer's outputs, if any.
    pub norm: Option<Norm>,
    /// How the outputs at all time steps become logits.
    pub readout: Readout,
}

/// States of the neurons before the first time step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitState {
    /// All states are 0.
    #[default]
    Zero,
    /// All states are uniform in [0, 1), as in the programs of Bittar and Garner (sparch) and Fabre et al. (SiLIF). In
    /// training, they are drawn for each sample in each
    /// epoch. In evaluations, they are the same every time.
    Uniform,
}

/// A linear layer's settings, apart from its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearLayer {
    /// Whether the layer has biases.
    pub bias: bool,
    /// Distribution of the initial weights.
    pub init: LinearInit,
}

/// Distribution of a linear layer's initial weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinearInit {
    /// Weights and biases are uniform in (-1/sqrt(in), 1/sqrt(in)), as by default in PyTorch's `nn.Linear`.
    Uniform,
    /// Weights are uniform in (-sqrt(6/(in+out)), sqrt(6/(in+out))), as with PyTorch's `xavier_uniform_`. Biases are
    /// as in `Uniform`.
    Xavier,
}

/// Batch norm over the samples and time steps of a batch. It equals PyTorch's `BatchNorm1d` for an input of shape
/// (batch * time, channels), with eps = 1e-5.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// Weight of a batch in the running statistics: running = (1 - momentum) * running + momentum * batch.
    pub momentum: f32,
}

impl Default for Norm {
    /// Returns a norm with the momentum that sparch (Bittar and Garner, 2022) and SiLIF (Fabre et al., 2025) use: 0.05.
    fn default() -> Norm {
        Norm { momentum: 0.05 }
    }
}

/// Dropout of spikes in training. The spikes that are not dropped are multiplied by 1 / (1 - p).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability p that a spike is dropped, from 0 to below 1.
    pub p: f32,
    /// Whether the choice changes from time step to time step.
    pub mask: Mask,
}

/// How often dropout chooses whether the spikes of a neuron are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// For each sample, at each time step.
    Step,
    /// Once for each sample, for all of its time steps.
    Sample,
}

/// How the outputs of the last linear layer at all time steps become logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Readout {
    /// The sum over time.
    Sum,
    /// The sum over time of softmax(y\[t\]). y is a leaky integrator: y\[t\] = alpha y\[t-1\] + (1 - alpha) x\[t\].
    /// x\[t\] are the outputs of the last linear layer, after its norm.
    ///
    /// Each class learns its own alpha, clamped to the range from e^(-1/5) to e^(-1/25).
    Leaky,
    /// The largest value over time of the leaky integrator y of [`Readout::Leaky`], for each class.
    Max,
    /// The value of the leaky integrator y of [`Readout::Leaky`] at the last time step.
    Last,
}

impl Layers {
    /// Returns the layers of a network of integrate-and-fire neurons without leak. The linear layers have biases. The
    /// readout is the sum over time. `hidden` has the number of neurons of each hidden layer.
    pub fn iaf(hidden: &[usize], neuron: Iaf) -> Layers {
        let linear = LinearLayer { bias: true, init: LinearInit::Uniform };
        let layer = |&neurons: &usize| Hidden {
            neurons,
            linear,
            norm: None,
            recurrent: false,
            neuron: Neuron::Iaf(neuron),
            dropout: None,
        };
        Layers {
            init_state: InitState::Zero,
            hidden: hidden.iter().map(layer).collect(),
            readout: Output { linear, norm: None, readout: Readout::Sum },
        }
    }

    /// Returns the constants of the neurons if [`Layers::iaf`] can make these layers and the neurons spike any number
    /// of times per time step. Returns `None` for other layers, which [`CpuEngine`](crate::engine::CpuEngine) cannot
    /// compute.
    pub fn as_iaf(&self) -> Option<Iaf> {
        let neuron = match self.hidden.first() {
            Some(Hidden { neuron: Neuron::Iaf(neuron), .. }) => *neuron,
            Some(_) => return None,
            None => Iaf::default(),
        };
        let sizes: Vec<usize> = self.hidden.iter().map(|layer| layer.neurons).collect();
        let is_plain = neuron.spike_fn == SpikeFn::Multi && *self == Layers::iaf(&sizes, neuron);
        is_plain.then_some(neuron)
    }

    /// Returns a short text for messages: what these layers have beyond those that [`Layers::as_iaf`] describes.
    /// Example: "norm, silif".
    pub fn beyond_iaf(&self) -> String {
        let is_plain = |linear: &LinearLayer| linear.bias && linear.init == LinearInit::Uniform;
        let mut words: Vec<String> = Vec::new();
        for layer in &self.hidden {
            words.extend(layer.recurrent.then(|| "recurrent".into()));
            if !matches!(layer.neuron, Neuron::Iaf(_)) {
                words.push(layer.neuron.name().into());
            }
            words.extend(layer.dropout.map(|_| "dropout".into()));
        }
        let mut neurons = self.hidden.iter().map(|layer| layer.neuron).enumerate();
        let first = neurons.find_map(|(_, neuron)| if let Neuron::Iaf(iaf) = neuron { Some(iaf) } else { None });
        let other = first.and_then(|first| {
            neurons.find(|(_, neuron)| matches!(neuron, Neuron::Iaf(other) if *other != first)).map(|(i, _)| i + 1)
        });
        words.extend(
            first
                .filter(|iaf| iaf.surrogate != SingleExponential::default())
                .map(|_| "iaf with another surrogate gradient".into()),
        );
        let is_single = |iaf: &Iaf| iaf.spike_fn == SpikeFn::Single;
        words.extend(first.filter(is_single).map(|_| "iaf that spikes once per step".into()));
        words.extend(other.map(|layer| format!("iaf with other settings in layer {layer}")));
        let mut linears = self.hidden.iter().map(|layer| &layer.linear).chain([&self.readout.linear]);
        words.extend((!linears.all(is_plain)).then(|| "linear without bias or with xavier weights".into()));
        words.extend(self.norms().next().map(|_| "norm".into()));
        if self.readout.readout != Readout::Sum {
            words.push("a readout that is not the sum over time".into());
        }
        words.sort_unstable();
        words.dedup();
        words.join(", ")
    }

    /// Returns these layers with other numbers of neurons.
    ///
    /// Returns `None` if there is no hidden layer. Also returns `None` with [`HiddenSizes::Each`] if the hidden layers
    /// differ in more than their numbers of neurons.
    pub fn resized(&self, sizes: &HiddenSizes) -> Option<Layers> {
        let first = self.hidden.first()?;
        let sized = |layer: &Hidden, neurons: usize| Hidden { neurons, ..layer.clone() };
        let hidden: Vec<Hidden> = match sizes {
            HiddenSizes::Every(neurons) => self.hidden.iter().map(|layer| sized(layer, *neurons)).collect(),
            HiddenSizes::Each(sizes) => {
                let alike = self.hidden.iter().all(|layer| sized(first, layer.neurons) == *layer);
                alike.then(|| sizes.iter().map(|&neurons| sized(first, neurons)).collect())?
            }
        };
        Some(Layers { hidden, ..self.clone() })
    }

    /// Returns the norms of all layers, the norm next to the input first.
    pub fn norms(&self) -> impl Iterator<Item = Norm> {
        self.hidden.iter().filter_map(|layer| layer.norm).chain(self.readout.norm)
    }
}
