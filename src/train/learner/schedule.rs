//! Schedules of the learning rate, with PyTorch's formulas.
//!
//! The learning rate of a batch depends only on the number of the batch. With `plateau`, it also depends on the
//! validation scores of the epochs before. A resumed run computes the same learning rates from these numbers.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::kernel::power;
use crate::learner::select::Select;

/// One-cycle: share of the batches in which the learning rate rises (`pct_start` of PyTorch).
const RISE: f64 = 0.3;
/// One-cycle: the highest learning rate divided by the first one (`div_factor` of PyTorch).
const FIRST: f64 = 25.0;
/// One-cycle: the first learning rate divided by the last one (`final_div_factor` of PyTorch).
const LAST: f64 = 1e4;
/// One-cycle: the lowest momentum (at the highest learning rate), and the highest momentum (at the start and at the
/// end).
pub(crate) const ONE_CYCLE_MOMENTUM: [f64; 2] = [0.85, 0.95];
/// Plateau: a score counts as better if it is better than the best score by more than this share of the best score.
const THRESHOLD: f64 = 1e-4;
/// Plateau: the learning rate stays unchanged if it would fall by at most this number.
const SMALLEST_CUT: f64 = 1e-8;

/// How the learning rate changes during training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Curve {
    /// The same learning rate in all epochs.
    #[default]
    Constant,
    /// Half a cosine from the learning rate down to `min_lr`, batch by batch (`CosineAnnealingLR`).
    Cosine {
        /// Learning rate at the end.
        min_lr: f64,
    },
    /// One cycle (`OneCycleLR`), along cosines:
    ///
    /// - in the first three tenths of the batches, the learning rate rises from 1/25 of its highest value to this
    ///   value
    /// - in the other batches, it falls to 1/250,000 of this value
    /// - the momentum (for Adam, beta1) goes from 0.95 to 0.85, and back to 0.95
    ///
    /// The highest value is the learning rate of the training settings.
    OneCycle,
    /// The learning rate is multiplied by `factor` after every `epochs` epochs (`StepLR`).
    Step {
        /// Number of epochs with the same learning rate.
        epochs: u64,
        /// Factor of the learning rate.
        factor: f64,
    },
    /// The learning rate is multiplied by `factor` if the validation score has not improved for more than `patience`
    /// epochs (`ReduceLROnPlateau`, with a relative threshold of 1e-4).
    Plateau {
        /// Number of epochs in a row that may pass without a better validation score. One more such epoch reduces the
        /// learning rate.
        patience: u64,
        /// Factor of the learning rate.
        factor: f64,
        /// Smallest learning rate.
        min_lr: f64,
    },
}

/// A schedule of the learning rate: a curve after a warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The curve after the warm-up.
    #[serde(default)]
    pub curve: Curve,
    /// Number of epochs from the start of training to the end of the curve. Later epochs have the last learning rate
    /// of the curve. 0 if the curve has no end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub end: u64,
    /// Number of epochs in which the learning rate rises linearly, batch by batch (`LinearLR`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub warmup_epochs: u64,
    /// Learning rate at the first batch of the warm-up, as a share of the learning rate after the warm-up.
    #[serde(default = "third", skip_serializing_if = "is_third")]
    pub warmup_start: f64,
}

/// Default of [`Schedule::warmup_start`] (`start_factor` of PyTorch's `LinearLR`).
pub const WARMUP_START: f64 = 1.0 / 3.0;

fn third() -> f64 {
    WARMUP_START
}

fn is_third(share: &f64) -> bool {
    *share == WARMUP_START
}

fn is_zero(epochs: &u64) -> bool {
    *epochs == 0
}

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule { curve: Curve::Constant, end: 0, warmup_epochs: 0, warmup_start: WARMUP_START }
    }
}

/// Learning rate and momentum of the batches of one epoch.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// The schedule.
    pub schedule: Schedule,
    /// Learning rate that the schedule starts from. With [`Curve::Plateau`], it is the current learning rate of
    /// [`Plateau`].
    pub lr: f64,
    /// Momentum of SGD, or beta1 of Adam. [`Curve::OneCycle`] replaces it, unless the momentum is 0. Other curves don't
    /// change it.
    pub momentum: f64,
    /// Index of the epoch, from 0.
    pub epoch: u64,
    /// Number of batches in an epoch.
    pub batches: u64,
}

impl Rates {
    /// Returns the learning rate `lr` and the momentum `momentum` for all batches.
    pub fn constant(lr: f64, momentum: f64) -> Rates {
        Rates { schedule: Schedule::default(), lr, momentum, epoch: 0, batches: 1 }
    }

    /// Returns the learning rate and the momentum of the batch with the index `batch` in the epoch.
    pub fn at(&self, batch: u64) -> [f64; 2] {
        let Rates { schedule, lr, momentum, epoch, batches } = *self;
        let Schedule { curve, end, warmup_epochs, warmup_start } = schedule;
        let (n, warm) = (epoch * batches + batch, warmup_epochs * batches);
        if n < warm {
            return [lr * (warmup_start + (1.0 - warmup_start) * n as f64 / warm as f64), momentum];
        }
        let last = (end * batches).saturating_sub(warm);
        match curve {
            Curve::Constant | Curve::Plateau { .. } => [lr, momentum],
            Curve::Cosine { min_lr } => {
                let done = (n - warm).min(last) as f64 / last.max(1) as f64;
                [min_lr + (lr - min_lr) * (1.0 + half_cosine(done)) / 2.0, momentum]
            }
            Curve::Step { epochs, factor } => {
                let cuts = epoch.saturating_sub(warmup_epochs) / epochs.max(1);
                [lr * power(factor, cuts), momentum]
            }
            Curve::OneCycle => {
                let (n, top, bottom) = (n as f64, RISE * last as f64 - 1.0, last as f64 - 1.0);
                let first = lr / FIRST;
                let cycled = |from: f64, to: f64, share: f64| to + (from - to) / 2.0 * (1.0 + half_cosine(share));
                let [low, high] = if momentum == 0.0 { [0.0; 2] } else { ONE_CYCLE_MOMENTUM };
                // The momentum is low where the learning rate is high.
                if n < top {
                    [cycled(first, lr, n / top), cycled(high, low, n / top)]
                } else {
                    let share = if bottom > top { ((n - top) / (bottom - top)).min(1.0) } else { 1.0 };
                    [cycled(lr, first / LAST, share), cycled(low, high, share)]
                }
            }
        }
    }
}

/// Returns cos(pi * x) for x from 0 to 1, with the same bits on every machine, unlike `f64::cos`.
fn half_cosine(x: f64) -> f64 {
    if x > 0.5 {
        return -half_cosine(1.0 - x);
    }
    let square = -(PI * x) * (PI * x);
    // The Taylor series, from its last term on: the term n has the factor 1 / (2n)!.
    (1..=12).rev().fold(1.0, |sum, n| 1.0 + sum * square / f64::from((2 * n - 1) * 2 * n))
}

/// The learning rate of [`Curve::Plateau`], epoch by epoch.
#[derive(Clone, Copy, Debug)]
pub struct Plateau {
    /// The current learning rate.
    pub lr: f64,
    best: Option<f64>,
    bad_epochs: u64,
}

impl Plateau {
    /// Starts with the learning rate `lr`.
    pub fn new(lr: f64) -> Plateau {
        Plateau { lr, best: None, bad_epochs: 0 }
    }

    /// Takes the validation score of one more epoch, and reduces the learning rate if necessary. Does nothing if
    /// `curve` is not [`Curve::Plateau`].
    pub fn observe(&mut self, curve: Curve, select: Select, score: f64) {
        let Curve::Plateau { patience, factor, min_lr } = curve else { return };
        let is_better = self.best.is_none_or(|best| match select {
            Select::ValidAccuracy => score > best * (1.0 + THRESHOLD),
            Select::ValidLoss => score < best * (1.0 - THRESHOLD),
        });
        if is_better {
            (self.best, self.bad_epochs) = (Some(score), 0);
        } else {
            self.bad_epochs += 1;
        }
        if self.bad_epochs > patience {
            let cut = (self.lr * factor).max(min_lr);
            if self.lr - cut > SMALLEST_CUT {
                self.lr = cut;
            }
            self.bad_epochs = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Curve, Plateau, Rates, Schedule, WARMUP_START};
    use crate::learner::select::Select;

    /// Compares with the schedulers of PyTorch 2.11, recorded by scripts/goldens/torch_optimisers.py.
    #[test]
    fn schedules_are_those_of_pytorch() {
        let text = include_str!("../../../tests/data/goldens/torch_schedules.json");
        let golden: Value = serde_json::from_str(text).unwrap();
        let number = |value: &Value| value.as_f64().unwrap();
        let cases = golden["curves"].as_array().unwrap();
        assert!(cases.len() >= 8);
        for case in cases {
            let schedule: Schedule = serde_json::from_value(case["schedule"].clone()).unwrap();
            let batches = case["batches"].as_u64().unwrap();
            for (n, expected) in (0..).zip(case["rates"].as_array().unwrap()) {
                let (lr, momentum) = (number(&case["lr"]), number(&case["momentum"]));
                let rates = Rates { schedule, lr, momentum, epoch: n / batches, batches };
                let [lr, momentum] = rates.at(n % batches);
                let expected = [number(&expected[0]), number(&expected[1])];
                let apart = ((lr - expected[0]) / expected[0].max(1e-9)).abs().max((momentum - expected[1]).abs());
                assert!(apart < 1e-6, "{}: step {n}: {lr} {momentum}, expected {expected:?}", case["schedule"]);
            }
        }
        for case in golden["plateaus"].as_array().unwrap() {
            let curve: Curve = serde_json::from_value(case["curve"].clone()).unwrap();
            let select: Select = serde_json::from_value(case["select"].clone()).unwrap();
            let mut plateau = Plateau::new(number(&case["lr"]));
            let scores = case["scores"].as_array().unwrap().iter().zip(case["lrs"].as_array().unwrap());
            for (score, expected) in scores {
                plateau.observe(curve, select, number(score));
                assert!((plateau.lr - number(expected)).abs() < 1e-6 * number(expected), "{case}");
            }
        }
    }

    #[test]
    fn the_cosine_is_the_cosine() {
        for i in 0..=1000 {
            let x = f64::from(i) / 1000.0;
            assert!((super::half_cosine(x) - (std::f64::consts::PI * x).cos()).abs() < 1e-15, "{x}");
        }
    }

    #[test]
    fn a_curve_stays_at_its_end() {
        let schedule =
            Schedule { curve: Curve::Cosine { min_lr: 1e-5 }, end: 2, warmup_epochs: 0, warmup_start: WARMUP_START };
        let rates = Rates { schedule, lr: 1e-2, momentum: 0.9, epoch: 9, batches: 4 };
        assert!((rates.at(3)[0] - 1e-5).abs() < 1e-12);
        let cycle = Rates { schedule: Schedule { curve: Curve::OneCycle, ..schedule }, ..rates };
        assert!((cycle.at(0)[0] - 1e-2 / 25e4).abs() < 1e-12);
    }
}
