//! Compares the fused engine with libtorch's autograd, for any number of threads.

#[cfg(feature = "libtorch")]
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tonic_toolkit::loader::Batch;
use tonic_toolkit::train::engine::{CpuEngine, Engine, SpikeCounts, TrainingLoss};
#[cfg(feature = "libtorch")]
use tonic_toolkit::train::engine::{LibtorchEngine, SpikeRate};
use tonic_toolkit::train::network::{Iaf, Network, Parameters, Shape};
use tonic_toolkit::train::{Error, KernelError};
use tonic_toolkit::train::{Optimiser, OptimiserConfig};

#[cfg(feature = "libtorch")]
use crate::agreement::{agree, cases};
use crate::random;

#[cfg(feature = "libtorch")]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn fused_equals_autograd(case in cases(proptest::collection::vec(1usize..70, 0..4), 30)) {
        let (mut fused, mut reference) = (CpuEngine::new(&case.network), LibtorchEngine::new(None).unwrap().in_float64());
        let (got, expected) = (case.step(&mut fused), case.step(&mut reference));
        agree(&got, &expected)?;
        let (network, batch) = (&case.network, &case.batch);
        prop_assert_eq!(fused.forward(network, batch, case.steps).unwrap(), &got.logits);
        prop_assert_eq!(reference.forward(network, batch, case.steps).unwrap(), &got.logits);
        prop_assert_eq!(
            fused.spikes(network, batch, case.steps).unwrap(),
            reference.spikes(network, batch, case.steps).unwrap()
        );
        let evaluated = fused.evaluate(network, batch, case.steps).unwrap();
        prop_assert!((evaluated.loss - got.loss.loss).abs() < 1e-12 && evaluated.correct == got.loss.correct);

        // PyTorch's cross_entropy with `weight` and `label_smoothing`, and a penalty for spike rates.
        let weights = Some(random::class_weights(network));
        let rate = Some(SpikeRate { bounds: [0.1, 0.4], weight: 3.0 });
        for (class_weights, label_smoothing, spike_rate) in
            [(weights.clone(), 0.0, None), (None, 0.1, None), (weights.clone(), 0.3, None), (weights, 0.2, rate)]
        {
            let loss = TrainingLoss { class_weights, label_smoothing, spike_rate };
            fused.set_loss(loss.clone()).unwrap();
            reference.set_loss(loss).unwrap();
            agree(&case.step(&mut fused), &case.step(&mut reference))?;
        }
        let unweighted = fused.evaluate(network, batch, case.steps).unwrap();
        prop_assert_eq!(unweighted, evaluated);
    }
}

/// Tests that class weights give PyTorch's `CrossEntropyLoss(weight=...)`.
#[test]
fn class_weights_give_the_weighted_mean_of_the_samples_losses_and_gradients() {
    let frames = random::frames(4, 20, &[30, 12, 25, 30, 7], 0.2, 2);
    let batch = Batch::of(frames, vec![0, 2, 1, 0, 0]);
    let weights = vec![0.5, 2.0, 3.5];
    let shape = Shape { inputs: 20, hidden: vec![40, 33], classes: 3 };
    let network = random::dyadic_network(4, shape, Iaf::default());
    let mut engine = CpuEngine::new(&network);
    let (mut loss, mut total) = (0.0, 0.0);
    let mut expected = vec![0.0; network.architecture().parameters()];
    let mut gradients = Parameters::zeros(network.architecture().clone());
    for (sample, &label) in batch.frames.samples().zip(&batch.labels) {
        let mut alone = Batch::new(batch.frames.widths());
        alone.frames.push_sample(sample);
        alone.labels.push(label);
        let weight = f64::from(weights[label as usize]);
        loss += weight * engine.step(&network, &alone, 30, &mut gradients).unwrap().loss;
        total += weight;
        expected.iter_mut().zip(gradients.flat()).for_each(|(sum, &g)| *sum += weight * f64::from(g));
    }
    expected.iter_mut().for_each(|sum| *sum /= total);
    engine.set_loss(TrainingLoss { class_weights: Some(weights), ..TrainingLoss::default() }).unwrap();
    let got = engine.step(&network, &batch, 30, &mut gradients).unwrap();
    assert!((got.loss - loss / total).abs() < 1e-9, "{} {}", got.loss, loss / total);
    let apart = random::relative_error(random::wide(gradients.flat()), &expected);
    assert!(apart < 1e-5, "{apart}");
}

#[test]
fn spikes_are_counted_per_neuron_over_all_steps_of_all_samples() {
    // The weights are 0, so only the biases drive the neurons.
    let shape = Shape { inputs: 3, hidden: vec![3], classes: 2 };
    let mut network = Network::zeros(shape.iaf(Iaf::default()));
    network.parameters.layers_mut().next().unwrap().bias.copy_from_slice(&[0.0, 0.5, 2.5]);
    let batch = Batch::of(random::frames(1, 3, &[4, 2], 0.5, 1), vec![0, 1]);
    // The second sample is padded to four steps. So in each of the two samples, the first neuron never spikes, the
    // second one has 0 1 0 1 spikes in the four steps, and the third one has 2 3 2 3.
    let counts = CpuEngine::new(&network).spikes(&network, &batch, 4).unwrap();
    let expected = SpikeCounts { spikes: vec![0, 4, 20], active_steps: vec![0, 4, 8], steps: 8 };
    assert_eq!(counts, [expected]);
}

#[test]
fn a_loss_that_no_float32_resolves_is_an_error_before_it_is_infinite() {
    let shape = Shape { inputs: 3, hidden: vec![3], classes: 2 };
    let mut network = Network::zeros(shape.iaf(Iaf::default()));
    let batch = Batch::of(random::frames(1, 3, &[4], 0.5, 1), vec![0]);
    let mut step = |bias: f32| {
        network.parameters.layers_mut().nth(1).unwrap().bias.copy_from_slice(&[0.0, bias]);
        CpuEngine::new(&network).step(&network, &batch, 4, &mut Parameters::zeros(network.architecture().clone()))
    };
    assert_eq!(step(1e6).unwrap().loss, 4e6);
    assert!(matches!(step(1e7), Err(Error::Kernel(KernelError::HugeLoss { loss: 4e7 }))));
}

/// Trains for three steps on `threads` threads. Returns weights and logits.
fn trained(threads: usize, samples: usize) -> (Vec<f32>, Vec<f32>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let lengths: Vec<usize> = (0..samples).map(|i| 20 + i * 7 % 30).collect();
        let batch = random::labelled(5, random::frames(5, 100, &lengths, 0.2, 3), 35);
        let shape = Shape { inputs: 100, hidden: vec![128, 96, 33], classes: 35 };
        let mut network = Network::new(shape.iaf(Iaf::default()), &mut ChaCha8Rng::seed_from_u64(3));
        let mut gradients = Parameters::zeros(network.architecture().clone());
        let mut adam = Optimiser::new(OptimiserConfig::default(), gradients.flat().len());
        let mut engine = CpuEngine::new(&network);
        for _ in 0..3 {
            engine.step(&network, &batch, 50, &mut gradients).unwrap();
            adam.update(network.parameters.flat_mut(), gradients.flat());
        }
        (network.parameters.flat().to_vec(), engine.logits().to_vec())
    })
}

#[test]
fn a_step_is_the_same_to_the_bit_at_any_number_of_threads() {
    for samples in [1, 7, 128] {
        let one = trained(1, samples);
        assert_eq!(one, trained(2, samples));
        assert_eq!(one, trained(8, samples));
    }
}

#[test]
fn a_sample_alone_has_the_logits_that_it_has_in_a_batch() {
    let batch = random::labelled(9, random::frames(9, 30, &[12, 40, 0, 25], 0.2, 3), 6);
    let shape = Shape { inputs: 30, hidden: vec![50, 40], classes: 6 };
    let network = Network::new(shape.iaf(Iaf::default()), &mut ChaCha8Rng::seed_from_u64(3));
    let mut engine = CpuEngine::new(&network);
    let together = engine.forward(&network, &batch, 25).unwrap().to_vec();
    for (sample, logits) in batch.frames.samples().zip(together.chunks(6)) {
        let mut alone = Batch::new(batch.frames.widths());
        alone.frames.push_sample(sample);
        assert_eq!(engine.forward(&network, &alone, 25).unwrap(), logits);
    }
}

#[test]
fn training_lowers_the_loss() {
    let batch = random::labelled(2, random::frames(2, 40, &[50; 16], 0.15, 2), 4);
    let shape = Shape { inputs: 40, hidden: vec![64, 64], classes: 4 };
    let mut network = Network::new(shape.iaf(Iaf::default()), &mut ChaCha8Rng::seed_from_u64(1));
    let mut gradients = Parameters::zeros(network.architecture().clone());
    let mut adam = Optimiser::new(OptimiserConfig::default(), gradients.flat().len());
    let mut engine = CpuEngine::new(&network);
    let mut losses = Vec::new();
    for _ in 0..60 {
        losses.push(engine.step(&network, &batch, 50, &mut gradients).unwrap());
        adam.update(network.parameters.flat_mut(), gradients.flat());
    }
    let (first, last) = (losses[0], losses[59]);
    assert!(last.loss < first.loss / 4.0 && last.correct >= 14, "{first:?} {last:?}");
}

#[test]
fn a_diverged_network_is_an_error_and_never_silent() {
    let batch = Batch::of(random::frames(1, 10, &[20, 20], 0.5, 1), vec![0, 1]);
    let shape = Shape { inputs: 10, hidden: vec![40, 8], classes: 3 };
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        for layer in 0..3 {
            for min_v_mem in [None, Some(-1.0)] {
                let neuron = Iaf { min_v_mem, ..Iaf::default() };
                let mut network = random::dyadic_network(1, shape.clone(), neuron);
                let mut gradients = Parameters::zeros(network.architecture().clone());
                network.parameters.layers_mut().nth(layer).unwrap().bias.fill(broken);
                let mut engine = CpuEngine::new(&network);
                let result = engine.step(&network, &batch, 20, &mut gradients);
                assert!(
                    match (broken, layer, &result) {
                        // The bound replaces minus infinity, as every potential below it.
                        (f32::NEG_INFINITY, 0 | 1, Ok(_)) => min_v_mem.is_some(),
                        // The spikes of such a potential overflow in a layer above.
                        (f32::MAX, ..) => result.is_err(),
                        (_, 0 | 1, Err(Error::Kernel(KernelError::NonFinitePotential { layer: said }))) => {
                            *said == layer + 1
                        }
                        (_, 2, Err(Error::Kernel(KernelError::NonFiniteLoss { .. }))) => true,
                        _ => false,
                    },
                    "{broken} in layer {layer}: {result:?}"
                );
            }
        }
    }
}

#[test]
fn initialisation_is_uniform_in_pytorchs_bounds_and_follows_the_seed() {
    let shape = Shape::reference(100, 35);
    assert_eq!(shape.iaf(Iaf::default()).parameters(), 100 * 128 + 128 + 2 * (128 * 128 + 128) + 128 * 35 + 35);
    let make = |seed| Network::new(shape.iaf(Iaf::default()), &mut ChaCha8Rng::seed_from_u64(seed));
    let network = make(1);
    assert_eq!(network, make(1));
    assert_ne!(network, make(2));
    for layer in network.parameters.layers() {
        let bound = 1.0 / (layer.inputs as f32).sqrt();
        assert!(layer.weight_t.iter().chain(layer.bias).all(|w| w.abs() <= bound));
        let square: f32 = layer.weight_t.iter().map(|w| w * w).sum::<f32>() / layer.weight_t.len() as f32;
        assert!((square.sqrt() / bound * 3f32.sqrt() - 1.0).abs() < 0.03);
    }
}
