//! Computes the running statistics of norms again from the whole training set, with dropout off.
//!
//! During training, the weights change, and the running statistics follow the batches with a delay. Here the weights
//! stay, and the statistics are means over all batches, as with `momentum=None` of PyTorch's `BatchNorm1d`. On small
//! sets, this changes accuracies by a few percentage points.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tonic_base::{Progress, publish};
use tonic_loader::EpochOrder;
use tonic_ranks::Ranks;

use crate::engine::{LayeredEngine, share};
use crate::error::{BaseFault, Error, KernelError, Result};
use crate::feed::Feed;
use crate::learner::{Padding, Score, check_stop};
use crate::network::{Network, Parameters};
use crate::run::folder::REESTIMATED;

/// Results of the networks of a run on the validation set, after their running statistics were computed again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reestimated {
    /// Score of the network of the last epoch.
    pub last: Score,
    /// Score of the network of the best epoch, see [`TrainingConfig::best`](super::TrainingConfig::best). `None` if no
    /// epoch was validated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Score>,
}

impl Reestimated {
    /// Writes the results to the folder of a run.
    pub(super) fn publish(&self, run: &Path) -> Result<()> {
        let text = serde_json::to_string(self).expect("scores are JSON") + "\n";
        Ok(publish(&run.join(REESTIMATED), text.as_bytes())?)
    }

    /// Reads the results in the folder of a run. `None` if there are none.
    ///
    /// # Errors
    /// [`Io`](tonic_base::Error::Io); [`Corrupt`](tonic_base::Error::Corrupt).
    pub(crate) fn read(run: &Path) -> Result<Option<Reestimated>> {
        let path = run.join(REESTIMATED);
        match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&path, "read the results after re-estimation")(error)),
            Ok(text) => {
                let read = serde_json::from_slice(&text);
                read.map(Some).map_err(|e| Error::corrupt(&path, "JSON", "scores after re-estimation", e))
            }
        }
    }
}

/// Replaces the running statistics of a network with means over the batches of a training set. Several ranks share
/// each batch.
///
/// # Errors
/// The errors of reading the set, [`Error::Kernel`](crate::Error::Kernel),
/// [`Interrupted`](tonic_base::Error::Interrupted).
pub(super) fn reestimate(
    ranks: Ranks,
    network: &mut Network,
    train: &Feed,
    batch_size: usize,
    padding: Padding,
    progress: &Progress,
) -> Result<()> {
    let mut engine = LayeredEngine::new(network).with_ranks(ranks);
    let mut of_batch = Parameters::zeros(network.architecture().clone());
    let mut sums = vec![0.0; of_batch.statistics().len()];
    let loader = train.loader();
    let share = share(ranks, network.architecture().parameters());
    let samples = loader.set().len();
    let mut left = samples;
    loader.stored_epoch(EpochOrder::Sequential, batch_size, share, |batch| {
        check_stop(ranks)?;
        engine.measure(network, batch, padding.of_share(ranks, batch.longest()), &mut of_batch)?;
        let taken = left.min(batch_size as u64);
        left -= taken;
        sums.iter_mut().zip(of_batch.statistics()).for_each(|(sum, &value)| *sum += taken as f64 * f64::from(value));
        progress.add(taken);
        Ok::<_, Error>(true)
    })?;
    if let Some(sum) = sums.iter().find(|sum| !sum.is_finite()) {
        return Err(KernelError::NonFiniteLoss { loss: *sum }.into());
    }
    network.parameters.statistics_mut().iter_mut().zip(sums).for_each(|(to, sum)| *to = (sum / samples as f64) as f32);
    Ok(())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use crate::engine::{Engine, LayeredEngine};
    use crate::feed::RandomFrames;
    use crate::network::{Architecture, Layers, Network, Parameters};

    #[test]
    fn a_measurement_has_the_statistics_of_a_training_step_without_dropout() {
        let network = |dropout: &str| {
            let text = format!(
                "init_state = \"uniform\"\nlayers = [{{ linear = 20 }}, {{ norm = \"batch\" }}, \
                 {{ neuron = \"lif\", alpha = [0.05, 0.1] }}, {dropout}{{ linear = \"classes\" }}, \
                 {{ norm = \"batch\" }}, {{ readout = \"leaky\" }}]\n"
            );
            let architecture = Architecture::new(30, Layers::parse(&text, &[]).unwrap(), 3);
            Network::new(architecture, &mut ChaCha8Rng::seed_from_u64(1))
        };
        let (plain, dropping) = (network(""), network("{ dropout = 0.5 }, "));
        let batch = RandomFrames { time_steps: 25, channels: 30, classes: 3, density: 0.3 }.batch(1, 9);
        let step = |network: &Network| {
            let mut to = Parameters::zeros(network.architecture().clone());
            LayeredEngine::new(network).step(network, &batch, 25, &mut to).unwrap();
            to.statistics().to_vec()
        };
        let mut measured = Parameters::zeros(dropping.architecture().clone());
        LayeredEngine::new(&dropping).measure(&dropping, &batch, 25, &mut measured).unwrap();
        assert_eq!(measured.statistics(), step(&plain));
        assert_ne!(measured.statistics(), step(&dropping));
    }
}
