//! Spike counts per neuron, which show silent neurons and saturated neurons.

use tonic_ranks::Ranks;

use crate::kernel::ActiveCells;

/// Spike counts of the neurons of a hidden layer, summed over all time steps of one or more samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpikeCounts {
    /// Number of spikes of each neuron.
    pub spikes: Vec<u64>,
    /// For each neuron, the number of time steps with at least one spike.
    pub active_steps: Vec<u64>,
    /// Number of time steps of all samples together, including padding.
    pub steps: u64,
}

impl SpikeCounts {
    pub(crate) fn new(neurons: usize) -> SpikeCounts {
        SpikeCounts { spikes: vec![0; neurons], active_steps: vec![0; neurons], steps: 0 }
    }

    pub(crate) fn add_sample(&mut self, spikes: &ActiveCells) {
        self.steps += spikes.steps() as u64;
        for &(neuron, count) in spikes.all() {
            self.add(neuron as usize, count as u64, 1);
        }
    }

    /// Adds `spikes` spikes in `active_steps` time steps to one neuron.
    pub(crate) fn add(&mut self, neuron: usize, spikes: u64, active_steps: u64) {
        self.spikes[neuron] = self.spikes[neuron].saturating_add(spikes);
        self.active_steps[neuron] += active_steps;
    }

    pub(crate) fn plus(mut self, other: &SpikeCounts) -> SpikeCounts {
        self.steps += other.steps;
        for (neuron, (&spikes, &steps)) in other.spikes.iter().zip(&other.active_steps).enumerate() {
            self.add(neuron, spikes, steps);
        }
        self
    }

    /// Returns the sums of the counts of all ranks.
    pub(crate) fn of_ranks(&self, ranks: Ranks) -> SpikeCounts {
        let sum = |own: &[u64]| {
            let mut all = vec![0; own.len()];
            ranks.fold(&mut all, |range, all: &mut [u64]| {
                all.iter_mut().zip(&own[range]).for_each(|(all, own)| *all = all.saturating_add(*own));
            });
            all
        };
        let [steps] = ranks.fold_array([0], |[steps]| *steps += self.steps);
        SpikeCounts { spikes: sum(&self.spikes), active_steps: sum(&self.active_steps), steps }
    }
}
