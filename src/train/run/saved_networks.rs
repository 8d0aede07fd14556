//! Checks the network files of a run folder when the run is resumed.

use std::path::Path;

use tonic_base::Error as BaseError;

use crate::error::{BaseFault, Error, Result};
use crate::network::{Network, read_model};
use crate::run::config::Config;
use crate::run::folder::{BEST, MODEL};
use crate::run::metrics::EpochMetrics;

/// Checks best.safetensors if any epoch of the run was validated. The file must have a network that fits the run. No
/// other file has this network, so the run cannot be resumed without it.
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
    Err(Error::corrupt(&path, "network", "the network with the best validation accuracy of metrics.jsonl", got))
}

/// Returns whether model.safetensors can be read and has the network `network`.
pub(super) fn is_model(run: &Path, config: &Config, network: &Network) -> bool {
    let path = run.join(MODEL);
    read_model(&path).is_ok_and(|model| {
        config.check_model(run, &path, &model).is_ok() && model.network.parameters.flat() == network.parameters.flat()
    })
}
