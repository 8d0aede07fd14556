//! Runs single samples forward on the CPU, and returns the spikes of each hidden layer and the outputs over time.

use std::time::{Duration, Instant};

use tonic_loader::EpochOrder;
use tonic_shard::SampleFrames;

use crate::engine::{CpuEngine, Engine, LayeredEngine};
use crate::error::Result;
use crate::kernel::ActiveCells;
use crate::kernel::sample::SampleState;
use crate::network::Network;

/// Runs single samples through one network.
#[derive(Debug)]
pub(crate) struct Tracer<'a> {
    network: &'a Network,
    engine: TracingEngine,
}

#[derive(Debug)]
enum TracingEngine {
    /// For linear layers and integrate-and-fire neurons.
    Fused(Box<(CpuEngine, SampleState)>),
    /// For all other layers.
    Layered(Box<LayeredEngine>),
}

/// Results of a network for one sample.
#[derive(Debug)]
pub(crate) struct Traced<'a> {
    /// Spikes of each hidden layer, the layer next to the input first.
    pub(crate) spikes: &'a [ActiveCells],
    /// Logits, (classes,): the same bits as in a batch.
    pub(crate) logits: Vec<f32>,
    /// Outputs over time, (steps, classes). Row t is the output of the readout after time steps 0 to t, up to
    /// rounding.
    pub(crate) outputs: Vec<f32>,
    /// Time of the forward pass.
    pub(crate) time: Duration,
}

impl<'a> Tracer<'a> {
    pub(crate) fn new(network: &'a Network) -> Tracer<'a> {
        let engine = if network.layers().as_iaf().is_some() {
            let mut engine = CpuEngine::new(network);
            engine.pack(network);
            TracingEngine::Fused(Box::new((engine, SampleState::default())))
        } else {
            TracingEngine::Layered(Box::new(LayeredEngine::new(network)))
        };
        Tracer { network, engine }
    }

    /// Returns the number of neurons of each hidden layer.
    pub(crate) fn neurons(&self) -> &'a [usize] {
        &self.network.shape().hidden
    }

    /// Runs one sample forward, for `steps` time steps or for all its frames if it has more. `index` is the index of
    /// the sample in its set.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel) if the sample doesn't fit the network.
    pub(crate) fn run(&mut self, sample: SampleFrames<'_>, index: u64, steps: usize) -> Result<Traced<'_>> {
        let started = Instant::now();
        match &mut self.engine {
            TracingEngine::Fused(fused) => {
                let (engine, state) = &mut **fused;
                let mut logits = vec![0.0; self.network.shape().classes];
                engine.forward_sample(state, sample, steps, &mut logits)?;
                let time = started.elapsed();
                let spikes = state.spikes();
                let outputs = state.readout_input().map_or(Vec::new(), |input| summed_readout(self.network, input));
                Ok(Traced { spikes, logits, outputs, time })
            }
            TracingEngine::Layered(engine) => {
                engine.trace(self.network, sample, EpochOrder::Sequential.key(index), steps)?;
                let time = started.elapsed();
                let (outputs, logits) = (engine.outputs_over_time(), engine.logits().to_vec());
                Ok(Traced { spikes: engine.traced_spikes(), logits, outputs, time })
            }
        }
    }
}

/// Returns the outputs of the readout over time, (steps, classes). Row t is the sum of time steps 0 to t. `input` is
/// the input of the readout.
fn summed_readout(network: &Network, input: &ActiveCells) -> Vec<f32> {
    let Some(readout) = network.parameters.layers().last() else { return Vec::new() };
    let mut sum = vec![0.0; readout.outputs];
    let mut sums = Vec::with_capacity(input.steps() * readout.outputs);
    for t in 0..input.steps() {
        sum.iter_mut().zip(readout.bias).for_each(|(sum, bias)| *sum += bias);
        for &(neuron, count) in input.step(t) {
            let weights = &readout.weight_t[neuron as usize * readout.outputs..][..readout.outputs];
            sum.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += count * weight);
        }
        sums.extend_from_slice(&sum);
    }
    sums
}
