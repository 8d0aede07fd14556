//! The loss of training: cross entropy with class weights and label smoothing, and a penalty for spike rates.
//!
//! ```text
//! w: class weights; y: the label; e: label smoothing; C: number of classes; W: sum of w[y] over the batch
//!
//! loss     = sum over the samples of ((1 - e) w[y] nll[y] + e / C * sum over c of w[c] nll[c]) / W
//! nll[c]   = -log softmax(logits)[c]
//!
//! penalty  = weight / B * sum over the samples and layers of the mean over the neurons of d^2
//! d        = max(0, r - most) - max(0, least - r)                    r: spikes of a neuron per time step in a sample
//! dL/ds[t] = weight / B / neurons / steps * 2 d                  added to the gradient for every spike of the neuron
//! ```
//!
//! The loss is that of PyTorch's `CrossEntropyLoss(weight, label_smoothing)`. The penalty is that of Cramer et al.
//! 2020, for each sample and neuron, with a lower and an upper bound.

use serde::{Deserialize, Serialize};
use tonic_ranks::Ranks;

use crate::kernel::{ActiveCells, TILE_WIDTH, Tile, loss};

/// Settings of the loss of training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingLoss {
    /// Weight of each class, (classes,). With `None`, the loss is the plain mean.
    pub class_weights: Option<Vec<f32>>,
    /// Share of the target probability that is spread evenly over all classes, from 0 to below 1.
    pub label_smoothing: f64,
    /// Penalty for the spikes of hidden neurons. `None` if the loss has no penalty.
    pub spike_rate: Option<SpikeRate>,
}

/// A penalty for neurons that spike less or more often than wanted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpikeRate {
    /// Smallest and largest wanted number of spikes per time step.
    pub bounds: [f64; 2],
    /// Factor of the penalty in the loss.
    pub weight: f64,
}

/// The loss of training, for one batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchTerms<'a> {
    loss: &'a TrainingLoss,
    /// Number of samples in the batch, of all ranks.
    pub(super) samples: usize,
    /// W: the sum of the class weights of all labels in the batch.
    pub(super) total: f64,
}

impl TrainingLoss {
    /// Returns the loss for a batch that several ranks share. `labels` are those of this rank's samples.
    pub(super) fn of_share(&self, ranks: Ranks, labels: &[u32]) -> BatchTerms<'_> {
        let weight = |&label: &u32| self.class_weights.as_ref().map_or(1.0, |weights| weights[label as usize]);
        let [samples, total] = ranks.fold_array([0.0; 2], |[samples, total]| {
            *samples += labels.len() as f64;
            labels.iter().for_each(|label| *total += f64::from(weight(label)));
        });
        BatchTerms { loss: self, samples: samples as usize, total }
    }
}

impl BatchTerms<'_> {
    fn weight(&self, class: usize) -> f32 {
        self.loss.class_weights.as_ref().map_or(1.0, |weights| weights[class])
    }

    /// Returns the loss of a sample, not yet divided by W. Writes the gradient of the batch's mean loss with respect
    /// to the logits to `gradient`.
    pub(super) fn sample(&self, logits: &[f32], label: u32, gradient: &mut [f32]) -> f64 {
        let (label, smoothing) = (label as usize, self.loss.label_smoothing);
        let own = self.weight(label);
        if smoothing == 0.0 {
            return f64::from(own) * loss::cross_entropy(logits, label, own / self.total as f32, gradient);
        }
        let nll = loss::cross_entropy(logits, label, 1.0, gradient);
        let shares = loss::softmax(logits);
        let each = smoothing / logits.len() as f64;
        let all: f64 = (0..logits.len()).map(|class| f64::from(self.weight(class))).sum();
        let target = (1.0 - smoothing) * f64::from(own);
        let whole = target + each * all;
        for (class, gradient) in gradient.iter_mut().enumerate() {
            // In float64, because the two terms cancel where the network has learned the smoothed target.
            let wanted = each * f64::from(self.weight(class)) + if class == label { target } else { 0.0 };
            *gradient = ((whole * shares[class] - wanted) / self.total) as f32;
        }
        let above = |class: usize| f64::from(logits[label]) - f64::from(logits[class]);
        let smooth: f64 = (0..logits.len()).map(|class| f64::from(self.weight(class)) * (nll + above(class))).sum();
        target * nll + each * smooth
    }

    /// Returns the loss of the batch. `sum` is the sum of the losses of its samples.
    pub(super) fn mean(&self, sum: f64) -> f64 {
        sum / self.total
    }

    /// Returns the penalty of a sample, and the gradient of the penalty with respect to the spikes of each hidden
    /// layer, in tiles of neurons. Without a penalty, the gradient is empty. `spikes` has the spikes of each hidden
    /// layer, and `neurons` the number of neurons of each hidden layer.
    pub(super) fn penalty(&self, spikes: &[ActiveCells], neurons: &[usize]) -> (f64, Vec<Vec<Tile>>) {
        let Some(SpikeRate { bounds: [least, most], weight }) = self.loss.spike_rate else { return (0.0, Vec::new()) };
        let mut penalty = 0.0;
        let layer = |(spikes, &neurons): (&ActiveCells, &usize)| {
            let mut totals = vec![0.0; neurons];
            spikes.add_totals(&mut totals);
            let steps = spikes.steps().max(1) as f64;
            let factor = weight / self.samples as f64 / neurons as f64;
            let mut gradient = vec![[0.0; TILE_WIDTH]; neurons.div_ceil(TILE_WIDTH)];
            for (to, total) in gradient.as_flattened_mut().iter_mut().zip(totals) {
                let rate = total / steps;
                let apart = (rate - most).max(0.0) - (least - rate).max(0.0);
                penalty += factor * apart * apart;
                *to = (factor / steps * 2.0 * apart) as f32;
            }
            gradient
        };
        let gradients = spikes.iter().zip(neurons).map(layer).collect();
        (penalty, gradients)
    }
}

#[cfg(test)]
mod tests {
    use tonic_ranks::Ranks;

    use super::TrainingLoss;

    /// Compares with PyTorch's `cross_entropy(x, y, weight=w, label_smoothing=0.25)` in float64, where the second class
    /// has no samples and no weight.
    #[test]
    fn a_class_without_weight_is_no_target_of_smoothing() {
        let logits = [[1.0, -0.5, 2.0], [0.25, 0.75, -1.0], [-2.0, 1.5, 0.5]];
        let labels = [0, 2, 0];
        let expected = [
            [-0.14490428792457705, 0.01415293306011782, 0.13075135486445924],
            [0.1282182183802416, 0.24574446374103115, -0.37396268212127276],
            [-0.20293352573851592, 0.17881706899235847, 0.024116456746157415],
        ];
        let loss = TrainingLoss {
            class_weights: Some(vec![0.75, 0.0, 1.5]),
            label_smoothing: 0.25,
            ..TrainingLoss::default()
        };
        let terms = loss.of_share(Ranks::solo(), &labels);
        let mut sum = 0.0;
        for ((logits, label), expected) in logits.iter().zip(labels).zip(expected) {
            let mut gradient = [0.0; 3];
            sum += terms.sample(logits, label, &mut gradient);
            for (got, expected) in gradient.iter().zip(expected) {
                assert!((f64::from(*got) - expected).abs() < 1e-7, "{got} {expected}");
            }
        }
        assert!((terms.mean(sum) - 2.1477523646705645).abs() < 1e-7, "{}", terms.mean(sum));
    }
}
