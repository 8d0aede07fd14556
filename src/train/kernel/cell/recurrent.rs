//! A layer of cells whose neurons also receive the layer's own spikes of the previous time step.
//!
//! ```text
//! the input current is I[t] + s[t-1] V, with V[i][j] from neuron i to neuron j, and V[i][i] = 0
//!
//! added to g[t][i]: sum over j of V[i][j] dL/dI[t+1][j]
//! dL/dV[i][j] = sum over t of s[t-1][i] dL/dI[t][j]
//! ```

use crate::kernel::cell::adaptive::Adaptive;
use crate::kernel::cell::complex::Complex;
use crate::kernel::cell::cuba_lif::CubaLif;
use crate::kernel::cell::dynamics::Dynamics;
use crate::kernel::cell::lif::Lif;
use crate::kernel::cell::tile::{CellBackward, CellInput, SHORT, StateTrace, in_support, load, spikes, with_dynamics};
use crate::kernel::cell::{CONSTANTS, Cell, Constants, Reset, SUMS};
use crate::kernel::isa::for_each_isa;
use crate::kernel::linear::{Panels, gather_row};
use crate::kernel::sampled::{Rows, each_dot, list};
use crate::kernel::vector::F32x16;
use crate::kernel::{ActiveCells, Aligned, DoubleTile, TILE_WIDTH, Tile, halves, halves_mut};

/// Returns whether all states of a tile are finite. A state that is NaN or infinite stays so until the last step.
fn is_finite(trace: &StateTrace) -> bool {
    trace.last().is_none_or(|states| states.as_flattened().iter().all(|state| state.is_finite()))
}

/// The recurrent weights V, in the order of the forward pass (`panels`) and of the backward pass (`rows`).
#[derive(Clone, Debug)]
pub(crate) struct Recurrent {
    panels: Panels,
    rows: Rows,
}

/// Scratch memory of a recurrent layer, for one sample.
#[derive(Debug, Default)]
pub(crate) struct RecurrentState {
    /// States over time of each tile: `traces[tile]`.
    traces: Vec<StateTrace>,
    /// s\[t-1\] V: `drive[tile * steps + t]`.
    drive: Aligned<Tile>,
    /// Spikes of the previous time step: step t has the spikes of step t - 1.
    spikes: ActiveCells,
    /// Outputs `fired` and `open` of the forward pass, which the backward pass computes again.
    fired: Vec<u32>,
    open: Vec<u32>,
}

impl RecurrentState {
    /// Returns the spikes that the recurrent weights multiply: step t has the spikes of step t - 1.
    pub(crate) fn spikes_before(&self) -> &ActiveCells {
        &self.spikes
    }
}

impl Recurrent {
    pub(crate) fn zeros(neurons: usize) -> Recurrent {
        Recurrent { panels: Panels::zeros(neurons, neurons), rows: Rows::zeros(neurons, neurons) }
    }

    /// Copies V, (neurons, neurons), and sets the diagonal of the copy to 0.
    pub(crate) fn pack(&mut self, v: &[f32]) {
        let neurons = self.panels.outputs();
        let mut weights = v.to_vec();
        (0..neurons).for_each(|i| weights[i * neurons + i] = 0.0);
        self.panels.pack(&weights, &vec![0.0; neurons]);
        self.rows.pack(&weights);
    }
}

for_each_isa! {
    /// Like [`forward`](super::forward), with recurrent weights.
    pub(crate) fn forward_recurrent<V>(
        constants: &Constants,
        recurrent: &Recurrent,
        input: &CellInput<'_>,
        state: &mut RecurrentState,
        fired: &mut [u32],
        open: &mut [u32],
    ) -> bool {
        with_dynamics!(constants.cell, D => forward_steps::<V, D>(constants, recurrent, input, state, fired, open));
        state.traces.iter().all(is_finite)
    }

    /// Like [`backward`](super::backward), with recurrent weights.
    #[allow(clippy::too_many_arguments)] // the weights, states and gradients of one layer
    pub(crate) fn backward_recurrent<V>(
        constants: &Constants,
        recurrent: &Recurrent,
        input: &CellInput<'_>,
        state: &mut RecurrentState,
        g: &[Tile],
        out: &mut [Tile],
        sums: &mut [[DoubleTile; SUMS]],
    ) {
        let (mut fired, mut open) = (std::mem::take(&mut state.fired), std::mem::take(&mut state.open));
        fired.resize(constants.tiles() * input.steps, 0);
        open.resize(fired.len(), 0);
        with_dynamics!(constants.cell, D => {
            forward_steps::<V, D>(constants, recurrent, input, state, &mut fired, &mut open);
            backward_steps::<V, D>(constants, recurrent, input, state, &open, g, out, sums);
        });
        (state.fired, state.open) = (fired, open);
    }
}

#[inline(always)]
fn forward_steps<V: F32x16, D: Dynamics>(
    constants: &Constants,
    recurrent: &Recurrent,
    input: &CellInput<'_>,
    state: &mut RecurrentState,
    fired: &mut [u32],
    open: &mut [u32],
) {
    let (tiles, steps) = (constants.tiles(), input.steps);
    let RecurrentState { traces, drive, spikes: before, .. } = state;
    traces.resize_with(tiles, StateTrace::default);
    drive.resize(tiles * steps, [0.0; TILE_WIDTH]);
    for (tile, trace) in traces.iter_mut().enumerate() {
        trace.resize(steps + 1, [[0.0; TILE_WIDTH]; 2]);
        let [first, second, _] = input.start(tile);
        trace[0] = [first, second];
    }
    let start: Aligned<Tile> = (0..tiles).map(|tile| input.start(tile)[2]).collect();
    before.clear();
    for t in 0..steps {
        match t {
            0 => before.push_values(start.iter().flatten().take(recurrent.panels.outputs()).copied()),
            _ => before.push_bits(&fired[(t - 1) * tiles..][..tiles], 1.0),
        }
        for tile in 0..tiles {
            let row = gather_row::<V>(&recurrent.panels, tile, before.step(t));
            let (scale, shift) = input.norm.tile(tile);
            let (mut bits, mut support) = (0, 0);
            let own = &mut drive[tile * steps + t];
            for (half, sum) in row.into_iter().enumerate() {
                sum.store(halves_mut(own)[half]);
                let c: [V; CONSTANTS] = load(&constants.tiles[tile], half);
                let states: [V; 2] = load(&traces[tile][t], half);
                let spikes_before =
                    if t == 0 { V::load(halves(&start[tile])[half]) } else { spikes(D::potential(states)) };
                let (scale, shift) = (V::load(halves(scale)[half]), V::load(halves(shift)[half]));
                let current = V::load(halves(&input.column(tile)[t])[half]).mul_add(scale, shift).add(sum);
                let states = D::step(&c, states, spikes_before, current);
                states.into_iter().zip(&mut traces[tile][t + 1]).for_each(|(s, to)| s.store(halves_mut(to)[half]));
                let potential = D::potential(states);
                bits |= potential.above(V::splat(1.0)) << (16 * half);
                support |= in_support(potential, constants.surrogate.support()) << (16 * half);
            }
            (fired[t * tiles + tile], open[t * tiles + tile]) = (bits, support);
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)] // the weights, states and gradients of one layer
fn backward_steps<V: F32x16, D: Dynamics>(
    constants: &Constants,
    recurrent: &Recurrent,
    input: &CellInput<'_>,
    state: &RecurrentState,
    open: &[u32],
    g: &[Tile],
    out: &mut [Tile],
    sums: &mut [[DoubleTile; SUMS]],
) {
    let (tiles, steps) = (constants.tiles(), input.steps);
    let mut back: Vec<[CellBackward<V>; 2]> =
        (0..tiles).map(|tile| [0, 1].map(|half| CellBackward::new(constants, input.norm, tile, half))).collect();
    let (mut chosen, mut current) = (Vec::new(), Aligned::filled([0.0; TILE_WIDTH], tiles));
    let mut later = current.clone();
    sums.fill([[0.0; TILE_WIDTH]; SUMS]);
    for t in (0..steps).rev() {
        // Here, `current` is dL/dI at t + 1. `later` becomes the gradient for the spikes at t that flows through V.
        later.fill([0.0; TILE_WIDTH]);
        list(&open[t * tiles..][..tiles], &mut chosen);
        each_dot::<V>(&recurrent.rows, &current, &chosen, |i, dot| later.as_flattened_mut()[i] = dot);
        for tile in 0..tiles {
            let at = tile * input.stride + t;
            let states = [&state.traces[tile][t], &state.traces[tile][t + 1]];
            let start = input.start(tile)[2];
            for (half, back) in back[tile].iter_mut().enumerate() {
                let row = |tile: &Tile| V::load(halves(tile)[half]);
                let spikes_before =
                    if t == 0 { row(&start) } else { spikes(D::potential(load::<V, 2>(states[0], half))) };
                let g = row(&g[at]).add(row(&later[tile]));
                let values = (row(&input.y[at]), row(&state.drive[tile * steps + t]), g);
                let own = back.step::<D>(&constants.surrogate, states, spikes_before, values, half);
                own.store(halves_mut(&mut out[at])[half]);
                own.store(halves_mut(&mut current[tile])[half]);
            }
        }
        if t.is_multiple_of(SHORT) {
            for (back, sums) in back.iter_mut().zip(&mut *sums) {
                back.iter_mut().enumerate().for_each(|(half, back)| back.add_sums(sums, half));
            }
        }
    }
}
