//! Compares training steps and evaluations of networks with any kinds of layers on the GPU with those of the CPU engine:
//! logits, losses, gradients, statistics of norms, and spikes.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tonic_toolkit::loader::{Batch, EpochOrder};
use tonic_toolkit::train::MatmulPrecision;
use tonic_toolkit::train::engine::{CpuEngine, Engine, GpuEngine, LayeredEngine, SpikeRate, TrainingLoss};
use tonic_toolkit::train::network::{Architecture, Iaf, Layers, Network, Parameters, Preset, Shape, TensorKind};

use crate::backend;
use crate::random::{self, apart, largest, relative_error, rounding, wide};

/// Returns the network of a network file, with random parameters.
fn network(seed: u64, inputs: usize, classes: usize, text: &str) -> Network {
    let layers = Layers::parse(text, &[]).unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut network = Network::new(Architecture::new(inputs, layers, classes), &mut ChaCha8Rng::seed_from_u64(seed));
    // The initial weights and scales are too small for spikes.
    network.parameters.layers_mut().for_each(|layer| layer.weight_t.iter_mut().for_each(|weight| *weight *= 16.0));
    let architecture = network.architecture().clone();
    for scale in architecture.tensors().iter().filter(|tensor| tensor.kind == TensorKind::Scale) {
        network.parameters.flat_mut()[scale.range.clone()].fill(6.0);
    }
    network
}

/// Returns a batch of samples with these numbers of frames. Their keys are those of a shuffled epoch.
fn batch(seed: u64, inputs: usize, lengths: &[usize], classes: usize) -> Batch {
    let mut batch = random::labelled(seed, random::frames(seed, inputs, lengths, 0.3, 3), classes);
    let order = EpochOrder::Shuffled { seed: 7, epoch: 2 };
    batch.keys = (0..batch.len() as u64).map(|sample| order.key(sample)).collect();
    batch
}

fn gpu() -> GpuEngine {
    GpuEngine::new(&backend().device.unwrap(), MatmulPrecision::Highest).unwrap()
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
    assert!(error < limit, "{name}: {what}: {error:e}");
}

fn compare(case: &Case, loss: &TrainingLoss) {
    let Case { name, text, inputs, classes, lengths, steps } = *case;
    let network = network(3, inputs, classes, text);
    let batch = batch(5, inputs, lengths, classes);
    let mut gpu = gpu();
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
    let rounding = rounding(theirs.2.flat());
    for tensor in network.architecture().tensors() {
        let [got, expected] = [&ours.2, &theirs.2].map(|of| &of.flat()[tensor.range.clone()]);
        let apart = apart(got, expected);
        assert!(apart <= 1e-5 * largest(expected) + rounding, "{name}: {}: {apart:e}", tensor.name);
    }
    for statistic in network.architecture().statistics() {
        let [got, expected] = [&ours.2, &theirs.2].map(|of| &of.statistics()[statistic.range.clone()]);
        close(name, &statistic.name, got, expected, 1e-6);
    }
    assert!(step(&mut gpu) == ours, "{name}: the same step has other bits");
    // An evaluation uses other statistics than the step.
    let mut network = network;
    network.parameters.statistics_mut().copy_from_slice(theirs.2.statistics());
    let evaluated = [&mut gpu as &mut dyn Engine, &mut cpu].map(|engine| {
        let loss = engine.evaluate(&network, &batch, steps).unwrap();
        (loss, engine.logits().to_vec(), engine.spikes(&network, &batch, steps).unwrap())
    });
    let [ours, theirs] = evaluated;
    close(name, "logits of an evaluation", &ours.1, &theirs.1, 1e-5);
    assert_eq!(ours.2, theirs.2, "{name}: spikes");
    let is_silent = theirs.2.iter().any(|layer| layer.spikes.iter().all(|&spikes| spikes == 0));
    assert!(steps < 20 || !is_silent, "{name}: no spikes");
}

/// Cases with every neuron, surrogate gradient, mask and readout that the kernels have, and unusual shapes.
fn cases() -> Vec<Case> {
    let lif = r#"
        layers = [
          { linear = 40 }, { neuron = "lif", alpha = 0.9, learn = false, reset = "hard", surrogate = "arctan" },
          { dropout = 0.25, mask = "sample" },
          { linear = 70, bias = false }, { neuron = "lif", surrogate = "fast-sigmoid" },
          { linear = "classes" }, { readout = "max" },
        ]"#;
    let iaf = r#"
        layers = [
          { linear = 65 }, { norm = "batch" }, { neuron = "iaf", min_v_mem = -0.5 }, { dropout = 0.1 },
          { linear = 20 }, { neuron = "silif", surrogate = "single-exponential" },
          { linear = "classes", bias = false }, { norm = "batch" }, { readout = "sum" },
        ]"#;
    let single = r#"
        layers = [
          { linear = 40 }, { neuron = "iaf", min_v_mem = 0.25, spike_fn = "single" }, { dropout = 0.5 },
          { linear = 30 }, { neuron = "iaf", theta = 0.5, min_v_mem = -0.25, spike_fn = "single" },
          { linear = "classes" }, { readout = "sum" },
        ]"#;
    let last = r#"
        init_state = "uniform"
        layers = [
          { linear = 9, bias = false }, { norm = "batch" }, { neuron = "lif" },
          { linear = "classes", bias = false }, { readout = "last" },
        ]"#;
    vec![
        SILIF,
        Case { name: "lif", text: lif, lengths: &[64, 128, 1], steps: 100, ..SILIF },
        Case { name: "iaf, sparse input", text: iaf, inputs: 300, lengths: &[30, 5], steps: 33, ..SILIF },
        // Without leak and norm, rounding adds up over the steps.
        Case { name: "iaf that spikes once", text: single, lengths: &[20, 14], steps: 20, ..SILIF },
        Case { name: "many classes", inputs: 3, classes: 70, lengths: &[12; 9], steps: 1, ..SILIF },
        Case { name: "one step", text: last, lengths: &[1, 1, 1, 1], steps: 1, ..SILIF },
        Case { name: "no frames", text: last, lengths: &[0, 20, 0], steps: 17, ..SILIF },
    ]
}

#[test]
fn steps_and_evaluations_equal_the_cpus() {
    cases().iter().for_each(|case| compare(case, &TrainingLoss::default()));
}

#[test]
fn the_loss_of_training_equals_the_cpus() {
    let spike_rate = Some(SpikeRate { bounds: [0.1, 0.15], weight: 20.0 });
    let classes = |weights: &[f32]| Some(weights.to_vec());
    for loss in [
        TrainingLoss { class_weights: classes(&[0.5, 1.0, 2.0, 1.5, 1.0]), label_smoothing: 0.1, spike_rate },
        TrainingLoss { spike_rate, ..TrainingLoss::default() },
    ] {
        compare(&SILIF, &loss);
    }
}

#[test]
fn the_loss_of_training_of_integrate_and_fire_neurons_equals_the_cpus() {
    let spike_rate = Some(SpikeRate { bounds: [0.05, 0.1], weight: 40.0 });
    let loss = TrainingLoss { class_weights: None, label_smoothing: 0.2, spike_rate };
    let shape = Shape { inputs: 20, hidden: vec![70, 33], classes: 5 };
    let network = random::dyadic_network(3, shape, Iaf::default());
    let batch = batch(5, 20, &[40, 3, 66], 5);
    let step = |engine: &mut dyn Engine| {
        engine.set_loss(loss.clone()).unwrap();
        let mut gradient = Parameters::zeros(network.architecture().clone());
        (engine.step(&network, &batch, 50, &mut gradient).unwrap(), gradient)
    };
    let (ours, theirs) = (step(&mut gpu()), step(&mut CpuEngine::new(&network)));
    assert!((ours.0.loss / theirs.0.loss - 1.0).abs() < 1e-6, "{:?} {:?}", ours.0, theirs.0);
    for tensor in network.architecture().tensors() {
        let [got, expected] = [&ours.1, &theirs.1].map(|of| &of.flat()[tensor.range.clone()]);
        close("iaf", &tensor.name, got, expected, 1e-5);
    }
}

#[test]
fn layers_that_the_kernels_do_not_compute_are_refused_by_name() {
    for (preset, words) in [("radlif", "don't compute adlif, recurrent yet"), ("c-silif-shd", "c-silif")] {
        let layers = Layers::parse(Preset::named(preset).unwrap().text, &["training"]).unwrap();
        let network = Network::zeros(Architecture::new(20, layers, 5));
        let error = gpu().forward(&network, &batch(5, 20, &[10], 5), 10).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// Tests that potentials that overflow are errors, to minus infinity too. Without a check, such neurons would be
/// silent, and the loss would be finite.
#[test]
fn potentials_that_overflow_are_errors_as_on_the_cpu() {
    let two = |neuron: &str, readout: &str| {
        let hidden = |neurons: usize| format!("{{ linear = {neurons} }}, {{ neuron = \"{neuron}\" }}, ");
        format!("layers = [{}{}{{ linear = \"classes\" }}, {{ readout = \"{readout}\" }}]", hidden(40), hidden(70))
    };
    for (neuron, readout) in [("iaf", "sum"), ("lif", "leaky")] {
        let of = network(3, 20, 5, &two(neuron, readout));
        let batch = batch(5, 20, &[40, 3, 66, 17], 5);
        let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(gpu()), Box::new(LayeredEngine::new(&of))];
        if neuron == "iaf" {
            engines.push(Box::new(CpuEngine::new(&of)));
        }
        for (layer, weight) in [(0, -3e38), (1, -3e38), (0, 3e38), (1, 3e38)] {
            let mut huge = of.clone();
            let weights = huge.parameters.layers_mut().nth(layer).unwrap();
            // Only every third weight is changed, so that the next layer still gets spikes.
            weights.weight_t.iter_mut().step_by(3).for_each(|w| *w = weight);
            let expected = format!("hidden layer {} are NaN or infinite", layer + 1);
            for (i, engine) in engines.iter_mut().enumerate() {
                let mut gradient = Parameters::zeros(huge.architecture().clone());
                let errors = [
                    engine.step(&huge, &batch, 50, &mut gradient).map(|_| ()).unwrap_err(),
                    engine.evaluate(&huge, &batch, 50).map(|_| ()).unwrap_err(),
                    engine.spikes(&huge, &batch, 50).map(|_| ()).unwrap_err(),
                ];
                for error in errors {
                    assert!(error.to_string().contains(&expected), "{neuron}, {weight}, engine {i}: {error}");
                }
                engine.step(&of, &batch, 50, &mut gradient).unwrap();
            }
        }
    }
}
