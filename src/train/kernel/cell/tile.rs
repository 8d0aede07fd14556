//! A layer of cells over time, with the states in registers. Two tiles of neurons run at once, because each step of a
//! neuron waits for the neuron's previous step.

use crate::kernel::cell::adaptive::Adaptive;
use crate::kernel::cell::complex::Complex;
use crate::kernel::cell::cuba_lif::CubaLif;
use crate::kernel::cell::dynamics::{Dynamics, Step};
use crate::kernel::cell::lif::Lif;
use crate::kernel::cell::{CONSTANTS, Cell, Constants, PARAMETER_SUMS, Reset, SUMS, Surrogate};
use crate::kernel::isa::for_each_isa;
use crate::kernel::norm::Norm;
use crate::kernel::vector::{F32x16, F64x16};
use crate::kernel::{Aligned, DoubleTile, TILE_WIDTH, Tile, halves, halves_mut};

/// Number of time steps after which float32 sums are added to sums in float64.
pub(super) const SHORT: usize = 8;

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

/// States of some tiles of neurons before the first step and after each step. Scratch memory.
pub(crate) type StateTrace = Aligned<[Tile; 2]>;

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
    /// Returns whether all states are finite. The spikes of a neuron whose state is NaN or infinite have no meaning.
    pub(crate) fn forward<V>(
        constants: &Constants,
        input: &CellInput<'_>,
        fired: &mut [u32],
        open: &mut [u32],
    ) -> bool {
        let tiles = constants.tiles();
        let mut finite = true;
        for first in (0..tiles).step_by(2) {
            let fired = fired.get_mut(first..).unwrap_or_default();
            let open = open.get_mut(first..).unwrap_or_default();
            finite &= with_dynamics!(constants.cell, D => match tiles - first {
                1 => mark_tiles::<V, D, 1>(constants, input, first, fired, open),
                _ => mark_tiles::<V, D, 2>(constants, input, first, fired, open),
            });
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
        trace: &mut StateTrace,
        g: &[Tile],
        out: &mut [Tile],
        sums: &mut [[DoubleTile; SUMS]],
    ) {
        for (pair, sums) in sums[..constants.tiles()].chunks_mut(2).enumerate() {
            let first = 2 * pair;
            with_dynamics!(constants.cell, D => {
                match sums.len() {
                    1 => trace_tiles::<V, D, 1>(constants, input, first, trace),
                    _ => trace_tiles::<V, D, 2>(constants, input, first, trace),
                }
                for (n, sums) in sums.iter_mut().enumerate() {
                    let columns = (first + n) * input.stride..(first + n) * input.stride + input.steps;
                    let trace = &trace[n * (input.steps + 1)..][..input.steps + 1];
                    let (g, out) = (&g[columns.clone()], &mut out[columns]);
                    match constants.surrogate {
                        // The boxcar has a copy of the loop without a branch for the surrogate. The other surrogates
                        // take longer than that branch.
                        Surrogate::Boxcar { height, width } => {
                            let surrogate = Surrogate::Boxcar { height, width };
                            backward_tile::<V, D>(constants, surrogate, input, first + n, trace, g, out, sums);
                        }
                        other => backward_tile::<V, D>(constants, other, input, first + n, trace, g, out, sums),
                    }
                }
            });
        }
    }
}

pub(super) use with_dynamics;

/// Returns 1 for each potential above 1, else 0.
#[inline(always)]
pub(super) fn spikes<V: F32x16>(potential: V) -> V {
    V::splat(1.0).keep_above(potential, V::splat(1.0))
}

#[inline(always)]
pub(in crate::kernel) fn load<V: F32x16, const N: usize>(tiles: &[Tile; N], half: usize) -> [V; N] {
    std::array::from_fn(|i| V::load(halves(&tiles[i])[half]))
}

/// Values that the forward pass keeps in registers, for the sixteen neurons of half a tile.
struct Forward<V> {
    c: [V; CONSTANTS],
    scale: V,
    shift: V,
    states: [V; 2],
    spikes: V,
}

impl<V: F32x16> Forward<V> {
    #[inline(always)]
    fn new(constants: &Constants, input: &CellInput<'_>, tile: usize, half: usize) -> Forward<V> {
        let (scale, shift) = input.norm.tile(tile);
        let [scale, shift] = load(&[*scale, *shift], half);
        let [first, second, spikes] = load(&input.start(tile), half);
        Forward { c: load(&constants.tiles[tile], half), scale, shift, states: [first, second], spikes }
    }

    /// Goes one step forward in time, and returns the potential.
    #[inline(always)]
    fn step<D: Dynamics>(&mut self, y: &Tile, half: usize) -> V {
        let current = V::load(halves(y)[half]).mul_add(self.scale, self.shift);
        self.states = D::step(&self.c, self.states, self.spikes, current);
        let potential = D::potential(self.states);
        self.spikes = spikes(potential);
        potential
    }

    /// Returns whether all states are finite. A state that is NaN or infinite stays so until the last step.
    #[inline(always)]
    fn is_finite(&self) -> bool {
        let [first, second] = self.states;
        // x - x is 0 if x is finite, and NaN otherwise.
        (first.sub(first).nonzero() | second.sub(second).nonzero()) == 0
    }
}

/// Runs the N tiles from tile `first` on forward over time. Sets bits in `fired` for neurons that spike, and in `open`
/// for neurons whose surrogate can differ from 0. Both slices begin at tile `first`: element `t * tiles + n` is for
/// tile `first + n` at time step t, where `tiles` is the layer's number of tiles. Returns whether all states of the N
/// tiles are finite.
#[inline(always)]
fn mark_tiles<V: F32x16, D: Dynamics, const N: usize>(
    constants: &Constants,
    input: &CellInput<'_>,
    first: usize,
    fired: &mut [u32],
    open: &mut [u32],
) -> bool {
    let (tiles, support) = (constants.tiles(), constants.surrogate.support());
    let mut run: [[Forward<V>; 2]; N] =
        std::array::from_fn(|n| [0, 1].map(|half| Forward::new(constants, input, first + n, half)));
    let columns: [&[Tile]; N] = std::array::from_fn(|n| input.column(first + n));
    let bits = fired.chunks_mut(tiles).zip(open.chunks_mut(tiles));
    for (t, (fired, open)) in (0..input.steps).zip(bits) {
        for n in 0..N {
            let (mut spiking, mut near) = (0, 0);
            for (half, run) in run[n].iter_mut().enumerate() {
                let potential = run.step::<D>(&columns[n][t], half);
                spiking |= potential.above(V::splat(1.0)) << (16 * half);
                near |= in_support(potential, support) << (16 * half);
            }
            (fired[n], open[n]) = (spiking, near);
        }
    }
    let mut finite = true;
    for [low, high] in &run {
        finite &= low.is_finite() & high.is_finite();
    }
    finite
}

/// Runs N tiles forward, and writes their states to `trace[n * (steps + 1) + t]`. `first` is the index of the first
/// tile.
#[inline(always)]
fn trace_tiles<V: F32x16, D: Dynamics, const N: usize>(
    constants: &Constants,
    input: &CellInput<'_>,
    first: usize,
    trace: &mut StateTrace,
) {
    trace.resize((input.steps + 1) * N, [[0.0; TILE_WIDTH]; 2]);
    let mut run: [[Forward<V>; 2]; N] =
        std::array::from_fn(|n| [0, 1].map(|half| Forward::new(constants, input, first + n, half)));
    let columns: [&[Tile]; N] = std::array::from_fn(|n| input.column(first + n));
    let mut parts = trace.chunks_exact_mut(input.steps + 1);
    let mut parts: [&mut [[Tile; 2]]; N] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    for (n, part) in parts.iter_mut().enumerate() {
        let [u, w, _] = input.start(first + n);
        part[0] = [u, w];
    }
    for t in 0..input.steps {
        for n in 0..N {
            for (half, run) in run[n].iter_mut().enumerate() {
                run.step::<D>(&columns[n][t], half);
                for (state, to) in run.states.iter().zip(&mut parts[n][t + 1]).take(D::STATES) {
                    state.store(halves_mut(to)[half]);
                }
            }
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
pub(super) struct CellBackward<V> {
    c: [V; CONSTANTS],
    scale: V,
    shift: V,
    mean: V,
    next: [V; 2],
    /// Sums over at most [`SHORT`] time steps: those since the last call of [`add_sums`](CellBackward::add_sums).
    sums: [V; SUMS],
}

impl<V: F32x16> CellBackward<V> {
    #[inline(always)]
    pub(super) fn new(constants: &Constants, norm: &Norm, tile: usize, half: usize) -> CellBackward<V> {
        let (scale, shift) = norm.tile(tile);
        let [scale, shift, mean] = load(&[*scale, *shift, *norm.mean(tile)], half);
        let zero = V::splat(0.0);
        CellBackward { c: load(&constants.tiles[tile], half), scale, shift, mean, next: [zero; 2], sums: [zero; SUMS] }
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
        let (before, after) = (states::<V, D>(before, half), states::<V, D>(after, half));
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

    /// Like [`step`](CellBackward::step), and writes dL/dI to `out`. `start` has the spikes before the first time step.
    #[inline(always)]
    fn step_at<D: Dynamics>(
        &mut self,
        surrogate: &Surrogate,
        pair: [&[Tile; 2]; 2],
        start: Option<&Tile>,
        (y, g): (&Tile, &Tile),
        out: &mut Tile,
        half: usize,
    ) {
        let spikes_before = match start {
            Some(start) => V::load(halves(start)[half]),
            None => spikes(D::potential(states::<V, D>(pair[0], half))),
        };
        let values = (V::load(halves(y)[half]), V::splat(0.0), V::load(halves(g)[half]));
        self.step::<D>(surrogate, pair, spikes_before, values, half).store(halves_mut(out)[half]);
    }

    /// Adds the float32 sums over the last steps to the float64 `sums`, and sets the float32 sums to 0.
    #[inline(always)]
    pub(super) fn add_sums(&mut self, sums: &mut [DoubleTile; SUMS], half: usize) {
        for (own, total) in self.sums.iter_mut().zip(sums) {
            let total = &mut halves_mut(total)[half];
            V::Double::load(total).add(own.double()).store(total);
            *own = V::splat(0.0);
        }
    }
}

/// Loads the states of a cell. If the cell has only one state, the second is 0.
#[inline(always)]
fn states<V: F32x16, D: Dynamics>(of: &[Tile; 2], half: usize) -> [V; 2] {
    let second = if D::STATES == 2 { V::load(halves(&of[1])[half]) } else { V::splat(0.0) };
    [V::load(halves(&of[0])[half]), second]
}

/// Does the work of [`backward`] for one tile. `trace`, `g`, `out` and `sums` are those of the tile.
#[inline(always)]
#[allow(clippy::too_many_arguments)] // the arguments of backward
fn backward_tile<V: F32x16, D: Dynamics>(
    constants: &Constants,
    surrogate: Surrogate,
    input: &CellInput<'_>,
    tile: usize,
    trace: &[[Tile; 2]],
    g: &[Tile],
    out: &mut [Tile],
    sums: &mut [DoubleTile; SUMS],
) {
    let [mut low, mut high] = [0, 1].map(|half| CellBackward::<V>::new(constants, input.norm, tile, half));
    let start = input.start(tile)[2];
    *sums = [[0.0; TILE_WIDTH]; SUMS];
    let rows = input.column(tile).iter().zip(g).zip(out).zip(trace.windows(2));
    for (t, (((y, g), out), states)) in rows.enumerate().rev() {
        let states = [&states[0], &states[1]];
        let start = (t == 0).then_some(&start);
        low.step_at::<D>(&surrogate, states, start, (y, g), out, 0);
        high.step_at::<D>(&surrogate, states, start, (y, g), out, 1);
        if t.is_multiple_of(SHORT) {
            low.add_sums(sums, 0);
            high.add_sums(sums, 1);
        }
    }
}
