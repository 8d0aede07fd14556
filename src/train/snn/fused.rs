//! A batch through the kernels: samples in parallel, gradients summed in a fixed order.
//!
//! A batch is cut into blocks of consecutive samples by its size and the network's alone. A block's samples add to
//! one gradient one after another, and the blocks' gradients are added in their order, so that a step is the same to
//! the bit at any number of threads.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::BatchLoss;
use super::network::{Network, Parameters, Shape};
use crate::frames::SampleFrames;
use crate::train::kernel::isa::Isa;
use crate::train::kernel::linear::Panels;
use crate::train::kernel::loss;
use crate::train::kernel::sample::{PackedLayer, PackedNetwork, SampleState};
use crate::train::kernel::{Activity, KernelError};

/// Blocks that a batch is cut into at most: enough for the threads of a large machine.
const MAX_BLOCKS: usize = 32;
/// What the blocks' gradients may take together, in numbers; a wide network has fewer blocks.
const MAX_GRADIENTS: usize = 1 << 25;
/// Blocks that a batch is cut into however wide the network.
const MIN_BLOCKS: usize = 4;

/// The buffers of the fused engine, made for one shape and used again at every step.
#[derive(Debug)]
pub(super) struct Workspace {
    shape: Shape,
    packed: PackedNetwork,
    blocks: Vec<Block>,
    states: Mutex<Vec<SampleState>>,
}

/// The gradient of a block of samples.
#[derive(Debug)]
struct Block {
    gradients: Vec<Panels>,
    losses: Vec<f64>,
    correct: usize,
}

impl Workspace {
    /// Buffers for networks of `shape`.
    pub(super) fn new(network: &Network) -> Workspace {
        let mut layers: Vec<PackedLayer> = network
            .shape()
            .linears()
            .enumerate()
            .map(|(i, (inputs, outputs))| PackedLayer {
                forward: Panels::zeros(inputs, outputs),
                transposed: (i > 0).then(|| Panels::zeros(outputs, inputs)),
            })
            .collect();
        // A shape has a readout whatever its hidden layers.
        let readout = layers.pop().unwrap_or_else(|| PackedLayer { forward: Panels::default(), transposed: None });
        let Shape { inputs, classes, .. } = *network.shape();
        let neuron = network.neuron.constants();
        let packed = PackedNetwork { isa: Isa::chosen(), neuron, inputs, classes, hidden: layers, readout };
        Workspace { shape: network.shape().clone(), packed, blocks: Vec::new(), states: Mutex::default() }
    }

    /// Samples of each block.
    fn block_size(&self, batch: usize, parameters: usize) -> usize {
        let blocks = (MAX_GRADIENTS / parameters.max(1)).clamp(MIN_BLOCKS, MAX_BLOCKS);
        batch.div_ceil(blocks).max(1)
    }

    fn pack(&mut self, network: &Network) {
        assert_eq!(network.shape(), &self.shape, "shape of the network");
        self.packed.neuron = network.neuron.constants();
        let packed = self.packed.hidden.iter_mut().chain(std::iter::once(&mut self.packed.readout));
        for (packed, layer) in packed.zip(network.parameters.layers()) {
            packed.forward.pack(layer.weight_t, layer.bias);
            if let Some(transposed) = &mut packed.transposed {
                transposed.pack_transposed(layer.weight_t);
            }
        }
    }

    /// Loss, logits and gradients of a batch whose labels are known to be classes.
    pub(super) fn step(
        &mut self,
        network: &Network,
        batch: &[SampleFrames<'_>],
        labels: &[u32],
        steps: usize,
        logits: &mut [f32],
        gradients: &mut Parameters,
    ) -> Result<BatchLoss, KernelError> {
        self.pack(network);
        let size = self.block_size(batch.len(), network.shape().parameters());
        let used = batch.len().div_ceil(size);
        let shape = network.shape();
        self.blocks.resize_with(used.max(self.blocks.len()), || Block::new(shape));
        let classes = shape.classes;
        let scale = 1.0 / batch.len() as f32;
        let (packed, states) = (&self.packed, &self.states);
        let results: Vec<Result<(), KernelError>> = (
            self.blocks[..used].par_iter_mut(),
            batch.par_chunks(size),
            labels.par_chunks(size),
            logits.par_chunks_mut(size * classes),
        )
            .into_par_iter()
            .enumerate()
            .with_max_len(1)
            .map(|(i, (block, batch, labels, logits))| {
                let mut state = take(states);
                let result = block.run(packed, &mut state, batch, labels, logits, (i * size, steps, scale));
                give(states, state);
                result
            })
            .collect();
        results.into_iter().collect::<Result<(), _>>()?;

        let blocks = &mut self.blocks[..used];
        if let Some((first, others)) = blocks.split_first_mut() {
            for (i, layer) in gradients.layers_mut().enumerate() {
                let others: Vec<&Panels> = others.iter().map(|block| &block.gradients[i]).collect();
                first.gradients[i].add(packed.isa, &others);
                first.gradients[i].unpack(layer.weight_t, layer.bias);
            }
        }
        let total: f64 = blocks.iter().flat_map(|block| &block.losses).sum();
        let correct = blocks.iter().map(|block| block.correct).sum();
        Ok(BatchLoss { loss: total / batch.len() as f64, correct })
    }

    /// The logits of a batch.
    pub(super) fn forward(
        &mut self,
        network: &Network,
        batch: &[SampleFrames<'_>],
        steps: usize,
        logits: &mut [f32],
    ) -> Result<(), KernelError> {
        self.pack(network);
        let (packed, states) = (&self.packed, &self.states);
        let results: Vec<Result<(), KernelError>> = batch
            .par_iter()
            .zip(logits.par_chunks_mut(packed.classes))
            .enumerate()
            .map(|(i, (sample, logits))| {
                let mut state = take(states);
                let result = packed.forward(&mut state, *sample, steps, i, logits);
                give(states, state);
                result
            })
            .collect();
        results.into_iter().collect()
    }
}

/// Each hidden layer's spikes in response to one sample, for plots and statistics.
///
/// # Errors
/// A sample that does not fit the network.
pub fn hidden_spikes(network: &Network, sample: SampleFrames<'_>, steps: usize) -> Result<Vec<Activity>, KernelError> {
    let mut workspace = Workspace::new(network);
    workspace.pack(network);
    let mut state = SampleState::default();
    let mut logits = vec![0.0; network.shape().classes];
    workspace.packed.forward(&mut state, sample, steps, 0, &mut logits)?;
    Ok(state.into_spikes())
}

impl Block {
    fn new(shape: &Shape) -> Block {
        let gradients = shape.linears().map(|(inputs, outputs)| Panels::zeros(inputs, outputs)).collect();
        Block { gradients, losses: Vec::new(), correct: 0 }
    }

    fn run(
        &mut self,
        packed: &PackedNetwork,
        state: &mut SampleState,
        batch: &[SampleFrames<'_>],
        labels: &[u32],
        logits: &mut [f32],
        (first, steps, scale): (usize, usize, f32),
    ) -> Result<(), KernelError> {
        self.gradients.iter_mut().for_each(Panels::clear);
        self.losses.clear();
        self.correct = 0;
        let mut gradient = vec![0.0; packed.classes];
        let samples = batch.iter().zip(labels).zip(logits.chunks_mut(packed.classes)).enumerate();
        for (i, ((sample, &label), logits)) in samples {
            packed.forward(state, *sample, steps, first + i, logits)?;
            self.losses.push(loss::cross_entropy(logits, label as usize, scale, &mut gradient));
            self.correct += usize::from(loss::predicted(logits) == label as usize);
            packed.backward(state, &gradient, &mut self.gradients);
        }
        Ok(())
    }
}

/// A state that no other thread holds. One whose thread panicked is as good as new: every pass overwrites it.
fn take(states: &Mutex<Vec<SampleState>>) -> SampleState {
    states.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
}

fn give(states: &Mutex<Vec<SampleState>>, state: SampleState) {
    states.lock().unwrap_or_else(PoisonError::into_inner).push(state);
}
