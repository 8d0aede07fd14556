//! The engine of our kernels on the CPU for networks with any kinds of layers. Batch norm needs the statistics of a
//! whole batch, so all samples pass through a layer before the next layer starts. Without norms, and in evaluations, a
//! sample passes through all layers before the next sample starts.
//!
//! ```text
//! pack      parameters of a layer in the order in which the kernels read them
//! sample    the values that a step stores for one sample, and its random initial states
//! forward   all samples through one layer
//! backward  gradients of all layers
//! block     gradients of a block of samples
//! by_sample evaluations and steps without norms: one sample after the other through all layers
//! outputs   spikes and outputs over time of single samples
//! ```
//!
//! A batch is divided into blocks of consecutive samples. The division depends neither on the number of threads nor on
//! the number of ranks. Sums over samples are in float64, in the order of the samples. Gradients of weights are added
//! block by block. A step therefore gives the same bits with any number of threads and ranks.

mod backward;
mod block;
mod by_sample;
mod forward;
mod outputs;
mod pack;
#[cfg(test)]
mod preset_tests;
mod sample;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rayon::prelude::*;
use tonic_loader::{Batch, Share};
use tonic_ranks::Ranks;
use tonic_shard::SampleFrames;

use crate::engine::layered::block::{Block, Scores, Sums};
use crate::engine::layered::pack::PackedLayer;
use crate::engine::layered::sample::SampleLayers;
#[cfg(feature = "libtorch")]
pub(super) use crate::engine::layered::sample::uniform_start;
use crate::engine::step::{BatchLoss, Engine, Pass, check_interrupt, check_step, share};
use crate::engine::training_loss::TrainingLoss;
use crate::error::{KernelError, Result};
use crate::kernel::cell::SUMS;
use crate::kernel::isa::Isa;
use crate::kernel::linear::Panels;
use crate::kernel::{Aligned, SpikeCounts, TILE_WIDTH, Tile, linear};
use crate::network::{Architecture, Network, Neuron, Parameters, Readout};

/// The engine of our kernels on the CPU, for networks of one architecture.
#[derive(Debug)]
pub struct LayeredEngine {
    isa: Isa,
    architecture: Arc<Architecture>,
    loss: TrainingLoss,
    share: Share,
    /// Number of samples, and total number of their time steps, in the batch of all ranks. For training steps and
    /// measurements.
    whole: [f64; 2],
    /// Logits of the last batch, (batch, classes).
    logits: Vec<f32>,
    /// The layers, the readout last.
    layers: Vec<PackedLayer>,
    samples: Vec<SampleLayers>,
    blocks: Vec<Block>,
    /// Sums over time of each layer in a backward pass, (samples, tiles).
    sums: Vec<Aligned<Sums>>,
    /// Buffer in which ranks other than 0 add up the gradients of a layer. Rank 0 adds them up in its first block.
    sum: Panels,
}

impl LayeredEngine {
    /// Makes an engine for networks with the architecture of `network`.
    pub fn new(network: &Network) -> LayeredEngine {
        let architecture = network.architecture().clone();
        let layers = (0..=architecture.layers.hidden.len()).map(|i| PackedLayer::new(&architecture, i)).collect();
        LayeredEngine {
            isa: Isa::chosen(),
            share: share(Ranks::solo(), architecture.parameters()),
            architecture,
            loss: TrainingLoss::default(),
            whole: [0.0; 2],
            logits: Vec::new(),
            layers,
            samples: Vec::new(),
            blocks: Vec::new(),
            sums: Vec::new(),
            sum: Panels::default(),
        }
    }

    /// Sets the ranks that make training steps together.
    pub fn with_ranks(mut self, ranks: Ranks) -> LayeredEngine {
        self.share.ranks = ranks;
        self
    }

    /// Returns the maximum size in bytes of the values that a training step stores for `batch` samples of `steps` time
    /// steps:
    /// - outputs of linear layers
    /// - membrane potentials of integrate-and-fire neurons, states of the readout, and their softmax
    /// - two bits per neuron and time step
    /// - the gradient of one layer
    ///
    /// A step of a network without norms stores these values for one sample of each block. The lists of spikes, which
    /// need 8 bytes per spike, are not included.
    pub fn step_bytes(architecture: &Architecture, batch: usize, steps: usize) -> u64 {
        let tiles = |neurons: &usize| neurons.div_ceil(TILE_WIDTH) as u64;
        let shape = &architecture.shape;
        let layers: u64 = shape.hidden.iter().chain([&shape.classes]).map(tiles).sum();
        let widest = shape.hidden.iter().chain([&shape.classes]).map(tiles).max().unwrap_or(0);
        let states = architecture.layers.hidden.iter().filter(|layer| matches!(layer.neuron, Neuron::Iaf(_)));
        let states: u64 = states.map(|layer| tiles(&layer.neurons)).sum::<u64>() + tiles(&shape.classes);
        let softmax = if architecture.layers.readout.readout == Readout::Leaky { tiles(&shape.classes) } else { 0 };
        let step =
            (layers + states + softmax + widest) * size_of::<Tile>() as u64 + 2 * layers * size_of::<u32>() as u64;
        let at_once = match LayeredEngine::goes_by_sample(architecture) {
            false => batch,
            true => batch.min(share(Ranks::solo(), architecture.parameters()).blocks),
        };
        (at_once as u64).saturating_mul(linear::stride(steps) as u64).saturating_mul(step)
    }

    /// Runs all samples of a batch forward, layer by layer.
    fn run(&mut self, network: &Network, batch: &Batch, steps: usize, pass: Pass) -> Result<()> {
        check_keys(batch)?;
        self.run_samples(network, &batch.samples(), &batch.keys, steps, pass)
    }

    /// Runs samples forward, layer by layer. `keys` has one key per sample, for the sample's random numbers.
    fn run_samples(
        &mut self,
        network: &Network,
        frames: &[SampleFrames<'_>],
        keys: &[u64],
        steps: usize,
        pass: Pass,
    ) -> Result<()> {
        self.check_tensors(network);
        let (inputs, classes) = (self.architecture.shape.inputs, self.architecture.shape.classes);
        self.samples.resize_with(frames.len(), SampleLayers::default);
        let depth = self.layers.len();
        let read: Vec<Result<(), KernelError>> = (&mut self.samples, frames, keys)
            .into_par_iter()
            .enumerate()
            .map(|(i, (sample, &frames, &key))| sample.begin(frames, key, depth, inputs, steps, i))
            .collect();
        read.into_iter().collect::<Result<(), _>>()?;
        if pass.uses_batch() {
            self.whole = self.share.ranks.fold_array([0.0; 2], |[samples, rows]| {
                *samples += self.samples.len() as f64;
                self.samples.iter().for_each(|sample| *rows += sample.steps() as f64);
            });
        }
        for i in 0..depth {
            check_interrupt()?;
            self.forward_layer(network, i, pass)?;
        }
        check_interrupt()?;
        self.logits.resize(frames.len() * classes, 0.0);
        for (sample, logits) in self.samples.iter().zip(self.logits.chunks_exact_mut(classes)) {
            logits.copy_from_slice(&sample.logits);
        }
        Ok(())
    }

    /// Runs a batch forward without dropout. The norms use the statistics of the batch, which this function writes to
    /// `to`. If several ranks measure together, `batch` is this rank's share, and the statistics are those of the whole
    /// batch.
    ///
    /// # Errors
    /// Those of [`Engine::spikes`].
    pub(crate) fn measure(
        &mut self,
        network: &Network,
        batch: &Batch,
        steps: usize,
        to: &mut Parameters,
    ) -> Result<()> {
        self.run(network, batch, steps, Pass::Measuring)?;
        self.write_statistics(to);
        Ok(())
    }

    /// Makes room for the sums over time of a backward pass of `samples` samples.
    fn size_sums(&mut self, samples: usize) {
        self.sums.resize_with(self.layers.len(), Aligned::default);
        for (sums, layer) in self.sums.iter_mut().zip(&self.layers) {
            sums.resize(samples * layer.tiles(), [[0.0; TILE_WIDTH]; SUMS]);
        }
    }

    /// Panics if `network` has other tensors than the engine was made for.
    fn check_tensors(&self, network: &Network) {
        assert_eq!(network.architecture().tensors(), self.architecture.tensors(), "tensors of the network");
    }

    /// Whether a pass counts the spikes of each sample, for the penalty for spike rates.
    fn counts(&self, pass: Pass) -> bool {
        self.loss.spike_rate.is_some() && pass == Pass::Training
    }

    /// Returns the number of samples per block in a training step.
    fn block_size(&self) -> usize {
        self.share.block_size(self.whole[0] as usize)
    }

    /// Returns the total number of time steps of all samples in a training step or a measurement.
    fn rows(&self) -> f64 {
        self.whole[1]
    }
}

/// Returns an error if the batch doesn't have a key for each sample.
fn check_keys(batch: &Batch) -> Result<(), KernelError> {
    let (samples, keys) = (batch.frames.len(), batch.keys.len());
    if keys == samples { Ok(()) } else { Err(KernelError::KeysMissing { samples, keys }) }
}

impl Engine for LayeredEngine {
    fn step(&mut self, network: &Network, batch: &Batch, steps: usize, gradient: &mut Parameters) -> Result<BatchLoss> {
        let ranks = self.share.ranks;
        let classes = check_step(ranks, network, batch, gradient)?;
        check_keys(batch)?;
        if LayeredEngine::goes_by_sample(&self.architecture) {
            return self.step_by_sample(network, batch, steps, gradient);
        }
        self.run(network, batch, steps, Pass::Training)?;
        let terms = self.loss.of_share(ranks, &batch.labels);
        let mut errors = vec![0.0; self.logits.len()];
        let rows = self.samples.iter_mut().zip(errors.chunks_exact_mut(classes));
        let mut scores = Scores::default();
        for ((sample, error), &label) in rows.zip(&batch.labels) {
            scores.add(terms, sample, &self.architecture.shape.hidden, label, error);
        }
        let loss = Scores::of_batch(ranks, terms, std::iter::once(&scores))?;
        self.backward(network, &errors, gradient)?;
        self.write_statistics(gradient);
        Ok(loss)
    }

    fn forward(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<&[f32]> {
        check_keys(batch)?;
        self.forward_by_sample(network, batch, steps)?;
        Ok(&self.logits)
    }

    fn spikes(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<Vec<SpikeCounts>> {
        self.run(network, batch, steps, Pass::Measuring)?;
        let hidden = &self.architecture.shape.hidden;
        let mut counts: Vec<SpikeCounts> = hidden.iter().map(|&neurons| SpikeCounts::new(neurons)).collect();
        for sample in &self.samples {
            counts.iter_mut().zip(sample.spikes()).for_each(|(counts, spikes)| counts.add_sample(spikes));
        }
        Ok(counts)
    }

    fn set_loss(&mut self, loss: TrainingLoss) -> Result<()> {
        self.loss = loss;
        Ok(())
    }

    fn logits(&self) -> &[f32] {
        &self.logits
    }
}
