//! Compares an epoch of each preset's network with PyTorch's results. The script scripts/goldens/torch_presets.py
//! recorded the results. Parameters, frames and labels are pseudo-random numbers that are computed from counters.

use std::collections::HashMap;

use serde::Deserialize;
use tonic_loader::{Batch, EpochOrder, mix};
use tonic_shard::{Column, FrameShape, SparseFrames, Width, Widths};

use crate::engine::layered::tests::in_file_order;
use crate::engine::{Engine, LayeredEngine};
use crate::kernel::{Optimiser, OptimiserConfig};
use crate::network::{Architecture, Layers, Network, Parameters, Preset};

const INPUTS: usize = 140;
const CLASSES: usize = 20;
const BATCH: u64 = 6;
const STEPS: usize = 80;
const DENSITY: f64 = 0.1;
const FRAMES: u64 = 1 << 16;
const LABELS: u64 = 1 << 17;

/// Results for one preset. The script describes them.
#[derive(Deserialize)]
struct Golden {
    seed: u64,
    lr: f64,
    parameters: Vec<(String, f64, f64)>,
    losses: Vec<f64>,
    gradients: HashMap<String, (f64, Vec<f64>)>,
}

/// Returns pseudo-random number `i` of a stream, in [0, 1).
fn uniform(seed: u64, stream: u64, i: u64) -> f64 {
    (mix(mix(seed ^ mix(stream)).wrapping_add(mix(i))) >> 40) as f64 / (1u64 << 24) as f64
}

impl Golden {
    fn network(&self, preset: Preset) -> Network {
        let layers = Layers::parse(preset.text, &["training"]).unwrap();
        let mut network = Network::zeros(Architecture::new(INPUTS, layers, CLASSES));
        for tensor in network.architecture().clone().tensors() {
            let stream = self.parameters.iter().position(|(name, ..)| *name == tensor.name).unwrap();
            let (_, low, high) = self.parameters[stream];
            let values = &mut network.parameters.flat_mut()[tensor.range.clone()];
            for (i, value) in values.iter_mut().enumerate() {
                let (input, output) = (i / tensor.outputs, i % tensor.outputs);
                let place = output * tensor.inputs + input;
                *value = (low + (high - low) * uniform(self.seed, stream as u64, place as u64)) as f32;
            }
        }
        network
    }

    /// Returns the batch that begins at sample `first`.
    fn batch(&self, first: u64) -> Batch {
        let shape = FrameShape { polarities: 1, height: 1, width: INPUTS as u32 };
        let mut frames = SparseFrames::new(Widths::of(shape, Width::U8));
        let samples = first..first + BATCH;
        for sample in samples.clone() {
            let (mut sizes, mut cells, mut counts) = (vec![0; STEPS], Vec::new(), Vec::new());
            for place in 0..STEPS * INPUTS {
                let u = uniform(self.seed, FRAMES + sample, place as u64);
                if u < DENSITY {
                    sizes[place / INPUTS] += 1;
                    cells.push((place % INPUTS) as u32);
                    counts.push(1 + (2.0 * u / DENSITY) as u8);
                }
            }
            frames.push(&sizes, &cells, Column::U8(&counts)).unwrap();
        }
        let label = |sample| (uniform(self.seed, LABELS, sample) * CLASSES as f64) as u32;
        let order = EpochOrder::Shuffled { seed: 7, epoch: 0 };
        Batch {
            frames,
            labels: samples.clone().map(label).collect(),
            keys: samples.map(|sample| order.key(sample)).collect(),
        }
    }
}

/// Returns the largest error of a tensor's projections, relative to the norm of the tensor. A projection is the sum of
/// the values with pseudo-random signs.
fn apart(values: &[f32], (norm, projections): &(f64, Vec<f64>)) -> f64 {
    let error = |(bit, expected): (usize, &f64)| {
        let sign = |i: usize| if mix(i as u64) >> bit & 1 == 0 { 1.0 } else { -1.0 };
        let got: f64 = values.iter().enumerate().map(|(i, &value)| sign(i) * f64::from(value)).sum();
        (got - expected).abs() / norm
    };
    projections.iter().enumerate().map(error).fold(0.0, |a: f64, b| if b.is_nan() { f64::INFINITY } else { a.max(b) })
}

#[test]
fn an_epoch_of_every_preset_is_that_of_pytorch() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/goldens/torch_presets.json");
    let goldens: HashMap<String, Golden> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for preset in Preset::ALL.iter().filter(|preset| preset.name != "post") {
        let (name, golden) = (preset.name, &goldens[preset.name]);
        let mut network = golden.network(*preset);
        let mut engine = LayeredEngine::new(&network);
        let mut gradient = Parameters::zeros(network.architecture().clone());
        let config = OptimiserConfig { lr: golden.lr, ..OptimiserConfig::default() };
        let mut adam = Optimiser::new(config, gradient.flat().len());
        for (i, expected) in golden.losses.iter().enumerate() {
            let batch = golden.batch(i as u64 * BATCH);
            let loss = engine.step(&network, &batch, STEPS, &mut gradient).unwrap().loss;
            assert!((loss / expected - 1.0).abs() < 1e-5, "{name}, batch {i}: {loss} {expected}");
            if i == 0 {
                for tensor in network.architecture().tensors() {
                    let error = apart(&in_file_order(&gradient, tensor), &golden.gradients[&tensor.name]);
                    assert!(error < 1e-5, "{name}/{}: {error:e}", tensor.name);
                }
            }
            adam.update(network.parameters.flat_mut(), gradient.flat());
            network.parameters.follow(&gradient);
        }
    }
}
