//! Measures how often the neurons of each hidden layer spike, on some samples of the training set.

use serde::{Deserialize, Serialize};
use tonic_loader::{Batch, EpochOrder, Share};

use crate::engine::SpikeCounts;
use crate::error::{Error, Result};
use crate::feed::Feed;

/// The measured share of the training samples is 1 / `ONE_OF`. Measuring then takes about 1% of the time of an epoch.
const ONE_OF: u64 = 32;
/// Minimum and maximum number of samples to measure, before rounding up to whole batches.
const SAMPLES: [u64; 2] = [16, 256];
/// A neuron is saturated if it has at least this many spikes per time step on average. Padding counts too.
const SATURATED: f64 = 0.95;
/// A layer is saturated if at least one of its neurons is saturated, and at least this share of its neurons is
/// saturated or silent.
const SATURATED_LAYER: f64 = 0.95;

/// Activity of a hidden layer over all time steps of the measured samples. Time steps of padding count too.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerActivity {
    /// Mean number of spikes per neuron and time step.
    pub spikes: f64,
    /// Share of neurons that never spiked.
    pub silent: f64,
    /// Share of neurons with at least 0.95 spikes per time step.
    pub saturated: f64,
}

impl LayerActivity {
    pub(super) fn of(counts: &SpikeCounts) -> LayerActivity {
        let SpikeCounts { spikes, active_steps, steps } = counts;
        let (neurons, steps) = (spikes.len().max(1) as f64, (*steps).max(1) as f64);
        let share = |of: &[u64], is: &dyn Fn(u64) -> bool| of.iter().filter(|&&n| is(n)).count() as f64 / neurons;
        LayerActivity {
            spikes: spikes.iter().map(|&n| n as f64).sum::<f64>() / neurons / steps,
            silent: share(active_steps, &|n| n == 0),
            saturated: share(spikes, &|n| n as f64 >= SATURATED * steps),
        }
    }

    /// Returns whether nearly all neurons are saturated or silent, and at least one of them is saturated.
    pub(super) fn is_saturated(&self) -> bool {
        self.saturated > 0.0 && self.silent + self.saturated >= SATURATED_LAYER
    }
}

/// Loads the samples that are measured after every epoch.
pub(super) fn measured_samples(train: &Feed, seed: u64, batch_size: usize) -> Result<Vec<Batch>> {
    let samples = train.loader().set().len();
    let wanted = (samples / ONE_OF).clamp(SAMPLES[0], SAMPLES[1]).min(samples);
    let mut batches = Vec::new();
    let mut measured = 0;
    let order = EpochOrder::Shuffled { seed, epoch: 0 };
    train.loader().stored_epoch(order, batch_size.min(wanted as usize), Share::whole(), |batch| {
        batches.push(batch.clone());
        measured += batch.len() as u64;
        Ok::<_, Error>(measured < wanted)
    })?;
    Ok(batches)
}

/// Returns the activity of the layers as text, for example `spikes 0.12 0.08 0.03  silent 4% 10% 61%`.
pub(super) fn words(layers: &[LayerActivity]) -> String {
    let shares = |of: fn(&LayerActivity) -> f64| layers.iter().map(move |layer| of(layer) * 100.0);
    let list = |name: &str, of: fn(&LayerActivity) -> f64| {
        format!("  {name}{}", shares(of).map(|share| format!(" {share:.0}%")).collect::<String>())
    };
    let spikes: String = layers.iter().map(|layer| format!(" {:.2}", layer.spikes)).collect();
    let saturated = if shares(|layer| layer.saturated).any(|share| share >= 0.5) {
        list("saturated", |layer| layer.saturated)
    } else {
        String::new()
    };
    format!("  spikes{spikes}{}{saturated}", list("silent", |layer| layer.silent))
}

#[cfg(test)]
mod tests {
    use super::{LayerActivity, words};
    use crate::engine::SpikeCounts;

    #[test]
    fn silent_and_saturated_neurons_are_counted_over_all_steps() {
        let counts = SpikeCounts { spikes: vec![0, 18, 19, 500], active_steps: vec![0, 18, 19, 6], steps: 20 };
        let layer = LayerActivity::of(&counts);
        assert_eq!(layer, LayerActivity { spikes: 537.0 / 80.0, silent: 0.25, saturated: 0.5 });
        assert_eq!(words(&[layer]), "  spikes 6.71  silent 25%  saturated 50%");
        assert!(!layer.is_saturated() && !LayerActivity { saturated: 0.0, silent: 1.0, ..layer }.is_saturated());
        assert!(LayerActivity { saturated: 0.5, silent: 0.46, ..layer }.is_saturated());
        let healthy = LayerActivity { spikes: 0.123, silent: 0.04, saturated: 0.0 };
        assert_eq!(words(&[healthy, healthy]), "  spikes 0.12 0.12  silent 4% 4%");
    }
}
