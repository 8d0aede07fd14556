//! The engine of our kernels on the CPU: computes samples in parallel, and sums gradients in a fixed order.
//!
//! A batch is divided into blocks of consecutive samples. The division depends neither on the number of threads nor on
//! the number of ranks, so a step gives the same bits with any number of threads and ranks.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use tonic_loader::{Batch, Share};
use tonic_ranks::Ranks;
use tonic_shard::SampleFrames;

use crate::engine::step::{BatchLoss, Engine, check_interrupt, check_loss, check_step, first_error, share};
use crate::engine::training_loss::{BatchTerms, TrainingLoss};
use crate::error::{Error, KernelError, Result};
use crate::kernel::iaf::Neuron;
use crate::kernel::isa::Isa;
use crate::kernel::linear::Panels;
use crate::kernel::sample::{PackedLinear, PackedNetwork, SampleState};
use crate::kernel::{SpikeCounts, loss};
use crate::network::{Network, Parameters, Shape};

/// The engine of our kernels on the CPU, for networks of one shape.
#[derive(Debug)]
pub struct CpuEngine {
    /// Logits of the last batch, (batch, classes).
    logits: Vec<f32>,
    shape: Shape,
    loss: TrainingLoss,
    share: Share,
    packed: PackedNetwork,
    blocks: Vec<GradientBlock>,
    /// Buffers in which ranks other than 0 add up the gradients of each layer. Rank 0 adds them up in its first block.
    sums: Vec<Panels>,
    states: Mutex<Vec<SampleState>>,
}

#[derive(Debug)]
struct GradientBlock {
    gradients: Vec<Panels>,
    losses: Vec<f64>,
    /// Sum of the samples' penalties for their spike rates.
    penalty: f64,
    correct: usize,
}

impl CpuEngine {
    /// Makes an engine for networks with the shape of `network`.
    ///
    /// # Panics
    /// If [`Layers::as_iaf`](crate::network::Layers::as_iaf) returns `None` for the network's layers.
    pub fn new(network: &Network) -> CpuEngine {
        let mut layers: Vec<PackedLinear> = network
            .shape()
            .linears()
            .enumerate()
            .map(|(i, (inputs, outputs))| PackedLinear {
                forward: Panels::zeros(inputs, outputs),
                backward: (i > 0).then(|| Panels::zeros(outputs, inputs)),
            })
            .collect();
        // Never empty: every shape has a readout.
        let readout = layers.pop().unwrap_or_else(|| PackedLinear { forward: Panels::default(), backward: None });
        let Shape { inputs, classes, .. } = *network.shape();
        let neuron = neuron(network);
        let packed = PackedNetwork { isa: Isa::chosen(), neuron, inputs, classes, hidden: layers, readout };
        CpuEngine {
            logits: Vec::new(),
            shape: network.shape().clone(),
            loss: TrainingLoss::default(),
            share: share(Ranks::solo(), network.architecture().parameters()),
            packed,
            blocks: Vec::new(),
            sums: network.shape().linears().map(|(inputs, outputs)| Panels::zeros(inputs, outputs)).collect(),
            states: Mutex::default(),
        }
    }

    /// Sets the ranks that make training steps together.
    pub fn with_ranks(mut self, ranks: Ranks) -> CpuEngine {
        self.share.ranks = ranks;
        self
    }

    /// Runs the samples of a batch forward in parallel, and calls `each` with the buffers of each sample.
    fn forward_each(
        &mut self,
        network: &Network,
        batch: &Batch,
        steps: usize,
        each: impl Fn(&SampleState) + Sync,
    ) -> Result<()> {
        self.pack(network);
        let samples = batch.samples();
        self.logits.resize(samples.len() * network.shape().classes, 0.0);
        let (packed, states) = (&self.packed, &self.states);
        let results: Vec<Result<()>> = samples
            .par_iter()
            .zip(self.logits.par_chunks_mut(packed.classes))
            .enumerate()
            .map(|(i, (sample, logits))| {
                check_interrupt()?;
                let mut state = take(states);
                let result = packed.forward(&mut state, *sample, steps, i, logits).map_err(Error::from);
                let result = result.and_then(|()| check_interrupt());
                if result.is_ok() {
                    each(&state);
                }
                give(states, state);
                result
            })
            .collect();
        first_error(Ranks::solo(), results)
    }

    /// Runs one sample forward with the parameters of the last [`pack`](CpuEngine::pack), and writes its logits.
    pub(crate) fn forward_sample(
        &self,
        state: &mut SampleState,
        sample: SampleFrames<'_>,
        steps: usize,
        logits: &mut [f32],
    ) -> Result<(), KernelError> {
        self.packed.forward(state, sample, steps, 0, logits)
    }

    pub(crate) fn pack(&mut self, network: &Network) {
        assert_eq!(network.shape(), &self.shape, "shape of the network");
        self.packed.neuron = neuron(network);
        let packed = self.packed.hidden.iter_mut().chain(std::iter::once(&mut self.packed.readout));
        for (packed, layer) in packed.zip(network.parameters.layers()) {
            packed.forward.pack(layer.weight_t, layer.bias);
            if let Some(backward) = &mut packed.backward {
                backward.pack_transposed(layer.weight_t);
            }
        }
    }
}

impl Engine for CpuEngine {
    fn step(&mut self, network: &Network, batch: &Batch, steps: usize, gradient: &mut Parameters) -> Result<BatchLoss> {
        let ranks = self.share.ranks;
        let classes = check_step(ranks, network, batch, gradient)?;
        self.pack(network);
        let samples = batch.samples();
        self.logits.resize(batch.len() * classes, 0.0);
        let terms = self.loss.of_share(ranks, &batch.labels);
        let size = self.share.block_size(terms.samples);
        let used = batch.len().div_ceil(size);
        let shape = network.shape();
        self.blocks.resize_with(used.max(self.blocks.len()), || GradientBlock::new(shape));
        let (packed, states) = (&self.packed, &self.states);
        let results: Vec<Result<()>> = (
            self.blocks[..used].par_iter_mut(),
            samples.par_chunks(size),
            batch.labels.par_chunks(size),
            self.logits.par_chunks_mut(size * classes),
        )
            .into_par_iter()
            .enumerate()
            .with_max_len(1)
            .map(|(i, (block, samples, labels, logits))| {
                let mut state = take(states);
                let result = block.run(packed, &mut state, samples, labels, logits, (i * size, steps, terms));
                give(states, state);
                result
            })
            .collect();
        first_error(ranks, results)?;

        let blocks = &mut self.blocks[..used];
        for (i, (layer, sum)) in gradient.layers_mut().zip(&mut self.sums).enumerate() {
            let gradients = blocks.iter_mut().map(|block| &mut block.gradients[i]).collect();
            Panels::sum(packed.isa, ranks, gradients, sum).unpack(layer.weight_t, layer.bias);
        }
        let [total, penalty, correct] = ranks.fold_array([0.0; 3], |[total, penalty, correct]| {
            for block in &*blocks {
                block.losses.iter().for_each(|loss| *total += loss);
                *penalty += block.penalty;
                *correct += block.correct as f64;
            }
        });
        Ok(check_loss(BatchLoss { loss: terms.mean(total) + penalty, correct: correct as usize, penalty })?)
    }

    fn forward(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<&[f32]> {
        self.forward_each(network, batch, steps, |_| ())?;
        Ok(&self.logits)
    }

    fn spikes(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<Vec<SpikeCounts>> {
        let counts: Vec<SpikeCounts> = network.shape().hidden.iter().map(|&n| SpikeCounts::new(n)).collect();
        let counts = Mutex::new(counts);
        self.forward_each(network, batch, steps, |state| {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.iter_mut().zip(state.spikes()).for_each(|(counts, spikes)| counts.add_sample(spikes));
        })?;
        Ok(counts.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_loss(&mut self, loss: TrainingLoss) -> Result<()> {
        self.loss = loss;
        Ok(())
    }

    fn logits(&self) -> &[f32] {
        &self.logits
    }
}

fn neuron(network: &Network) -> Neuron {
    network.layers().as_iaf().expect("layers that the fused kernels compute").constants()
}

impl GradientBlock {
    fn new(shape: &Shape) -> GradientBlock {
        let gradients = shape.linears().map(|(inputs, outputs)| Panels::zeros(inputs, outputs)).collect();
        GradientBlock { gradients, losses: Vec::new(), penalty: 0.0, correct: 0 }
    }

    fn run(
        &mut self,
        packed: &PackedNetwork,
        state: &mut SampleState,
        batch: &[SampleFrames<'_>],
        labels: &[u32],
        logits: &mut [f32],
        (first, steps, terms): (usize, usize, BatchTerms<'_>),
    ) -> Result<()> {
        self.gradients.iter_mut().for_each(Panels::clear);
        self.losses.clear();
        (self.penalty, self.correct) = (0.0, 0);
        let hidden: Vec<usize> = packed.hidden.iter().map(|layer| layer.forward.outputs()).collect();
        let mut gradient = vec![0.0; packed.classes];
        let samples = batch.iter().zip(labels).zip(logits.chunks_mut(packed.classes)).enumerate();
        for (i, ((sample, &label), logits)) in samples {
            check_interrupt()?;
            packed.forward(state, *sample, steps, first + i, logits)?;
            check_interrupt()?;
            self.losses.push(terms.sample(logits, label, &mut gradient));
            let (penalty, rates) = terms.penalty(state.spikes(), &hidden);
            self.penalty += penalty;
            self.correct += usize::from(loss::predicted(logits) == label as usize);
            packed.backward(state, &gradient, &rates, &mut self.gradients);
        }
        check_interrupt()
    }
}

fn take(states: &Mutex<Vec<SampleState>>) -> SampleState {
    // A poisoned lock does no harm: every forward pass overwrites the state.
    states.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
}

fn give(states: &Mutex<Vec<SampleState>>, state: SampleState) {
    states.lock().unwrap_or_else(PoisonError::into_inner).push(state);
}
