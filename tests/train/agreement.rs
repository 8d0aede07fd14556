//! Compares a training step of two engines. The tests of the CPU and of the GPU use this module.

use proptest::prelude::*;
use tonic_toolkit::loader::Batch;
use tonic_toolkit::shard::{Column, SparseFrames, Width, Widths};
use tonic_toolkit::train::engine::{BatchLoss, Engine};
use tonic_toolkit::train::network::{Iaf, Network, Parameters, Shape};

use crate::random::{self, apart, largest, rounding};

/// A batch and a network with values whose float32 sums are exact in any order.
#[derive(Debug)]
pub(crate) struct Case {
    pub network: Network,
    pub batch: Batch,
    pub steps: usize,
}

pub(crate) struct Stepped {
    pub loss: BatchLoss,
    pub logits: Vec<f32>,
    pub gradients: Parameters,
}

/// Generates cases of fewer than `longest` frames per sample. `hidden` generates the sizes of the hidden layers.
pub(crate) fn cases(hidden: impl Strategy<Value = Vec<usize>>, longest: usize) -> impl Strategy<Value = Case> {
    let inputs = prop_oneof![Just(1usize), 2usize..70, 129usize..200];
    let lengths = proptest::collection::vec(0..longest, 1..5);
    let steps = prop_oneof![Just(0usize), Just(1), 2..longest + 10];
    let density = prop_oneof![Just(0.0), Just(1.0), 0.0f64..0.5];
    let sizes = (inputs, hidden, 1usize..40);
    (any::<u64>(), sizes, lengths, steps, density, random::bounds(), any::<bool>()).prop_map(
        |(seed, (inputs, hidden, classes), lengths, steps, density, bound, surface)| {
            let counts = random::frames(seed, inputs, &lengths, density, 3);
            let frames = if surface { surfaces(&counts) } else { counts };
            let neuron = Iaf { min_v_mem: bound, ..Iaf::default() };
            let network = random::dyadic_network(seed, Shape { inputs, hidden, classes }, neuron);
            Case { network, batch: random::labelled(seed, frames, classes), steps }
        },
    )
}

/// Replaces counts by positive and negative multiples of 2^-3, as float32.
fn surfaces(frames: &SparseFrames) -> SparseFrames {
    let mut surfaces = SparseFrames::new(Widths { counts: Width::F32, ..frames.widths() });
    for sample in frames.samples() {
        let (sizes, cells): (Vec<u32>, Vec<u32>) = (sample.frame_sizes.iter().collect(), sample.cells.iter().collect());
        let values: Vec<f32> = sample.counts.values().map(|count| (2.0 * count as f32 - 5.0) / 8.0).collect();
        surfaces.push(&sizes, &cells, Column::F32(&values)).unwrap();
    }
    surfaces
}

impl Case {
    /// Runs a training step without an update of the weights.
    pub(crate) fn step(&self, engine: &mut dyn Engine) -> Stepped {
        let mut gradients = Parameters::zeros(self.network.architecture().clone());
        let loss = engine.step(&self.network, &self.batch, self.steps, &mut gradients).unwrap();
        Stepped { loss, logits: engine.logits().to_vec(), gradients }
    }
}

/// Asserts equal logits, losses within 1e-6 * max(loss, 1), and gradients with a relative error below 1e-5. For small
/// losses, the error of the gradients may be larger.
///
/// The result of [`rounding`] is added to the accepted error of a gradient.
pub(crate) fn agree(got: &Stepped, expected: &Stepped) -> Result<(), TestCaseError> {
    let limit = (4.0 * f64::from(f32::EPSILON) / expected.loss.loss.abs()).clamp(1e-5, 1.0);
    let rounding = rounding(expected.gradients.flat());
    // The values are multiples of a power of two, so sums are exact, and every spike and logit must be equal.
    prop_assert_eq!(&got.logits, &expected.logits);
    prop_assert!((got.loss.loss - expected.loss.loss).abs() <= 1e-6 * expected.loss.loss.abs().max(1.0));
    prop_assert_eq!(got.loss.correct, expected.loss.correct);
    for tensor in expected.gradients.architecture().tensors() {
        let [ours, theirs] = [got, expected].map(|of| &of.gradients.flat()[tensor.range.clone()]);
        let apart = apart(ours, theirs);
        prop_assert!(
            apart <= limit * largest(theirs) + rounding,
            "{}: {apart:e} of {:e}",
            tensor.name,
            largest(theirs)
        );
    }
    Ok(())
}
