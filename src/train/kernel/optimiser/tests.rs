//! Compares the optimisers with PyTorch's.

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use serde_json::Value;

use super::{Group, Moments, Optimiser, OptimiserConfig, Rule};

const W: usize = 300;
const B: usize = 20;
const UPDATES: u64 = 40;

/// Returns the gradients that scripts/goldens/torch_optimisers.py uses.
fn gradients(step: u64) -> Vec<f32> {
    let of = |len: usize| {
        (0..len as u64).map(move |i| {
            let whole = ((i * 7919 + step * 104_729 + 31) % 2003) as f64 - 1001.0;
            let scale = 2f64.powi(-(((i + step) % 8 + 5) as i32));
            if i % 10 == step % 10 { 0.0 } else { (whole * scale) as f32 }
        })
    };
    of(W).chain(of(B)).collect()
}

fn groups(frozen: bool) -> Vec<Group> {
    let weights = Group { range: 0..W, decays: true, frozen: false };
    vec![weights, Group { range: W..W + B, decays: false, frozen }]
}

fn trained(mut optimiser: Optimiser, start: &[f32]) -> Vec<f32> {
    let mut parameters = start.to_vec();
    (0..UPDATES).for_each(|step| optimiser.update(&mut parameters, &gradients(step)));
    assert_eq!(optimiser.step, UPDATES);
    parameters
}

fn config(case: &Value) -> OptimiserConfig {
    let number = |key: &str| case.get(key).and_then(Value::as_f64);
    let rule = match case["rule"].as_str().unwrap() {
        "adam" => Rule::Adam(Moments::default()),
        "adamw" => Rule::AdamW(Moments::default()),
        _ => Rule::Sgd { momentum: number("momentum").unwrap_or(0.0), nesterov: case.get("nesterov").is_some() },
    };
    let weight_decay = number("weight_decay").unwrap_or(0.0);
    OptimiserConfig { rule, lr: number("lr").unwrap(), weight_decay, clip_norm: number("clip_norm") }
}

/// Compares with results of PyTorch 2.11, which scripts/goldens/torch_optimisers.py recorded.
#[test]
fn optimisers_are_those_of_pytorch() {
    let file = include_bytes!("../../../../tests/data/goldens/torch_optimisers.safetensors");
    let (_, header) = SafeTensors::read_metadata(file).unwrap();
    let text = &header.metadata().as_ref().unwrap()["cases"];
    let cases: BTreeMap<String, Value> = serde_json::from_str(text).unwrap();
    let tensors = SafeTensors::deserialize(file).unwrap();
    let both = |name: &str| -> Vec<f32> {
        let data = ["w", "b"].map(|part| tensors.tensor(&format!("{name}/{part}")).unwrap().data());
        data.concat().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    };
    let start = both("start");
    assert_eq!(cases.len(), 7);
    for (name, case) in &cases {
        let got = trained(Optimiser::with_groups(config(case), groups(false)), &start);
        let expected = both(name);
        let moved = got.iter().zip(&start).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let apart = got.iter().zip(&expected).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max);
        assert!(moved > 1e-2 && apart < 1e-6, "{name}: moved {moved}, apart {apart}");
    }
}

#[test]
fn frozen_parameters_keep_their_values_and_do_not_count_for_clipping() {
    let start: Vec<f32> = (0..W + B).map(|i| i as f32 / 64.0).collect();
    let rule = Rule::AdamW(Moments::default());
    let config = OptimiserConfig { rule, weight_decay: 0.1, clip_norm: Some(100.0), ..OptimiserConfig::default() };
    let frozen = trained(Optimiser::with_groups(config, groups(true)), &start);
    assert_eq!(frozen[W..], start[W..]);
    let alone = vec![Group { range: 0..W, decays: true, frozen: false }];
    let mut alone = Optimiser::with_groups(config, alone);
    let mut weights = start[..W].to_vec();
    (0..UPDATES).for_each(|step| alone.update(&mut weights, &gradients(step)[..W]));
    assert_eq!(frozen[..W], weights);
}

#[test]
fn clipping_gives_the_same_bits_with_any_number_of_threads() {
    let gradients: Vec<f32> = (0..100_000).map(|i| ((i * 7919) % 2003) as f32 / 977.0 - 1.0).collect();
    let norm = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let config = OptimiserConfig { clip_norm: Some(1.0), ..OptimiserConfig::default() };
        let optimiser = Optimiser::new(config, gradients.len());
        pool.install(|| optimiser.clip_factor(&gradients).to_bits())
    };
    assert_eq!([norm(1), norm(2), norm(5)], [norm(3); 3]);
    assert!(f32::from_bits(norm(1)) < 0.01);
}
