//! Random samples and networks for tests.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tonic_loader::Batch;
use tonic_shard::{Column, FrameShape, SparseFrames, Width, Widths};
use tonic_train::network::{Iaf, Network, Shape};

/// Makes samples with these numbers of frames. A cell is occupied with probability `density`, and then has a count from
/// 1 to `largest`.
pub(crate) fn frames(seed: u64, inputs: usize, lengths: &[usize], density: f64, largest: u32) -> SparseFrames {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let shape = FrameShape { polarities: 1, height: 1, width: inputs as u32 };
    let mut frames = SparseFrames::new(Widths::of(shape, Width::holding(largest)));
    for &length in lengths {
        let (mut sizes, mut cells, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..length {
            let before = cells.len();
            cells.extend((0..inputs as u32).filter(|_| rng.random::<f64>() < density));
            counts.extend((before..cells.len()).map(|_| rng.random_range(1..=largest)));
            sizes.push((cells.len() - before) as u32);
        }
        frames.push(&sizes, &cells, Column::U32(&counts)).unwrap();
    }
    frames
}

/// Makes a network whose parameters are multiples of 2^-6, so that float32 sums are exact in any order.
pub(crate) fn dyadic_network(seed: u64, shape: Shape, neuron: Iaf) -> Network {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut network = Network::zeros(shape.iaf(neuron));
    for layer in network.parameters.layers_mut() {
        let largest = (64.0 / (layer.inputs as f64).sqrt()).ceil().max(2.0) as i32;
        layer.weight_t.iter_mut().for_each(|w| *w = rng.random_range(-largest..=largest) as f32 / 64.0);
        layer.bias.iter_mut().for_each(|b| *b = rng.random_range(-6..=8) as f32 / 64.0);
    }
    network
}

/// Makes a batch of these samples, with random labels below `classes`.
pub(crate) fn labelled(seed: u64, frames: SparseFrames, classes: usize) -> Batch {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let labels = (0..frames.len()).map(|_| rng.random_range(0..classes as u32)).collect();
    Batch::of(frames, labels)
}

pub(crate) fn class_weights(network: &Network) -> Vec<f32> {
    (0..network.shape().classes).map(|class| (1 + class % 5) as f32 / 3.0).collect()
}

pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| x.into()).collect()
}

/// Generates a lower bound of the membrane potential, or `None` for no bound.
pub(crate) fn bounds() -> impl Strategy<Value = Option<f32>> {
    prop_oneof![Just(None), Just(Some(-1.0)), Just(Some(-0.5)), Just(Some(0.0))]
}

/// Returns the largest absolute value.
pub(crate) fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |max: f64, x| max.max(f64::from(*x).abs()))
}

/// Returns the largest difference, or infinity if one is NaN.
pub(crate) fn apart(got: &[f32], expected: &[f32]) -> f64 {
    let apart = got.iter().zip(expected).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
    apart.fold(0.0, |a: f64, b| if b.is_nan() { f64::INFINITY } else { a.max(b) })
}

/// Returns the error that rounding may leave in any gradient. The terms of a gradient can cancel each other, up to all of
/// them: those of a bias over time, or those of several classes in the neuron below. The error is therefore a few
/// roundings of the largest of all `gradients` of a network.
pub(crate) fn rounding(gradients: &[f32]) -> f64 {
    4.0 * f64::from(f32::EPSILON) * largest(gradients)
}

/// Returns the largest difference between `got` and `expected`, divided by the largest absolute value in `expected`.
pub(crate) fn relative_error(got: impl IntoIterator<Item = f64>, expected: &[f64]) -> f64 {
    let largest = expected.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
    let mut got = got.into_iter();
    let error = expected
        .iter()
        .map(|x| (x - got.next().expect("as many")).abs())
        .fold(0.0, |a: f64, b| if b.is_nan() { f64::INFINITY } else { a.max(b) });
    assert!(got.next().is_none(), "as many");
    if largest == 0.0 { error } else { error / largest }
}
