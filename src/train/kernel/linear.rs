//! Activity times weights, and its two gradients.
//!
//! The forward product and the weight gradient touch only the rows of W^T whose cells are active; lambda is dense, so
//! the input gradient is a matmul, blocked in registers.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{Activity, TILE, Tile};

/// Steps that the input gradient computes together.
const STEPS: usize = 6;
/// Columns that the input gradient computes together.
const COLUMNS: usize = 16;
/// Rows of panels that one task adds up.
const ROWS: usize = 64;

/// From one tile to the next where each has `steps` steps: what [`input_gradient`] needs time to be padded to.
pub fn stride(steps: usize) -> usize {
    steps.max(1).next_multiple_of(STEPS)
}

/// The weights of one layer in the order in which the kernels read them, and their gradient in the same order.
///
/// All are padded with zeros to whole tiles.
#[derive(Clone, Debug, Default)]
pub struct Panels {
    inputs: usize,
    outputs: usize,
    /// `[tile][input]`: the weights from one input to a tile of outputs.
    weights: Vec<Tile>,
    /// `[tile]`
    bias: Vec<Tile>,
}

impl Panels {
    /// Zeros, for a layer of `outputs` times `inputs` weights.
    pub fn zeros(inputs: usize, outputs: usize) -> Panels {
        let tiles = outputs.div_ceil(TILE);
        Panels { inputs, outputs, weights: vec![[0.0; TILE]; tiles * inputs], bias: vec![[0.0; TILE]; tiles] }
    }

    /// Back to zeros.
    pub fn clear(&mut self) {
        self.weights.fill([0.0; TILE]);
        self.bias.fill([0.0; TILE]);
    }

    /// How many inputs.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// How many outputs, without the padding.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Tiles of outputs.
    pub fn tiles(&self) -> usize {
        self.bias.len()
    }

    /// Copies W^T (in, out) and the bias (out) in.
    pub fn pack(&mut self, weight_t: &[f32], bias: &[f32]) {
        let outputs = bias.len();
        for (tile, panel) in self.weights.chunks_exact_mut(self.inputs.max(1)).enumerate() {
            for (row, weights) in panel.iter_mut().zip(weight_t.chunks_exact(outputs.max(1))) {
                let part = &weights[tile * TILE..outputs.min((tile + 1) * TILE)];
                row[..part.len()].copy_from_slice(part);
            }
        }
        for (tile, part) in self.bias.iter_mut().zip(bias.chunks(TILE)) {
            tile[..part.len()].copy_from_slice(part);
        }
    }

    /// Copies W^T (in, out) and the bias (out) out.
    pub fn unpack(&self, weight_t: &mut [f32], bias: &mut [f32]) {
        let outputs = bias.len();
        for (tile, panel) in self.weights.chunks_exact(self.inputs.max(1)).enumerate() {
            for (row, weights) in panel.iter().zip(weight_t.chunks_exact_mut(outputs.max(1))) {
                let part = &mut weights[tile * TILE..outputs.min((tile + 1) * TILE)];
                part.copy_from_slice(&row[..part.len()]);
            }
        }
        for (tile, part) in self.bias.iter().zip(bias.chunks_mut(TILE)) {
            part.copy_from_slice(&tile[..part.len()]);
        }
    }

    /// Adds panels of the same shape, `others` in their order, in parallel over the weights.
    pub fn add(&mut self, others: &[&Panels]) {
        self.weights.par_chunks_mut(ROWS).enumerate().for_each(|(chunk, sums)| {
            others.iter().for_each(|other| add_tiles(sums, &other.weights[chunk * ROWS..][..sums.len()]));
        });
        others.iter().for_each(|other| add_tiles(&mut self.bias, &other.bias));
    }

    /// One tile: a row for each input, and the bias.
    pub fn tile(&self, tile: usize) -> (&[Tile], &Tile) {
        (&self.weights[tile * self.inputs..(tile + 1) * self.inputs], &self.bias[tile])
    }

    /// One tile, to add a gradient to.
    pub fn tile_mut(&mut self, tile: usize) -> (&mut [Tile], &mut Tile) {
        (&mut self.weights[tile * self.inputs..(tile + 1) * self.inputs], &mut self.bias[tile])
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn add_tiles(sums: &mut [Tile], tiles: &[Tile]) {
    for (sum, tile) in sums.iter_mut().zip(tiles) {
        for j in 0..TILE {
            sum[j] += tile[j];
        }
    }
}

/// Adds the gradient of a tile whose lambda is the same at all of `steps` steps, given the activity's `totals` over
/// time as one step.
pub(crate) fn constant_gradient_tile(
    totals: &Activity,
    lambda: &Tile,
    steps: usize,
    panel: &mut [Tile],
    bias: &mut Tile,
) {
    for (sum, lambda) in bias.iter_mut().zip(lambda) {
        *sum += steps as f32 * lambda;
    }
    for &(cell, total) in totals.step(0) {
        for (sum, lambda) in panel[cell as usize].iter_mut().zip(lambda) {
            *sum += total * lambda;
        }
    }
}

/// b + sum of count * W^T\[cell\] over the active cells of one step, in their order.
#[inline(always)]
pub(crate) fn gather(panel: &[Tile], bias: &Tile, active: &[(u32, f32)]) -> Tile {
    let mut x = *bias;
    for &(cell, count) in active {
        let row = &panel[cell as usize];
        for j in 0..TILE {
            x[j] += count * row[j];
        }
    }
    x
}

/// The currents of a tile at every step of `x`: b + sum of count * W^T\[cell\] over the step's active cells.
///
/// # Panics
/// If `activity` has fewer steps than `x`, or a cell that is not in `panel`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn forward_tile(panel: &[Tile], bias: &Tile, activity: &Activity, x: &mut [Tile]) {
    for (t, x) in x.iter_mut().enumerate() {
        *x = gather(panel, bias, activity.step(t));
    }
}

/// b + sum of count * W^T\[cell\] over `active`, by itself: the readout's product with the spikes summed over time.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn product(panel: &[Tile], bias: &Tile, active: &[(u32, f32)]) -> Tile {
    gather(panel, bias, active)
}

/// Adds a tile's weight gradient, the sum over steps of count * lambda\[t\] to each active cell's row, and its bias
/// gradient, the sum of lambda. Both sums run forward in time.
///
/// # Panics
/// If `activity` has fewer steps than `lambda`, or a cell that is not in `panel`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn weight_gradient_tile(activity: &Activity, lambda: &[Tile], panel: &mut [Tile], bias: &mut Tile) {
    let mut sum = *bias;
    for (t, lambda) in lambda.iter().enumerate() {
        let lambda = *lambda;
        for j in 0..TILE {
            sum[j] += lambda[j];
        }
        for &(cell, count) in activity.step(t) {
            let row = &mut panel[cell as usize];
            for j in 0..TILE {
                row[j] += count * lambda[j];
            }
        }
    }
    *bias = sum;
}

/// The weights of one layer in the order of the input gradient: for each 16 inputs, a row for each output.
#[derive(Clone, Debug, Default)]
pub struct TransposedPanels {
    /// Outputs, padded to whole tiles.
    outputs: usize,
    /// `[columns][output]`
    weights: Vec<[f32; COLUMNS]>,
}

impl TransposedPanels {
    /// Zeros, for a layer of `outputs` times `inputs` weights.
    pub fn zeros(inputs: usize, outputs: usize) -> TransposedPanels {
        let outputs = outputs.next_multiple_of(TILE);
        let columns = inputs.next_multiple_of(TILE) / COLUMNS;
        TransposedPanels { outputs, weights: vec![[0.0; COLUMNS]; columns * outputs] }
    }

    /// Copies W^T (in, out) in.
    pub fn pack(&mut self, weight_t: &[f32], outputs: usize) {
        for (input, weights) in weight_t.chunks_exact(outputs.max(1)).enumerate() {
            let panel = &mut self.weights[input / COLUMNS * self.outputs..][..outputs];
            for (row, &weight) in panel.iter_mut().zip(weights) {
                row[input % COLUMNS] = weight;
            }
        }
    }
}

/// lambda W for `stride` steps, as [`stride`] gives it.
///
/// `lambda` is `[tile][step]` of the layer's outputs, `g` `[tile][step]` of its inputs; sums run over the outputs in
/// their order.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn input_gradient(weights: &TransposedPanels, lambda: &[Tile], stride: usize, g: &mut [Tile]) {
    const PARTS: usize = TILE / COLUMNS;
    for (tile, g) in g.chunks_exact_mut(stride).enumerate() {
        let panels = &weights.weights[tile * PARTS * weights.outputs..][..PARTS * weights.outputs];
        for (block, g) in g.as_chunks_mut::<STEPS>().0.iter_mut().enumerate() {
            for (part, panel) in panels.chunks_exact(weights.outputs.max(1)).enumerate() {
                let mut sums = [[0.0; COLUMNS]; STEPS];
                for (lambda, rows) in lambda.chunks_exact(stride).zip(panel.as_chunks::<TILE>().0) {
                    let lambda = &lambda.as_chunks::<STEPS>().0[block];
                    for (k, row) in rows.iter().enumerate() {
                        for (sums, lambda) in sums.iter_mut().zip(lambda) {
                            for j in 0..COLUMNS {
                                sums[j] += lambda[k] * row[j];
                            }
                        }
                    }
                }
                for (g, sums) in g.iter_mut().zip(&sums) {
                    g[part * COLUMNS..][..COLUMNS].copy_from_slice(sums);
                }
            }
        }
    }
}

/// lambda W for one step: lambda has one number for each output, `g` is `[tile]` of the inputs.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn input_gradient_row(weights: &TransposedPanels, lambda: &[f32], g: &mut [Tile]) {
    let parts = g.iter_mut().flat_map(|tile| tile.as_chunks_mut::<COLUMNS>().0);
    for (g, panel) in parts.zip(weights.weights.chunks_exact(weights.outputs.max(1))) {
        let mut sums = [0.0; COLUMNS];
        for (&lambda, row) in lambda.iter().zip(panel) {
            for j in 0..COLUMNS {
                sums[j] += lambda * row[j];
            }
        }
        *g = sums;
    }
}
