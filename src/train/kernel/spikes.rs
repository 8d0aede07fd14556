//! Spike counts per neuron, from which silent neurons and saturated neurons are found.

use crate::kernel::Activity;

/// Spike counts of the neurons of a hidden layer, summed over all time steps of one or more samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpikeCounts {
    /// Number of spikes of each neuron.
    pub spikes: Vec<u64>,
    /// Number of time steps in which each neuron spiked at least once.
    pub active_steps: Vec<u64>,
    /// Number of time steps of all samples together, padding included.
    pub steps: u64,
}

impl SpikeCounts {
    /// Makes counts for a layer of `neurons` neurons. All counts are 0.
    pub(crate) fn new(neurons: usize) -> SpikeCounts {
        SpikeCounts { spikes: vec![0; neurons], active_steps: vec![0; neurons], steps: 0 }
    }

    /// Adds the counts of one more sample. `spikes` is the activity of the layer in this sample.
    pub(crate) fn add_sample(&mut self, spikes: &Activity) {
        self.steps += spikes.steps() as u64;
        for &(neuron, count) in spikes.all() {
            self.add(neuron as usize, count as u64, 1);
        }
    }

    /// Adds `spikes` spikes in `active_steps` time steps to the counts of one neuron. The number of spikes saturates: a
    /// sum that a `u64` cannot hold becomes the largest `u64`. This can happen if a network has diverged.
    pub(crate) fn add(&mut self, neuron: usize, spikes: u64, active_steps: u64) {
        self.spikes[neuron] = self.spikes[neuron].saturating_add(spikes);
        self.active_steps[neuron] += active_steps;
    }

    /// Returns the sum of these counts and `other`, which are counts of the same layer for other samples.
    pub(crate) fn plus(mut self, other: &SpikeCounts) -> SpikeCounts {
        self.steps += other.steps;
        for (neuron, (&spikes, &steps)) in other.spikes.iter().zip(&other.active_steps).enumerate() {
            self.add(neuron, spikes, steps);
        }
        self
    }
}
