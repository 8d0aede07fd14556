//! Batch norm over batch and time: the statistics of each channel, and the forward and backward pass.
//!
//! ```text
//! m = sum of y / n        v = sum of (y - m)^2 / n        n = samples * time steps, padded steps included
//! I = gamma (y - m) / sqrt(v + eps) + beta
//!
//! dL/dbeta = sum of g     dL/dgamma = sum of g (y - m) / sqrt(v + eps)        g = dL/dI
//! dL/dy = gamma / sqrt(v + eps) (g - sum of g / n - (y - m) / (v + eps) * sum of g (y - m) / n)
//! ```
//!
//! This is PyTorch's `BatchNorm1d` on the (batch * time, channels) rows. y = x W^T + bias is linear, so its mean is that
//! of x times W^T: m is known before y is computed, and v needs one pass. The sums over time are float32 per sample, the
//! sums over samples float64, in the order of the samples.

use crate::kernel::isa::for_each_isa;
use crate::kernel::{TILE_WIDTH, Tile, halves, halves_mut};

/// PyTorch's default for eps, which avoids a division by 0.
pub(crate) const EPS: f64 = 1e-5;

/// A layer's norm for one batch: a scale and a shift per channel, I = y * scale + shift, and the mean of y.
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
            scale: tiles(gamma.len(), scale),
            shift: tiles(gamma.len(), |i| f64::from(beta[i]) - of.mean[i] * scale(i)),
            mean: tiles(gamma.len(), |i| of.mean[i]),
        }
    }

    /// Returns the scale and the shift of a tile of channels.
    pub(crate) fn tile(&self, tile: usize) -> (&Tile, &Tile) {
        (&self.scale[tile], &self.shift[tile])
    }

    /// Returns the mean of a tile of channels.
    pub(crate) fn mean(&self, tile: usize) -> &Tile {
        &self.mean[tile]
    }
}

fn tiles(channels: usize, value: impl Fn(usize) -> f64) -> Vec<Tile> {
    let tile = |tile: usize| -> Tile {
        std::array::from_fn(|j| {
            let channel = tile * TILE_WIDTH + j;
            if channel < channels { value(channel) as f32 } else { 0.0 }
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

    /// Returns the mean, as [`squares`] takes it.
    pub(crate) fn mean_tiles(&self) -> Vec<Tile> {
        tiles(self.mean.len(), |i| self.mean[i])
    }

    /// Sets the variance from the sums of (y - mean)^2 of each channel over all n rows.
    pub(crate) fn set_variance(&mut self, squares: &[f64], n: f64) {
        self.variance.iter_mut().zip(squares).for_each(|(variance, sum)| *variance = sum / n);
    }
}

/// Adds up sums of each sample in the order of the samples: `sums[sample * tiles + tile][row][j]` is the sum `row` of
/// channel `tile * TILE_WIDTH + j`. Returns the N totals of each channel.
pub(crate) fn over_samples<const N: usize>(sums: &[[Tile; N]], channels: usize) -> Vec<[f64; N]> {
    let tiles = channels.div_ceil(TILE_WIDTH).max(1);
    let mut totals = vec![[0.0; N]; tiles * TILE_WIDTH];
    for sample in sums.chunks_exact(tiles) {
        for (tile, totals) in sample.iter().zip(totals.chunks_exact_mut(TILE_WIDTH)) {
            for (row, sums) in tile.iter().enumerate() {
                totals.iter_mut().zip(sums).for_each(|(total, sum)| total[row] += f64::from(*sum));
            }
        }
    }
    totals.truncate(channels);
    totals
}

/// The backward pass of a norm for one batch: dL/dy = a * dL/dI + b * (y - mean) + c.
#[derive(Clone, Debug)]
pub(crate) struct Backward {
    a: Vec<Tile>,
    b: Vec<Tile>,
    c: Vec<Tile>,
    mean: Vec<Tile>,
}

impl Backward {
    /// Makes the backward pass of the norm of a batch. `sums` has, for each channel, the sums over all n rows of g and
    /// of g * (y - mean), where g = dL/dI. Writes the gradients for gamma and beta.
    pub(crate) fn new(
        gamma: &[f32],
        of: &Statistics,
        n: f64,
        sums: impl Fn(usize) -> [f64; 2],
        (dgamma, dbeta): (&mut [f32], &mut [f32]),
    ) -> Backward {
        let inverse: Vec<f64> = of.variance.iter().map(|variance| 1.0 / (variance + EPS).sqrt()).collect();
        for i in 0..gamma.len() {
            let [sum, product] = sums(i);
            (dgamma[i], dbeta[i]) = ((product * inverse[i]) as f32, sum as f32);
        }
        let a = |i: usize| f64::from(gamma[i]) * inverse[i];
        Backward {
            a: tiles(gamma.len(), a),
            b: tiles(gamma.len(), |i| -a(i) * inverse[i] * inverse[i] * sums(i)[1] / n),
            c: tiles(gamma.len(), |i| -a(i) * sums(i)[0] / n),
            mean: tiles(gamma.len(), |i| of.mean[i]),
        }
    }
}

for_each_isa! {
    /// Returns the sums of (y - mean)^2 over the rows of `y`, for one tile of channels.
    pub(crate) fn squares<V>(mean: &Tile, y: &[Tile]) -> Tile {
        let mean = halves(mean).map(V::load);
        let mut sums = [V::splat(0.0); 2];
        for y in y {
            for half in 0..2 {
                let apart = V::load(halves(y)[half]).sub(mean[half]);
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
    pub(crate) fn backward_sums<V>(norm: &Norm, tile: usize, y: &[Tile], g: &[Tile]) -> [Tile; 2] {
        let mean = halves(norm.mean(tile)).map(V::load);
        let mut sums = [[V::splat(0.0); 2]; 2];
        for (y, g) in y.iter().zip(g) {
            for half in 0..2 {
                let g = V::load(halves(g)[half]);
                sums[0][half] = sums[0][half].add(g);
                sums[1][half] = g.mul_add(V::load(halves(y)[half]).sub(mean[half]), sums[1][half]);
            }
        }
        let mut out = [[0.0; TILE_WIDTH]; 2];
        for (sums, out) in sums.iter().zip(&mut out) {
            sums.iter().zip(halves_mut(out)).for_each(|(sum, to)| sum.store(to));
        }
        out
    }

    /// Writes dL/dy to `out`, for one tile of channels. `g` is dL/dI.
    pub(crate) fn backward<V>(by: &Backward, tile: usize, y: &[Tile], g: &[Tile], out: &mut [Tile]) {
        let [a, b, c, mean] = [&by.a, &by.b, &by.c, &by.mean].map(|tiles| halves(&tiles[tile]).map(V::load));
        for ((y, g), out) in y.iter().zip(g).zip(out) {
            for (half, out) in halves_mut(out).into_iter().enumerate() {
                let apart = V::load(halves(y)[half]).sub(mean[half]);
                let own = V::load(halves(g)[half]).mul_add(a[half], c[half]);
                apart.mul_add(b[half], own).store(out);
            }
        }
    }
}
