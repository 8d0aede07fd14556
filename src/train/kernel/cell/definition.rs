//! The cells and their parameters. Computes the constants per neuron that the kernels read.
//!
//! `network/neuron.rs` has the names, ranges and initial values of the parameters.

use std::ops::{Add, Mul, Neg, Sub};

use crate::kernel::cell::{CONSTANTS, PARAMETER_SUMS, Surrogate};
use crate::kernel::{TILE_WIDTH, Tile};

/// A spiking cell. [`cell`](super) lists the files with the formulas of the cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Parameter: alpha.
    Lif(Reset),
    /// Parameters: alpha and beta.
    CubaLif(Reset),
    /// Parameters: alpha, beta, a and b.
    Adlif,
    /// Parameters: p_alpha, p_beta, dt, a and b. alpha = exp(-exp(p_alpha + dt)) and beta = exp(-exp(p_beta + dt)).
    Silif,
    /// Parameters: log_log_alpha, alpha_img, log_dt and b.
    ///
    /// p + iq = exp(exp(log_dt) (-exp(log_log_alpha) + i alpha_img))
    CSilif,
}

/// What a spike does to the membrane potential u.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reset {
    /// u becomes u - 1.
    #[default]
    Soft,
    /// u becomes 0.
    Hard,
}

/// One parameter of all neurons of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CellParameter<'a> {
    /// Values, (neurons,).
    pub(crate) values: &'a [f32],
    /// Range to which the kernels clamp the values that they use. `values` itself is not clamped. The gradient of a
    /// value outside the range is 0.
    pub(crate) clamp: Option<[f32; 2]>,
}

impl CellParameter<'_> {
    /// Returns the value for a neuron, clamped to the range.
    pub(in crate::kernel) fn of(&self, neuron: usize) -> f64 {
        let raw = self.values[neuron];
        f64::from(self.clamp.map_or(raw, |[low, high]| raw.clamp(low, high)))
    }

    /// Whether a neuron's value gets a gradient: it must be inside the range. Both ends are inside, as in
    /// `torch.clamp`.
    pub(in crate::kernel) fn is_open(&self, neuron: usize) -> bool {
        self.clamp.is_none_or(|[low, high]| (low..=high).contains(&self.values[neuron]))
    }
}

impl Cell {
    /// Returns the number of parameters per neuron.
    pub(crate) fn parameters(self) -> usize {
        match self {
            Cell::Lif(_) => 1,
            Cell::CubaLif(_) => 2,
            Cell::Adlif | Cell::CSilif => 4,
            Cell::Silif => 5,
        }
    }

    /// Returns a neuron's constants, from the values of its parameters.
    pub(super) fn constants(self, parameters: &[CellParameter<'_>], neuron: usize) -> [f64; CONSTANTS] {
        self.constants_of(&values(parameters, neuron))
    }

    /// Returns the constants for these values of the parameters.
    pub(super) fn constants_of<W: Wide>(self, value: &[W; CONSTANTS]) -> [W; CONSTANTS] {
        let (zero, one) = (W::of(0.0), W::of(1.0));
        match self {
            Cell::Lif(_) => [value[0], one - value[0], zero, zero, zero],
            Cell::CubaLif(_) => [value[0], value[1], zero, zero, zero],
            Cell::Adlif => [value[0], value[1], value[2], value[3], one - value[0]],
            Cell::Silif => {
                let rates = [value[0] + value[2], value[1] + value[2]].map(W::exp);
                let [alpha, beta] = rates.map(|rate| (-rate).exp());
                [alpha, beta, value[3], value[4], -(-rates[0]).exp_m1()]
            }
            Cell::CSilif => {
                let step = value[2].exp();
                let (decay, angle) = ((-value[0].exp() * step).exp(), value[1] * step);
                [decay * angle.cos(), decay * angle.sin(), value[3], zero, zero]
            }
        }
    }

    /// Returns the gradients for a neuron's parameters. `sums` has the gradients for its constants.
    pub(super) fn parameter_gradients(
        self,
        parameters: &[CellParameter<'_>],
        neuron: usize,
        sums: &[f64; PARAMETER_SUMS],
    ) -> [f64; CONSTANTS] {
        let mut gradients = self.gradients_of(&values(parameters, neuron), sums);
        for (parameter, gradient) in parameters.iter().zip(&mut gradients) {
            if !parameter.is_open(neuron) {
                *gradient = 0.0;
            }
        }
        gradients
    }

    /// Returns the gradients for these values of the parameters, without the effect of clamping.
    pub(super) fn gradients_of<W: Wide>(self, value: &[W; CONSTANTS], sums: &[W; PARAMETER_SUMS]) -> [W; CONSTANTS] {
        let zero = W::of(0.0);
        match self {
            Cell::Lif(_) | Cell::CubaLif(_) | Cell::Adlif => [sums[0], sums[1], sums[2], sums[3], zero],
            Cell::Silif => {
                // d alpha / d p is -rate exp(-rate). As alpha ln(alpha), it would be NaN where alpha is 0.
                let slope = |log_rate: W| {
                    let rate = log_rate.exp();
                    let decay = (-rate).exp();
                    (-rate * decay).or_0_where_0(decay)
                };
                let alpha = slope(value[0] + value[2]) * sums[0];
                let beta = slope(value[1] + value[2]) * sums[1];
                [alpha, beta, alpha + beta, sums[2], sums[3]]
            }
            Cell::CSilif => {
                let [p, q, ..] = self.constants_of(value);
                let (rate, angle, step) = (-value[0].exp(), value[1], value[2].exp());
                [
                    rate * step * (p * sums[0] + q * sums[1]),
                    step * (p * sums[1] - q * sums[0]),
                    step * ((rate * p - angle * q) * sums[0] + (rate * q + angle * p) * sums[1]),
                    sums[2],
                    zero,
                ]
            }
        }
    }
}

/// Returns the values of a neuron's parameters, and 0 for parameters that its cell doesn't have.
fn values(parameters: &[CellParameter<'_>], neuron: usize) -> [f64; CONSTANTS] {
    std::array::from_fn(|i| parameters.get(i).map_or(0.0, |parameter| parameter.of(neuron)))
}

/// Operations on a float64, from which the constants of cells are computed.
pub(super) trait Wide:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Neg<Output = Self>
{
    fn of(x: f64) -> Self;
    fn exp(self) -> Self;
    /// Returns e^self - 1, precise for small numbers.
    fn exp_m1(self) -> Self;
    fn sin(self) -> Self;
    fn cos(self) -> Self;
    /// Returns self, or 0 where `x` is 0.
    fn or_0_where_0(self, x: Self) -> Self;
}

impl Wide for f64 {
    fn of(x: f64) -> f64 {
        x
    }

    fn exp(self) -> f64 {
        libm::exp(self)
    }

    fn exp_m1(self) -> f64 {
        libm::expm1(self)
    }

    fn sin(self) -> f64 {
        libm::sin(self)
    }

    fn cos(self) -> f64 {
        libm::cos(self)
    }

    fn or_0_where_0(self, x: f64) -> f64 {
        if x == 0.0 { 0.0 } else { self }
    }
}

/// The constants of a layer's neurons, in tiles. All neurons have the same cell and surrogate.
#[derive(Clone, Debug)]
pub(crate) struct Constants {
    pub(super) cell: Cell,
    pub(super) surrogate: Surrogate,
    /// Constants of each tile of neurons. They are 0 for the padding of the last tile.
    pub(super) tiles: Vec<[Tile; CONSTANTS]>,
}

impl Constants {
    /// Makes the constants of a layer. The parameters are in the order that [`Cell`] lists.
    pub(crate) fn new(cell: Cell, surrogate: Surrogate, parameters: &[CellParameter<'_>]) -> Constants {
        assert_eq!(parameters.len(), cell.parameters(), "parameters of {cell:?}");
        let neurons = parameters[0].values.len();
        let mut tiles = vec![[[0.0; TILE_WIDTH]; CONSTANTS]; neurons.div_ceil(TILE_WIDTH)];
        for neuron in 0..neurons {
            let constants = cell.constants(parameters, neuron);
            for (row, constant) in tiles[neuron / TILE_WIDTH].iter_mut().zip(constants) {
                row[neuron % TILE_WIDTH] = constant as f32;
            }
        }
        Constants { cell, surrogate, tiles }
    }

    /// Returns the number of tiles of neurons.
    pub(crate) fn tiles(&self) -> usize {
        self.tiles.len()
    }

    /// Writes the gradients for the parameters, in the order and shapes of [`Constants::new`]. `sums(neuron)` returns
    /// the sums of [`backward`](super::backward) over all samples. Only the first [`PARAMETER_SUMS`] of them are used.
    pub(crate) fn write_gradients<'a>(
        &self,
        parameters: &[CellParameter<'_>],
        sums: impl Fn(usize) -> &'a [f64],
        gradients: &mut [&mut [f32]],
    ) {
        for neuron in 0..parameters[0].values.len() {
            let of: [f64; PARAMETER_SUMS] = std::array::from_fn(|i| sums(neuron)[i]);
            let values = self.cell.parameter_gradients(parameters, neuron, &of);
            gradients.iter_mut().zip(values).for_each(|(gradients, value)| gradients[neuron] = value as f32);
        }
    }
}
