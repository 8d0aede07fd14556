//! Runs single samples forward on the CPU, and keeps what happens inside the network: the spikes of each hidden layer,
//! and the readout over time.

use std::time::{Duration, Instant};

use tonic_shard::SampleFrames;

use crate::engine::CpuEngine;
use crate::error::KernelError;
use crate::kernel::ActiveCells;
use crate::kernel::sample::SampleState;
use crate::network::Network;

/// Runs single samples through one network.
#[derive(Debug)]
pub(crate) struct Tracer<'a> {
    network: &'a Network,
    engine: CpuEngine,
    state: SampleState,
}

/// What a network makes of a sample.
#[derive(Debug)]
pub(crate) struct Traced<'a> {
    /// Spikes of each hidden layer, the layer next to the input first.
    pub(crate) spikes: &'a [ActiveCells],
    /// Logits, (classes,): the same bits as in a batch.
    pub(crate) logits: Vec<f32>,
    /// The logits up to each time step, (steps, classes), up to rounding.
    pub(crate) sums: Vec<f32>,
    /// Time of the forward pass.
    pub(crate) time: Duration,
}

impl<'a> Tracer<'a> {
    pub(crate) fn new(network: &'a Network) -> Tracer<'a> {
        let mut engine = CpuEngine::new(network);
        engine.pack(network);
        Tracer { network, engine, state: SampleState::default() }
    }

    /// Returns the number of neurons of each hidden layer.
    pub(crate) fn neurons(&self) -> &'a [usize] {
        &self.network.shape().hidden
    }

    /// Runs a sample forward, for `steps` time steps or for all its frames if it has more.
    ///
    /// # Errors
    /// [`KernelError`] if the sample doesn't fit the network.
    pub(crate) fn run(&mut self, sample: SampleFrames<'_>, steps: usize) -> Result<Traced<'_>, KernelError> {
        let mut logits = vec![0.0; self.network.shape().classes];
        let started = Instant::now();
        self.engine.forward_sample(&mut self.state, sample, steps, &mut logits)?;
        let time = started.elapsed();
        let spikes = self.state.spikes();
        let sums = spikes.last().map_or(Vec::new(), |last| summed_readout(self.network, last));
        Ok(Traced { spikes, logits, sums, time })
    }
}

/// Returns the output of the readout, summed over the time so far, (steps, classes). `last` has the spikes of the last
/// hidden layer.
fn summed_readout(network: &Network, last: &ActiveCells) -> Vec<f32> {
    let Some(readout) = network.parameters.layers().last() else { return Vec::new() };
    let mut sum = vec![0.0; readout.outputs];
    let mut sums = Vec::with_capacity(last.steps() * readout.outputs);
    for t in 0..last.steps() {
        sum.iter_mut().zip(readout.bias).for_each(|(sum, bias)| *sum += bias);
        for &(neuron, count) in last.step(t) {
            let weights = &readout.weight_t[neuron as usize * readout.outputs..][..readout.outputs];
            sum.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += count * weight);
        }
        sums.extend_from_slice(&sum);
    }
    sums
}
