//! The kernels of a step against the CPU's engine: the same logits, losses and gradients.

use proptest::prelude::*;
use tonic_toolkit::train::kernel::program::MatmulPrecision;
use tonic_toolkit::train::snn::{DeviceEngine, Engine};

use crate::agreement::{Case, Stepped, agree, cases};
use crate::device;

fn step(engine: &mut DeviceEngine, case: &Case) -> Stepped {
    let mut gradients = case.gradients();
    let loss = engine.step(&case.network, &case.batch(), &case.labels, case.steps, &mut gradients).unwrap();
    Stepped { loss, logits: engine.logits().to_vec(), gradients }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn a_step_equals_the_cpus(case in cases(proptest::collection::vec(1usize..140, 1..4), 130)) {
        let mut gpu = DeviceEngine::new(&device(), MatmulPrecision::Highest).unwrap();
        let got = step(&mut gpu, &case);
        agree(&got, &case.step(&mut Engine::fused(&case.network)))?;
        let evaluated = gpu.evaluate(&case.network, &case.batch(), &case.labels, case.steps).unwrap();
        prop_assert_eq!(gpu.logits(), &got.logits);
        prop_assert!((evaluated.loss - got.loss.loss).abs() < 1e-12 && evaluated.correct == got.loss.correct);
    }
}
