//! Compares training steps and evaluations of networks with any kinds of layers on the GPU with those of the CPU engine:
//! logits, losses, gradients, statistics of norms, and spikes.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tonic_toolkit::loader::{Batch, EpochOrder};
use tonic_toolkit::train::MatmulPrecision;
use tonic_toolkit::train::engine::{Engine, GpuEngine, LayeredEngine, SpikeRate, TrainingLoss};
use tonic_toolkit::train::network::{Architecture, Layers, Network, Parameters};

use crate::random::{self, relative_error, wide};
use crate::backend;

/// A network file of two hidden layers and a readout. `a` and `b` are what follows the first and the second linear
/// layer, and `readout` what follows the last one.
fn network(seed: u64, inputs: usize, classes: usize, text: &str) -> Network {
    let layers = Layers::parse(text, &[]).unwrap_or_else(|error| panic!("{error}: {text}"));
    Network::new(Architecture::new(inputs, layers, classes), &mut ChaCha8Rng::seed_from_u64(seed))
}

/// Returns a batch of samples with these numbers of frames. Their keys are those of a shuffled epoch.
fn batch(seed: u64, inputs: usize, lengths: &[usize], classes: usize) -> Batch {
    let mut batch = random::labelled(seed, random::frames(seed, inputs, lengths, 0.3, 3), classes);
    let order = EpochOrder::Shuffled { seed: 7, epoch: 2 };
    batch.keys = (0..batch.len() as u64).map(|sample| order.key(sample)).collect();
    batch
}

struct Case {
    name: &'static str,
    text: &'static str,
    inputs: usize,
    classes: usize,
    lengths: &'static [usize],
    steps: usize,
}

const SILIF: Case = Case {
    name: "silif",
    text: r#"
        init_state = "uniform"
        layers = [
          { linear = 70, bias = false, init = "xavier" }, { norm = "batch" }, { neuron = "silif" }, { dropout = 0.5 },
          { linear = 33, bias = false }, { norm = "batch" }, { neuron = "silif" }, { dropout = 0.25 },
          { linear = "classes", bias = false }, { norm = "batch" }, { readout = "leaky" },
        ]"#,
    inputs: 20,
    classes: 5,
    lengths: &[40, 3, 66, 17],
    steps: 50,
};

fn close(name: &str, what: &str, got: &[f32], expected: &[f32], limit: f64) {
    let error = relative_error(wide(got), &wide(expected));
    println!("{name}: {what}: {error:e}");
    assert!(error < limit, "{name}: {what}: {error:e}");
}

fn compare(case: &Case, loss: &TrainingLoss) {
    let Case { name, text, inputs, classes, lengths, steps } = *case;
    let network = network(3, inputs, classes, text);
    let batch = batch(5, inputs, lengths, classes);
    let mut gpu = GpuEngine::new(&backend().device.unwrap(), MatmulPrecision::Highest).unwrap();
    let mut cpu = LayeredEngine::new(&network);
    let step = |engine: &mut dyn Engine| {
        engine.set_loss(loss.clone()).unwrap();
        let mut gradient = Parameters::zeros(network.architecture().clone());
        let loss = engine.step(&network, &batch, steps, &mut gradient).unwrap();
        (loss, engine.logits().to_vec(), gradient)
    };
    let (ours, theirs) = (step(&mut gpu), step(&mut cpu));
    close(name, "logits", &ours.1, &theirs.1, 1e-5);
    assert!((ours.0.loss / theirs.0.loss - 1.0).abs() < 1e-6, "{name}: {:?} {:?}", ours.0, theirs.0);
    assert_eq!(ours.0.correct, theirs.0.correct, "{name}");
    for tensor in network.architecture().tensors() {
        let [got, expected] = [&ours.2, &theirs.2].map(|of| &of.flat()[tensor.range.clone()]);
        close(name, &tensor.name, got, expected, 1e-5);
    }
    for statistic in network.architecture().statistics() {
        let [got, expected] = [&ours.2, &theirs.2].map(|of| &of.statistics()[statistic.range.clone()]);
        close(name, &statistic.name, got, expected, 1e-6);
    }
    assert!(step(&mut gpu) == ours, "{name}: the same step has other bits");
    let evaluated = [&mut gpu as &mut dyn Engine, &mut cpu].map(|engine| {
        let loss = engine.evaluate(&network, &batch, steps).unwrap();
        (loss, engine.logits().to_vec(), engine.spikes(&network, &batch, steps).unwrap())
    });
    let [ours, theirs] = evaluated;
    close(name, "logits of an evaluation", &ours.1, &theirs.1, 1e-5);
    assert_eq!(ours.2, theirs.2, "{name}: spikes");
    assert!(theirs.2.iter().all(|layer| layer.spikes.iter().sum::<u64>() > 0), "{name}: no spikes");
}

#[test]
fn silif() {
    compare(&SILIF, &TrainingLoss::default());
}
