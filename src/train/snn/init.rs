//! PyTorch's default initialisation of `nn.Linear`.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::network::Parameters;

/// Draws each weight and bias from U(-1/sqrt(in), 1/sqrt(in)), which is what `nn.Linear.reset_parameters` comes to
/// (`kaiming_uniform_` with a = sqrt(5)).
///
/// The numbers are drawn in the order of the parameters from ChaCha8, whose stream is the same on every machine; they
/// are not PyTorch's for the same seed.
pub fn default_linear(parameters: &mut Parameters, rng: &mut ChaCha8Rng) {
    for layer in parameters.layers_mut() {
        let bound = 1.0 / (layer.inputs as f32).sqrt();
        for value in layer.weight_t.iter_mut().chain(layer.bias) {
            *value = (2.0 * rng.random::<f32>() - 1.0) * bound;
        }
    }
}
