//! The table `[training]` of config.toml: how a run trains. Old runs don't have this table. They train with Adam and a
//! constant learning rate.

use serde::{Deserialize, Serialize};
use tonic_loader::Augmentation;

use crate::engine::{SpikeRate, TrainingLoss};
use crate::error::{BaseFault, Error, Result};
use crate::kernel::{OptimiserConfig, Rule};
use crate::learner::{Plateau, Schedule, Select, Selected};
use crate::network::Tensor;
use crate::run::metrics::EpochMetrics;

/// Settings of training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// Weight decay. It acts on weight matrices only.
    #[serde(skip_serializing_if = "is_default")]
    pub weight_decay: f64,
    /// Maximum norm of the gradient of all parameters. A larger gradient is scaled down.
    #[serde(skip_serializing_if = "is_default")]
    pub clip_norm: Option<f64>,
    /// Label smoothing in the training loss: this share of each target is spread evenly over all classes.
    #[serde(skip_serializing_if = "is_default")]
    pub label_smoothing: f64,
    /// Score that selects an epoch. The network of this epoch is tested. `None`: the network of the last epoch is
    /// tested.
    #[serde(skip_serializing_if = "is_default")]
    pub select: Option<Select>,
    /// Training stops early after this many epochs without a better validation score.
    #[serde(skip_serializing_if = "is_default")]
    pub patience: Option<u64>,
    /// Names of tensors or layers that keep their initial values.
    #[serde(skip_serializing_if = "is_default")]
    pub freeze: Vec<String>,
    /// BLAKE3 sum of the file that the initial parameters came from; `None` if they are random.
    #[serde(skip_serializing_if = "is_default")]
    pub init: Option<String>,
    /// Penalty for the spikes of hidden neurons.
    #[serde(skip_serializing_if = "is_default")]
    pub spike_rate: Option<SpikeRate>,
    /// Kind of optimiser, with its constants.
    #[serde(skip_serializing_if = "is_default")]
    pub optimiser: Rule,
    /// Schedule of the learning rate.
    #[serde(skip_serializing_if = "is_default")]
    pub schedule: Schedule,
    /// Random changes of the training samples.
    #[serde(skip_serializing_if = "is_default")]
    pub augment: Augmentation,
}

/// A change of the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LrChange {
    /// Number of epochs that were finished when the learning rate changed.
    pub epochs_done: u64,
    /// Number of finished batches of the unfinished epoch when the learning rate changed.
    pub batches_done: u64,
    /// Learning rate after the change.
    pub lr: f64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl TrainingConfig {
    pub(crate) fn is_default(&self) -> bool {
        is_default(self)
    }

    /// Returns the settings of the optimiser, with the learning rate `lr`.
    pub(super) fn optimiser(&self, lr: f64) -> OptimiserConfig {
        OptimiserConfig { rule: self.optimiser, lr, weight_decay: self.weight_decay, clip_norm: self.clip_norm }
    }

    /// Returns the settings of the training loss, with these class weights.
    pub(super) fn loss(&self, class_weights: Option<Vec<f32>>) -> TrainingLoss {
        TrainingLoss { class_weights, label_smoothing: self.label_smoothing, spike_rate: self.spike_rate }
    }

    /// Returns the epoch with the best validation score, by the setting [`select`](TrainingConfig::select). If several
    /// epochs are equally good, returns the first of them. Returns `None` if no epoch was validated.
    pub fn best(&self, epochs: &[EpochMetrics]) -> Option<Selected> {
        let by = self.select.unwrap_or_default();
        let scores = epochs.iter().filter_map(|epoch| Some((epoch.epoch, by.of(&epoch.valid?))));
        let better = |best: (u64, f64), next: (u64, f64)| if by.is_better(next.1, best.1) { next } else { best };
        scores.reduce(better).map(|(epoch, _)| Selected { epoch, by })
    }

    /// Returns whether training stops early after these epochs, because the best epoch is
    /// [`patience`](TrainingConfig::patience) epochs ago.
    pub fn stops_after(&self, epochs: &[EpochMetrics]) -> bool {
        let best = self.best(epochs).map(|best| best.epoch);
        let since = |best: u64| epochs.last().map_or(0, |last| last.epoch - best);
        self.patience.zip(best).is_some_and(|(patience, best)| since(best) >= patience)
    }

    /// Returns the learning rate after `epochs`, before the schedule changes it. It starts at `lr`. Resumed runs
    /// change it, and the schedule `plateau` cuts it.
    pub(super) fn lr_after(&self, lr: f64, changes: &[LrChange], epochs: &[EpochMetrics]) -> f64 {
        let mut plateau = Plateau::new(lr);
        let mut changes = changes.iter().peekable();
        for done in 0..=epochs.len() as u64 {
            if let Some(valid) = done.checked_sub(1).and_then(|last| epochs[last as usize].valid) {
                let by = self.select.unwrap_or_default();
                plateau.observe(self.schedule.curve, by, by.of(&valid));
            }
            while let Some(change) = changes.next_if(|change| change.epochs_done <= done) {
                plateau.lr = change.lr;
            }
        }
        plateau.lr
    }

    /// Checks that each name in `freeze` is the name of a tensor or of a layer, and that at least one tensor is
    /// trained. `parts` are all tensors of the network.
    ///
    /// # Errors
    /// [`Usage`](tonic_base::Error::Usage).
    pub(super) fn check_parts(&self, parts: &[Tensor]) -> Result<()> {
        let names = || parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(", ");
        let is_known = |name: &String| parts.iter().any(|part| part.is_in(std::slice::from_ref(name)));
        if let Some(name) = self.freeze.iter().find(|name| !is_known(name)) {
            let expected = format!("parts of the network ({}), or their layers", names());
            return Err(Error::usage("freeze", expected, name));
        }
        if parts.iter().all(|part| part.is_in(&self.freeze)) {
            return Err(Error::usage("freeze", format!("a part that is trained, of {}", names()), "all of them"));
        }
        Ok(())
    }
}
