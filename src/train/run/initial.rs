//! The network of a new run before the first batch: random parameters, or the parameters in a file.

use std::path::Path;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tonic_base::interrupt;

use crate::error::{BaseFault, Error, Result};
use crate::network::{Network, TensorKind, read_parameters};
use crate::run::config::{Config, NetworkConfig};
use crate::run::options::FitOptions;

/// Returns a network with random initial parameters. They depend only on the configuration.
///
/// # Errors
/// [`Interrupted`](tonic_base::Error::Interrupted): large recurrent layers take minutes.
pub(super) fn random_network(config: &Config) -> Result<Network> {
    let NetworkConfig { gain, .. } = config.network;
    let mut network = Network::new(config.network.architecture(), &mut ChaCha8Rng::seed_from_u64(config.seed));
    if gain != 1.0 {
        let hidden = config.network.hidden.len();
        let weights = network.parameters.layers_mut().take(hidden).flat_map(|layer| layer.weight_t);
        weights.for_each(|weight| *weight = (f64::from(*weight) * gain) as f32);
    }
    interrupt::check("the initial weights are not complete")?;
    Ok(network)
}

/// Returns the network before the first batch. If the option `init` names a file, prints which parameters come from
/// it.
///
/// # Errors
/// [`Usage`](tonic_base::Error::Usage) with the option `init` if its file is missing or doesn't fit the network;
/// [`Io`](tonic_base::Error::Io); the errors of [`random_network`].
pub(super) fn initial_network(fit: &FitOptions, config: &Config) -> Result<Network> {
    let mut network = random_network(config)?;
    let Some(sum) = &config.training.init else { return Ok(network) };
    let Some(path) = &fit.training.init else {
        let expected = format!("the file with the BLAKE3 sum {sum}, from whose parameters the run begins");
        return Err(Error::usage("init", expected, "none"));
    };
    let random = read(path, &mut network)?;
    let gain = config.network.gain;
    let hidden = network.architecture().tensors().iter().filter(|tensor| matches!(tensor.kind, TensorKind::Weight(_)));
    let mut hidden = hidden.take(config.network.hidden.len());
    if gain != 1.0 && hidden.all(|tensor| !random.contains(&tensor.name)) {
        let expected = "random weights in a hidden layer, which alone it multiplies";
        return Err(Error::usage("gain", expected, format!("all of them from {}", path.display())));
    }
    fit.say(|| match random.len() {
        0 => format!("init     all parameters are from {}", path.display()),
        _ => format!(
            "init     all parameters are from {}, except {}, which are random",
            path.display(),
            random.join(", ")
        ),
    });
    Ok(network)
}

/// Replaces the parameters of `network` with those in a file. Returns the names of the tensors that are not in the
/// file.
fn read(path: &Path, network: &mut Network) -> Result<Vec<String>> {
    let tensors: Vec<String> = network.architecture().tensors().iter().map(|tensor| tensor.name.clone()).collect();
    let refused = |got: String| {
        let expected = format!("a safetensors file with parts of the network ({})", tensors.join(", "));
        Error::usage("init", expected, format!("{}: {got}", path.display()))
    };
    let random = read_parameters(path, network).map_err(|error| match error {
        Error::Model { source, .. } => refused(source.to_string()),
        other => other,
    })?;
    if tensors.iter().all(|name| random.contains(name)) { Err(refused("none of them".into())) } else { Ok(random) }
}
