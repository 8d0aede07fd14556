//! Evaluations, and training steps of networks without norms: each sample passes through all layers, in training
//! forward and backward, before the next sample starts. The values of the sample thus stay in the CPU's cache.

use rayon::prelude::*;
use tonic_loader::Batch;
use tonic_ranks::Ranks;
use tonic_shard::SampleFrames;

use crate::engine::layered::LayeredEngine;
use crate::engine::layered::backward::{through_neurons, through_sample, write_neurons};
use crate::engine::layered::block::{Block, Gradients, Scores, Sums};
use crate::engine::layered::forward::{activate, linear_outputs, random_states, set_norm};
use crate::engine::layered::pack::PackedLayer;
use crate::engine::step::{BatchLoss, Pass, check_interrupt, first_error};
use crate::engine::training_loss::BatchTerms;
use crate::error::{KernelError, Result};
use crate::kernel::isa::Isa;
use crate::kernel::linear::Panels;
use crate::kernel::norm::over_samples;
use crate::network::{Architecture, Network, Parameters};

/// What all blocks of a batch share.
struct Run<'a> {
    isa: Isa,
    layers: &'a [PackedLayer],
    architecture: &'a Architecture,
    pass: Pass,
    steps: usize,
    is_counted: bool,
}

/// A block's part of a batch: a label, a key and the logits of each sample, and the sums over time of each layer.
struct Part<'a> {
    /// Index of the first sample in the batch.
    first: usize,
    samples: &'a [SampleFrames<'a>],
    keys: &'a [u64],
    labels: &'a [u32],
    logits: &'a mut [f32],
    sums: Vec<&'a mut [Sums]>,
}

impl LayeredEngine {
    /// Whether a step can take one sample after the other: no layer needs the statistics of the whole batch.
    pub(super) fn goes_by_sample(architecture: &Architecture) -> bool {
        architecture.layers.norms().next().is_none()
    }

    /// Makes a training step, as [`Engine::step`](crate::engine::Engine::step). `batch` has valid labels and keys.
    pub(super) fn step_by_sample(
        &mut self,
        network: &Network,
        batch: &Batch,
        steps: usize,
        gradient: &mut Parameters,
    ) -> Result<BatchLoss> {
        let (ranks, classes) = (self.share.ranks, self.architecture.shape.classes);
        self.check_tensors(network);
        self.layers.iter_mut().enumerate().for_each(|(i, layer)| layer.pack(network, i, true));
        self.size_sums(batch.len());
        let is_counted = self.counts(Pass::Training);
        let terms = self.loss.of_share(ranks, &batch.labels);
        let size = self.share.block_size(terms.samples);
        let used = batch.len().div_ceil(size);
        self.blocks.resize_with(used.max(self.blocks.len()), Block::default);
        self.logits.resize(batch.len() * classes, 0.0);
        let samples = batch.samples();
        let (keys, labels) = (batch.keys.chunks(size), batch.labels.chunks(size));
        let inputs = samples.chunks(size).zip(keys.zip(labels)).zip(self.logits.chunks_mut(size * classes));
        let part = |(block, ((samples, (keys, labels)), logits))| Part {
            first: block * size,
            samples,
            keys,
            labels,
            logits,
            sums: Vec::new(),
        };
        let mut parts: Vec<Part<'_>> = inputs.enumerate().map(part).collect();
        for (layer, sums) in self.layers.iter().zip(&mut self.sums) {
            let sums = sums.chunks_mut(size * layer.tiles());
            parts.iter_mut().zip(sums).for_each(|(part, sums)| part.sums.push(sums));
        }
        let (layers, architecture) = (&self.layers[..], &*self.architecture);
        let run = Run { isa: self.isa, layers, architecture, pass: Pass::Training, steps, is_counted };
        let blocks = self.blocks[..used].par_iter_mut().zip(parts).with_max_len(1);
        let ended: Vec<Result<()>> = blocks.map(|(block, part)| block.step(&run, terms, part)).collect();
        first_error(ranks, ended)?;
        let blocks = &self.blocks[..used];
        let loss = Scores::of_batch(ranks, terms, blocks.iter().map(|block| &block.scores))?;
        for i in (0..self.layers.len()).rev() {
            let layer = &self.layers[i];
            let totals = over_samples(ranks, &self.sums[i], layer.linear.outputs());
            write_neurons(network, i, layer, &totals, gradient);
            self.add_blocks(i, used, i, gradient);
        }
        Ok(loss)
    }

    /// Runs a batch forward with the running statistics of norms, and keeps the logits.
    pub(super) fn forward_by_sample(&mut self, network: &Network, batch: &Batch, steps: usize) -> Result<()> {
        let (classes, pass) = (self.architecture.shape.classes, Pass::Evaluation);
        self.check_tensors(network);
        for (i, layer) in self.layers.iter_mut().enumerate() {
            layer.pack(network, i, false);
            set_norm(layer, network, i, pass);
        }
        let samples = batch.samples();
        let size = self.share.block_size(samples.len());
        self.blocks.resize_with(samples.len().div_ceil(size).max(self.blocks.len()), Block::default);
        self.logits.resize(samples.len() * classes, 0.0);
        let (layers, architecture) = (&self.layers[..], &*self.architecture);
        let run = Run { isa: self.isa, layers, architecture, pass, steps, is_counted: false };
        let parts = (samples.par_chunks(size), batch.keys.par_chunks(size), self.logits.par_chunks_mut(size * classes));
        let blocks = self.blocks.par_iter_mut().zip(parts).enumerate().with_max_len(1);
        let ended = blocks.map(|(index, (block, (samples, keys, logits)))| {
            let logits = logits.chunks_exact_mut(classes);
            for (n, ((frames, &key), logits)) in samples.iter().zip(keys).zip(logits).enumerate() {
                block.forward(&run, *frames, key, index * size + n, logits)?;
            }
            check_interrupt()
        });
        first_error(Ranks::solo(), ended.collect())
    }
}

impl Block {
    /// Runs the samples of this block forward and backward.
    fn step(&mut self, of: &Run<'_>, terms: BatchTerms<'_>, part: Part<'_>) -> Result<()> {
        let Part { first, samples, keys, labels, logits, mut sums } = part;
        let (layers, classes) = (of.layers, of.architecture.shape.classes);
        self.scores = Scores::default();
        self.gradients.resize_with(layers.len(), Gradients::default);
        for (i, gradients) in self.gradients.iter_mut().enumerate() {
            gradients.reset(&layers[i], i.checked_sub(1).map(|below| &layers[below]));
        }
        let outputs = labels.iter().zip(logits.chunks_exact_mut(classes));
        for (n, ((frames, &key), (&label, logits))) in samples.iter().zip(keys).zip(outputs).enumerate() {
            check_interrupt()?;
            self.forward(of, *frames, key, first + n, logits)?;
            let mut errors = vec![0.0; classes];
            self.scores.add(terms, &mut self.sample, &of.architecture.shape.hidden, label, &mut errors);
            let mut sums: Vec<&mut [Sums]> = sums
                .iter_mut()
                .zip(layers)
                .map(|(sums, layer)| &mut sums[n * layer.tiles()..][..layer.tiles()])
                .collect();
            self.backward(of, &errors, &mut sums);
        }
        check_interrupt()
    }

    /// Runs a sample forward, and writes its logits.
    fn forward(
        &mut self,
        of: &Run<'_>,
        frames: SampleFrames<'_>,
        key: u64,
        index: usize,
        logits: &mut [f32],
    ) -> Result<()> {
        let Block { sample, scratch, .. } = self;
        sample.begin(frames, key, of.layers.len(), of.architecture.shape.inputs, of.steps, index)?;
        for (i, layer) in of.layers.iter().enumerate() {
            linear_outputs(of.isa, layer, i, scratch, sample);
            let states = random_states(of.architecture, i);
            let finite = activate(of.isa, layer, i, states, (of.pass, of.is_counted), scratch, sample);
            check_interrupt()?;
            if !finite {
                return Err(KernelError::NonFinitePotential { layer: i + 1 }.into());
            }
        }
        logits.copy_from_slice(&sample.logits);
        Ok(())
    }

    /// Adds the gradients of the sample. Writes the sums over time of each layer to `sums`.
    fn backward(&mut self, of: &Run<'_>, errors: &[f32], sums: &mut [&mut [Sums]]) {
        let (layers, last) = (of.layers, of.layers.len() - 1);
        let Block { gradients, work, sample, .. } = self;
        through_neurons(of.isa, &layers[last], last, (work, &mut Panels::default()), sample, errors, sums[last]);
        for i in (0..=last).rev() {
            let below = i.checked_sub(1);
            let own = below.map_or(&mut [][..], |below| &mut *sums[below]);
            let below = below.map(|below| &layers[below]);
            through_sample(of.isa, (&layers[i], below), None, i, sample, work, &mut gradients[i], own);
        }
    }
}
