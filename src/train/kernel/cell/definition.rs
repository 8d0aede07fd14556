//! The cells: names, ranges and initial values of their parameters, and the constants that the kernels read.
//!
//! Kernels on CPU and GPU, the reference and the documentation take what they know of a cell from here.

use crate::kernel::cell::{CONSTANTS, PARAMETER_SUMS, Surrogate};
use crate::kernel::{TILE_WIDTH, Tile};

/// A spiking cell. [`cell`](super) lists the files with their formulas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Lif(Reset),
    CubaLif(Reset),
    Adlif,
    Silif,
    CSilif,
}

/// What a spike does to the membrane potential u.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reset {
    /// u becomes u - 1.
    #[default]
    Soft,
    /// u becomes 0.
    Hard,
}

/// A parameter that each neuron of a cell has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CellParameter {
    pub(crate) name: &'static str,
    pub(crate) initial: InitialValue,
    /// The kernels use the value clamped to this range. A value outside of it has no gradient, and is kept.
    pub(crate) range: Option<[f32; 2]>,
}

/// Law of a parameter's initial values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum InitialValue {
    Constant(f32),
    /// Uniform from the first to below the second number.
    Uniform(f32, f32),
}

/// e^(-1/5) to e^(-1/25): the decay of a potential with a time constant of 5 to 25 steps, sparch's range.
pub(crate) const FAST_DECAY: [f32; 2] = [0.818_730_75, 0.960_789_44];
/// e^(-1/30) to e^(-1/120): the decay of an adaptation with a time constant of 30 to 120 steps, sparch's range.
pub(crate) const SLOW_DECAY: [f32; 2] = [0.967_216_1, 0.991_701_3];
/// Natural logarithms of SiLIF's initial values: 2.5 and 250, 0.004 (the step, in seconds).
const LN_2_5: f32 = 0.916_290_76;
const LN_250: f32 = 5.521_461;
const LN_0_004: f32 = -5.521_461;
/// Natural logarithms of C-SiLIF's shortest and longest initial step on SSC, 0.01 and 5.
const LN_0_01: f32 = -4.605_170_2;
const LN_5: f32 = 1.609_437_9;

const fn clamped(name: &'static str, range: [f32; 2]) -> CellParameter {
    CellParameter { name, initial: InitialValue::Uniform(range[0], range[1]), range: Some(range) }
}

const fn free(name: &'static str, initial: InitialValue) -> CellParameter {
    CellParameter { name, initial, range: None }
}

const LIF: &[CellParameter] = &[clamped("alpha", FAST_DECAY)];
const CUBA_LIF: &[CellParameter] = &[clamped("alpha", FAST_DECAY), clamped("beta", FAST_DECAY)];
const ADLIF: &[CellParameter] =
    &[clamped("alpha", FAST_DECAY), clamped("beta", SLOW_DECAY), clamped("a", [-1.0, 1.0]), clamped("b", [0.0, 2.0])];
const SILIF: &[CellParameter] = &[
    free("p_alpha", InitialValue::Uniform(std::f32::consts::LN_10, LN_250)),
    free("p_beta", InitialValue::Uniform(LN_2_5, std::f32::consts::LN_10)),
    free("dt", InitialValue::Constant(LN_0_004)),
    clamped("a", [0.0, 1.0]),
    clamped("b", [0.0, 2.0]),
];
const C_SILIF: &[CellParameter] = &[
    free("log_log_alpha", InitialValue::Constant(-std::f32::consts::LN_2)),
    free("alpha_img", InitialValue::Constant(std::f32::consts::PI)),
    free("log_dt", InitialValue::Uniform(LN_0_01, LN_5)),
    free("b", InitialValue::Uniform(0.0, 1.0)),
];

impl CellParameter {
    pub(in crate::kernel) fn effective(&self, raw: f32) -> f64 {
        clamp(raw, self.range)
    }

    /// Whether a value passes its gradient on. As in `torch.clamp`, both ends of the range do.
    pub(in crate::kernel) fn is_open(&self, raw: f32) -> bool {
        is_open(raw, self.range)
    }
}

fn clamp(raw: f32, range: Option<[f32; 2]>) -> f64 {
    f64::from(range.map_or(raw, |[low, high]| raw.clamp(low, high)))
}

fn is_open(raw: f32, range: Option<[f32; 2]>) -> bool {
    range.is_none_or(|[low, high]| (low..=high).contains(&raw))
}

impl Cell {
    /// Returns the parameters of each neuron, in their order.
    pub(crate) fn parameters(self) -> &'static [CellParameter] {
        match self {
            Cell::Lif(_) => LIF,
            Cell::CubaLif(_) => CUBA_LIF,
            Cell::Adlif => ADLIF,
            Cell::Silif => SILIF,
            Cell::CSilif => C_SILIF,
        }
    }

    /// Returns a neuron's constants, from the clamped values of its parameters.
    fn constants(self, values: &[f64]) -> [f64; CONSTANTS] {
        let value = |i: usize| values[i];
        match self {
            Cell::Lif(_) => [value(0), 1.0 - value(0), 0.0, 0.0, 0.0],
            Cell::CubaLif(_) => [value(0), value(1), 0.0, 0.0, 0.0],
            Cell::Adlif => [value(0), value(1), value(2), value(3), 1.0 - value(0)],
            Cell::Silif => {
                let rates = [value(0) + value(2), value(1) + value(2)].map(libm::exp);
                let [alpha, beta] = rates.map(|rate| libm::exp(-rate));
                [alpha, beta, value(3), value(4), -libm::expm1(-rates[0])]
            }
            Cell::CSilif => {
                let step = libm::exp(value(2));
                let (decay, angle) = (libm::exp(-libm::exp(value(0)) * step), value(1) * step);
                [decay * libm::cos(angle), decay * libm::sin(angle), value(3), 0.0, 0.0]
            }
        }
    }

    /// Returns the gradients for the clamped values of a neuron's parameters, from those for its constants.
    fn parameter_gradients(self, values: &[f64], sums: &[f64; PARAMETER_SUMS]) -> [f64; CONSTANTS] {
        let value = |i: usize| values[i];
        match self {
            Cell::Lif(_) | Cell::CubaLif(_) | Cell::Adlif => [sums[0], sums[1], sums[2], sums[3], 0.0],
            Cell::Silif => {
                // d alpha / d p is -rate exp(-rate). As alpha ln(alpha), it would be NaN where alpha is 0.
                let slope = |log_rate: f64| {
                    let rate = libm::exp(log_rate);
                    let decay = libm::exp(-rate);
                    if decay == 0.0 { 0.0 } else { -rate * decay }
                };
                let alpha = slope(value(0) + value(2)) * sums[0];
                let beta = slope(value(1) + value(2)) * sums[1];
                [alpha, beta, alpha + beta, sums[2], sums[3]]
            }
            Cell::CSilif => {
                let [p, q, ..] = self.constants(values);
                let (rate, angle, step) = (-libm::exp(value(0)), value(1), libm::exp(value(2)));
                [
                    rate * step * (p * sums[0] + q * sums[1]),
                    step * (p * sums[1] - q * sums[0]),
                    step * ((rate * p - angle * q) * sums[0] + (rate * q + angle * p) * sums[1]),
                    sums[2],
                    0.0,
                ]
            }
        }
    }
}

/// The constants of a layer's neurons, in tiles, and what all of its neurons share.
#[derive(Clone, Debug)]
pub(crate) struct Constants {
    pub(super) cell: Cell,
    pub(super) surrogate: Surrogate,
    /// Range to which each of the parameters is clamped.
    ranges: Vec<Option<[f32; 2]>>,
    /// Constants of each tile of neurons. They are 0 for the padding of the last tile.
    pub(super) tiles: Vec<[Tile; CONSTANTS]>,
}

impl Constants {
    /// Makes the constants of a layer. `parameters` has (neurons,) values for each of [`Cell::parameters`], with the
    /// ranges given there.
    pub(crate) fn new(cell: Cell, surrogate: Surrogate, parameters: &[&[f32]]) -> Constants {
        let ranges = cell.parameters().iter().map(|parameter| parameter.range).collect();
        Constants::with_ranges(cell, surrogate, ranges, parameters)
    }

    /// Like [`Constants::new`], with the range to which each parameter is clamped.
    pub(crate) fn with_ranges(
        cell: Cell,
        surrogate: Surrogate,
        ranges: Vec<Option<[f32; 2]>>,
        parameters: &[&[f32]],
    ) -> Constants {
        assert_eq!(parameters.len(), cell.parameters().len(), "parameters of {cell:?}");
        assert_eq!(parameters.len(), ranges.len(), "ranges of {cell:?}");
        let neurons = parameters[0].len();
        let mut tiles = vec![[[0.0; TILE_WIDTH]; CONSTANTS]; neurons.div_ceil(TILE_WIDTH)];
        for neuron in 0..neurons {
            let constants = cell.constants(&of_neuron(parameters, &ranges, neuron));
            for (row, constant) in tiles[neuron / TILE_WIDTH].iter_mut().zip(constants) {
                row[neuron % TILE_WIDTH] = constant as f32;
            }
        }
        Constants { cell, surrogate, ranges, tiles }
    }

    /// Returns the number of state variables of a neuron, apart from its spikes.
    pub(crate) fn states(&self) -> usize {
        if matches!(self.cell, Cell::Lif(_)) { 1 } else { 2 }
    }

    /// Returns the number of tiles of neurons.
    pub(crate) fn tiles(&self) -> usize {
        self.tiles.len()
    }

    /// Writes the gradients for the parameters. `sums(neuron)` returns the sums of [`backward`](super::backward) over
    /// all samples, of which the first [`PARAMETER_SUMS`] are used. Shapes are those of [`Constants::new`].
    pub(crate) fn write_gradients<'a>(
        &self,
        parameters: &[&[f32]],
        sums: impl Fn(usize) -> &'a [f64],
        gradients: &mut [&mut [f32]],
    ) {
        for neuron in 0..parameters[0].len() {
            let of: [f64; PARAMETER_SUMS] = std::array::from_fn(|i| sums(neuron)[i]);
            let values = of_neuron(parameters, &self.ranges, neuron);
            let values = self.cell.parameter_gradients(&values, &of);
            for (((gradients, value), range), raw) in gradients.iter_mut().zip(values).zip(&self.ranges).zip(parameters)
            {
                gradients[neuron] = if is_open(raw[neuron], *range) { value as f32 } else { 0.0 };
            }
        }
    }
}

/// Returns the clamped values of a neuron's parameters.
fn of_neuron(parameters: &[&[f32]], ranges: &[Option<[f32; 2]>], neuron: usize) -> Vec<f64> {
    parameters.iter().zip(ranges).map(|(values, range)| clamp(values[neuron], *range)).collect()
}
