//! Gradients and scores of a block of samples, and scratch memory.

use tonic_ranks::Ranks;

use crate::engine::layered::sample::SampleLayers;
use crate::engine::step::{BatchLoss, check_loss};
use crate::engine::training_loss::BatchTerms;
use crate::error::KernelError;
use crate::kernel::cell::{RecurrentState, SUMS, StateTrace};
use crate::kernel::linear::Panels;
use crate::kernel::{Aligned, DoubleTile, Tile, loss};

/// Sums over time for a tile of neurons: first the gradients for the constants of the neurons, then two sums for the
/// norm.
pub(super) type Sums = [DoubleTile; SUMS];

/// Gradients of a block of consecutive samples, and scratch memory.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Gradients of all layers if one sample after the other passes through all layers. Otherwise, only those of the
    /// layer that the backward pass has reached.
    pub(super) gradients: Vec<Gradients>,
    pub(super) work: BackwardScratch,
    pub(super) scratch: ForwardScratch,
    /// If one sample after the other passes through all layers: the sample that the block has reached.
    pub(super) sample: SampleLayers,
    /// Scores of the samples that the block has finished, in training.
    pub(super) scores: Scores,
}

/// Scores of some samples of a batch.
#[derive(Debug, Default)]
pub(super) struct Scores {
    pub(super) losses: Vec<f64>,
    /// Penalty of each sample for its spike rates. Empty without a penalty.
    pub(super) penalties: Vec<f64>,
    pub(super) correct: usize,
}

impl Scores {
    /// Adds the scores of a sample, and writes the gradient for its logits to `errors`. If the sample's spikes were
    /// counted, also writes the gradient of the penalty for spike rates to `sample.rates`. `hidden` has the number of
    /// neurons of each hidden layer.
    pub(super) fn add(
        &mut self,
        terms: BatchTerms<'_>,
        sample: &mut SampleLayers,
        hidden: &[usize],
        label: u32,
        errors: &mut [f32],
    ) {
        self.losses.push(terms.sample(&sample.logits, label, errors));
        self.correct += usize::from(loss::predicted(&sample.logits) == label as usize);
        if !sample.undropped.is_empty() {
            let (penalty, rates) = terms.penalty(&sample.undropped, hidden);
            self.penalties.push(penalty);
            sample.rates = rates;
        }
    }

    /// Returns the loss of the batch. `parts` has the scores of all samples of this rank, in their order.
    ///
    /// # Errors
    /// Those of [`check_loss`].
    pub(super) fn of_batch<'a>(
        ranks: Ranks,
        terms: BatchTerms<'_>,
        parts: impl Iterator<Item = &'a Scores>,
    ) -> Result<BatchLoss, KernelError> {
        let [total, penalty, correct] = ranks.fold_array([0.0; 3], |[total, penalty, correct]| {
            for part in parts {
                part.losses.iter().for_each(|loss| *total += loss);
                part.penalties.iter().for_each(|of| *penalty += of);
                *correct += part.correct as f64;
            }
        });
        check_loss(BatchLoss { loss: terms.mean(total) + penalty, correct: correct as usize, penalty })
    }
}

/// Gradients of a layer's weights, and of the recurrent weights of the layer below.
#[derive(Debug, Default)]
pub(super) struct Gradients {
    pub(super) linear: Panels,
    pub(super) recurrent: Panels,
}

/// Scratch memory for the forward pass of one sample.
#[derive(Debug, Default)]
pub(super) struct ForwardScratch {
    pub(super) dense: Aligned<Tile>,
    pub(super) recurrent: RecurrentState,
    pub(super) masks: Vec<u32>,
}

/// Scratch memory for the backward pass of one sample.
#[derive(Debug, Default)]
pub(super) struct BackwardScratch {
    /// Gradient for the spikes of the layer below: `g[tile * stride + t]`.
    pub(super) g: Aligned<Tile>,
    /// Gradient for y, the outputs of the linear layer: `dy[tile * stride + t]`.
    pub(super) dy: Aligned<Tile>,
    pub(super) dense: Aligned<Tile>,
    pub(super) trace: StateTrace,
    pub(super) state: RecurrentState,
}
