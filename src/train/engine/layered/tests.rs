//! Compares training steps with PyTorch's results, for networks with all kinds of layers. The script
//! scripts/goldens/torch_layers.py recorded these results. Also checks that a step has the same bits with any number
//! of threads and on every instruction set.

use std::collections::HashMap;

use safetensors::SafeTensors;
use tonic_loader::{Batch, EpochOrder};
use tonic_shard::{Column, FrameShape, SparseFrames, Width, Widths};

use crate::engine::{Engine, LayeredEngine};
#[cfg(feature = "libtorch")]
use crate::engine::{SpikeRate, TrainingLoss};
use crate::kernel::isa::Isa;
use crate::kernel::{Optimiser, OptimiserConfig};
use crate::network::{Architecture, Layers, Model, Network, Parameters, from_bytes, to_bytes};
use crate::random::{relative_error, wide};

struct Goldens {
    bytes: Vec<u8>,
    networks: HashMap<String, String>,
}

impl Goldens {
    fn open() -> Goldens {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/goldens");
        let bytes = std::fs::read(folder.join("torch_layers.safetensors")).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let networks = serde_json::from_str(&header.metadata().as_ref().unwrap()["networks"]).unwrap();
        Goldens { bytes, networks }
    }

    fn names(&self) -> Vec<&String> {
        let mut names: Vec<&String> = self.networks.keys().collect();
        names.sort();
        names
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }

    /// Returns the recorded batch and its number of time steps. Each sample gets the key that it has in the epoch
    /// `order`.
    fn batch(&self, order: EpochOrder) -> (Batch, usize) {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let x = file.tensor("x").unwrap();
        let [samples, steps, inputs] = *x.shape() else { panic!("{:?}", x.shape()) };
        let shape = FrameShape { polarities: 1, height: 1, width: inputs as u32 };
        let mut frames = SparseFrames::new(Widths::of(shape, Width::U8));
        for sample in x.data().chunks(steps * inputs) {
            let active = |row: &[u8]| -> Vec<u32> { (0..inputs as u32).filter(|&c| row[c as usize] != 0).collect() };
            let sizes: Vec<u32> = sample.chunks(inputs).map(|row| active(row).len() as u32).collect();
            let cells: Vec<u32> = sample.chunks(inputs).flat_map(active).collect();
            let counts: Vec<u8> = sample.iter().copied().filter(|&n| n != 0).collect();
            frames.push(&sizes, &cells, Column::U8(&counts)).unwrap();
        }
        let labels = file.tensor("targets").unwrap().data().iter().map(|&label| label.into()).collect();
        let keys = (0..samples as u64).map(|sample| order.key(sample)).collect();
        (Batch { frames, labels, keys }, steps)
    }

    /// Returns the network `name` with its recorded parameters. Reads them through a model file.
    fn network(&self, name: &str) -> Network {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let is_state = |part: &str| part.chars().next().is_some_and(|c| c.is_ascii_digit());
        let tensors = file.iter().filter_map(|(full, view)| {
            let part = full.strip_prefix(name)?.strip_prefix('/')?;
            is_state(part).then(|| (part.to_owned(), view))
        });
        let (text, classes) = (&self.networks[name], ["a", "b", "c", "d"]);
        let description = serde_json::json!({"network": text, "classes": classes, "steps": 23}).to_string();
        let metadata = HashMap::from([("tonic_toolkit".to_owned(), description)]);
        let model = from_bytes(&safetensors::serialize(tensors, Some(metadata)).unwrap());
        let model: Model = model.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(from_bytes(&to_bytes(&model).unwrap()).unwrap(), model, "{name}");
        model.network
    }
}

/// Returns the values of a tensor in the order of the model file.
pub(super) fn in_file_order(parameters: &Parameters, tensor: &crate::network::Tensor) -> Vec<f32> {
    let values = &parameters.flat()[tensor.range.clone()];
    if tensor.inputs == 1 {
        return values.to_vec();
    }
    (0..tensor.outputs).flat_map(|o| values.iter().skip(o).step_by(tensor.outputs).copied()).collect()
}

/// Compares an engine's results with the recorded results: an evaluation, a training step, and the losses of four
/// steps. `limit` is for the relative error of the gradients.
fn compare(goldens: &Goldens, name: &str, engine: &mut dyn Engine, limit: f64) {
    let mut network = goldens.network(name);
    let near = |got: &[f32], what: &str, limit: f64| {
        let error = relative_error(wide(got), &wide(&goldens.floats(&format!("{name}/{what}"))));
        assert!(error < limit, "{name}/{what}: {error:e}");
    };
    let (batch, steps) = goldens.batch(EpochOrder::Sequential);
    near(engine.forward(&network, &batch, steps).unwrap(), "eval", 1e-5);
    let mut gradient = Parameters::zeros(network.architecture().clone());
    let config = OptimiserConfig { lr: 0.01, ..OptimiserConfig::default() };
    let mut adam = Optimiser::new(config, gradient.flat().len());
    for (epoch, &expected) in (0..).zip(&goldens.floats(&format!("{name}/losses"))) {
        let (batch, steps) = goldens.batch(EpochOrder::Shuffled { seed: 7, epoch });
        let loss = engine.step(&network, &batch, steps, &mut gradient).unwrap().loss;
        assert!((loss / f64::from(expected) - 1.0).abs() < 1e-4, "{name}, step {epoch}: {loss} {expected}");
        if epoch == 0 {
            near(engine.logits(), "logits", 1e-5);
            for tensor in network.architecture().tensors() {
                near(&in_file_order(&gradient, tensor), &format!("grad.{}", tensor.name), limit);
            }
        }
        adam.update(network.parameters.flat_mut(), gradient.flat());
        network.parameters.follow(&gradient);
        if epoch == 0 {
            for statistic in network.architecture().statistics() {
                let values = &network.parameters.statistics()[statistic.range.clone()];
                near(values, &format!("stat.{}", statistic.name), 1e-5);
            }
        }
    }
}

#[test]
fn every_layer_is_that_of_pytorch() {
    let goldens = Goldens::open();
    for name in goldens.names() {
        compare(&goldens, name, &mut LayeredEngine::new(&goldens.network(name)), 1e-5);
    }
}

#[cfg(feature = "libtorch")]
#[test]
fn every_layer_of_the_reference_engine_is_that_of_pytorch() {
    let goldens = Goldens::open();
    let engine = || crate::engine::LibtorchEngine::new(None).unwrap();
    // In float32, small differences of large sums lose digits.
    for (mut engine, limit) in [(engine(), 1e-4), (engine().in_float64(), 1e-6)] {
        goldens.names().into_iter().for_each(|name| compare(&goldens, name, &mut engine, limit));
    }
}

/// Tests label smoothing, class weights and the penalty for spike rates. The penalty must use the spikes before
/// dropout.
#[cfg(feature = "libtorch")]
#[test]
fn the_loss_of_training_is_that_of_the_reference_engine() {
    let goldens = Goldens::open();
    let loss = TrainingLoss {
        class_weights: Some(vec![0.5, 1.0, 2.0, 1.5]),
        label_smoothing: 0.1,
        spike_rate: Some(SpikeRate { bounds: [0.05, 0.1], weight: 40.0 }),
    };
    for name in goldens.names() {
        let network = goldens.network(name);
        let (batch, steps) = goldens.batch(EpochOrder::Shuffled { seed: 7, epoch: 0 });
        let step = |engine: &mut dyn Engine| {
            let mut gradient = Parameters::zeros(network.architecture().clone());
            engine.set_loss(loss.clone()).unwrap();
            (engine.step(&network, &batch, steps, &mut gradient).unwrap(), gradient)
        };
        let (ours, gradient) = step(&mut LayeredEngine::new(&network));
        let (theirs, expected) = step(&mut crate::engine::LibtorchEngine::new(None).unwrap().in_float64());
        assert!((ours.loss / theirs.loss - 1.0).abs() < 1e-5, "{name}: {ours:?} {theirs:?}");
        let largest = |values: &[f64]| values.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
        // The terms of a gradient can cancel each other: a few roundings of the network's largest gradient are allowed.
        let rounding = 4.0 * f64::from(f32::EPSILON) * largest(&wide(expected.flat()));
        for tensor in network.architecture().tensors() {
            let [got, expected] = [&gradient, &expected].map(|of| wide(&of.flat()[tensor.range.clone()]));
            let limit = 1e-5 + rounding / largest(&expected);
            let error = relative_error(got, &expected);
            assert!(error < limit, "{name}/{}: {error:e} of {limit:e}", tensor.name);
        }
    }
}

/// Trains for three steps. Returns parameters, statistics and logits.
fn trained(text: &str, threads: usize, isa: Isa) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let lengths: Vec<usize> = (0..37).map(|i| 10 + i * 7 % 25).collect();
        let batch = crate::random::labelled(5, crate::random::frames(5, 40, &lengths, 0.2, 3), 5);
        let architecture = Architecture::new(40, Layers::parse(text, &[]).unwrap(), 5);
        let mut network = Network::new(architecture, &mut rand::SeedableRng::seed_from_u64(3));
        let mut gradient = Parameters::zeros(network.architecture().clone());
        let mut adam = Optimiser::new(OptimiserConfig::default(), gradient.flat().len());
        let mut engine = LayeredEngine { isa, ..LayeredEngine::new(&network) };
        for _ in 0..3 {
            engine.step(&network, &batch, 30, &mut gradient).unwrap();
            adam.update(network.parameters.flat_mut(), gradient.flat());
            network.parameters.follow(&gradient);
        }
        (network.parameters.flat().to_vec(), network.parameters.statistics().to_vec(), engine.logits().to_vec())
    })
}

#[test]
fn a_step_is_the_same_to_the_bit_at_any_number_of_threads_and_on_every_instruction_set() {
    for text in Goldens::open().networks.values() {
        let one = trained(text, 1, Isa::chosen());
        assert!(one.2.iter().all(|logit| logit.is_finite()), "{text}");
        for threads in [2, 5] {
            assert!(one == trained(text, threads, Isa::chosen()), "{threads} threads: {text}");
        }
        for isa in Isa::available() {
            assert!(one == trained(text, 2, isa), "{}: {text}", isa.name());
        }
    }
}

#[test]
fn a_sample_alone_has_the_logits_that_it_has_in_a_batch_of_an_evaluation() {
    let goldens = Goldens::open();
    for name in goldens.networks.keys() {
        let network = goldens.network(name);
        let mut engine = LayeredEngine::new(&network);
        let (batch, steps) = goldens.batch(EpochOrder::Sequential);
        let together = engine.forward(&network, &batch, steps).unwrap().to_vec();
        for (i, sample) in batch.frames.samples().enumerate() {
            let mut alone = Batch::new(batch.frames.widths());
            alone.frames.push_sample(sample);
            alone.keys.push(batch.keys[i]);
            assert_eq!(engine.forward(&network, &alone, steps).unwrap(), &together[4 * i..4 * i + 4], "{name}");
        }
    }
}
