//! Finds out from the metrics of the epochs whether training learns nothing or diverges.

use crate::learner::{ClassBalance, ClassWeights, Knobs, Score, Warning};
use crate::run::activity::LayerActivity;
use crate::run::metrics::EpochMetrics;

/// An accuracy is better than guessing if it exceeds the accuracy of guessing by this many standard deviations. The
/// standard deviation is sqrt(p * (1 - p) / n), where p is the accuracy of guessing, and n the number of samples.
const NOISE: f64 = 3.0;
/// An accuracy is always better than guessing if it exceeds the accuracy of guessing by more than this, even on a small
/// set.
const MOST_NOISE: f64 = 0.1;
/// A loss is better than another loss if it is below this factor times the other loss.
const NO_BETTER: f64 = 0.98;
/// Number of batches at the start of a run in which it is normal that the loss doesn't fall.
const SLOW_START: u64 = 100;
/// A mean loss is absurd if it exceeds this many times ln(number of classes).
const TIMES_GUESSING: f64 = 1e4;
/// A run has diverged if its mean loss is absurd and exceeds this many times the loss of the initial weights.
const TIMES_INITIAL: f64 = 100.0;

/// Accuracy and loss on a training set if the same class probabilities are predicted for every sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guessing {
    accuracy: f64,
    loss: f64,
    samples: u64,
    classes: usize,
    /// Number of batches in an epoch.
    batches: u64,
}

impl Guessing {
    /// Computes accuracy and loss of guessing. `batches` is the number of batches per epoch, and `weights` are the
    /// class weights of the training loss.
    pub(super) fn new(classes: &ClassBalance<'_>, (samples, batches): (u64, u64), weights: ClassWeights) -> Guessing {
        let (accuracy, loss) = classes.guessing();
        let present = classes.present();
        let loss = if weights.is_none() { loss } else { (present as f64).ln() };
        Guessing { accuracy, loss, samples, classes: present, batches }
    }

    pub(super) fn batches(&self) -> u64 {
        self.batches
    }

    pub(super) fn loss(&self) -> f64 {
        self.loss
    }

    /// Returns whether a score is no better than guessing. Always `false` if the set has only one class.
    fn is_chance(&self, score: &Score) -> bool {
        let noise = (NOISE * (self.accuracy * (1.0 - self.accuracy) / self.samples as f64).sqrt()).min(MOST_NOISE);
        self.classes > 1 && score.accuracy <= self.accuracy + noise && score.loss >= NO_BETTER * self.loss
    }

    /// Returns whether the last three epochs are no better than guessing and their loss didn't fall. Returns `false`
    /// during the first [`SLOW_START`] batches of a run.
    fn is_stuck(&self, epochs: &[EpochMetrics]) -> bool {
        let Some(three @ [first, _, last]) = epochs.last_chunk::<3>() else { return false };
        let falls = last.unpenalised().loss < NO_BETTER * first.unpenalised().loss;
        let is_start = last.epoch * self.batches < SLOW_START;
        three.iter().all(|epoch| self.is_chance(&epoch.unpenalised())) && !falls && !is_start
    }

    /// Returns whether `loss`, a mean loss without the penalty for spike rates, is so large that training has diverged.
    /// `initial` computes the loss of the initial weights. `initial` is slow, and is only called if `loss` is absurd.
    pub(super) fn is_diverged<E>(&self, loss: f64, initial: impl FnOnce() -> Result<f64, E>) -> Result<bool, E> {
        Ok(self.is_absurd(loss) && loss > TIMES_INITIAL * initial()?)
    }

    /// Returns whether a mean loss exceeds [`TIMES_GUESSING`] * ln(number of classes).
    pub(super) fn is_absurd(&self, loss: f64) -> bool {
        loss > TIMES_GUESSING * (self.classes.max(2) as f64).ln()
    }

    /// Returns warnings about the last of `epochs`. `knobs` are those of the network.
    ///
    /// - layers that became silent or saturated in this epoch; if `is_last` is true, all silent and saturated layers
    /// - training that became stuck in this epoch; if `is_last` is true, also an accuracy no better than guessing
    pub(super) fn warnings(&self, epochs: &[EpochMetrics], is_last: bool, knobs: Knobs) -> Vec<Warning> {
        let Some((last, before)) = epochs.split_last() else { return Vec::new() };
        let epoch = last.epoch;
        let told = |is: fn(&LayerActivity) -> bool| -> Vec<usize> {
            let now = last.activity.as_deref().unwrap_or_default();
            let then = before.last().and_then(|epoch| epoch.activity.as_deref()).unwrap_or_default();
            let was = |layer: usize| then.get(layer).is_some_and(is);
            (0..now.len()).filter(|&i| is(&now[i]) && (is_last || !was(i))).map(|i| i + 1).collect()
        };
        let (silent, saturated) = (told(|layer| layer.silent == 1.0), told(LayerActivity::is_saturated));
        let mut warnings = Vec::new();
        if !silent.is_empty() {
            warnings.push(Warning::SilentLayers { epoch, layers: silent, knobs });
        }
        if !saturated.is_empty() {
            warnings.push(Warning::SaturatedLayers { epoch, layers: saturated, knobs });
        }
        if self.is_stuck(epochs) && !self.is_stuck(before) || is_last && self.is_chance(&last.unpenalised()) {
            let Score { accuracy, loss } = last.unpenalised();
            let Guessing { accuracy: guessed_accuracy, loss: guessed_loss, .. } = *self;
            warnings.push(Warning::AtChance { epoch, accuracy, guessed_accuracy, loss, guessed_loss, knobs });
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::Guessing;
    use crate::learner::{Knobs, Score, Warning};
    use crate::run::activity::LayerActivity;
    use crate::run::metrics::EpochMetrics;

    /// Accuracy and loss of guessing on a set of 1000 samples, 250 of each of four classes.
    const FOUR: Guessing = Guessing { accuracy: 0.25, loss: 1.3863, samples: 1000, classes: 4, batches: 50 };

    const KNOBS: Knobs = Knobs { gain: true, theta: true };

    fn epoch(epoch: u64, accuracy: f64, loss: f64, silent: f64) -> EpochMetrics {
        let layer = |silent| LayerActivity { spikes: 0.1, silent, saturated: 0.0 };
        let activity = Some(vec![layer(0.0), layer(silent)]);
        let (train, seconds) = (Score { loss, accuracy }, 1.0);
        EpochMetrics {
            epoch,
            train,
            valid: None,
            valid_macro: None,
            activity,
            lr: None,
            momentum: None,
            penalty: None,
            unix_seconds: None,
            seconds,
            batches_per_second: 1.0,
            samples_per_second: 1.0,
        }
    }

    #[test]
    fn chance_is_what_guessing_gives_within_noise() {
        let is_chance = |accuracy, loss| FOUR.is_chance(&Score { loss, accuracy });
        assert!(is_chance(0.25, 1.3863) && is_chance(0.29, 40.0) && is_chance(0.1, 1.37));
        // More than three standard deviations, 0.041, above a quarter; or a loss that is lower.
        assert!(!is_chance(0.30, 1.3863) && !is_chance(0.28, 1.2));
        // With few samples, guessing can be far better than its expected accuracy.
        let few = Guessing { samples: 12, ..FOUR };
        assert!(
            few.is_chance(&Score { loss: 1.5, accuracy: 0.33 }) && !few.is_chance(&Score { loss: 1.5, accuracy: 0.42 })
        );
        // Two classes with 95% and 5% of the samples: always guessing the larger class, with the entropy of the
        // classes as loss.
        let two = Guessing { accuracy: 0.95, loss: 0.1985, samples: 1000, classes: 2, batches: 50 };
        assert!(two.is_chance(&Score { loss: 0.1985, accuracy: 0.95 }));
        assert!(!two.is_chance(&Score { loss: 0.12, accuracy: 0.95 }));
        let one = Guessing { accuracy: 1.0, loss: 0.0, samples: 1000, classes: 1, batches: 50 };
        assert!(!one.is_chance(&Score { loss: 0.0, accuracy: 1.0 }));
    }

    #[test]
    fn chance_and_silence_are_told_when_they_begin_and_at_the_end() {
        let loss = |n: u64| if n == 1 { 2.0 } else { 1.39 };
        let epochs: Vec<EpochMetrics> = (1..=5).map(|n| epoch(n, 0.25, loss(n), f64::from(u8::from(n > 3)))).collect();
        let told = |n: usize| {
            let warnings = FOUR.warnings(&epochs[..n], n == 5, KNOBS);
            let is_chance = |warning: &Warning| matches!(warning, Warning::AtChance { .. });
            let silent = warnings.iter().filter(|warning| !is_chance(warning)).cloned().collect::<Vec<_>>();
            assert!(silent.iter().all(|w| matches!(w, Warning::SilentLayers { layers, .. } if layers == &[2])));
            (warnings.iter().any(is_chance), !silent.is_empty())
        };
        let each = [1, 2, 3, 4, 5].map(told);
        assert_eq!(each, [(false, false), (false, false), (false, false), (true, true), (true, true)]);
        // The first layer is saturated in the second epoch.
        let mut two = epochs[..2].to_vec();
        two[1].activity.as_mut().unwrap()[0] = LayerActivity { spikes: 9.0, silent: 0.4, saturated: 0.56 };
        let saturated = Warning::SaturatedLayers { epoch: 2, layers: vec![1], knobs: KNOBS };
        assert_eq!(FOUR.warnings(&two, false, KNOBS), [saturated]);
        let few = Guessing { batches: 20, ..FOUR };
        assert_eq!(few.warnings(&epochs[..3], false, KNOBS), []);
        assert_eq!(few.warnings(&epochs[..4], false, KNOBS).len(), 1, "the silent layer");
    }

    #[test]
    fn chance_is_judged_without_the_penalty() {
        let penalised = |n| EpochMetrics { penalty: Some(5.0), ..epoch(n, 0.28, 6.0, 0.0) };
        let epochs: Vec<EpochMetrics> = (1..=3).map(penalised).collect();
        assert_eq!(FOUR.warnings(&epochs, true, KNOBS), []);
        let warnings = FOUR.warnings(&[epoch(1, 0.28, 6.0, 0.0)], true, KNOBS);
        assert!(matches!(warnings[..], [Warning::AtChance { loss: 6.0, .. }]), "{warnings:?}");
    }

    #[test]
    fn a_loss_diverges_by_size_only_beyond_that_of_the_initial_weights() {
        let is_diverged = |loss, initial: f64| FOUR.is_diverged::<()>(loss, || Ok(initial)).unwrap();
        assert!(is_diverged(1.4e4, 30.0) && is_diverged(1e34, 1e3));
        assert!(!is_diverged(1.3e4, 1.0) && !is_diverged(9e4, 1e3));
        // The loss of the initial weights is computed only if the given loss is absurd.
        assert!(!FOUR.is_diverged::<()>(1000.0, || Err(())).unwrap());
    }
}
