//! Spikes counted per neuron, which tell silent and saturated neurons from healthy ones.

use crate::kernel::Activity;

/// Spikes of a hidden layer over some samples, of each neuron.
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
    /// No spikes of `neurons` neurons in no steps.
    pub(crate) fn new(neurons: usize) -> SpikeCounts {
        SpikeCounts { spikes: vec![0; neurons], active_steps: vec![0; neurons], steps: 0 }
    }

    /// Adds a layer's spikes of one sample.
    pub(crate) fn add_sample(&mut self, spikes: &Activity) {
        self.steps += spikes.steps() as u64;
        for &(neuron, count) in spikes.all() {
            self.add(neuron as usize, count as u64, 1);
        }
    }

    /// Adds spikes of one neuron. A diverged neuron has more than can be counted.
    pub(crate) fn add(&mut self, neuron: usize, spikes: u64, active_steps: u64) {
        self.spikes[neuron] = self.spikes[neuron].saturating_add(spikes);
        self.active_steps[neuron] += active_steps;
    }

    /// Adds the spikes of the same layer over other samples.
    pub(crate) fn plus(mut self, other: &SpikeCounts) -> SpikeCounts {
        self.steps += other.steps;
        for (neuron, (&spikes, &steps)) in other.spikes.iter().zip(&other.active_steps).enumerate() {
            self.add(neuron, spikes, steps);
        }
        self
    }
}
