//! Compares a training step of the GPU's kernels with a step of the CPU engine: logits, losses and gradients.

use proptest::prelude::*;
use tonic_toolkit::loader::Batch;
use tonic_toolkit::train::MatmulPrecision;
use tonic_toolkit::train::engine::{CpuEngine, Engine, GpuEngine, TrainingLoss};
use tonic_toolkit::train::network::{Iaf, Shape};

use crate::agreement::{Case, agree, cases};
use crate::{backend, random};

fn gpu_engine() -> GpuEngine {
    GpuEngine::new(&backend().device.unwrap(), MatmulPrecision::Highest).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn a_step_equals_the_cpus(case in cases(proptest::collection::vec(1usize..140, 1..4), 130)) {
        let mut gpu = gpu_engine();
        let got = case.step(&mut gpu);
        agree(&got, &case.step(&mut CpuEngine::new(&case.network)))?;
        let evaluated = gpu.evaluate(&case.network, &case.batch, case.steps).unwrap();
        prop_assert_eq!(gpu.logits(), &got.logits);
        prop_assert!((evaluated.loss - got.loss.loss).abs() < 1e-12 && evaluated.correct == got.loss.correct);
        let mut cpu = CpuEngine::new(&case.network);
        let [ours, theirs] =
            [&mut gpu as &mut dyn Engine, &mut cpu].map(|engine| engine.spikes(&case.network, &case.batch, case.steps).unwrap());
        prop_assert_eq!(ours, theirs);
        gpu.set_loss(TrainingLoss { class_weights: Some(random::class_weights(&case.network)), ..TrainingLoss::default() }).unwrap();
        cpu.set_loss(TrainingLoss { class_weights: Some(random::class_weights(&case.network)), ..TrainingLoss::default() }).unwrap();
        agree(&case.step(&mut gpu), &case.step(&mut cpu))?;
    }
}

/// Tests a gradient that is a sum over thousands of steps. Tensor cores truncate the low bits of a sum, so the kernels
/// must start a new sum from time to time.
#[test]
fn a_gradient_of_thousands_of_steps_is_as_close_as_float32_gets() {
    let shape = Shape { inputs: 20, hidden: vec![64, 64], classes: 5 };
    let case = Case {
        network: random::dyadic_network(3, shape, Iaf::default()),
        batch: Batch::of(random::frames(3, 20, &[4000], 0.3, 2), vec![2]),
        steps: 4000,
    };
    let got = case.step(&mut gpu_engine());
    let expected = case.step(&mut CpuEngine::new(&case.network));
    for (ours, theirs) in got.gradients.layers().zip(expected.gradients.layers()) {
        let apart = random::relative_error(random::wide(ours.weight_t), &random::wide(theirs.weight_t));
        assert!(apart < 4e-6, "{apart:e}");
    }
}

/// Tests potentials above 2^22, the limit of the kernels' fast way to count spikes.
#[test]
fn millions_of_spikes_in_a_step_are_counted_exactly() {
    let shape = Shape { inputs: 1, hidden: vec![70], classes: 3 };
    let mut network = random::dyadic_network(5, shape, Iaf::default());
    let layer = network.parameters.layers_mut().next().unwrap();
    // From 2^23 on, adding 2^23 loses the last bit of odd numbers.
    layer.weight_t.iter_mut().enumerate().for_each(|(n, w)| *w = ((1 << 23) + 5 * n) as f32);
    layer.bias.iter_mut().enumerate().for_each(|(n, b)| *b = n as f32 / 8.0 - 3.0);
    let batch = Batch::of(random::frames(5, 1, &[150, 3, 40], 0.3, 1), vec![0, 1, 2]);
    let of = |engine: &mut dyn Engine| engine.spikes(&network, &batch, 160).unwrap();
    let expected = of(&mut CpuEngine::new(&network));
    assert_eq!(of(&mut gpu_engine()), expected);
}
