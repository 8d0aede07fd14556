//! Batch norm over batch and time: the statistics of each channel, and the forward and backward pass.
//!
//! ```text
//! m = sum of y / n        v = sum of (y - m)^2 / n        n = time steps of all samples, including padded steps
//! I = gamma (y - m) / sqrt(v + eps) + beta
//!
//! dL/dbeta = sum of g     dL/dgamma = sum of g (y - m) / sqrt(v + eps)        g = dL/dI
//! dL/dy = gamma / sqrt(v + eps) (g - sum of g / n - (y - m) / (v + eps) * sum of g (y - m) / n)
//! ```
//!
//! y is the input of the norm, and I is its output. L is the loss. These are the formulas of PyTorch's `BatchNorm1d`
//! for an input of shape (batch * time, channels).
//!
//! On the CPU: y = x W^T + bias is linear in x. Therefore m is computed from the mean of x, before y is computed, and v needs only
//! one pass over y.
//!
//! Sums are float64, over samples in the order of the samples. dL/dy is computed in float64 too: where few inputs are
//! active, its three terms nearly cancel, and so do its products with the inputs in the gradient of the weights. On a GPU,
//! norm.cu computes m and v from the sums of y and of y^2 in float64, and dL/dy in float32.

use rayon::prelude::*;
use tonic_ranks::Ranks;

use crate::kernel::isa::for_each_isa;
use crate::kernel::vector::F64x16;
use crate::kernel::{DoubleTile, TILE_WIDTH, Tile, halves, halves_mut};

/// PyTorch's default for eps, which avoids a division by 0.
pub(crate) const EPS: f64 = 1e-5;

/// The norm of a layer: I = y * scale + shift, with one scale and one shift per channel. It also has the mean of y that
/// the norm subtracts, 0 without a norm.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    scale: Vec<Tile>,
    shift: Vec<Tile>,
    mean: Vec<Tile>,
}

/// Mean and biased variance of each channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Statistics {
    pub(crate) mean: Vec<f64>,
    pub(crate) variance: Vec<f64>,
}

impl Norm {
    /// Makes the norm of a layer without batch norm: I = y.
    pub(crate) fn identity(channels: usize) -> Norm {
        Norm { scale: tiles(channels, |_| 1.0), shift: tiles(channels, |_| 0.0), mean: tiles(channels, |_| 0.0) }
    }

    /// Makes the norm from the statistics of the batch, or from running statistics. `gamma` and `beta` are (channels,).
    pub(crate) fn new(gamma: &[f32], beta: &[f32], of: &Statistics) -> Norm {
        let scale = |i: usize| f64::from(gamma[i]) / (of.variance[i] + EPS).sqrt();
        Norm {
            scale: tiles(gamma.len(), |i| scale(i) as f32),
            shift: tiles(gamma.len(), |i| (f64::from(beta[i]) - of.mean[i] * scale(i)) as f32),
            mean: tiles(gamma.len(), |i| of.mean[i] as f32),
        }
    }

    /// Returns the scale and the shift of a tile of channels.
    pub(crate) fn tile(&self, tile: usize) -> (&Tile, &Tile) {
        (&self.scale[tile], &self.shift[tile])
    }

    /// Returns the mean of a tile of channels, as float32. [`NormBackward::new`] corrects for its rounding.
    pub(crate) fn mean(&self, tile: usize) -> &Tile {
        &self.mean[tile]
    }
}

fn tiles<T: Default>(channels: usize, value: impl Fn(usize) -> T) -> Vec<[T; TILE_WIDTH]> {
    let tile = |tile: usize| -> [T; TILE_WIDTH] {
        std::array::from_fn(|j| {
            let channel = tile * TILE_WIDTH + j;
            if channel < channels { value(channel) } else { T::default() }
        })
    };
    (0..channels.div_ceil(TILE_WIDTH)).map(tile).collect()
}

impl Statistics {
    /// Returns the mean of y = x W^T + bias. `totals` is x summed over the n rows, (inputs,), and `weight_t` is W^T,
    /// (inputs, channels). The variance is 0 until [`Statistics::set_variance`].
    pub(crate) fn of_mean(totals: &[f64], weight_t: &[f32], bias: &[f32], n: f64) -> Statistics {
        let mut mean = vec![0.0; bias.len()];
        for (total, row) in totals.iter().zip(weight_t.chunks_exact(bias.len().max(1))) {
            mean.iter_mut().zip(row).for_each(|(sum, weight)| *sum += total * f64::from(*weight));
        }
        mean.iter_mut().zip(bias).for_each(|(sum, bias)| *sum = *sum / n + f64::from(*bias));
        Statistics { variance: vec![0.0; mean.len()], mean }
    }

    /// Returns the means as tiles, for [`squares`].
    pub(crate) fn mean_tiles(&self) -> Vec<DoubleTile> {
        tiles(self.mean.len(), |i| self.mean[i])
    }

    /// Sets the variance from the sums of (y - mean)^2 of each channel over all n rows.
    pub(crate) fn set_variance(&mut self, squares: &[f64], n: f64) {
        self.variance.iter_mut().zip(squares).for_each(|(variance, sum)| *variance = sum / n);
    }
}

/// Adds up the sums of all samples of a batch, in the order of the samples: first those of lower ranks, then those in
/// `sums`, then those of higher ranks. Returns N totals for each channel.
///
/// `sums[sample * tiles + tile][n][j]` is sum n of channel `tile * TILE_WIDTH + j` in one sample.
pub(crate) fn over_samples<const N: usize>(ranks: Ranks, sums: &[[DoubleTile; N]], channels: usize) -> Vec<[f64; N]> {
    let tiles = channels.div_ceil(TILE_WIDTH).max(1);
    let mut totals = vec![[0.0; N]; tiles * TILE_WIDTH];
    ranks.fold_all(totals.as_flattened_mut(), |totals| {
        let (totals, _) = totals.as_chunks_mut::<N>();
        totals.par_chunks_mut(TILE_WIDTH).enumerate().for_each(|(tile, totals)| {
            // Adds row by row, so that the compiler uses vector instructions.
            let mut rows = [[0.0; TILE_WIDTH]; N];
            let row_of = |row: usize, totals: &[[f64; N]]| std::array::from_fn(|i| totals[i][row]);
            rows.iter_mut().enumerate().for_each(|(row, sums)| *sums = row_of(row, totals));
            for sample in sums.chunks_exact(tiles) {
                for (row, sums) in rows.iter_mut().zip(&sample[tile]) {
                    row.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
                }
            }
            for (i, total) in totals.iter_mut().enumerate() {
                *total = std::array::from_fn(|row| rows[row][i]);
            }
        });
    });
    totals.truncate(channels);
    totals
}

/// The backward pass of a norm for one batch: dL/dy = a * dL/dI + b * (y - mean) + c.
#[derive(Clone, Debug)]
pub(crate) struct NormBackward {
    a: Vec<DoubleTile>,
    b: Vec<DoubleTile>,
    c: Vec<DoubleTile>,
    mean: Vec<DoubleTile>,
}

impl NormBackward {
    /// Makes the backward pass for one batch, and writes the gradients for gamma and beta.
    ///
    /// `sums` returns two sums of a channel over all n rows: the sum of g, and the sum of g * (y - mean), with the mean
    /// of [`Norm::mean`]. g is dL/dI.
    pub(crate) fn new(
        gamma: &[f32],
        of: &Statistics,
        n: f64,
        sums: impl Fn(usize) -> [f64; 2],
        (dgamma, dbeta): (&mut [f32], &mut [f32]),
    ) -> NormBackward {
        let sums = |i: usize| {
            let [sum, product] = sums(i);
            [sum, product + (f64::from(of.mean[i] as f32) - of.mean[i]) * sum]
        };
        let inverse: Vec<f64> = of.variance.iter().map(|variance| 1.0 / (variance + EPS).sqrt()).collect();
        for i in 0..gamma.len() {
            let [sum, product] = sums(i);
            (dgamma[i], dbeta[i]) = ((product * inverse[i]) as f32, sum as f32);
        }
        let a = |i: usize| f64::from(gamma[i]) * inverse[i];
        NormBackward {
            a: tiles(gamma.len(), a),
            b: tiles(gamma.len(), |i| -a(i) * inverse[i] * inverse[i] * sums(i)[1] / n),
            c: tiles(gamma.len(), |i| -a(i) * sums(i)[0] / n),
            mean: tiles(gamma.len(), |i| of.mean[i]),
        }
    }
}

for_each_isa! {
    /// Returns the sums of (y - mean)^2 over the rows of `y`, for one tile of channels.
    pub(crate) fn squares<V>(mean: &DoubleTile, y: &[Tile]) -> DoubleTile {
        let mean = halves(mean).map(V::Double::load);
        let mut sums = [V::Double::load(&[0.0; 16]); 2];
        for y in y {
            for half in 0..2 {
                let apart = V::load(halves(y)[half]).double().sub(mean[half]);
                sums[half] = apart.mul_add(apart, sums[half]);
            }
        }
        let mut out = [0.0; TILE_WIDTH];
        sums.iter().zip(halves_mut(&mut out)).for_each(|(sum, to)| sum.store(to));
        out
    }

    /// Writes I = y * scale + shift to `out`, for one tile of channels.
    pub(crate) fn apply<V>(norm: &Norm, tile: usize, y: &[Tile], out: &mut [Tile]) {
        let (scale, shift) = norm.tile(tile);
        let (scale, shift) = (halves(scale).map(V::load), halves(shift).map(V::load));
        for (y, out) in y.iter().zip(out) {
            for (half, out) in halves_mut(out).into_iter().enumerate() {
                V::load(halves(y)[half]).mul_add(scale[half], shift[half]).store(out);
            }
        }
    }

    /// Returns the sums of g and of g * (y - mean) over the rows, for one tile of channels. g = dL/dI.
    pub(crate) fn backward_sums<V>(norm: &Norm, tile: usize, y: &[Tile], g: &[Tile]) -> [DoubleTile; 2] {
        let mean = halves(norm.mean(tile)).map(|mean| V::load(mean).double());
        let mut sums = [[V::Double::load(&[0.0; 16]); 2]; 2];
        for (y, g) in y.iter().zip(g) {
            for half in 0..2 {
                let g = V::load(halves(g)[half]).double();
                sums[0][half] = sums[0][half].add(g);
                sums[1][half] = V::load(halves(y)[half]).double().sub(mean[half]).mul_add(g, sums[1][half]);
            }
        }
        let mut out = [[0.0; TILE_WIDTH]; 2];
        for (sums, out) in sums.iter().zip(&mut out) {
            sums.iter().zip(halves_mut(out)).for_each(|(sum, to)| sum.store(to));
        }
        out
    }

    /// Writes dL/dy to `out`, for one tile of channels. `g` is dL/dI.
    pub(crate) fn backward<V>(by: &NormBackward, tile: usize, y: &[Tile], g: &[Tile], out: &mut [Tile]) {
        let load = |tiles: &[DoubleTile]| halves(&tiles[tile]).map(V::Double::load);
        let (a, b, c, mean) = (load(&by.a), load(&by.b), load(&by.c), load(&by.mean));
        for ((y, g), out) in y.iter().zip(g).zip(out) {
            for (half, out) in halves_mut(out).into_iter().enumerate() {
                let apart = V::load(halves(y)[half]).double().sub(mean[half]);
                let own = V::load(halves(g)[half]).double().mul_add(a[half], c[half]);
                apart.mul_add(b[half], own).single().store(out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use tonic_ranks::Ranks;

    use super::{DoubleTile, EPS, Statistics, Tile, over_samples, squares};
    use crate::kernel::TILE_WIDTH;
    use crate::kernel::isa::Isa;
    use crate::kernel::norm::{self, Norm};

    /// Returns the values of channel `j` at all time steps of all samples, in float64.
    fn channel(samples: &[Vec<Tile>], j: usize) -> Vec<f64> {
        samples.iter().flatten().map(|row| f64::from(row[j])).collect()
    }

    proptest! {
        #[test]
        fn equals_the_formulas(
            seed: u64,
            samples in 1usize..5,
            steps in prop_oneof![Just(1usize), 1usize..60],
            offset in prop_oneof![Just(0.0f32), Just(-3.0), Just(1000.0)],
            spread in prop_oneof![Just(0.0f32), Just(1e-4), Just(1.0), Just(1000.0)],
        ) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut draw = |offset: f32, spread: f32| -> Vec<Vec<Tile>> {
                let tile = |rng: &mut ChaCha8Rng| -> Tile {
                    std::array::from_fn(|_| offset + spread * rng.random_range(-1.0f32..1.0))
                };
                (0..samples).map(|_| (0..steps).map(|_| tile(&mut rng)).collect()).collect()
            };
            let (y, g) = (draw(offset, spread), draw(0.0, 1.0));
            let gamma: Vec<f32> = (0..TILE_WIDTH).map(|j| j as f32 * 0.1 - 0.5).collect();
            let beta: Vec<f32> = (0..TILE_WIDTH).map(|j| 1.0 - j as f32 * 0.1).collect();
            let n = (samples * steps) as f64;
            let of_mean: Vec<f64> = (0..TILE_WIDTH).map(|j| channel(&y, j).iter().sum::<f64>() / n).collect();
            let mut first: Option<Vec<u32>> = None;
            for isa in Isa::available() {
                let mut statistics = Statistics { mean: of_mean.clone(), variance: vec![0.0; TILE_WIDTH] };
                let means = statistics.mean_tiles();
                let parts: Vec<[DoubleTile; 1]> = y.iter().map(|y| [squares(isa, &means[0], y)]).collect();
                let totals: Vec<f64> = over_samples(Ranks::solo(), &parts, TILE_WIDTH).into_iter().map(|[sum]| sum).collect();
                statistics.set_variance(&totals, n);
                let norm = Norm::new(&gamma, &beta, &statistics);
                let mut sums = Vec::new();
                let mut applied = y.clone();
                for ((y, g), out) in y.iter().zip(&g).zip(&mut applied) {
                    norm::apply(isa, &norm, 0, y, out);
                    sums.push(norm::backward_sums(isa, &norm, 0, y, g));
                }
                let totals = over_samples(Ranks::solo(), &sums, TILE_WIDTH);
                let (mut dgamma, mut dbeta) = (vec![f32::NAN; TILE_WIDTH], vec![f32::NAN; TILE_WIDTH]);
                let back = norm::NormBackward::new(&gamma, &statistics, n, |j| totals[j], (&mut dgamma, &mut dbeta));
                let mut dy = y.clone();
                for ((y, g), out) in y.iter().zip(&g).zip(&mut dy) {
                    norm::backward(isa, &back, 0, y, g, out);
                }

                for j in 0..TILE_WIDTH {
                    let (y, g) = (channel(&y, j), channel(&g, j));
                    let variance = y.iter().map(|y| (y - of_mean[j]).powi(2)).sum::<f64>() / n;
                    prop_assert!((statistics.variance[j] - variance).abs() <= 1e-12 * variance);
                    // Scale and shift are rounded to float32.
                    let rounding = f64::from(offset.abs().max(spread)) * 1e-7;
                    let inverse = 1.0 / (variance + EPS).sqrt();
                    let normal: Vec<f64> = y.iter().map(|y| (y - of_mean[j]) * inverse).collect();
                    let (gamma, beta) = (f64::from(gamma[j]), f64::from(beta[j]));
                    let sum: f64 = g.iter().sum();
                    let product: f64 = g.iter().zip(&normal).map(|(g, normal)| g * normal).sum();
                    let close = |got: f64, expected: f64, of: f64| {
                        (got - expected).abs() <= 1e-7 * expected.abs() + 1e-10 * of
                    };
                    prop_assert!(close(dbeta[j].into(), sum, n), "{} {sum}", dbeta[j]);
                    prop_assert!(close(dgamma[j].into(), product, n), "{} {product}", dgamma[j]);
                    let (got, got_dy) = (channel(&applied, j), channel(&dy, j));
                    for i in 0..y.len() {
                        let expected = gamma * normal[i] + beta;
                        let wrong = 1e-5 + 4.0 * rounding * inverse;
                        prop_assert!((got[i] - expected).abs() < wrong * (1.0 + gamma.abs()), "{} {expected}", got[i]);
                        let expected = gamma * inverse * (g[i] - sum / n - normal[i] * product / n);
                        prop_assert!(close(got_dy[i], expected, inverse), "{} {expected} {inverse}", got_dy[i]);
                    }
                }
                let bits = [applied, dy].concat().into_iter().flatten().flatten().map(f32::to_bits).collect::<Vec<u32>>();
                prop_assert_eq!(first.get_or_insert_with(|| bits.clone()), &bits, "{:?}", isa);
            }
        }
    }

    #[test]
    fn the_mean_of_a_product_is_the_product_of_the_mean() {
        // Two rows of two inputs, (1, 2) and (3, 0), and three channels.
        let weight_t = [1.0, 0.5, -1.0, 2.0, 0.25, 4.0];
        let statistics = Statistics::of_mean(&[4.0, 2.0], &weight_t, &[1.0, 0.0, -1.0], 2.0);
        assert_eq!(statistics.mean, [5.0, 1.25, 1.0]);
    }
}
