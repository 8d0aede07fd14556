//! Reads and checks the model files of a run folder.

use std::path::Path;

use tonic_base::Error as BaseError;

use crate::error::{BaseFault, Error, Result};
use crate::network::{Model, Network, read_model};
use crate::run::config::Config;
use crate::run::folder::{BEST, MODEL};
use crate::run::metrics::EpochMetrics;
use crate::run::sums;

/// If any epoch of the run was validated, checks that best.safetensors has a network that fits the run.
///
/// # Errors
/// [`Corrupt`](BaseError::Corrupt) if the file is missing, damaged or of another network; [`Io`](BaseError::Io).
pub(super) fn check_best(run: &Path, config: &Config, epochs: &[EpochMetrics]) -> Result<()> {
    if epochs.iter().all(|epoch| epoch.valid.is_none()) {
        return Ok(());
    }
    let path = run.join(BEST);
    let got = match read_model(&path) {
        Ok(model) if config.check_model(run, &path, &model).is_ok() => return Ok(()),
        Ok(_) => "another network".into(),
        Err(Error::Model { source, .. }) => source.to_string(),
        Err(Error::Base(BaseError::Io { source, .. })) if source.kind() == std::io::ErrorKind::NotFound => {
            "no file".into()
        }
        Err(error) => return Err(error),
    };
    Err(Error::corrupt(&path, "network", "the network with the best validation of metrics.jsonl", got))
}

/// Reads the network in the file `name` of a run.
///
/// # Errors
/// - [`Error::Model`] if the file is damaged
/// - [`Corrupt`](BaseError::Corrupt) if the file changed since the run saved it
/// - [`Mismatch`](tonic_shard::Error::Mismatch) if its network, classes or time steps are not those of the run
/// - [`Io`](BaseError::Io)
pub(crate) fn read_network(run: &Path, config: &Config, name: &str) -> Result<Model> {
    let path = run.join(name);
    let model = read_model(&path)?;
    config.check_model(run, &path, &model)?;
    sums::check(run, name)?;
    Ok(model)
}

/// Returns whether model.safetensors is intact and has the same parameters as `network`.
pub(super) fn is_model(run: &Path, config: &Config, network: &Network) -> bool {
    read_network(run, config, MODEL).is_ok_and(|model| model.network.parameters.flat() == network.parameters.flat())
}
