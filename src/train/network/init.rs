//! Initial weights: PyTorch's default initialisation of `nn.Linear`.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::network::parameters::{Iaf, Network, Parameters, Shape};

impl Network {
    /// Makes a network with random parameters. In a layer with n inputs, each weight and bias is uniform in
    /// (-1/sqrt(n), 1/sqrt(n)), as in PyTorch's `nn.Linear.reset_parameters`.
    ///
    /// PyTorch draws other numbers for the same seed.
    pub fn new(shape: Shape, neuron: Iaf, rng: &mut ChaCha8Rng) -> Network {
        let mut parameters = Parameters::zeros(shape);
        for layer in parameters.layers_mut() {
            let bound = 1.0 / (layer.inputs as f32).sqrt();
            for value in layer.weight_t.iter_mut().chain(layer.bias) {
                *value = (2.0 * rng.random::<f32>() - 1.0) * bound;
            }
        }
        Network { neuron, parameters }
    }
}
