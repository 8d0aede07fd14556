//! Linear layers: the outputs, and the gradients of the loss with respect to the inputs and the weights.
//!
//! W^T is the transposed weight matrix, with one row per input cell. Sparse kernels read only the rows of active
//! cells, dense kernels read all rows. Both add in the same order, so they give the same bits for finite values.
//! lambda is the gradient of the loss with respect to the outputs.

use rayon::prelude::*;
use tonic_ranks::Ranks;

use crate::kernel::isa::{Isa, for_each_isa};
use crate::kernel::vector::F32x16;
use crate::kernel::{ActiveCells, Aligned, TILE_WIDTH, Tile, halves, halves_mut};

/// Number of time steps that [`matmul_tile`] computes together. Without AVX-512, it computes half as many.
const STEPS: usize = 12;
/// Number of input cells that [`dense_weight_gradient_tile`] computes together. Without AVX-512, it computes half as
/// many.
const CELLS: usize = 8;
/// Number of elements of `Panels::weights` that one parallel task of [`Panels::sum`] adds.
const ROWS: usize = 64;

/// Returns `steps` rounded up to a multiple of [`STEPS`], as [`matmul_tile`] requires.
pub(crate) fn stride(steps: usize) -> usize {
    steps.max(1).next_multiple_of(STEPS)
}

/// The weights and biases of a layer, or their gradients, in tiles of [`TILE_WIDTH`] outputs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panels {
    inputs: usize,
    outputs: usize,
    /// `weights[tile * inputs + input]` has the weights from one input to the outputs of one tile.
    weights: Aligned<Tile>,
    /// Biases of the outputs, one element for each tile of [`TILE_WIDTH`] outputs.
    bias: Aligned<Tile>,
}

impl Panels {
    pub(crate) fn zeros(inputs: usize, outputs: usize) -> Panels {
        let tiles = outputs.div_ceil(TILE_WIDTH);
        Panels {
            inputs,
            outputs,
            weights: Aligned::filled([0.0; TILE_WIDTH], tiles * inputs),
            bias: Aligned::filled([0.0; TILE_WIDTH], tiles),
        }
    }

    /// Sets the sizes of these panels and fills them with zeros. Reuses their memory.
    pub(crate) fn reset(&mut self, inputs: usize, outputs: usize) {
        let tiles = outputs.div_ceil(TILE_WIDTH);
        (self.inputs, self.outputs) = (inputs, outputs);
        self.weights.resize(tiles * inputs, [0.0; TILE_WIDTH]);
        self.bias.resize(tiles, [0.0; TILE_WIDTH]);
        self.clear();
    }

    pub(crate) fn clear(&mut self) {
        self.weights.fill([0.0; TILE_WIDTH]);
        self.bias.fill([0.0; TILE_WIDTH]);
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// Returns the number of outputs, without the padding of the last tile.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(crate) fn tiles(&self) -> usize {
        self.bias.len()
    }

    /// Copies a layer's parameters to these panels. `weight_t` is W^T, (in, out), and `bias` is (out,).
    pub(crate) fn pack(&mut self, weight_t: &[f32], bias: &[f32]) {
        let outputs = bias.len();
        for (tile, panel) in self.weights.chunks_exact_mut(self.inputs.max(1)).enumerate() {
            for (row, weights) in panel.iter_mut().zip(weight_t.chunks_exact(outputs.max(1))) {
                let part = &weights[tile * TILE_WIDTH..outputs.min((tile + 1) * TILE_WIDTH)];
                row[..part.len()].copy_from_slice(part);
            }
        }
        for (tile, part) in self.bias.iter_mut().zip(bias.chunks(TILE_WIDTH)) {
            tile[..part.len()].copy_from_slice(part);
        }
    }

    /// Copies W to these panels, for the backward pass: the gradient for a layer's inputs is lambda W.
    ///
    /// `weight_t` is W^T, (in, out).
    pub(crate) fn pack_transposed(&mut self, weight_t: &[f32]) {
        for (output, weights) in weight_t.chunks_exact(self.inputs.max(1)).enumerate() {
            let panel = &mut self.weights[output / TILE_WIDTH * self.inputs..][..self.inputs];
            for (row, &weight) in panel.iter_mut().zip(weights) {
                row[output % TILE_WIDTH] = weight;
            }
        }
    }

    /// Copies these panels to a layer's parameters. `weight_t` is W^T, (in, out), and `bias` is (out,).
    pub(crate) fn unpack(&self, weight_t: &mut [f32], bias: &mut [f32]) {
        let outputs = bias.len();
        for (tile, panel) in self.weights.chunks_exact(self.inputs.max(1)).enumerate() {
            for (row, weights) in panel.iter().zip(weight_t.chunks_exact_mut(outputs.max(1))) {
                let part = &mut weights[tile * TILE_WIDTH..outputs.min((tile + 1) * TILE_WIDTH)];
                part.copy_from_slice(&row[..part.len()]);
            }
        }
        for (tile, part) in self.bias.iter().zip(bias.chunks_mut(TILE_WIDTH)) {
            part.copy_from_slice(&tile[..part.len()]);
        }
    }

    /// Adds up the gradients of all blocks of samples in a batch, in the order of the blocks: first the blocks of lower
    /// ranks, then `blocks`, then the blocks of higher ranks. On rank 0, which must have a block, the sum replaces its
    /// first block. On other ranks, which may have none, the sum is in `size`, which must have the size of the
    /// gradients.
    pub(crate) fn sum<'a>(isa: Isa, ranks: Ranks, blocks: Vec<&'a mut Panels>, size: &'a mut Panels) -> &'a Panels {
        let mut blocks = blocks.into_iter();
        let sum = if ranks.is_root() { blocks.next().unwrap_or(size) } else { size };
        let others: Vec<&Panels> = blocks.map(|block| &*block).collect();
        ranks.fold(sum.weights.as_flattened_mut(), |range, sums| {
            let first = range.start / TILE_WIDTH;
            let (sums, _) = sums.as_chunks_mut::<TILE_WIDTH>();
            sums.par_chunks_mut(ROWS).enumerate().for_each(|(chunk, sums)| {
                let from = first + chunk * ROWS;
                others.iter().for_each(|other| add_tiles(isa, sums, &other.weights[from..][..sums.len()]));
            });
        });
        ranks.fold(sum.bias.as_flattened_mut(), |range, sums| {
            let (sums, _) = sums.as_chunks_mut::<TILE_WIDTH>();
            let from = range.start / TILE_WIDTH;
            others.iter().for_each(|other| add_tiles(isa, sums, &other.bias[from..][..sums.len()]));
        });
        sum
    }

    /// Returns the weights and the biases of one tile of outputs. The weights have one element for each input.
    pub(crate) fn tile(&self, tile: usize) -> (&[Tile], &Tile) {
        (&self.weights[tile * self.inputs..(tile + 1) * self.inputs], &self.bias[tile])
    }

    pub(crate) fn tile_mut(&mut self, tile: usize) -> (&mut [Tile], &mut Tile) {
        (&mut self.weights[tile * self.inputs..(tile + 1) * self.inputs], &mut self.bias[tile])
    }
}

/// Adds the gradients for one tile of outputs to `panel` (weights) and `bias`.
///
/// `lambda` is the same at every time step. `totals` is the layer's input summed over time.
pub(crate) fn constant_gradient_tile(
    totals: &ActiveCells,
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

for_each_isa! {
    fn add_tiles<V>(sums: &mut [Tile], tiles: &[Tile]) {
        for (sum, tile) in sums.iter_mut().zip(tiles) {
            for (sum, part) in halves_mut(sum).into_iter().zip(halves(tile)) {
                V::load(sum).add(V::load(part)).store(sum);
            }
        }
    }

    /// Writes the outputs of a linear layer to `x`: bias + sum of count * W^T\[cell\] over the active cells.
    /// `x[tile * stride + t][j]` belongs to neuron `tile * TILE_WIDTH + j` at time step t.
    pub(crate) fn gather<V>(panels: &Panels, active: &ActiveCells, stride: usize, x: &mut [Tile]) {
        let mut tile = 0;
        while tile < panels.tiles() {
            let x = &mut x[tile * stride..];
            // With two tiles at a time, each entry is read half as often, and the weights of both tiles fit into L1.
            tile += match panels.tiles() - tile {
                2.. => gather_tiles::<V, 2>(panels, tile, active, stride, x),
                _ => gather_tiles::<V, 1>(panels, tile, active, stride, x),
            };
        }
    }

    /// Returns the outputs of one tile at one time step: bias + sum of count * W^T\[cell\] over the active cells.
    pub(crate) fn product<V>(panel: &[Tile], bias: &Tile, active: &[(u32, f32)]) -> Tile {
        let [sums] = gather_step::<V, 1>([panel], [bias], active);
        let mut x = [0.0; TILE_WIDTH];
        store(sums, &mut x);
        x
    }

    /// Adds the gradients of a layer's weights and biases to `gradient`. `active` is the layer's input.
    /// `lambda[tile * stride + t][j]` belongs to output `tile * TILE_WIDTH + j` at time step t.
    pub(crate) fn weight_gradient<V>(active: &ActiveCells, lambda: &[Tile], stride: usize, gradient: &mut Panels) {
        let by_cell = active.by_cell(gradient.inputs);
        for tile in 0..gradient.tiles() {
            let lambda = &lambda[tile * stride..][..active.steps()];
            let (panel, bias) = gradient.tile_mut(tile);
            add_over_time::<V>(lambda, bias);
            // The lambdas of a tile fit into L1, and a row of the gradient stays in registers.
            for (cell, entries) in by_cell.iter() {
                let row = &mut panel[cell as usize];
                let mut sums = halves(row).map(V::load);
                for &(t, count) in entries {
                    let (lambda, count) = (halves(&lambda[t as usize]), V::splat(count));
                    for half in 0..2 {
                        sums[half] = count.mul_add(V::load(lambda[half]), sums[half]);
                    }
                }
                store(sums, row);
            }
        }
    }

    /// Writes bias + a W^T to `out`, for one tile of outputs and every time step. `a[tile * stride + t][j]` is input
    /// `tile * TILE_WIDTH + j` at time step t. `stride` must come from the function [`stride`].
    pub(crate) fn matmul_tile<V>(a: &[Tile], stride: usize, panel: &[Tile], bias: &Tile, out: &mut [Tile]) {
        assert!(out.len() == stride && stride.is_multiple_of(STEPS) && stride > 0, "{} steps, stride {stride}", out.len());
        if V::WIDE {
            let start = halves(bias).map(V::load);
            for (block, out) in out.as_chunks_mut::<STEPS>().0.iter_mut().enumerate() {
                let sums = matmul_block::<V, STEPS, 2>(a, stride, block * STEPS, panel, [0, 1], start);
                sums.into_iter().zip(out).for_each(|(sums, out)| store(sums, out));
            }
        } else {
            const FEW: usize = STEPS / 2;
            for (block, out) in out.as_chunks_mut::<FEW>().0.iter_mut().enumerate() {
                for half in [0, 1] {
                    let start = [V::load(halves(bias)[half])];
                    let sums = matmul_block::<V, FEW, 1>(a, stride, block * FEW, panel, [half], start);
                    sums.into_iter().zip(&mut *out).for_each(|([sum], out)| sum.store(halves_mut(out)[half]));
                }
            }
        }
    }

    /// Adds the gradients for one tile of outputs to `panel` (weights) and `bias`.
    ///
    /// `a` is the layer's dense input, with the layout of [`matmul_tile`]. `lambda[t]` is for time step t.
    pub(crate) fn dense_weight_gradient_tile<V>(
        a: &[Tile],
        stride: usize,
        lambda: &[Tile],
        panel: &mut [Tile],
        bias: &mut Tile,
    ) {
        add_over_time::<V>(lambda, bias);
        for (a, rows) in a.chunks_exact(stride.max(1)).zip(panel.chunks_mut(TILE_WIDTH)) {
            let (blocks, rest) = if V::WIDE {
                let (blocks, rest) = rows.as_chunks_mut::<CELLS>();
                for (block, rows) in blocks.iter_mut().enumerate() {
                    dense_gradient_block::<V, CELLS, 2>(a, block * CELLS, lambda, rows, [0, 1]);
                }
                (blocks.len() * CELLS, rest)
            } else {
                const FEW: usize = CELLS / 2;
                let (blocks, rest) = rows.as_chunks_mut::<FEW>();
                for (block, rows) in blocks.iter_mut().enumerate() {
                    dense_gradient_block::<V, FEW, 1>(a, block * FEW, lambda, rows, [0]);
                    dense_gradient_block::<V, FEW, 1>(a, block * FEW, lambda, rows, [1]);
                }
                (blocks.len() * FEW, rest)
            };
            for (i, row) in rest.as_chunks_mut::<1>().0.iter_mut().enumerate() {
                dense_gradient_block::<V, 1, 2>(a, blocks + i, lambda, row, [0, 1]);
            }
        }
    }
}

/// Returns the outputs of one tile at one time step, in two vectors: bias + sum of count * W^T\[cell\].
#[inline(always)]
pub(super) fn gather_row<V: F32x16>(panels: &Panels, tile: usize, active: &[(u32, f32)]) -> [V; 2] {
    let (panel, bias) = panels.tile(tile);
    let [sums] = gather_step::<V, 1>([panel], [bias], active);
    sums
}

#[inline(always)]
fn store<V: F32x16>(values: [V; 2], to: &mut Tile) {
    values.into_iter().zip(halves_mut(to)).for_each(|(value, to)| value.store(to));
}

#[inline(always)]
fn gather_step<V: F32x16, const N: usize>(
    panels: [&[Tile]; N],
    bias: [&Tile; N],
    active: &[(u32, f32)],
) -> [[V; 2]; N] {
    let mut sums = bias.map(|bias| halves(bias).map(V::load));
    for &(cell, count) in active {
        let count = V::splat(count);
        for n in 0..N {
            let row = halves(&panels[n][cell as usize]);
            for half in 0..2 {
                sums[n][half] = count.mul_add(V::load(row[half]), sums[n][half]);
            }
        }
    }
    sums
}

/// Computes the outputs of N tiles for [`gather`]. `first` is the index of the first tile. Returns the number of tiles,
/// N.
#[inline(always)]
fn gather_tiles<V: F32x16, const N: usize>(
    panels: &Panels,
    first: usize,
    active: &ActiveCells,
    stride: usize,
    x: &mut [Tile],
) -> usize {
    let tiles: [_; N] = std::array::from_fn(|n| panels.tile(first + n));
    let mut columns = x.chunks_exact_mut(stride);
    let mut columns: [&mut [Tile]; N] = std::array::from_fn(|_| columns.next().unwrap_or_default());
    for t in 0..active.steps() {
        let sums = gather_step::<V, N>(tiles.map(|(panel, _)| panel), tiles.map(|(_, bias)| bias), active.step(t));
        for (sums, column) in sums.into_iter().zip(&mut columns) {
            store(sums, &mut column[t]);
        }
    }
    N
}

#[inline(always)]
fn add_over_time<V: F32x16>(lambda: &[Tile], sum: &mut Tile) {
    let mut sums = halves(sum).map(V::load);
    for lambda in lambda {
        for (sum, lambda) in sums.iter_mut().zip(halves(lambda)) {
            *sum = sum.add(V::load(lambda));
        }
    }
    store(sums, sum);
}

/// Computes I time steps for [`matmul_tile`]. `first` is the first time step. `parts` says which halves of the tile to
/// compute: 0, 1 or both.
#[inline(always)]
fn matmul_block<V: F32x16, const I: usize, const P: usize>(
    a: &[Tile],
    stride: usize,
    first: usize,
    panel: &[Tile],
    parts: [usize; P],
    start: [V; P],
) -> [[V; P]; I] {
    let mut sums = [start; I];
    for (a, rows) in a.chunks_exact(stride).zip(panel.chunks(TILE_WIDTH)) {
        let Some((a, _)) = a[first..].split_first_chunk::<I>() else { continue };
        for (k, row) in rows.iter().enumerate() {
            let row = parts.map(|part| V::load(halves(row)[part]));
            for i in 0..I {
                let a = V::splat(a[i][k]);
                for p in 0..P {
                    sums[i][p] = a.mul_add(row[p], sums[i][p]);
                }
            }
        }
    }
    sums
}

/// Computes the gradients of I cells for [`dense_weight_gradient_tile`]. `first` is the first cell. `parts` says which
/// halves of the tile to compute: 0, 1 or both.
#[inline(always)]
fn dense_gradient_block<V: F32x16, const I: usize, const P: usize>(
    a: &[Tile],
    first: usize,
    lambda: &[Tile],
    rows: &mut [Tile; I],
    parts: [usize; P],
) {
    let mut sums: [[V; P]; I] = std::array::from_fn(|i| parts.map(|part| V::load(halves(&rows[i])[part])));
    for (a, lambda) in a.iter().zip(lambda) {
        let Some((a, _)) = a[first..].split_first_chunk::<I>() else { continue };
        let lambda = parts.map(|part| V::load(halves(lambda)[part]));
        for i in 0..I {
            let a = V::splat(a[i]);
            for p in 0..P {
                sums[i][p] = a.mul_add(lambda[p], sums[i][p]);
            }
        }
    }
    for (sums, row) in sums.into_iter().zip(rows) {
        for (sum, part) in sums.into_iter().zip(parts) {
            sum.store(halves_mut(row)[part]);
        }
    }
}
