//! What stops training early: values that diverge, and interruptions.

use tonic_base::Error as BaseError;
use tonic_ranks::Ranks;

use crate::engine::BatchLoss;
use crate::error::{BaseFault, Divergence, Error, KernelError, Result};
use crate::learner::{RunningScore, cpu_engine};
use crate::run::checkpoint;
use crate::run::config::NetworkConfig;
use crate::run::initial::random_network;
use crate::run::training::Training;

impl Training<'_> {
    /// Returns the error to report to the user. After an interruption, saves the run first.
    pub(super) fn explain(&mut self, error: Error) -> Error {
        match error {
            Error::Kernel(
                fault @ (KernelError::NonFiniteLoss { .. }
                | KernelError::HugeLoss { .. }
                | KernelError::NonFinitePotential { .. }
                | KernelError::NonFiniteGradient { .. }),
            ) => {
                let file = self.fit.run.join(checkpoint::FILE_NAME);
                let saved = format!("the last good checkpoint is {}, {}", file.display(), self.saved);
                let (done, batches) = (self.epochs.len() as u64, self.guessing.batches());
                let (epoch, batch) = match done < self.config.epochs {
                    true => (done + 1, (self.batches_done + 1).min(batches)),
                    false => (done, batches),
                };
                let what = match fault {
                    KernelError::NonFiniteLoss { loss } | KernelError::HugeLoss { loss } => {
                        format!("the loss is {loss:.4e} (guessing gives {:.4})", self.guessing.loss())
                    }
                    other => other.to_string(),
                };
                match self.cause(fault, batches) {
                    Err(error) => error,
                    Ok(cause) => Error::Diverged { what, epoch, batch, saved, cause },
                }
            }
            Error::Base(BaseError::Interrupted { .. }) => self.interrupted(),
            other => other,
        }
    }

    /// Returns why training diverged. An epoch has `batches` batches.
    fn cause(&self, fault: KernelError, batches: u64) -> Result<Divergence> {
        let NetworkConfig { gain, theta, .. } = self.config.network;
        if let KernelError::NonFinitePotential { layer } = fault
            && self.config.network.architecture().layers.hidden[layer - 1].neuron.can_be_unstable()
        {
            return Ok(Divergence::Unstable { layer });
        }
        let loss = self.initial_loss()?;
        if self.guessing.is_absurd(loss) {
            let gain = Some(gain).filter(|_| self.config.network.knobs().gain);
            return Ok(Divergence::InitialWeights { loss, gain, theta });
        }
        let rates = self.config.rates(&self.epochs, batches);
        let of_batch = rates.at(self.batches_done.min(batches.saturating_sub(1)))[0];
        Ok(Divergence::LearningRate { lr: rates.lr, of_batch })
    }

    /// Returns an error if a parameter is NaN or infinite.
    pub(super) fn check_finite(&mut self) -> Result<()> {
        let parameters = &self.learner.state().network.parameters;
        let finite = parameters.flat().iter().chain(parameters.statistics()).all(|w| w.is_finite());
        if finite { Ok(()) } else { Err(self.explain(KernelError::NonFiniteLoss { loss: f64::NAN }.into())) }
    }

    /// Returns an error if `loss`, the mean over an epoch or a set, is so large that training has diverged. `loss` must
    /// not include the penalty for spike rates, because a large penalty is no sign of divergence.
    pub(super) fn check_size(&mut self, loss: f64) -> Result<()> {
        if self.guessing.is_diverged(loss, || self.initial_loss())? {
            return Err(self.explain(KernelError::HugeLoss { loss }.into()));
        }
        Ok(())
    }

    /// Returns the mean loss of the initial weights on the measured samples, or infinity if it is not finite. If the
    /// initial weights came from a file, returns the loss of guessing.
    fn initial_loss(&self) -> Result<f64> {
        if self.config.training.init.is_some() {
            return Ok(self.guessing.loss());
        }
        let network = random_network(&self.config)?;
        let mut engine = cpu_engine(&network, Ranks::solo());
        let mut running = RunningScore::default();
        for batch in &self.measured {
            match engine.evaluate(&network, batch, self.padding.of_batch(batch.longest())) {
                Ok(BatchLoss { loss, correct, .. }) => running.add(loss, correct, batch.len()),
                Err(Error::Kernel(KernelError::NonFiniteLoss { .. } | KernelError::NonFinitePotential { .. })) => {
                    return Ok(f64::INFINITY);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(running.score().loss)
    }

    /// Saves the run after an interruption. Returns an error that says where the run is saved.
    pub(super) fn interrupted(&mut self) -> Error {
        if let Err(error) = self.check_finite().and_then(|()| self.save()) {
            return error;
        }
        let (run, saved) = (self.fit.run.display(), self.saved);
        Error::interrupted(format!("the run is saved in {run}, {saved}"))
    }
}
