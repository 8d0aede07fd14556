//! Options for training: optimiser, schedule of the learning rate, clipping, selection of an epoch.

use std::fmt::Debug;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tonic_loader::Augmentation;

use crate::engine::SpikeRate;
use crate::error::{BaseFault, Error, Result};
use crate::kernel::{Moments, OptimiserConfig, Rule};
use crate::learner::{Curve, Schedule, Select, WARMUP_START};
use crate::run::training_config::TrainingConfig;

/// Default weight decay of AdamW, as in PyTorch. The default of the other optimisers is 0.
const ADAMW_DECAY: f64 = 0.01;
/// Default of `lr_factor`, as in PyTorch.
const LR_FACTOR: f64 = 0.1;
/// Default of `lr_patience`, as in PyTorch.
const LR_PATIENCE: u64 = 10;

/// Name of an optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserName {
    /// Adam. The weight decay is added to the gradient, as in `torch.optim.Adam`.
    Adam,
    /// Adam with decoupled weight decay.
    AdamW,
    /// Stochastic gradient descent.
    Sgd,
}

/// Name of a schedule of the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleName {
    /// [`Curve::Constant`].
    Constant,
    /// [`Curve::Cosine`].
    Cosine,
    /// [`Curve::OneCycle`].
    OneCycle,
    /// [`Curve::Step`].
    Step,
    /// [`Curve::Plateau`].
    Plateau,
}

/// Options for training. Their names are those of the flags of `tonic-train fit`, with underscores.
///
/// An option can be left out: it is `None`, `false` or empty. Then a new run takes the default, and a resumed run takes
/// the value in the run folder. A resumed run refuses other values, but it may change `patience`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TrainingOptions {
    /// The optimiser; Adam by default.
    pub optimiser: Option<OptimiserName>,
    /// Momentum of SGD; 0 by default.
    pub momentum: Option<f64>,
    /// Whether SGD uses Nesterov momentum.
    pub nesterov: bool,
    /// Weight decay of the weight matrices. By default, 0.01 with AdamW and 0 with other optimisers.
    pub weight_decay: Option<f64>,
    /// Maximum norm of the gradient of all parameters; no limit by default.
    pub clip_norm: Option<f64>,
    /// Schedule of the learning rate; constant by default.
    pub schedule: Option<ScheduleName>,
    /// Number of epochs of the warm-up, in which the learning rate rises; 0 by default.
    pub warmup_epochs: Option<u64>,
    /// Factor of the learning rate at the start of the warm-up; 1/3 by default.
    pub warmup_start: Option<f64>,
    /// Number of epochs of each step of the schedule `step`. It must be given for this schedule.
    pub step_epochs: Option<u64>,
    /// Factor of the learning rate at each step of the schedule `step` and each cut of `plateau`; 0.1 by default.
    pub lr_factor: Option<f64>,
    /// For the schedule `plateau`: number of epochs in a row that may pass without a better validation score. One more
    /// such epoch reduces the learning rate. 10 by default.
    pub lr_patience: Option<u64>,
    /// Smallest learning rate of the schedules `cosine` and `plateau`; 0 by default.
    pub min_lr: Option<f64>,
    /// Label smoothing in the training loss: this share of each target is spread evenly over all classes; 0 by
    /// default.
    pub label_smoothing: Option<f64>,
    /// Minimum and maximum number of spikes per time step that each hidden neuron should have; no penalty by default.
    pub spike_rate: Option<[f64; 2]>,
    /// Factor of the penalty for spike rates outside `spike_rate`; 1 by default.
    pub spike_rate_weight: Option<f64>,
    /// Score that selects an epoch. The network of this epoch is tested. With `Some(None)`, and by default, the network
    /// of the last epoch is tested.
    pub select: Option<Option<Select>>,
    /// Training stops early after this many epochs without a better validation score. `None`: it doesn't stop early.
    pub patience: Option<u64>,
    /// Names of tensors, such as `0.weight`, or of layers, such as `0`, that keep their initial values.
    pub freeze: Vec<String>,
    /// Safetensors file with initial parameters; they are random by default.
    pub init: Option<PathBuf>,
    /// File with the augmentation of the training samples; none by default.
    pub augment: Option<PathBuf>,
}

impl From<&TrainingConfig> for TrainingOptions {
    /// Returns the options that give these settings, except `init` and `augment`: the settings don't have their paths.
    fn from(config: &TrainingConfig) -> TrainingOptions {
        let TrainingConfig {
            weight_decay,
            clip_norm,
            label_smoothing,
            spike_rate,
            select,
            patience,
            freeze,
            optimiser,
            schedule,
            ..
        } = config;
        let (name, momentum, nesterov) = match *optimiser {
            Rule::Adam(_) => (OptimiserName::Adam, None, false),
            Rule::AdamW(_) => (OptimiserName::AdamW, None, false),
            Rule::Sgd { momentum, nesterov } => (OptimiserName::Sgd, Some(momentum), nesterov),
        };
        let Schedule { curve, warmup_epochs, warmup_start, .. } = *schedule;
        let mut options = TrainingOptions {
            optimiser: Some(name),
            momentum,
            nesterov,
            weight_decay: Some(*weight_decay),
            clip_norm: *clip_norm,
            warmup_epochs: Some(warmup_epochs),
            warmup_start: (warmup_epochs > 0).then_some(warmup_start),
            label_smoothing: Some(*label_smoothing),
            spike_rate: spike_rate.map(|rate| rate.bounds),
            spike_rate_weight: spike_rate.map(|rate| rate.weight),
            select: select.map(Some),
            patience: *patience,
            freeze: freeze.clone(),
            ..TrainingOptions::default()
        };
        let curve = match curve {
            Curve::Constant => ScheduleName::Constant,
            Curve::OneCycle => ScheduleName::OneCycle,
            Curve::Cosine { min_lr } => {
                options.min_lr = Some(min_lr);
                ScheduleName::Cosine
            }
            Curve::Step { epochs, factor } => {
                (options.step_epochs, options.lr_factor) = (Some(epochs), Some(factor));
                ScheduleName::Step
            }
            Curve::Plateau { patience, factor, min_lr } => {
                (options.lr_patience, options.lr_factor, options.min_lr) = (Some(patience), Some(factor), Some(min_lr));
                ScheduleName::Plateau
            }
        };
        TrainingOptions { schedule: Some(curve), ..options }
    }
}

impl TrainingOptions {
    /// Returns the options that a resumed run must not change: name and value as text. Equal texts mean equal values.
    pub(super) fn words(&self) -> Vec<(&'static str, Option<String>)> {
        vec![
            ("optimiser", word(self.optimiser)),
            ("momentum", word(self.momentum)),
            ("nesterov", word(self.nesterov.then_some(true))),
            ("weight_decay", word(self.weight_decay)),
            ("clip_norm", word(self.clip_norm)),
            ("schedule", word(self.schedule)),
            ("warmup_epochs", word(self.warmup_epochs)),
            ("warmup_start", word(self.warmup_start)),
            ("step_epochs", word(self.step_epochs)),
            ("lr_factor", word(self.lr_factor)),
            ("lr_patience", word(self.lr_patience)),
            ("min_lr", word(self.min_lr)),
            ("label_smoothing", word(self.label_smoothing)),
            ("spike_rate", word(self.spike_rate)),
            ("spike_rate_weight", word(self.spike_rate_weight)),
            ("select", self.select.map(|select| select.map_or("none", Select::name).into())),
            ("freeze", (!self.freeze.is_empty()).then(|| self.freeze.join(","))),
        ]
    }

    /// Returns the settings of a new run with `epochs` epochs. `validates` says whether the run has a validation set.
    ///
    /// # Errors
    /// [`Usage`](tonic_base::Error::Usage) with the name of an option that has no effect together with the other
    /// options, or that needs another option.
    pub(super) fn config(&self, epochs: u64, validates: bool) -> Result<TrainingConfig> {
        let name = self.optimiser.unwrap_or(OptimiserName::Adam);
        let schedule = self.schedule.unwrap_or(ScheduleName::Constant);
        let warmup_epochs = self.warmup_epochs.unwrap_or(0);
        self.refuse_useless(name, schedule)?;
        let needs_validation = [
            ("select", self.select.flatten().is_some()),
            ("patience", self.patience.is_some()),
            ("schedule plateau", schedule == ScheduleName::Plateau),
        ];
        if let Some((option, _)) = needs_validation.iter().find(|(_, is_given)| *is_given && !validates) {
            return Err(Error::usage(*option, "a validation set (--valid DIR), on which epochs are compared", "none"));
        }
        let curve = self.curve(schedule)?;
        let ends = matches!(curve, Curve::Cosine { .. } | Curve::OneCycle);
        if ends && warmup_epochs >= epochs {
            return Err(Error::usage(
                "warmup_epochs",
                format!("fewer than the {epochs} epochs of the run"),
                warmup_epochs,
            ));
        }
        let optimiser = match name {
            OptimiserName::Adam => Rule::Adam(Moments::default()),
            OptimiserName::AdamW => Rule::AdamW(Moments::default()),
            OptimiserName::Sgd => Rule::Sgd { momentum: self.momentum.unwrap_or(0.0), nesterov: self.nesterov },
        };
        let decay = if name == OptimiserName::AdamW { ADAMW_DECAY } else { OptimiserConfig::default().weight_decay };
        Ok(TrainingConfig {
            optimiser,
            weight_decay: self.weight_decay.unwrap_or(decay),
            clip_norm: self.clip_norm,
            schedule: Schedule {
                curve,
                end: if ends { epochs } else { 0 },
                warmup_epochs,
                warmup_start: self.warmup_start.unwrap_or(WARMUP_START),
            },
            label_smoothing: self.label_smoothing.unwrap_or(0.0),
            spike_rate: self
                .spike_rate
                .map(|bounds| SpikeRate { bounds, weight: self.spike_rate_weight.unwrap_or(1.0) }),
            select: self.select.flatten(),
            patience: self.patience,
            freeze: self.freeze.clone(),
            init: self.init_sum()?,
            augment: self.augmentation()?.unwrap_or_default(),
        })
    }

    /// Reads the augmentation. `None` if no file is given.
    pub(super) fn augmentation(&self) -> Result<Option<Augmentation>> {
        Ok(self.augment.as_deref().map(Augmentation::read).transpose()?)
    }

    /// Returns the BLAKE3 sum of the file with the initial parameters.
    pub(super) fn init_sum(&self) -> Result<Option<String>> {
        let sum = |path: &PathBuf| {
            let bytes = std::fs::read(path).map_err(Error::io(path, "read the initial parameters"))?;
            Ok(blake3::hash(&bytes).to_string())
        };
        self.init.as_ref().map(sum).transpose()
    }

    fn curve(&self, schedule: ScheduleName) -> Result<Curve> {
        let factor = self.lr_factor.unwrap_or(LR_FACTOR);
        let min_lr = self.min_lr.unwrap_or(0.0);
        Ok(match schedule {
            ScheduleName::Constant => Curve::Constant,
            ScheduleName::Cosine => Curve::Cosine { min_lr },
            ScheduleName::OneCycle => Curve::OneCycle,
            ScheduleName::Step => {
                let none =
                    || Error::usage("step_epochs", "the number of epochs of a step, with --schedule step", "none");
                Curve::Step { epochs: self.step_epochs.ok_or_else(none)?, factor }
            }
            ScheduleName::Plateau => {
                Curve::Plateau { patience: self.lr_patience.unwrap_or(LR_PATIENCE), factor, min_lr }
            }
        })
    }

    /// Refuses options that have no effect with the chosen optimiser and schedule.
    fn refuse_useless(&self, optimiser: OptimiserName, schedule: ScheduleName) -> Result<()> {
        use ScheduleName::{Cosine, OneCycle, Plateau, Step};
        let is_sgd = optimiser == OptimiserName::Sgd;
        let has_momentum = self.momentum.is_some_and(|momentum| momentum > 0.0);
        let of = |schedules: &[ScheduleName]| schedules.contains(&schedule);
        let checks = [
            ("momentum", self.momentum.is_some(), is_sgd, "--optimiser sgd, which alone has a momentum to set"),
            ("nesterov", self.nesterov, is_sgd && has_momentum, "--optimiser sgd with a --momentum above 0"),
            ("step_epochs", self.step_epochs.is_some(), of(&[Step]), "--schedule step"),
            ("lr_factor", self.lr_factor.is_some(), of(&[Step, Plateau]), "--schedule step or plateau"),
            ("lr_patience", self.lr_patience.is_some(), of(&[Plateau]), "--schedule plateau"),
            ("min_lr", self.min_lr.is_some(), of(&[Cosine, Plateau]), "--schedule cosine or plateau"),
            (
                "warmup_epochs",
                self.warmup_epochs.is_some(),
                !of(&[OneCycle]),
                "another schedule: one-cycle rises itself",
            ),
            ("spike_rate_weight", self.spike_rate_weight.is_some(), self.spike_rate.is_some(), "--spike-rate MIN,MAX"),
            ("warmup_start", self.warmup_start.is_some(), self.warmup_epochs > Some(0), "--warmup-epochs above 0"),
        ];
        match checks.into_iter().find(|&(_, is_given, has_effect, _)| is_given && !has_effect) {
            Some((option, _, _, expected)) => Err(Error::usage(option, expected, "an option without effect")),
            None => Ok(()),
        }
    }
}

/// Formats the value of an option as lower-case text.
pub(super) fn word<T: Debug>(value: Option<T>) -> Option<String> {
    value.map(|value| format!("{value:?}").to_lowercase())
}
