//! Compares each kernel with plain float64 code, on every instruction set of this machine.

use proptest::collection::vec;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tonic_shard::{Column, SampleFrames};

use crate::error::KernelError;
use crate::kernel::exp::exp;
use crate::kernel::iaf::{self, Neuron, reference};
use crate::kernel::isa::Isa;
use crate::kernel::linear::{self, Panels};
use crate::kernel::loss::{cross_entropy, predicted};
use crate::kernel::{ActiveCells, TILE_WIDTH, Tile};
use crate::network::Iaf;
use crate::random;

fn neuron(min_v_mem: Option<f32>, theta: f32) -> Neuron {
    Iaf { theta, min_v_mem, ..Iaf::default() }.constants()
}

fn random_values(seed: u64, n: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
}

#[test]
fn exponential_is_close_over_its_whole_range_and_underflows_to_zero() {
    let mut worst = 0.0f64;
    // Every 61st float32 from -0 to -87.33654.
    for bits in ((-0.0f32).to_bits()..=(-87.336_54f32).to_bits()).step_by(61) {
        let x = f32::from_bits(bits);
        let expected = f64::from(x).exp();
        worst = worst.max((f64::from(exp(x)) - expected).abs() / expected);
    }
    assert!(worst < 1.5e-7, "{worst}");
    assert_eq!(exp(0.0), 1.0);
    assert_eq!(exp(-87.34), 0.0);
    assert_eq!(exp(f32::MIN), 0.0);
    assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    assert!(exp(f32::NAN).is_nan());
}

/// Returns whether each sum differs from the expected sum by at most 1e-6 * `largest`.
fn close(got: impl Iterator<Item = f64>, expected: &[f64], largest: f64) -> bool {
    let mut apart = got.zip(expected).map(|(got, expected)| (got - expected).abs());
    apart.all(|apart| apart <= 1e-6 * largest)
}

fn run_forward(isa: Isa, neuron: &Neuron, x: &[Tile], steps: usize) -> (Vec<Tile>, Vec<u32>) {
    let mut v = x.to_vec();
    let mut fired = vec![u32::MAX; x.len()];
    iaf::forward(isa, neuron, &mut v, steps, steps, &mut fired);
    (v, fired)
}

/// Returns the bits of all values.
fn bits(tiles: &[Tile]) -> Vec<u32> {
    tiles.iter().flatten().map(|x| x.to_bits()).collect()
}

proptest! {
    #[test]
    fn iaf_equals_the_reference(
        steps in prop_oneof![Just(1usize), Just(250), 2usize..40],
        tiles in 1usize..4,
        seed: u64,
        bound in random::bounds(),
        theta in prop_oneof![Just(1.0f32), Just(0.5), Just(0.75), Just(1.5)],
        scale in prop_oneof![Just(1), Just(8), Just(1000)],
        is_single: bool,
    ) {
        // Currents on a dyadic grid: float32 is exact.
        let neuron = Neuron { is_single, ..neuron(bound, theta) };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let x: Vec<Tile> = (0..tiles * steps).map(|_| {
            std::array::from_fn(|_| rng.random_range(-40 * scale..=44 * scale) as f32 / 64.0)
        }).collect();
        let g: Vec<Tile> = (0..tiles * steps).map(|_| std::array::from_fn(|_| rng.random_range(-1.0..1.0))).collect();
        let mut first: Option<(Vec<u32>, Vec<u32>, Vec<u32>)> = None;
        for isa in Isa::available() {
            let (v, fired) = run_forward(isa, &neuron, &x, steps);
            let mut lambda = g.clone();
            for (v, lambda) in v.chunks(steps).zip(lambda.chunks_mut(steps)) {
                iaf::backward_tile(isa, &neuron, v, lambda);
            }
            for tile in 0..tiles {
                for j in 0..TILE_WIDTH {
                    let column = |rows: &[Tile]| -> Vec<f64> {
                        rows[tile * steps..][..steps].iter().map(|row| f64::from(row[j])).collect()
                    };
                    let (spikes, potentials) = reference::forward(&neuron, &column(&x));
                    prop_assert_eq!(column(&v), potentials.clone());
                    for t in 0..steps {
                        prop_assert_eq!(f64::from(neuron.spikes(v[tile * steps + t][j])), spikes[t]);
                        prop_assert_eq!(fired[t * tiles + tile] >> j & 1 == 1, spikes[t] > 0.0);
                    }
                    let expected = reference::backward(&neuron, &potentials, &column(&g));
                    // The error is relative to the largest gradient, but at least to 1e-3. A tiny gradient is an
                    // exponential of a large negative number, whose rounding error is the gradient's relative error.
                    let largest = expected.iter().fold(1e-3, |max: f64, x| max.max(x.abs()));
                    for (got, expected) in column(&lambda).iter().zip(&expected) {
                        prop_assert!((got - expected).abs() < 2e-6 * largest);
                    }
                }
            }
            // The kernel for a constant row must equal the general kernel with that row at every step.
            let mut general = vec![g[0]; steps];
            iaf::backward_tile(isa, &neuron, &v[..steps], &mut general);
            let mut constant = vec![[f32::NAN; TILE_WIDTH]; steps];
            iaf::backward_tile_constant(isa, &neuron, &v[..steps], &g[0], &mut constant);
            prop_assert_eq!(general, constant);

            let got = (bits(&v), fired, bits(&lambda));
            prop_assert_eq!(first.get_or_insert_with(|| got.clone()), &got, "{:?}", isa);
        }
    }

    #[test]
    fn linear_equals_plain_loops(
        seed: u64,
        inputs in prop_oneof![Just(1usize), 1usize..140],
        outputs in prop_oneof![Just(1usize), 1usize..140],
        steps in prop_oneof![Just(1usize), 1usize..20],
        extra in 0usize..5,
        density in prop_oneof![Just(0.0), Just(1.0), 0.0f64..1.0],
        largest in prop_oneof![Just(1u32), Just(3), Just(70_000)],
    ) {
        let frames = random::frames(seed, inputs, &[steps], density, largest);
        let mut active = ActiveCells::default();
        active.set_frames(frames.sample(0), inputs, steps + extra, 0).unwrap();
        let steps = steps + extra;
        prop_assert_eq!(active.steps(), steps);
        let stride = linear::stride(steps);
        let (weight_t, bias) = (random_values(seed ^ 1, inputs * outputs), random_values(seed ^ 2, outputs));
        let mut dense = vec![0.0f64; steps * inputs];
        frames.sample(0).iter().for_each(|(t, cell, count)| dense[t * inputs + cell as usize] = count);

        let mut panels = Panels::zeros(inputs, outputs);
        panels.pack(&weight_t, &bias);
        let (mut weight_again, mut bias_again) = (vec![0.0; weight_t.len()], vec![0.0; outputs]);
        panels.unpack(&mut weight_again, &mut bias_again);
        prop_assert_eq!((&weight_again, &bias_again), (&weight_t, &bias));

        let tiles = panels.tiles();
        let products = |t: usize, o: usize| -> f64 {
            (0..inputs).map(|c| dense[t * inputs + c] * f64::from(weight_t[c * outputs + o])).sum()
        };
        let currents: Vec<f64> =
            (0..steps * outputs).map(|i| f64::from(bias[i % outputs]) + products(i / outputs, i % outputs)).collect();
        let values = random_values(seed ^ 3, steps * outputs);
        let mut lambda = vec![[0.0; TILE_WIDTH]; tiles * stride];
        for (i, &value) in values.iter().enumerate() {
            let (t, o) = (i / outputs, i % outputs);
            lambda[o / TILE_WIDTH * stride + t][o % TILE_WIDTH] = value;
        }
        let mut matrix = vec![[0.0; TILE_WIDTH]; inputs.div_ceil(TILE_WIDTH) * stride];
        for (i, &count) in dense.iter().enumerate() {
            let (t, c) = (i / inputs, i % inputs);
            matrix[c / TILE_WIDTH * stride + t][c % TILE_WIDTH] = count as f32;
        }
        let mut transposed = Panels::zeros(outputs, inputs);
        transposed.pack_transposed(&weight_t);
        let at = |values: &[Tile], t: usize, o: usize| f64::from(values[o / TILE_WIDTH * stride + t][o % TILE_WIDTH]);
        let mut first: Option<[Vec<u32>; 4]> = None;
        for isa in Isa::available() {
            // Forward: by the sparse kernel, and by the dense one.
            let mut x = vec![[0.0; TILE_WIDTH]; tiles * stride];
            linear::gather(isa, &panels, &active, stride, &mut x);
            let got = (0..steps * outputs).map(|i| at(&x, i / outputs, i % outputs));
            prop_assert!(close(got, &currents, inputs as f64 * f64::from(largest)));
            let mut multiplied = vec![[f32::NAN; TILE_WIDTH]; tiles * stride];
            for (tile, multiplied) in multiplied.chunks_exact_mut(stride).enumerate() {
                let (panel, bias) = panels.tile(tile);
                linear::matmul_tile(isa, &matrix, stride, panel, bias, multiplied);
            }
            for tile in 0..tiles {
                let steps = tile * stride..tile * stride + steps;
                prop_assert_eq!(&multiplied[steps.clone()], &x[steps]);
            }

            // Weight gradient for a random lambda: by the sparse kernel, and by the dense one.
            let mut gradient = Panels::zeros(inputs, outputs);
            linear::weight_gradient(isa, &active, &lambda, stride, &mut gradient);
            let (mut dw, mut db) = (vec![0.0; weight_t.len()], vec![0.0; outputs]);
            gradient.unpack(&mut dw, &mut db);
            let expected: Vec<f64> = (0..inputs * outputs).map(|i| {
                let (c, o) = (i / outputs, i % outputs);
                (0..steps).map(|t| dense[t * inputs + c] * f64::from(values[t * outputs + o])).sum()
            }).collect();
            prop_assert!(close(dw.iter().map(|&x| x.into()), &expected, steps as f64 * f64::from(largest)));
            let expected: Vec<f64> =
                (0..outputs).map(|o| (0..steps).map(|t| f64::from(values[t * outputs + o])).sum()).collect();
            prop_assert!(close(db.iter().map(|&x| x.into()), &expected, steps as f64));
            let mut again = Panels::zeros(inputs, outputs);
            for (tile, lambda) in lambda.chunks_exact(stride).enumerate() {
                let (panel, bias) = again.tile_mut(tile);
                linear::dense_weight_gradient_tile(isa, &matrix, stride, &lambda[..steps], panel, bias);
            }
            let (mut dw_again, mut db_again) = (dw.clone(), db.clone());
            again.unpack(&mut dw_again, &mut db_again);
            prop_assert_eq!((&dw_again, &db_again), (&dw, &db));

            // Input gradient: of all steps, and of one step.
            let mut g = vec![[f32::NAN; TILE_WIDTH]; inputs.div_ceil(TILE_WIDTH) * stride];
            let entries: Vec<(u32, f32)> = (0..).zip(values[..outputs].iter().copied()).collect();
            for (tile, g) in g.chunks_exact_mut(stride).enumerate() {
                let (panel, zero) = transposed.tile(tile);
                linear::matmul_tile(isa, &lambda, stride, panel, zero, g);
                prop_assert_eq!(linear::product(isa, panel, zero, &entries), g[0]);
            }
            let expected: Vec<f64> = (0..steps * inputs).map(|i| {
                let (t, c) = (i / inputs, i % inputs);
                (0..outputs).map(|o| f64::from(values[t * outputs + o]) * f64::from(weight_t[c * outputs + o])).sum()
            }).collect();
            let got = (0..steps * inputs).map(|i| at(&g, i / inputs, i % inputs));
            prop_assert!(close(got, &expected, outputs as f64));

            let numbers = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            let got = [bits(&x), numbers(&dw), numbers(&db), bits(&g)];
            prop_assert_eq!(first.get_or_insert_with(|| got.clone()), &got, "{:?}", isa);
        }
    }

    #[test]
    fn cross_entropy_equals_the_formula(logits in vec(-200.0f32..200.0, 1..40), label: prop::sample::Index) {
        let label = label.index(logits.len());
        let mut gradient = vec![0.0; logits.len()];
        let loss = cross_entropy(&logits, label, 0.25, &mut gradient);
        let wide = random::wide(&logits);
        let largest = wide.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = wide.iter().map(|x| (x - largest).exp()).sum();
        let expected = sum.ln() + largest - wide[label];
        prop_assert!((loss - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{loss} {expected}");
        for (class, (got, x)) in gradient.iter().zip(&wide).enumerate() {
            let expected = 0.25 * ((x - largest).exp() / sum - f64::from(u8::from(class == label)));
            prop_assert!((f64::from(*got) - expected).abs() < 1e-6);
        }
    }
}

/// Compares lambda with numerical differentiation. The spike count is replaced with a smooth function of v, whose
/// derivative is the surrogate gradient.
#[test]
fn lambda_is_the_derivative_of_the_smoothed_neuron() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for min_v_mem in [None, Some(-1.0), Some(-0.5)] {
        for theta in [1.0, 0.75] {
            let neuron = neuron(min_v_mem, theta);
            let x: Vec<f64> = (0..60).map(|_| rng.random_range(-0.5..0.9)).collect();
            let g: Vec<f64> = (0..60).map(|_| rng.random_range(-1.0..1.0)).collect();
            let (spikes, recorded) = reference::forward(&neuron, &x);
            assert!(spikes.iter().any(|&s| s > 0.0));
            let lambda = reference::backward(&neuron, &recorded, &g);

            let (peak, rate, theta) = (f64::from(neuron.peak), f64::from(neuron.rate), f64::from(theta));
            let integral = |v: f64| {
                let y = (-rate * (v - theta).abs()).exp();
                peak / rate * if v < theta { y } else { 2.0 - y }
            };
            let loss = |x: &[f64]| {
                let (mut u, mut loss) = (0.0, 0.0);
                for t in 0..x.len() {
                    let v = u + x[t];
                    let s = spikes[t] + integral(v) - integral(recorded[t]);
                    loss += g[t] * s;
                    u = v - theta * s;
                    if let Some(m) = min_v_mem {
                        u = u.max(f64::from(m));
                    }
                }
                loss
            };
            let step = 1e-6;
            let numerical: Vec<f64> = (0..x.len())
                .map(|t| {
                    let (mut above, mut below) = (x.clone(), x.clone());
                    above[t] += step;
                    below[t] -= step;
                    (loss(&above) - loss(&below)) / (2.0 * step)
                })
                .collect();
            let error = random::relative_error(numerical, &lambda);
            assert!(error < 1e-7, "{error} with m = {min_v_mem:?}, theta = {theta}");
        }
    }
}

#[cfg(feature = "libtorch")]
#[test]
fn adam_equals_libtorch() {
    use tch::{Tensor, nn, nn::OptimizerConfig};

    use crate::kernel::{Optimiser, OptimiserConfig};

    let start = random_values(1, 1000);
    let store = nn::VarStore::new(tch::Device::Cpu);
    let mut variable = store.root().var_copy("w", &Tensor::from_slice(&start));
    let mut theirs = nn::Adam::default().build(&store, 1e-3).unwrap();
    let mut ours = start.clone();
    let mut adam = Optimiser::new(OptimiserConfig::default(), ours.len());
    for step in 0..200u64 {
        // Gradients of very different sizes, some of them 0.
        let gradient: Vec<f32> =
            random_values(step + 2, 1000).iter().enumerate().map(|(i, g)| g * 10f32.powi(-((i % 12) as i32))).collect();
        let gradient: Vec<f32> = gradient.iter().enumerate().map(|(i, g)| if i % 50 == 0 { 0.0 } else { *g }).collect();
        theirs.zero_grad();
        let loss = (&variable * Tensor::from_slice(&gradient)).sum(tch::Kind::Float);
        loss.backward();
        theirs.step();
        adam.update(&mut ours, &gradient);
    }
    let mut expected = vec![0.0f32; 1000];
    tch::no_grad(|| variable.copy_data(&mut expected, 1000));
    let _ = variable.requires_grad_(false);
    let moved = ours.iter().zip(&start).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let apart = ours.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(moved > 1e-2 && apart < 1e-6, "moved {moved}, apart {apart}");
    assert_eq!(adam.step, 200);
}

#[test]
fn predicted_is_the_first_of_the_largest() {
    assert_eq!(predicted(&[0.0, 3.0, 3.0, -1.0]), 1);
    assert_eq!(predicted(&[2.0]), 0);
}

#[test]
fn loss_of_non_finite_logits_is_not_finite() {
    for logits in [[f32::NAN, 0.0], [0.0, f32::NAN], [f32::INFINITY, 0.0], [f32::NEG_INFINITY; 2]] {
        assert!(!cross_entropy(&logits, 0, 1.0, &mut [0.0; 2]).is_finite(), "{logits:?}");
    }
}

#[test]
fn a_cell_outside_the_inputs_is_refused() {
    let frames = random::frames(1, 20, &[3], 1.0, 1);
    let error = ActiveCells::default().set_frames(frames.sample(0), 19, 3, 7).unwrap_err();
    assert_eq!(error, KernelError::CellOutsideInputs { sample: 7, cell: 19, inputs: 19 });
    assert_eq!(error.to_string(), "sample 7 of the batch has an event in cell 19, but the network has 19 inputs");
}

#[test]
fn columns_that_do_not_fit_together_are_refused() {
    let sample = |sizes, cells, counts| SampleFrames {
        frame_sizes: Column::U32(sizes),
        cells: Column::U8(cells),
        counts: Column::U8(counts),
    };
    for sample in [
        sample(&[2], &[0], &[1]),
        sample(&[1], &[0], &[1, 1]),
        sample(&[u32::MAX, u32::MAX], &[0], &[1]),
        sample(&[], &[0], &[1]),
    ] {
        let result = ActiveCells::default().set_frames(sample, 4, 3, 0);
        assert!(matches!(result, Err(KernelError::RaggedSample { sample: 0, .. })));
    }
}
