//! Compares cells with plain float64 code, and their gradients with numerical differentiation. Runs on every
//! instruction set.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::kernel::cell::{
    CONSTANTS, Cell, CellInput, CellParameter, Constants, PARAMETER_SUMS, Recurrent, RecurrentState, Reset, SUMS,
    StateTrace, Surrogate, backward, backward_recurrent, forward, forward_recurrent,
};
use crate::kernel::isa::Isa;
use crate::kernel::linear::{self, Panels};
use crate::kernel::norm::{Norm, Statistics};
use crate::kernel::{TILE_WIDTH, Tile};

const CELLS: [Cell; 7] = [
    Cell::Lif(Reset::Soft),
    Cell::Lif(Reset::Hard),
    Cell::CubaLif(Reset::Soft),
    Cell::CubaLif(Reset::Hard),
    Cell::Adlif,
    Cell::Silif,
    Cell::CSilif,
];
const SURROGATES: [Surrogate; 4] = [
    Surrogate::Boxcar { height: 1.0, width: 0.5 },
    Surrogate::SingleExponential { width: 0.5, scale: 1.0 },
    Surrogate::Arctan { alpha: 2.0 },
    Surrogate::FastSigmoid { slope: 25.0 },
];

/// The range from which a parameter's values are drawn, and the range to which they are clamped.
type Law = ((f32, f32), Option<[f32; 2]>);

/// Returns random values and the range of each parameter of a cell. Some values are outside the range.
fn parameters(cell: Cell, neurons: usize, rng: &mut ChaCha8Rng) -> Vec<(Vec<f32>, Option<[f32; 2]>)> {
    let decay = ((0.7, 1.0), Some([0.75, 0.97]));
    let laws: Vec<Law> = match cell {
        Cell::Lif(_) => vec![decay],
        Cell::CubaLif(_) => vec![decay, decay],
        Cell::Adlif => vec![decay, decay, ((-0.3, 1.3), Some([0.0, 1.0])), ((-0.3, 2.3), Some([0.0, 2.0]))],
        Cell::Silif => vec![
            ((2.3, 5.5), None),
            ((0.9, 2.3), None),
            ((-6.0, -4.8), None),
            ((-0.3, 1.3), Some([0.0, 1.0])),
            ((-0.3, 2.3), Some([0.0, 2.0])),
        ],
        Cell::CSilif => vec![((-1.0, 0.0), None), ((2.5, 3.6), None), ((-4.6, 1.6), None), ((0.0, 1.0), None)],
    };
    let draw =
        |((low, high), clamp): ((f32, f32), _)| ((0..neurons).map(|_| rng.random_range(low..high)).collect(), clamp);
    laws.into_iter().map(draw).collect()
}

fn borrowed(parameters: &[(Vec<f32>, Option<[f32; 2]>)]) -> Vec<CellParameter<'_>> {
    parameters.iter().map(|(values, clamp)| CellParameter { values, clamp: *clamp }).collect()
}

/// Returns the integral of the surrogate from 0 to x.
fn integral(surrogate: Surrogate, x: f64) -> f64 {
    match surrogate {
        Surrogate::SingleExponential { width, scale } => {
            x.signum() * f64::from(scale) * (1.0 - (-x.abs() / f64::from(width)).exp())
        }
        Surrogate::Boxcar { height, width } => f64::from(height) * x.clamp(-f64::from(width), f64::from(width)),
        Surrogate::Arctan { alpha } => {
            (std::f64::consts::FRAC_PI_2 * f64::from(alpha) * x).atan() / std::f64::consts::PI
        }
        Surrogate::FastSigmoid { slope } => x / (1.0 + f64::from(slope) * x.abs()),
    }
}

/// A layer in float64. For numerical differentiation, a spike is `spikes + integral(x) - integral(recorded x)`, a
/// smooth function whose derivative is the surrogate.
#[derive(Clone)]
struct Layer {
    cell: Cell,
    surrogate: Surrogate,
    /// Constants of each neuron, without 1 - alpha.
    constants: Vec<[f64; CONSTANTS]>,
    /// States and spikes of each neuron before the first step.
    start: Vec<[f64; 3]>,
    /// Recurrent weights. Empty if the layer is not recurrent.
    v: Vec<f64>,
    /// Input currents, `input[t][neuron]`.
    input: Vec<Vec<f64>>,
    /// Spikes that the kernel computed, `spikes[t][neuron]`.
    spikes: Vec<Vec<f64>>,
}

impl Layer {
    /// Returns each potential minus the threshold, `[t][neuron]`. Calls `each` with (t, neuron, spike).
    fn run(&self, recorded: Option<&[Vec<f64>]>, mut each: impl FnMut(usize, usize, f64)) -> Vec<Vec<f64>> {
        let neurons = self.constants.len();
        let mut states: Vec<[f64; 2]> = self.start.iter().map(|start| [start[0], start[1]]).collect();
        let mut before: Vec<f64> = self.start.iter().map(|start| start[2]).collect();
        let mut found = Vec::new();
        for (t, input) in self.input.iter().enumerate() {
            let drive = |j: usize| -> f64 {
                let weights = self.v.iter().skip(j).step_by(neurons);
                before.iter().zip(weights).map(|(spike, weight)| spike * weight).sum()
            };
            let currents: Vec<f64> = input.iter().enumerate().map(|(j, input)| input + drive(j)).collect();
            let mut apart = Vec::new();
            for (j, (state, current)) in states.iter_mut().zip(currents).enumerate() {
                *state = self.step(&self.constants[j], *state, before[j], current);
                apart.push(if self.cell == Cell::CSilif { 2.0 * state[0] } else { state[0] } - 1.0);
            }
            for (j, spike) in before.iter_mut().enumerate() {
                let smooth = |x: f64| integral(self.surrogate, x);
                *spike = self.spikes[t][j] + recorded.map_or(0.0, |x| smooth(apart[j]) - smooth(x[t][j]));
                each(t, j, *spike);
            }
            found.push(apart);
        }
        found
    }

    fn step(&self, c: &[f64; CONSTANTS], [first, second]: [f64; 2], s: f64, input: f64) -> [f64; 2] {
        let after_reset = |u: f64, reset| if reset == Reset::Hard { u * (1.0 - s) } else { u - s };
        match self.cell {
            Cell::Lif(reset) => [c[0] * after_reset(first, reset) + (1.0 - c[0]) * input, 0.0],
            Cell::CubaLif(reset) => {
                let current = c[0] * second + input;
                [c[1] * after_reset(first, reset) + current, current]
            }
            Cell::Adlif | Cell::Silif => {
                let w = c[1] * second + c[2] * first + c[3] * s;
                [c[0] * (first - s) + (1.0 - c[0]) * (input - w), w]
            }
            Cell::CSilif => {
                let v = first - 0.5 * s;
                [c[0] * v - c[1] * second + c[2] * input, c[1] * v + c[0] * second]
            }
        }
    }

    /// Returns the derivative of the loss (the sum of g * s) with respect to one number of the layer.
    fn slope(&self, g: &[Vec<f64>], recorded: &[Vec<f64>], number: impl Fn(&mut Layer) -> &mut f64) -> f64 {
        const STEP: f64 = 1e-6;
        let loss = |by: f64| {
            let mut layer = self.clone();
            *number(&mut layer) += by;
            let mut loss = 0.0;
            layer.run(Some(recorded), |t, j, spike| loss += g[t][j] * spike);
            loss
        };
        (loss(STEP) - loss(-STEP)) / (2.0 * STEP)
    }
}

struct Case {
    steps: usize,
    neurons: usize,
    recurrent: bool,
    started: bool,
    seed: u64,
}

fn bits(tiles: &[Tile]) -> Vec<u32> {
    tiles.iter().flatten().map(|x| x.to_bits()).collect()
}

fn to_tiles(rows: &[Vec<f64>], stride: usize) -> Vec<Tile> {
    let mut tiles = vec![[0.0; TILE_WIDTH]; rows[0].len().div_ceil(TILE_WIDTH) * stride];
    for (t, row) in rows.iter().enumerate() {
        for (j, value) in row.iter().enumerate() {
            tiles[j / TILE_WIDTH * stride + t][j % TILE_WIDTH] = *value as f32;
        }
    }
    tiles
}

fn check(cell: Cell, surrogate: Surrogate, case: &Case) {
    let Case { steps, neurons, .. } = *case;
    let mut rng = ChaCha8Rng::seed_from_u64(case.seed);
    let name = format!("{cell:?} {surrogate:?} {steps} steps {neurons} neurons, recurrent {}", case.recurrent);
    let owned = parameters(cell, neurons, &mut rng);
    let parameters = borrowed(&owned);
    let constants = Constants::new(cell, surrogate, &parameters);
    let (tiles, stride) = (neurons.div_ceil(TILE_WIDTH), linear::stride(steps));
    let mut draw = |low: f32, high: f32| -> Vec<Vec<f64>> {
        (0..steps).map(|_| (0..neurons).map(|_| f64::from(rng.random_range(low..high))).collect()).collect()
    };
    let (y, g) = (draw(-2.0, 2.0), draw(-1.0, 1.0));
    let of = |low: f32, high: f32, rng: &mut ChaCha8Rng, n: usize| -> Vec<f32> {
        (0..n).map(|_| rng.random_range(low..high)).collect()
    };
    let (gamma, beta) = (of(0.5, 4.0, &mut rng, neurons), of(-0.5, 2.0, &mut rng, neurons));
    let mean: Vec<f64> = of(-0.2, 0.2, &mut rng, neurons).into_iter().map(f64::from).collect();
    let statistics = Statistics { mean: mean.clone(), variance: vec![1.3; neurons] };
    let norm = Norm::new(&gamma, &beta, &statistics);
    let start: Vec<[f64; 3]> = (0..neurons)
        .map(|_| std::array::from_fn(|_| if case.started { f64::from(rng.random_range(0.0f32..1.0)) } else { 0.0 }))
        .collect();
    let mut start_tiles = vec![[[0.0; TILE_WIDTH]; 3]; tiles];
    for (j, start) in start.iter().enumerate() {
        (0..3).for_each(|i| start_tiles[j / TILE_WIDTH][i][j % TILE_WIDTH] = start[i] as f32);
    }
    let v: Vec<f32> = if case.recurrent { of(-0.4, 0.4, &mut rng, neurons * neurons) } else { Vec::new() };
    let (y_tiles, g_tiles) = (to_tiles(&y, stride), to_tiles(&g, stride));
    let input = CellInput { y: &y_tiles, stride, steps, norm: &norm, start: case.started.then_some(&start_tiles) };

    let mut first = None;
    let (mut fired, mut open) = (vec![u32::MAX; steps * tiles], vec![u32::MAX; steps * tiles]);
    let mut out = vec![[f32::NAN; TILE_WIDTH]; tiles * stride];
    let mut sums = vec![[[f64::NAN; TILE_WIDTH]; SUMS]; tiles];
    let mut state = RecurrentState::default();
    for isa in Isa::available() {
        if case.recurrent {
            let mut recurrent = Recurrent::zeros(neurons);
            recurrent.pack(&v);
            forward_recurrent(isa, &constants, &recurrent, &input, &mut state, &mut fired, &mut open);
            backward_recurrent(isa, &constants, &recurrent, &input, &mut state, &g_tiles, &mut out, &mut sums);
        } else {
            forward(isa, &constants, &input, &mut fired, &mut open);
            backward(isa, &constants, &input, &mut StateTrace::default(), &g_tiles, &mut out, &mut sums);
        }
        let used: Vec<Tile> = out.chunks(stride).flat_map(|column| column[..steps].to_vec()).collect();
        let got = (fired.clone(), open.clone(), bits(&used), sums.as_flattened().as_flattened().to_vec());
        assert_eq!(*first.get_or_insert_with(|| got.clone()), got, "{name}, {isa:?}");
    }

    let at = |bits: &[u32], t: usize, j: usize| bits[t * tiles + j / TILE_WIDTH] >> (j % TILE_WIDTH) & 1 == 1;
    let currents: Vec<Vec<f64>> = y
        .iter()
        .map(|row| {
            let scale = |j: usize| f64::from(gamma[j]) / (1.3f64 + 1e-5).sqrt();
            row.iter().enumerate().map(|(j, y)| scale(j) * (y - mean[j]) + f64::from(beta[j])).collect()
        })
        .collect();
    let recorded_spikes =
        (0..steps).map(|t| (0..neurons).map(|j| f64::from(u8::from(at(&fired, t, j)))).collect()).collect();
    let weight = |i: usize, j: usize| if i == j { 0.0 } else { f64::from(v[i * neurons + j]) };
    let layer = Layer {
        cell,
        surrogate,
        constants: (0..neurons).map(|j| cell.constants(&parameters, j)).collect(),
        start,
        v: if case.recurrent {
            (0..neurons * neurons).map(|k| weight(k / neurons, k % neurons)).collect()
        } else {
            vec![]
        },
        input: currents.clone(),
        spikes: recorded_spikes,
    };
    let apart = layer.run(None, |_, _, _| ());
    let half = f64::from(surrogate.support());
    for (t, row) in apart.iter().enumerate() {
        for (j, &x) in row.iter().enumerate() {
            assert!(x.abs() < 1e-4 || at(&fired, t, j) == (x > 0.0), "{name}: {x} at step {t} of neuron {j}");
            assert!((x.abs() - half).abs() < 1e-4 || at(&open, t, j) == (x.abs() < half), "{name}: support at {x}");
        }
    }
    let value = |tiles: &[Tile], t: usize, j: usize| f64::from(tiles[j / TILE_WIDTH * stride + t][j % TILE_WIDTH]);
    // Gradients dL/ds are up to 1, and so are the terms of the sums. float32 rounds relative to these terms.
    let worst = |what: &str, pairs: Vec<(f64, f64)>| {
        let largest = pairs.iter().fold(0.3, |max: f64, (_, expected)| max.max(expected.abs()));
        for (got, expected) in pairs {
            assert!((got - expected).abs() < 1e-4 * largest, "{name}: {what} {got}, not {expected} of {largest}");
        }
    };
    let close = (0..neurons.min(4)).chain(neurons.saturating_sub(1)..neurons);
    for j in close {
        let inputs = (0..steps).map(|t| (value(&out, t, j), layer.slope(&g, &apart, |of| &mut of.input[t][j])));
        worst("dL/dI", inputs.collect());
        let sum = |i: usize| sums[j / TILE_WIDTH][i][j % TILE_WIDTH];
        let constants = match cell {
            Cell::Lif(_) => 1,
            Cell::CubaLif(_) => 2,
            Cell::Adlif | Cell::Silif => 4,
            Cell::CSilif => 3,
        };
        for i in 0..constants {
            worst("sum", vec![(sum(i), layer.slope(&g, &apart, |of| &mut of.constants[j][i]))]);
        }
        let total: f64 = (0..steps).map(|t| value(&out, t, j)).sum();
        let product: f64 = (0..steps).map(|t| value(&out, t, j) * (y[t][j] - mean[j])).sum();
        worst("norm's sums", vec![(sum(PARAMETER_SUMS), total), (sum(PARAMETER_SUMS + 1), product)]);
    }
    if case.recurrent {
        let mut gradient = Panels::zeros(neurons, neurons);
        linear::weight_gradient(Isa::chosen(), state.spikes_before(), &out, stride, &mut gradient);
        let (mut dv, mut unused) = (vec![0.0; neurons * neurons], vec![0.0; neurons]);
        gradient.unpack(&mut dv, &mut unused);
        let pairs = (0..neurons.min(3)).flat_map(|i| (0..neurons).map(move |j| (i, j))).filter(|(i, j)| i != j);
        let pairs = pairs
            .map(|(i, j)| (f64::from(dv[i * neurons + j]), layer.slope(&g, &apart, |of| &mut of.v[i * neurons + j])));
        worst("dL/dV", pairs.collect());
    }
}

#[test]
fn cells_equal_the_reference_and_numerical_gradients() {
    for cell in CELLS {
        for (i, surrogate) in SURROGATES.into_iter().enumerate() {
            for (steps, neurons, started) in [(1, 1, true), (40, 33, true), (90, 3, false)] {
                check(cell, surrogate, &Case { steps, neurons, recurrent: false, started, seed: 7 + i as u64 });
            }
        }
    }
}

#[test]
fn recurrent_cells_equal_the_reference_and_numerical_gradients() {
    for cell in CELLS {
        for surrogate in &SURROGATES[..2] {
            for (steps, neurons, started) in [(1, 2, true), (25, 35, true), (20, 5, false)] {
                check(cell, *surrogate, &Case { steps, neurons, recurrent: true, started, seed: 3 });
            }
        }
    }
}

/// Returns a cell's constants in float64, computed from its parameters `p`.
fn plain_constants(cell: Cell, p: &[f64]) -> [f64; 4] {
    match cell {
        Cell::Lif(_) => [p[0], 0.0, 0.0, 0.0],
        Cell::CubaLif(_) => [p[0], p[1], 0.0, 0.0],
        Cell::Adlif => [p[0], p[1], p[2], p[3]],
        Cell::Silif => [(-(p[0] + p[2]).exp()).exp(), (-(p[1] + p[2]).exp()).exp(), p[3], p[4]],
        Cell::CSilif => {
            let (decay, angle) = ((-p[0].exp() * p[2].exp()).exp(), p[1] * p[2].exp());
            [decay * angle.cos(), decay * angle.sin(), p[3], 0.0]
        }
    }
}

#[test]
fn parameters_have_the_gradient_of_their_constants() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for cell in CELLS {
        let owned = parameters(cell, 20, &mut rng);
        let parameters = borrowed(&owned);
        for neuron in 0..20 {
            let sums: [f64; PARAMETER_SUMS] = std::array::from_fn(|_| rng.random_range(-1.0..1.0));
            let gradients = cell.parameter_gradients(&parameters, neuron, &sums);
            let values: Vec<f64> = parameters.iter().map(|of| of.of(neuron)).collect();
            let constants = cell.constants(&parameters, neuron);
            for (got, expected) in constants.iter().zip(plain_constants(cell, &values)) {
                let gain = matches!(cell, Cell::Lif(_)).then_some(1.0 - constants[0]);
                assert!((got - expected).abs() < 1e-14 || Some(*got) == gain, "{cell:?}: {got} {expected}");
            }
            for i in 0..values.len() {
                let loss = |by: f64| -> f64 {
                    let mut values = values.clone();
                    values[i] += by;
                    plain_constants(cell, &values).iter().zip(&sums).map(|(c, sum)| c * sum).sum()
                };
                let inside = parameters[i].is_open(neuron);
                let expected = if inside { (loss(1e-6) - loss(-1e-6)) / 2e-6 } else { 0.0 };
                let apart = (gradients[i] - expected).abs();
                assert!(apart < 1e-8 * expected.abs().max(1.0), "{cell:?} {i}: {} {expected}", gradients[i]);
            }
        }
    }
}

#[test]
fn a_decay_that_underflows_has_a_finite_gradient() {
    let raw = [8.65f32, 8.65, -2.6, 0.0, 2.0].map(|value| vec![value]);
    let clamps = [None, None, None, Some([0.0, 1.0]), Some([0.0, 2.0])];
    let parameters: Vec<CellParameter<'_>> =
        raw.iter().zip(clamps).map(|(values, clamp)| CellParameter { values, clamp }).collect();
    let constants = Cell::Silif.constants(&parameters, 0);
    assert_eq!((constants[0] as f32, constants[4]), (0.0, 1.0));
    let gradients = Cell::Silif.parameter_gradients(&parameters, 0, &[1.0, 1.0, 1.0, 1.0]);
    assert!(gradients.iter().all(|gradient| gradient.is_finite()), "{gradients:?}");
    // Both ends of a range pass the gradient on, as in torch.clamp.
    assert_eq!(gradients[3..], [1.0, 1.0]);
}
