//! The kernels of a step against the CPU's engine: the same logits, losses and gradients.

use proptest::prelude::*;
use tonic_toolkit::train::kernel::program::MatmulPrecision;
use tonic_toolkit::train::snn::{DeviceEngine, Engine, Iaf, Parameters, Shape};

use crate::{device, random};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn a_step_equals_the_cpus(
        seed: u64,
        inputs in prop_oneof![Just(1usize), 2usize..70, 129usize..200],
        hidden in proptest::collection::vec(1usize..140, 1..4),
        classes in 1usize..70,
        lengths in proptest::collection::vec(0usize..70, 1..5),
        steps in prop_oneof![Just(0usize), Just(1), 2usize..70, Just(130)],
        density in prop_oneof![Just(0.0), Just(1.0), 0.0f64..0.5],
        bound in random::bounds(),
        surface: bool,
    ) {
        let counts = random::frames(seed, inputs, &lengths, density, 3);
        let frames = if surface { random::surfaces(&counts) } else { counts };
        let batch: Vec<_> = frames.samples().collect();
        let labels = random::labels(seed, batch.len(), classes);
        let shape = Shape { inputs, hidden, classes };
        let network = random::dyadic_network(seed, shape.clone(), Iaf { min_v_mem: bound, ..Iaf::default() });
        let mut cpu = Engine::fused(&network);
        let mut gpu = DeviceEngine::new(&device(), MatmulPrecision::Highest).unwrap();
        let (mut ours, mut theirs) = (Parameters::zeros(shape.clone()), Parameters::zeros(shape));
        let got = gpu.step(&network, &batch, &labels, steps, &mut ours).unwrap();
        let expected = cpu.step(&network, &batch, &labels, steps, &mut theirs).unwrap();
        // On a dyadic grid sums are exact, and so every spike and logit must be equal.
        prop_assert_eq!(gpu.logits(), cpu.logits());
        prop_assert!((got.loss - expected.loss).abs() <= 1e-6 * expected.loss.abs().max(1.0));
        prop_assert_eq!(got.correct, expected.correct);
        let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        for (ours, theirs) in ours.layers().zip(theirs.layers()) {
            prop_assert!(random::relative_error(wide(ours.weight_t), &wide(theirs.weight_t)) < 1e-5);
            prop_assert!(random::relative_error(wide(ours.bias), &wide(theirs.bias)) < 1e-5);
        }
        let evaluated = gpu.evaluate(&network, &batch, &labels, steps).unwrap();
        prop_assert_eq!(gpu.logits(), cpu.logits());
        prop_assert!((evaluated.loss - got.loss).abs() < 1e-12 && evaluated.correct == got.correct);
    }
}
