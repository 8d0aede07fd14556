//! The leaky readout: an integrator for each class, and what its trace over time gives as the class's output.
//!
//! ```text
//! y[t] = r y[t-1] + (1 - r) I[t]        r is learned, or 0
//!
//! softmax   o = sum over t of softmax(y[t])              p[t] = softmax(y[t]); q[t] = p[t] (e - <e, p[t]>)
//! max       o = the largest y[t] over time               q[t] = e at the first t where y is largest, else 0
//! last      o = y[T]                                     q[T] = e, else 0
//!
//! ly[t] = q[t] + r ly[t+1]        dL/dI[t] = (1 - r) ly[t]        dL/dr = sum of ly[t] (y[t-1] - I[t])
//! ```
//!
//! o are the outputs, of which the loss takes a softmax, and e is dL/do. softmax is sparch's and SiLIF's readout. max
//! and last are those of Cramer et al. 2020 and Neftci et al. 2019.

use crate::kernel::cell::{CellInput, CellParameter, load};
use crate::kernel::exp::exp;
use crate::kernel::isa::for_each_isa;
use crate::kernel::vector::F32x16;
use crate::kernel::{TILE_WIDTH, Tile, halves, halves_mut};

/// What a class's output is, of its integrator over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reduction {
    /// Sum over time of the softmax over the classes.
    SoftmaxSum,
    /// Largest value over time.
    Max,
    /// Value at the last step.
    Last,
}

/// The constants of a leaky readout.
#[derive(Clone, Debug)]
pub(crate) struct Leaky {
    reduction: Reduction,
    classes: usize,
    /// r and 1 - r of each tile of classes.
    tiles: Vec<[Tile; 2]>,
}

/// Sums over time that [`backward`] computes: dL/dr, the sum of dL/dI, and that of dL/dI * (y - mean).
pub(crate) const SUMS: usize = 3;

impl Leaky {
    /// Makes the constants from the values of r, (classes,).
    pub(crate) fn new(reduction: Reduction, leak: CellParameter<'_>) -> Leaky {
        let classes = leak.values.len();
        let mut tiles = vec![[[0.0; TILE_WIDTH]; 2]; classes.div_ceil(TILE_WIDTH)];
        for class in 0..classes {
            let r = leak.of(class);
            let [decay, gain] = &mut tiles[class / TILE_WIDTH];
            (decay[class % TILE_WIDTH], gain[class % TILE_WIDTH]) = (r as f32, (1.0 - r) as f32);
        }
        Leaky { reduction, classes, tiles }
    }

    /// Writes the gradient for r from its sums over all samples, (classes,).
    pub(crate) fn write_gradient(leak: CellParameter<'_>, sums: impl Fn(usize) -> f64, gradient: &mut [f32]) {
        for (class, gradient) in gradient.iter_mut().enumerate() {
            *gradient = if leak.is_open(class) { sums(class) as f32 } else { 0.0 };
        }
    }
}

for_each_isa! {
    /// Runs the readout forward over time. Writes the integrators' values to `y` (`y[t * tiles + tile]`), which
    /// [`backward`] reads, and the outputs to `logits`, (classes,).
    pub(crate) fn forward<V>(readout: &Leaky, input: &CellInput<'_>, y: &mut Vec<Tile>, logits: &mut [f32]) {
        let tiles = readout.tiles.len();
        y.resize(tiles * input.steps, [0.0; TILE_WIDTH]);
        for tile in 0..tiles {
            let c: [[V; 2]; 2] = [0, 1].map(|half| load(&readout.tiles[tile], half));
            let (scale, shift) = input.norm.tile(tile);
            let mut state: [V; 2] = halves(&input.start(tile)[0]).map(V::load);
            for (t, input) in input.column(tile).iter().enumerate() {
                for half in 0..2 {
                    let [scale, shift] = [scale, shift].map(|row| V::load(halves(row)[half]));
                    let current = V::load(halves(input)[half]).mul_add(scale, shift);
                    state[half] = state[half].mul_add(c[half][0], current.mul(c[half][1]));
                    state[half].store(halves_mut(&mut y[t * tiles + tile])[half]);
                }
            }
        }
        let steps = y.chunks_exact(tiles);
        match readout.reduction {
            Reduction::SoftmaxSum => {
                let mut sums = vec![[V::splat(0.0); 2]; tiles];
                let mut p = vec![[0.0; TILE_WIDTH]; tiles];
                for y in steps {
                    softmax::<V>(y, readout.classes, &mut p);
                    for (sums, p) in sums.iter_mut().zip(&p) {
                        sums.iter_mut().zip(halves(p)).for_each(|(sum, p)| *sum = sum.add(V::load(p)));
                    }
                }
                for (sums, logits) in sums.into_iter().zip(logits.chunks_mut(TILE_WIDTH)) {
                    let mut out = [0.0; TILE_WIDTH];
                    sums.into_iter().zip(halves_mut(&mut out)).for_each(|(sum, to)| sum.store(to));
                    logits.copy_from_slice(&out[..logits.len()]);
                }
            }
            Reduction::Max => {
                logits.fill(f32::NEG_INFINITY);
                for y in steps {
                    // NaN stays, so that the loss is NaN too.
                    let larger = |a: f32, b: f32| if b > a || b.is_nan() { b } else { a };
                    logits.iter_mut().zip(y.as_flattened()).for_each(|(largest, y)| *largest = larger(*largest, *y));
                }
            }
            Reduction::Last => logits.copy_from_slice(&y[y.len() - tiles..].as_flattened()[..logits.len()]),
        }
    }

    /// Runs the readout backward over time. `e` is dL/do, and `y` is from [`forward`]. Writes dL/dI to `out`, which has
    /// the layout of the input, and the sums over time of each tile to `sums`.
    pub(crate) fn backward<V>(
        readout: &Leaky,
        input: &CellInput<'_>,
        y: &[Tile],
        e: &[f32],
        out: &mut [Tile],
        sums: &mut [[Tile; SUMS]],
    ) {
        let (tiles, steps) = (readout.tiles.len(), input.steps);
        let mut upstream = vec![[0.0; TILE_WIDTH]; tiles];
        upstream.iter_mut().zip(e.chunks(TILE_WIDTH)).for_each(|(row, e)| row[..e.len()].copy_from_slice(e));
        let last = match readout.reduction {
            Reduction::SoftmaxSum => Vec::new(),
            Reduction::Max => first_largest(y, tiles, readout.classes),
            Reduction::Last => vec![steps.wrapping_sub(1); readout.classes],
        };
        let mut next = vec![[V::splat(0.0); 2]; tiles];
        let mut totals = vec![[[V::splat(0.0); 2]; SUMS]; tiles];
        let mut q = vec![[0.0; TILE_WIDTH]; tiles];
        for t in (0..steps).rev() {
            if readout.reduction == Reduction::SoftmaxSum {
                softmax::<V>(&y[t * tiles..][..tiles], readout.classes, &mut q);
                through_softmax::<V>(&upstream, &mut q);
            } else {
                q.fill([0.0; TILE_WIDTH]);
                let chosen = last.iter().enumerate().filter(|&(_, &step)| step == t);
                chosen.for_each(|(class, _)| q.as_flattened_mut()[class] = upstream.as_flattened()[class]);
            }
            for tile in 0..tiles {
                let (scale, shift) = input.norm.tile(tile);
                let own = &input.column(tile)[t];
                let start = input.start(tile)[0];
                let before = if t == 0 { &start } else { &y[(t - 1) * tiles + tile] };
                let [decay, gain] = &readout.tiles[tile];
                for half in 0..2 {
                    let row = |tile: &Tile| V::load(halves(tile)[half]);
                    let lambda = next[tile][half].mul_add(row(decay), row(&q[tile]));
                    let current = lambda.mul(row(gain));
                    current.store(halves_mut(&mut out[tile * input.stride + t])[half]);
                    let i = row(own).mul_add(row(scale), row(shift));
                    let sums = &mut totals[tile];
                    sums[0][half] = lambda.mul_add(row(before).sub(i), sums[0][half]);
                    sums[1][half] = sums[1][half].add(current);
                    sums[2][half] = current.mul_add(row(own).sub(row(input.norm.mean(tile))), sums[2][half]);
                    next[tile][half] = lambda;
                }
            }
        }
        for (totals, sums) in totals.iter().zip(sums) {
            for (total, sum) in totals.iter().zip(sums) {
                total.iter().zip(halves_mut(sum)).for_each(|(total, to)| total.store(to));
            }
        }
    }
}

/// Returns, for each class, the first step at which its integrator is largest.
fn first_largest(y: &[Tile], tiles: usize, classes: usize) -> Vec<usize> {
    let value = |t: usize, class: usize| y[t * tiles..].as_flattened()[class];
    let steps = y.len() / tiles.max(1);
    (0..classes)
        .map(|class| (1..steps).fold(0, |at, t| if value(t, class) > value(at, class) { t } else { at }))
        .collect()
}

/// Writes the softmax over the classes to `p`, whose padding is 0.
#[inline(always)]
fn softmax<V: F32x16>(y: &[Tile], classes: usize, p: &mut [Tile]) {
    let largest = y.as_flattened()[..classes].iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = V::splat(0.0);
    for (tile, (y, p)) in y.iter().zip(&mut *p).enumerate() {
        for half in 0..2 {
            let power = exp(V::load(halves(y)[half]).sub(V::splat(largest)));
            power.store(halves_mut(p)[half]);
        }
        let inside = classes.saturating_sub(tile * TILE_WIDTH).min(TILE_WIDTH);
        p[inside..].fill(0.0);
        halves(p).into_iter().for_each(|p| sum = sum.add(V::load(p)));
    }
    let sum = V::splat(sum.sum());
    for p in p {
        halves_mut(p).into_iter().for_each(|p| V::load(p).div(sum).store(p));
    }
}

/// Replaces p in `q` with p (e - <e, p>).
#[inline(always)]
fn through_softmax<V: F32x16>(e: &[Tile], q: &mut [Tile]) {
    let mut sum = V::splat(0.0);
    for (e, p) in e.iter().zip(&*q) {
        halves(e).into_iter().zip(halves(p)).for_each(|(e, p)| sum = V::load(e).mul_add(V::load(p), sum));
    }
    let dot = V::splat(sum.sum());
    for (e, q) in e.iter().zip(q) {
        for (e, q) in halves(e).into_iter().zip(halves_mut(q)) {
            V::load(q).mul(V::load(e).sub(dot)).store(q);
        }
    }
}
