//! The gradient for a layer's inputs, only for chosen pairs of time step and input. The other gradients are not used.
//!
//! ```text
//! dL/ds[t][i] = scale * sum over j of dL/dy[t][j] W[j][i]        for each chosen (t, i), else 0
//! ```
//!
//! A gradient is not used in two cases: far from the threshold, where a boxcar surrogate gradient is 0, and for spikes
//! that dropout drops. Each chosen pair (t, i) needs one dot product. Its sum has a fixed order: sixteen sums over the
//! tiles, then the sum of these sixteen.
//!
//! If most gradients are used, a matrix product computes all gradients, and the gradients that are not used are then
//! set to 0. The sums of a matrix product have another order, so the choice between the two methods must not depend on
//! the data. The choice depends only on the surrogate gradient.

use crate::kernel::cell::Surrogate;
use crate::kernel::isa::{Isa, for_each_isa};
use crate::kernel::linear::{self, Panels};
use crate::kernel::vector::F32x16;
use crate::kernel::{Aligned, TILE_WIDTH, Tile, halves, halves_mut};

/// Dot products are chosen if the surrogate gradient is 0 at potentials farther than this from the threshold.
/// Otherwise, most gradients are used.
const MOST: f32 = 1.0;

/// Number of inputs whose dot products are computed together. The gradient for the outputs is then loaded once for all
/// these inputs.
const DOTS: usize = 4;

/// The weights of a layer, in the order that the gradient for its inputs needs.
#[derive(Clone, Debug)]
pub(crate) enum InputWeights {
    /// For dot products at the places where the gradient is used.
    Sampled(Rows),
    /// For a matrix product.
    Dense(Panels),
}

impl InputWeights {
    /// Makes weights of 0. `surrogate` is the surrogate gradient of the neurons in the layer before, or `None` if it is
    /// never 0.
    pub(crate) fn zeros(inputs: usize, outputs: usize, surrogate: Option<Surrogate>) -> InputWeights {
        match surrogate {
            Some(surrogate) if surrogate.support() <= MOST => InputWeights::Sampled(Rows::zeros(inputs, outputs)),
            _ => InputWeights::Dense(Panels::zeros(outputs, inputs)),
        }
    }

    /// Copies the weights of a layer. `weight_t` is W^T, (inputs, outputs).
    pub(crate) fn pack(&mut self, weight_t: &[f32]) {
        match self {
            InputWeights::Sampled(rows) => rows.pack(weight_t),
            InputWeights::Dense(panels) => panels.pack_transposed(weight_t),
        }
    }
}

/// Writes the gradient for input `tile * TILE_WIDTH + i` at time step t to `g[tile * stride + t][i]`, for the first
/// `steps` time steps. The contents of `g` at later time steps are unspecified.
///
/// The gradient is used if bit i of `places[t * tiles + tile]` is 1. Otherwise, 0 is written. `dy` is the gradient for
/// the outputs, in the layout of `g`. `stride` is [`stride`](linear::stride) of `steps`.
#[allow(clippy::too_many_arguments)] // two arrays of gradients, their layout, and the places that are used
pub(crate) fn input_gradient(
    isa: Isa,
    weights: &InputWeights,
    dy: &[Tile],
    stride: usize,
    steps: usize,
    places: &[u32],
    scale: f32,
    g: &mut [Tile],
) {
    match weights {
        InputWeights::Sampled(rows) => sampled(isa, rows, dy, stride, steps, places, scale, g),
        InputWeights::Dense(panels) => {
            let tiles = panels.tiles();
            for (tile, g) in g.chunks_exact_mut(stride).enumerate().take(tiles) {
                let (panel, bias) = panels.tile(tile);
                linear::matmul_tile(isa, dy, stride, panel, bias, g);
                keep_places(isa, places.get(tile..).unwrap_or_default(), tiles, scale, &mut g[..steps]);
            }
        }
    }
}

/// W^T with a row of tiles for each input.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    inputs: usize,
    tiles: usize,
    weights: Aligned<Tile>,
}

impl Rows {
    pub(crate) fn zeros(inputs: usize, outputs: usize) -> Rows {
        let tiles = outputs.div_ceil(TILE_WIDTH);
        Rows { inputs, tiles, weights: Aligned::filled([0.0; TILE_WIDTH], inputs.next_multiple_of(TILE_WIDTH) * tiles) }
    }

    /// Copies the weights of a layer. `weight_t` is W^T, (inputs, outputs).
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
    /// Does the work of [`input_gradient`] by dot products.
    #[allow(clippy::too_many_arguments)] // the arguments of input_gradient
    fn sampled<V>(
        rows: &Rows,
        dy: &[Tile],
        stride: usize,
        steps: usize,
        places: &[u32],
        scale: f32,
        g: &mut [Tile],
    ) {
        let tiles = rows.input_tiles();
        let mut chosen = Vec::with_capacity(tiles * TILE_WIDTH);
        let mut row = Aligned::filled([0.0; TILE_WIDTH], rows.tiles);
        for (t, places) in places.chunks_exact(tiles.max(1)).take(steps).enumerate() {
            row.iter_mut().zip(dy.iter().skip(t).step_by(stride)).for_each(|(row, dy)| *row = *dy);
            g.iter_mut().skip(t).step_by(stride).for_each(|g| *g = [0.0; TILE_WIDTH]);
            list(places, &mut chosen);
            each_dot::<V>(rows, &row, &chosen, |i, dot| g[i / TILE_WIDTH * stride + t][i % TILE_WIDTH] = scale * dot);
        }
    }

    /// Multiplies each row of `g` by `scale`, and sets element i of row t to 0 if bit i of `places[t * tiles]` is 0.
    fn keep_places<V>(places: &[u32], tiles: usize, scale: f32, g: &mut [Tile]) {
        let scale = V::splat(scale);
        for (g, &places) in g.iter_mut().zip(places.iter().step_by(tiles.max(1))) {
            for (half, g) in halves_mut(g).into_iter().enumerate() {
                V::load(g).mul(scale).keep(places >> (16 * half)).store(g);
            }
        }
    }
}

/// Writes the indices of all 1 bits in `places` to `chosen`. Bit i of `places[tile]` has the index `tile * TILE_WIDTH
/// + i`.
pub(super) fn list(places: &[u32], chosen: &mut Vec<u32>) {
    /// Number of indices that are written at once, which avoids a branch per index. Surplus indices are overwritten.
    const ANYWAY: usize = 8;
    chosen.resize(places.len() * TILE_WIDTH + ANYWAY, 0);
    let mut end = 0;
    for (tile, &places) in places.iter().enumerate() {
        let (mut left, mut begin) = (places, end);
        end += places.count_ones() as usize;
        while left != 0 {
            for index in &mut chosen[begin..begin + ANYWAY] {
                *index = (tile * TILE_WIDTH) as u32 + left.trailing_zeros();
                left &= left.wrapping_sub(1);
            }
            begin += ANYWAY;
        }
    }
    chosen.truncate(end);
}

/// Calls `each` with each input in `chosen` and the dot product of `dy` with the input's weights. `dy` is the gradient
/// for all outputs at one time step.
#[inline(always)]
pub(super) fn each_dot<V: F32x16>(rows: &Rows, dy: &[Tile], chosen: &[u32], mut each: impl FnMut(usize, f32)) {
    let (blocks, rest) = chosen.as_chunks::<DOTS>();
    for block in blocks {
        let sums = V::sums(dots::<V, DOTS>(rows, dy, block));
        for n in 0..DOTS {
            each(block[n] as usize, sums[n]);
        }
    }
    for &i in rest {
        each(i as usize, dots::<V, 1>(rows, dy, &[i])[0].sum());
    }
}

/// Returns N dot products, each as a vector whose elements must still be added up.
#[inline(always)]
fn dots<V: F32x16, const N: usize>(rows: &Rows, dy: &[Tile], inputs: &[u32; N]) -> [V; N] {
    let mut of: [&[Tile]; N] = [&[]; N];
    let mut sums = [[V::splat(0.0); 2]; N];
    for n in 0..N {
        of[n] = &rows.weights[inputs[n] as usize * rows.tiles..][..dy.len()];
    }
    for (tile, dy) in dy.iter().enumerate() {
        let dy = halves(dy);
        for half in 0..2 {
            let dy = V::load(dy[half]);
            for n in 0..N {
                sums[n][half] = dy.mul_add(V::load(halves(&of[n][tile])[half]), sums[n][half]);
            }
        }
    }
    // `array::map` is not inlined, and then its vectors pass through memory.
    let mut totals = [V::splat(0.0); N];
    for n in 0..N {
        totals[n] = sums[n][0].add(sums[n][1]);
    }
    totals
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::{InputWeights, input_gradient};
    use crate::kernel::cell::Surrogate;
    use crate::kernel::isa::Isa;
    use crate::kernel::{TILE_WIDTH, Tile, linear};

    proptest! {
        #[test]
        fn chosen_places_equal_plain_loops(
            seed: u64,
            inputs in prop_oneof![Just(1usize), 1usize..140],
            outputs in prop_oneof![Just(1usize), Just(512), 1usize..140],
            steps in prop_oneof![Just(1usize), 1usize..20],
            density in prop_oneof![Just(0.0), Just(1.0), 0.0f64..1.0],
            surrogate in prop_oneof![Just(Some(Surrogate::default())), Just(None)],
        ) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let weight_t: Vec<f32> = (0..inputs * outputs).map(|_| rng.random_range(-1.0..1.0)).collect();
            let mut weights = InputWeights::zeros(inputs, outputs, surrogate);
            weights.pack(&weight_t);
            let (stride, tiles) = (linear::stride(steps), inputs.div_ceil(TILE_WIDTH));
            let mut dy = vec![[0.0; TILE_WIDTH]; outputs.div_ceil(TILE_WIDTH) * stride];
            for i in 0..steps * outputs {
                let (t, o) = (i / outputs, i % outputs);
                dy[o / TILE_WIDTH * stride + t][o % TILE_WIDTH] = rng.random_range(-1.0f32..1.0);
            }
            let places: Vec<u32> =
                (0..steps * tiles).map(|_| (0..32).map(|bit| u32::from(rng.random::<f64>() < density) << bit).sum()).collect();
            let mut first: Option<Vec<Tile>> = None;
            for isa in Isa::available() {
                let mut g = vec![[f32::NAN; TILE_WIDTH]; tiles * stride];
                input_gradient(isa, &weights, &dy, stride, steps, &places, 1.5, &mut g);
                for t in 0..steps {
                    for i in 0..inputs {
                        let chosen = places[t * tiles + i / TILE_WIDTH] >> (i % TILE_WIDTH) & 1 == 1;
                        let product = |o: usize| {
                            f64::from(dy[o / TILE_WIDTH * stride + t][o % TILE_WIDTH]) * f64::from(weight_t[i * outputs + o])
                        };
                        let expected: f64 = if chosen { (0..outputs).map(product).sum::<f64>() * 1.5 } else { 0.0 };
                        let got = f64::from(g[i / TILE_WIDTH * stride + t][i % TILE_WIDTH]);
                        prop_assert!((got - expected).abs() <= 1e-6 * outputs as f64, "{} {}", got, expected);
                    }
                }
                let used: Vec<Tile> = g.chunks(stride).flat_map(|column| column[..steps].to_vec()).collect();
                prop_assert_eq!(first.get_or_insert_with(|| used.clone()), &used, "{:?}", isa);
            }
        }
    }
}
