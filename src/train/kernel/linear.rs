//! Linear layers: the output, and the gradients of the loss by the input and by the weights.
//!
//! W^T is the transposed weight matrix, with one row for each input cell. There are sparse and dense kernels for the
//! output and for the weight gradient. A sparse kernel uses only the rows of active cells. A dense kernel uses all
//! rows, which is faster if many cells are active. Both kinds add the products in the same order, so that they give the
//! same bits for finite values.
//!
//! lambda, the gradient of the loss by the outputs, is always dense. The gradient by the input is therefore always
//! computed with a dense kernel ([`matmul_tile`]).

use rayon::prelude::*;

use crate::kernel::isa::{Isa, for_each_isa};
use crate::kernel::vector::F32x16;
use crate::kernel::{Activity, TILE_WIDTH, Tile, halves, halves_mut};

/// Number of time steps that the dense matrix product ([`matmul_tile`]) computes together, in registers. If the
/// instruction set has only 16 registers, it computes half as many time steps together.
const STEPS: usize = 12;
/// Number of input cells whose weight gradients [`dense_weight_gradient_tile`] computes together, in registers. If the
/// instruction set has only 16 registers, it computes half as many cells together.
const CELLS: usize = 8;
/// Number of elements of `Panels::weights` that one parallel task of [`Panels::add`] adds.
const ROWS: usize = 64;

/// Returns the number of time steps to allocate for each tile: `steps`, rounded up to a multiple of [`STEPS`], as
/// [`matmul_tile`] needs.
pub(crate) fn stride(steps: usize) -> usize {
    steps.max(1).next_multiple_of(STEPS)
}

/// The weights and biases of a layer, or their gradients, in the order in which the kernels read them.
///
/// The outputs of the layer are divided into tiles of [`TILE_WIDTH`] outputs. A panel has the weights from all inputs
/// to one tile of outputs. The last tile is padded with zeros.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panels {
    inputs: usize,
    outputs: usize,
    /// Weights. `weights[tile * inputs + input]` has the weights from one input to all outputs of one tile.
    weights: Vec<Tile>,
    /// Biases, one element for each tile of outputs.
    bias: Vec<Tile>,
}

impl Panels {
    /// Makes panels of zeros for a layer of `inputs` inputs and `outputs` outputs.
    pub(crate) fn zeros(inputs: usize, outputs: usize) -> Panels {
        let tiles = outputs.div_ceil(TILE_WIDTH);
        Panels {
            inputs,
            outputs,
            weights: vec![[0.0; TILE_WIDTH]; tiles * inputs],
            bias: vec![[0.0; TILE_WIDTH]; tiles],
        }
    }

    /// Sets all weights and biases to zero.
    pub(crate) fn clear(&mut self) {
        self.weights.fill([0.0; TILE_WIDTH]);
        self.bias.fill([0.0; TILE_WIDTH]);
    }

    /// Number of inputs.
    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of outputs, not counting the padding of the last tile.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number of tiles into which the outputs are divided.
    pub(crate) fn tiles(&self) -> usize {
        self.bias.len()
    }

    /// Copies a layer's parameters into these panels: the weights from `weight_t`, the transposed weight matrix (in,
    /// out), and the biases from `bias`, (out,).
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

    /// Copies a layer's weights into these panels, to compute the gradient with respect to the layer's input. `weight_t` is the layer's
    /// transposed weight matrix, (in, out). The outputs of the layer are the inputs of these panels, and the inputs of
    /// the layer are the outputs of these panels.
    pub(crate) fn pack_transposed(&mut self, weight_t: &[f32]) {
        for (output, weights) in weight_t.chunks_exact(self.inputs.max(1)).enumerate() {
            let panel = &mut self.weights[output / TILE_WIDTH * self.inputs..][..self.inputs];
            for (row, &weight) in panel.iter_mut().zip(weights) {
                row[output % TILE_WIDTH] = weight;
            }
        }
    }

    /// Copies the content of these panels to a layer's parameters: the weights to `weight_t`, the transposed weight
    /// matrix (in, out), and the biases to `bias`, (out,).
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

    /// Adds the weights and biases of all `others` to these panels, in the order of `others`. All panels must have the
    /// same shape. The result doesn't depend on the number of threads.
    pub(crate) fn add(&mut self, isa: Isa, others: &[&Panels]) {
        self.weights.par_chunks_mut(ROWS).enumerate().for_each(|(chunk, sums)| {
            others.iter().for_each(|other| add_tiles(isa, sums, &other.weights[chunk * ROWS..][..sums.len()]));
        });
        others.iter().for_each(|other| add_tiles(isa, &mut self.bias, &other.bias));
    }

    /// Returns the weights and the biases of tile `tile` of the outputs. The weights have one element for each input.
    pub(crate) fn tile(&self, tile: usize) -> (&[Tile], &Tile) {
        (&self.weights[tile * self.inputs..(tile + 1) * self.inputs], &self.bias[tile])
    }

    /// Like [`Panels::tile`], but returns mutable references.
    pub(crate) fn tile_mut(&mut self, tile: usize) -> (&mut [Tile], &mut Tile) {
        (&mut self.weights[tile * self.inputs..(tile + 1) * self.inputs], &mut self.bias[tile])
    }
}

/// Adds the weight gradients of one tile of outputs to `panel`, and the bias gradients to `bias`. `lambda` is the
/// gradient of the loss by these outputs, which is the same at each of the `steps` time steps. `totals` is the input of
/// the layer summed over time, as an activity of one time step.
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

for_each_isa! {
    fn add_tiles<V>(sums: &mut [Tile], tiles: &[Tile]) {
        for (sum, tile) in sums.iter_mut().zip(tiles) {
            for (sum, part) in halves_mut(sum).into_iter().zip(halves(tile)) {
                V::load(sum).add(V::load(part)).store(sum);
            }
        }
    }

    /// Writes the input current of every neuron at every time step of `activity` to `x`. `x[tile * stride + t][j]` is
    /// the current of neuron `tile * TILE_WIDTH + j` at time step t. It is the bias + the sum of count * W^T\[cell\]
    /// over the active cells of the time step, in the order of `activity`. `stride` is the number of time steps that
    /// `x` has for each tile.
    ///
    /// # Panics
    /// If `x` is too small, or a cell is not an input of the layer.
    pub(crate) fn gather<V>(panels: &Panels, activity: &Activity, stride: usize, x: &mut [Tile]) {
        let mut tile = 0;
        while tile < panels.tiles() {
            let x = &mut x[tile * stride..];
            // Two tiles at a time read each entry half as often, and their weights still fit into L1.
            tile += match panels.tiles() - tile {
                2.. => gather_tiles::<V, 2>(panels, tile, activity, stride, x),
                _ => gather_tiles::<V, 1>(panels, tile, activity, stride, x),
            };
        }
    }

    /// Returns the outputs of one tile at a single time step. They are the bias + the sum of count * W^T\[cell\] over
    /// `active`, the active cells of the time step. `panel` has the rows of W^T for this tile.
    pub(crate) fn product<V>(panel: &[Tile], bias: &Tile, active: &[(u32, f32)]) -> Tile {
        let [sums] = gather_step::<V, 1>([panel], [bias], active);
        let mut x = [0.0; TILE_WIDTH];
        store(sums, &mut x);
        x
    }

    /// Adds the gradients of a layer's weights and biases to `gradient`. `activity` is the input of the layer.
    /// `lambda[tile * stride + t][j]` is the gradient of the loss by output `tile * TILE_WIDTH + j` at time step t.
    /// `stride` is the number of time steps that `lambda` has for each tile.
    ///
    /// The gradient of a weight is the sum of count\[t\] * lambda\[t\] over the time steps t, where count\[t\] is the
    /// count of the weight's input cell. The gradient of a bias is the sum of lambda\[t\]. Both sums are added up in
    /// the order of time.
    ///
    /// # Panics
    /// If `lambda` is too small, or a cell is not an input of the layer.
    pub(crate) fn weight_gradient<V>(activity: &Activity, lambda: &[Tile], stride: usize, gradient: &mut Panels) {
        let tiles = gradient.tiles();
        let mut tile = 0;
        while tile < tiles {
            let lambda = &lambda[tile * stride..];
            tile += match tiles - tile {
                2.. => weight_gradient_tiles::<V, 2>(activity, lambda, stride, gradient, tile),
                _ => weight_gradient_tiles::<V, 1>(activity, lambda, stride, gradient, tile),
            };
        }
    }

    /// Writes the outputs b + a W^T of one tile to `out`, which has one element for each time step. `bias` and `panel`
    /// have b and W^T for this tile. a is the input: `a[tile * stride + t][j]` is input `tile * TILE_WIDTH + j` at time
    /// step t. The products are added in the order of the inputs. `stride` must be a result of the function [`stride`].
    ///
    /// # Panics
    /// If `out` doesn't have `stride` elements, or if `stride` is 0 or not a multiple of [`STEPS`].
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

    /// Like [`weight_gradient`], but for one tile of outputs and a dense input. `a[tile * stride + t][j]` is the count
    /// of input `tile * TILE_WIDTH + j` at time step t. `lambda` has one element for each time step. The sums are added
    /// up in the same order as in [`weight_gradient`].
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

/// Does the work of [`gather`] for N tiles, from tile `first` on. The first element of `x` is for tile `first`. Returns
/// N.
#[inline(always)]
fn gather_tiles<V: F32x16, const N: usize>(
    panels: &Panels,
    first: usize,
    activity: &Activity,
    stride: usize,
    x: &mut [Tile],
) -> usize {
    let tiles: [_; N] = std::array::from_fn(|n| panels.tile(first + n));
    let mut columns = x.chunks_exact_mut(stride);
    let mut columns: [&mut [Tile]; N] = std::array::from_fn(|_| columns.next().unwrap_or_default());
    for t in 0..activity.steps() {
        let sums = gather_step::<V, N>(tiles.map(|(panel, _)| panel), tiles.map(|(_, bias)| bias), activity.step(t));
        for (sums, column) in sums.into_iter().zip(&mut columns) {
            store(sums, &mut column[t]);
        }
    }
    N
}

/// Does the work of [`weight_gradient`] for N tiles, from tile `first` on. The first element of `lambda` is for tile
/// `first`. Returns N.
#[inline(always)]
fn weight_gradient_tiles<V: F32x16, const N: usize>(
    activity: &Activity,
    lambda: &[Tile],
    stride: usize,
    gradient: &mut Panels,
    first: usize,
) -> usize {
    let inputs = gradient.inputs;
    for n in 0..N {
        add_over_time::<V>(&lambda[n * stride..][..activity.steps()], &mut gradient.bias[first + n]);
    }
    let mut panels = gradient.weights[first * inputs..][..N * inputs].chunks_exact_mut(inputs.max(1));
    let panels: [&mut [Tile]; N] = std::array::from_fn(|_| panels.next().unwrap_or_default());
    for t in 0..activity.steps() {
        let lambda: [[V; 2]; N] = std::array::from_fn(|n| halves(&lambda[n * stride + t]).map(V::load));
        for &(cell, count) in activity.step(t) {
            let count = V::splat(count);
            for n in 0..N {
                let row = halves_mut(&mut panels[n][cell as usize]);
                for (row, lambda) in row.into_iter().zip(lambda[n]) {
                    count.mul_add(lambda, V::load(row)).store(row);
                }
            }
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

/// Does the work of [`matmul_tile`] for I time steps, from time step `first` on, and for P halves of a tile of outputs.
/// `parts` has the index of each half, 0 or 1, and `start` has the bias of each half. The sums stay in registers.
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

/// Does the work of [`dense_weight_gradient_tile`] for I cells of a tile of inputs, from cell `first` on, and for P
/// halves of a tile of outputs. `parts` has the index of each half, 0 or 1. The sums stay in registers until they are
/// complete.
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
