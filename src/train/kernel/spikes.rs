//! Spike counts per neuron, which show silent neurons and saturated neurons.

use crate::kernel::Activity;

/// Spike counts of each neuron of a hidden layer, over all steps of one or more samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpikeCounts {
    /// Number of spikes of each neuron.
    pub spikes: Vec<u64>,
    /// Number of steps in which each neuron spiked at least once.
    pub active_steps: Vec<u64>,
    /// Number of steps of all samples, padding included.
    pub steps: u64,
}

impl SpikeCounts {
    /// Makes counts of 0 for `neurons` neurons.
    pub(crate) fn new(neurons: usize) -> SpikeCounts {
        SpikeCounts { spikes: vec![0; neurons], active_steps: vec![0; neurons], steps: 0 }
    }

    /// Adds the spikes of the layer in one sample.
    pub(crate) fn add_sample(&mut self, spikes: &Activity) {
        self.steps += spikes.steps() as u64;
        for &(neuron, count) in spikes.all() {
            self.add(neuron as usize, count as u64, 1);
        }
    }

    /// Adds spikes of one neuron. The sum saturates, because a diverged neuron can have more spikes than a `u64` holds.
    pub(crate) fn add(&mut self, neuron: usize, spikes: u64, active_steps: u64) {
        self.spikes[neuron] = self.spikes[neuron].saturating_add(spikes);
        self.active_steps[neuron] += active_steps;
    }

    /// Returns the sum of these counts and of `other`, the counts of the same layer over other samples.
    pub(crate) fn plus(mut self, other: &SpikeCounts) -> SpikeCounts {
        self.steps += other.steps;
        for (neuron, (&spikes, &steps)) in other.spikes.iter().zip(&other.active_steps).enumerate() {
            self.add(neuron, spikes, steps);
        }
        self
    }
}
