//! A layer of cells over time, one tile of neurons after the other, with the states in registers.

use crate::kernel::cell::adaptive::Adaptive;
use crate::kernel::cell::complex::Complex;
use crate::kernel::cell::cuba_lif::CubaLif;
use crate::kernel::cell::dynamics::{Dynamics, Step};
use crate::kernel::cell::lif::Lif;
use crate::kernel::cell::{CONSTANTS, Cell, Constants, PARAMETER_SUMS, Reset, SUMS, Surrogate};
use crate::kernel::isa::for_each_isa;
use crate::kernel::norm::Norm;
use crate::kernel::vector::F32x16;
use crate::kernel::{TILE_WIDTH, Tile, halves, halves_mut};

/// The input of a layer of cells, for one sample.
#[derive(Clone, Copy)]
pub(crate) struct CellInput<'a> {
    /// Output of the linear layer. `y[tile * stride + t][j]` belongs to neuron `tile * TILE_WIDTH + j` at time step t.
    pub(crate) y: &'a [Tile],
    pub(crate) stride: usize,
    /// Number of time steps.
    pub(crate) steps: usize,
    /// Norm with a scale and a shift per neuron. It turns y into the input current I.
    pub(crate) norm: &'a Norm,
    /// States and spikes before the first step, for each tile: the two states of the cell's formula, then s.
    /// `None` if all are 0. The padding of the last tile must be 0.
    pub(crate) start: Option<&'a [[Tile; 3]]>,
}

/// States of one tile of neurons before the first step and after each step. Scratch memory.
pub(crate) type Trace = Vec<[Tile; 2]>;

impl CellInput<'_> {
    pub(in crate::kernel) fn column(&self, tile: usize) -> &[Tile] {
        &self.y[tile * self.stride..][..self.steps]
    }

    pub(in crate::kernel) fn start(&self, tile: usize) -> [Tile; 3] {
        self.start.map_or([[0.0; TILE_WIDTH]; 3], |start| start[tile])
    }
}

/// Calls a generic function with the [`Dynamics`] of a cell.
macro_rules! with_dynamics {
    ($cell:expr, $dynamics:ident => $call:expr) => {
        match $cell {
            Cell::Lif(Reset::Soft) => {
                type $dynamics = Lif<false>;
                $call
            }
            Cell::Lif(Reset::Hard) => {
                type $dynamics = Lif<true>;
                $call
            }
            Cell::CubaLif(Reset::Soft) => {
                type $dynamics = CubaLif<false>;
                $call
            }
            Cell::CubaLif(Reset::Hard) => {
                type $dynamics = CubaLif<true>;
                $call
            }
            Cell::Adlif | Cell::Silif => {
                type $dynamics = Adaptive;
                $call
            }
            Cell::CSilif => {
                type $dynamics = Complex;
                $call
            }
        }
    };
}

for_each_isa! {
    /// Runs a layer forward over time. Bit j of `fired[t * tiles + tile]` is set if neuron `tile * TILE_WIDTH + j`
    /// spikes at step t. The same bit of `open` is set if the neuron's surrogate can differ from 0 at step t.
    ///
    /// Returns whether all states are finite. If not, the neurons with other states are silent.
    pub(crate) fn forward<V>(
        constants: &Constants,
        input: &CellInput<'_>,
        trace: &mut Trace,
        fired: &mut [u32],
        open: &mut [u32],
    ) -> bool {
        let tiles = constants.tiles();
        let mut finite = true;
        for tile in 0..tiles {
            with_dynamics!(constants.cell, D => {
                forward_tile::<V, D>(constants, input, tile, trace);
                mark::<V, D>(&trace[1..], constants.surrogate.support(), &mut fired[tile..], &mut open[tile..], tiles);
            });
            finite &= is_finite(trace);
        }
        finite
    }

    /// Runs a layer backward over time. `g` is dL/ds. Writes dL/dI to `out`. Both have the layout of `y`.
    ///
    /// Writes sums over time to `sums`, for each tile:
    /// - the gradients for the cell's constants
    /// - the sum of dL/dI
    /// - the sum of dL/dI * (y - mean)
    pub(crate) fn backward<V>(
        constants: &Constants,
        input: &CellInput<'_>,
        trace: &mut Trace,
        g: &[Tile],
        out: &mut [Tile],
        sums: &mut [[Tile; SUMS]],
    ) {
        for (tile, sums) in sums.iter_mut().enumerate().take(constants.tiles()) {
            let columns = tile * input.stride..tile * input.stride + input.steps;
            with_dynamics!(constants.cell, D => {
                forward_tile::<V, D>(constants, input, tile, trace);
                let (g, out) = (&g[columns.clone()], &mut out[columns]);
                *sums = backward_tile::<V, D>(constants, input, tile, trace, g, out);
            });
        }
    }
}

pub(super) use with_dynamics;

/// Returns whether all states of a tile are finite. A state that is NaN or infinite stays so until the last step.
pub(super) fn is_finite(trace: &Trace) -> bool {
    trace.last().is_none_or(|states| states.as_flattened().iter().all(|state| state.is_finite()))
}

/// Returns 1 for each potential above 1, else 0.
#[inline(always)]
pub(super) fn spikes<V: F32x16>(potential: V) -> V {
    V::splat(1.0).keep_above(potential, V::splat(1.0))
}

#[inline(always)]
pub(in crate::kernel) fn load<V: F32x16, const N: usize>(tiles: &[Tile; N], half: usize) -> [V; N] {
    std::array::from_fn(|i| V::load(halves(&tiles[i])[half]))
}

/// Writes the states of one tile to `trace`.
#[inline(always)]
fn forward_tile<V: F32x16, D: Dynamics>(constants: &Constants, input: &CellInput<'_>, tile: usize, trace: &mut Trace) {
    trace.resize(input.steps + 1, [[0.0; TILE_WIDTH]; 2]);
    let c: [[V; CONSTANTS]; 2] = [0, 1].map(|half| load(&constants.tiles[tile], half));
    let (scale, shift) = input.norm.tile(tile);
    let norm: [[V; 2]; 2] = [0, 1].map(|half| load(&[*scale, *shift], half));
    let start = input.start(tile);
    let mut states: [[V; 2]; 2] = [0, 1].map(|half| load(&[start[0], start[1]], half));
    let mut fired: [V; 2] = halves(&start[2]).map(V::load);
    let (first, rest) = trace.split_at_mut(1);
    first[0] = [start[0], start[1]];
    for (y, trace) in input.column(tile).iter().zip(rest) {
        for half in 0..2 {
            let current = V::load(halves(y)[half]).mul_add(norm[half][0], norm[half][1]);
            states[half] = D::step(&c[half], states[half], fired[half], current);
            fired[half] = spikes(D::potential(states[half]));
            for (state, to) in states[half].into_iter().zip(&mut *trace) {
                state.store(halves_mut(to)[half]);
            }
        }
    }
}

/// Sets the bits of one tile: in `fired` for neurons that spike, and in `open` for neurons whose surrogate can differ
/// from 0. The tile has every `tiles`-th element of both slices.
#[inline(always)]
fn mark<V: F32x16, D: Dynamics>(trace: &[[Tile; 2]], support: f32, fired: &mut [u32], open: &mut [u32], tiles: usize) {
    let bits = fired.chunks_mut(tiles).zip(open.chunks_mut(tiles));
    for (states, (fired, open)) in trace.iter().zip(bits) {
        (fired[0], open[0]) = (0, 0);
        for half in 0..2 {
            let potential = D::potential(load::<V, 2>(states, half));
            fired[0] |= potential.above(V::splat(1.0)) << (16 * half);
            open[0] |= in_support(potential, support) << (16 * half);
        }
    }
}

/// Returns a mask of the neurons whose surrogate can differ from 0 at this potential.
#[inline(always)]
pub(super) fn in_support<V: F32x16>(potential: V, support: f32) -> u32 {
    let x = potential.sub(V::splat(1.0));
    x.above(V::splat(-support)) & !x.above(V::splat(support))
}

/// Values that the backward pass keeps in registers, for the sixteen neurons of half a tile.
pub(super) struct Backward<V> {
    c: [V; CONSTANTS],
    scale: V,
    shift: V,
    mean: V,
    next: [V; 2],
    sums: [V; SUMS],
}

impl<V: F32x16> Backward<V> {
    #[inline(always)]
    pub(super) fn new(constants: &Constants, norm: &Norm, tile: usize, half: usize) -> Backward<V> {
        let (scale, shift) = norm.tile(tile);
        let [scale, shift, mean] = load(&[*scale, *shift, *norm.mean(tile)], half);
        let zero = V::splat(0.0);
        Backward { c: load(&constants.tiles[tile], half), scale, shift, mean, next: [zero; 2], sums: [zero; SUMS] }
    }

    /// Goes one step back in time, and returns dL/dI. `extra` is added to the input current.
    #[inline(always)]
    pub(super) fn step<D: Dynamics>(
        &mut self,
        surrogate: &Surrogate,
        [before, after]: [&[Tile; 2]; 2],
        spikes_before: V,
        (y, extra, g): (V, V, V),
        half: usize,
    ) -> V {
        let (before, after) = (load(before, half), load(after, half));
        let potential = D::potential::<V>(after);
        let at = Step {
            before,
            spikes_before,
            after,
            spikes: spikes(potential),
            input: y.mul_add(self.scale, self.shift).add(extra),
            sigma: surrogate.at(potential.sub(V::splat(1.0))),
            g,
        };
        let mut own: [V; PARAMETER_SUMS] = std::array::from_fn(|i| self.sums[i]);
        let (states, current) = D::back(&self.c, &at, self.next, &mut own);
        self.next = states;
        let [.., total, product] = self.sums;
        let [a, b, c, d] = own;
        self.sums = [a, b, c, d, total.add(current), current.mul_add(y.sub(self.mean), product)];
        current
    }

    #[inline(always)]
    pub(super) fn store_sums(&self, sums: &mut [Tile; SUMS], half: usize) {
        self.sums.iter().zip(sums).for_each(|(sum, to)| sum.store(halves_mut(to)[half]));
    }
}

#[inline(always)]
fn backward_tile<V: F32x16, D: Dynamics>(
    constants: &Constants,
    input: &CellInput<'_>,
    tile: usize,
    trace: &Trace,
    g: &[Tile],
    out: &mut [Tile],
) -> [Tile; SUMS] {
    let mut back: [Backward<V>; 2] = [0, 1].map(|half| Backward::new(constants, input.norm, tile, half));
    let start = input.start(tile)[2];
    let y = input.column(tile);
    for t in (0..input.steps).rev() {
        for (half, back) in back.iter_mut().enumerate() {
            let spikes_before = match t {
                0 => V::load(halves(&start)[half]),
                _ => spikes(D::potential(load::<V, 2>(&trace[t], half))),
            };
            let values = (V::load(halves(&y[t])[half]), V::splat(0.0), V::load(halves(&g[t])[half]));
            let states = [&trace[t], &trace[t + 1]];
            let current = back.step::<D>(&constants.surrogate, states, spikes_before, values, half);
            current.store(halves_mut(&mut out[t])[half]);
        }
    }
    let mut sums = [[0.0; TILE_WIDTH]; SUMS];
    back.iter().enumerate().for_each(|(half, back)| back.store_sums(&mut sums, half));
    sums
}
