//! Initial values of the parameters.

use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::network::layers::LinearInit;
use crate::network::neuron::Draw;
use crate::network::orthogonal::orthogonal;
use crate::network::parameters::{Network, Parameters};
use crate::network::tensors::{Architecture, StatisticKind, TensorKind};

impl Network {
    /// Makes a network with random parameters. They are drawn tensor by tensor, in the order of the flat list of
    /// parameters:
    ///
    /// - weights and biases of a layer with n inputs: uniform in (-1/sqrt(n), 1/sqrt(n)), as in PyTorch's
    ///   `nn.Linear.reset_parameters`
    /// - weights with [`LinearInit::Xavier`]: uniform, with the bound given there
    /// - recurrent weights: a random orthogonal matrix
    /// - norms: scale 1 and shift 0
    /// - parameters of neurons: as [`Learned`](super::Learned) says
    ///
    /// PyTorch draws other numbers for the same seed. After an interruption, for example Ctrl-C, recurrent weights that
    /// are not complete stay 0.
    pub fn new(architecture: impl Into<Arc<Architecture>>, rng: &mut ChaCha8Rng) -> Network {
        let mut network = Network::zeros(architecture);
        let architecture = network.architecture().clone();
        let values = network.parameters.flat_mut();
        let mut inputs = 0;
        for tensor in architecture.tensors() {
            let values = &mut values[tensor.range.clone()];
            let mut symmetric =
                |bound: f32| values.iter_mut().for_each(|v| *v = (2.0 * rng.random::<f32>() - 1.0) * bound);
            match tensor.kind {
                TensorKind::Weight(init) => {
                    inputs = tensor.inputs;
                    symmetric(match init {
                        LinearInit::Uniform => 1.0 / (inputs as f32).sqrt(),
                        LinearInit::Xavier => (6.0 / (inputs + tensor.outputs) as f32).sqrt(),
                    });
                }
                TensorKind::Bias => symmetric(1.0 / (inputs as f32).sqrt()),
                TensorKind::Recurrent => orthogonal(values, tensor.outputs, rng),
                TensorKind::Scale => values.fill(1.0),
                TensorKind::Shift => values.fill(0.0),
                TensorKind::Neuron(learned) => {
                    let [low, high] = match learned.draw {
                        Draw::Uniform(ends) => ends.map(f64::from),
                        Draw::Log(ends) => ends.map(|end| libm::log(f64::from(end))),
                    };
                    values.iter_mut().for_each(|v| *v = (low + (high - low) * f64::from(rng.random::<f32>())) as f32);
                }
            }
        }
        network
    }

    /// Makes a network whose parameters are all 0. The running statistics of its norms have their initial values.
    pub fn zeros(architecture: impl Into<Arc<Architecture>>) -> Network {
        let mut parameters = Parameters::zeros(architecture);
        let architecture = parameters.architecture().clone();
        for statistic in architecture.statistics() {
            let initial = if statistic.kind == StatisticKind::Mean { 0.0 } else { 1.0 };
            parameters.statistics_mut()[statistic.range.clone()].fill(initial);
        }
        Network { parameters }
    }
}
