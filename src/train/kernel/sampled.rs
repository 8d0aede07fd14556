//! The gradient for a layer's inputs at chosen places only: where an input's gradient is used at all.
//!
//! ```text
//! dL/ds[t][i] = scale * sum over j of dL/dy[t][j] W[j][i]        for each chosen (t, i), else 0
//! ```
//!
//! A boxcar surrogate passes the gradient on only near the threshold, and dropout only where it kept the spike. Each
//! place takes one dot product, in one order: sixteen sums over the tiles, then the sum of those.

use crate::kernel::isa::for_each_isa;
use crate::kernel::vector::F32x16;
use crate::kernel::{TILE_WIDTH, Tile, halves};

/// W^T with a row of tiles for each input.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    inputs: usize,
    tiles: usize,
    weights: Vec<Tile>,
}

impl Rows {
    pub(crate) fn zeros(inputs: usize, outputs: usize) -> Rows {
        let tiles = outputs.div_ceil(TILE_WIDTH);
        Rows { inputs, tiles, weights: vec![[0.0; TILE_WIDTH]; inputs.next_multiple_of(TILE_WIDTH) * tiles] }
    }

    /// Copies a layer's weights to these rows. `weight_t` is W^T, (inputs, outputs).
    pub(crate) fn pack(&mut self, weight_t: &[f32]) {
        let outputs = weight_t.len() / self.inputs.max(1);
        for (row, weights) in
            self.weights.chunks_exact_mut(self.tiles.max(1)).zip(weight_t.chunks_exact(outputs.max(1)))
        {
            for (tile, weights) in row.iter_mut().zip(weights.chunks(TILE_WIDTH)) {
                tile[..weights.len()].copy_from_slice(weights);
            }
        }
    }

    /// Returns the number of tiles of inputs.
    pub(crate) fn input_tiles(&self) -> usize {
        self.inputs.div_ceil(TILE_WIDTH)
    }
}

for_each_isa! {
    /// Writes the gradient for the inputs to `g[tile * stride + t][i]`, where bit i of `places[t * tiles + tile]` is
    /// set, and 0 elsewhere, at the first `steps` steps. `dy` has the layout of `g`.
    pub(crate) fn input_gradient<V>(
        rows: &Rows,
        dy: &[Tile],
        stride: usize,
        steps: usize,
        places: &[u32],
        scale: f32,
        g: &mut [Tile],
    ) {
        let tiles = rows.input_tiles();
        for (t, places) in places.chunks_exact(tiles.max(1)).take(steps).enumerate() {
            for (tile, &places) in places.iter().enumerate() {
                g[tile * stride + t] = dots::<V>(rows, dy, stride, t, tile, places).map(|sum| scale * sum);
            }
        }
    }
}

/// Returns the dot products of `dy` at step `t` with the rows of the inputs of a tile that `places` chooses.
#[inline(always)]
pub(super) fn dots<V: F32x16>(rows: &Rows, dy: &[Tile], stride: usize, t: usize, tile: usize, places: u32) -> Tile {
    let mut out = [0.0; TILE_WIDTH];
    let mut left = places;
    while left != 0 {
        let j = left.trailing_zeros() as usize;
        left &= left - 1;
        let row = &rows.weights[(tile * TILE_WIDTH + j) * rows.tiles..][..rows.tiles];
        let mut sums = [V::splat(0.0); 2];
        for (dy, weights) in dy.iter().skip(t).step_by(stride).zip(row) {
            for half in 0..2 {
                sums[half] = V::load(halves(dy)[half]).mul_add(V::load(halves(weights)[half]), sums[half]);
            }
        }
        out[j] = sums[0].add(sums[1]).sum();
    }
    out
}
