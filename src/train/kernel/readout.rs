//! The leaky readout: one leaky integrator per class, whose values over time become one output per class.
//!
//! ```text
//! y[t] = r y[t-1] + (1 - r) I[t]        r is learned
//!
//! softmax   o = sum over t of softmax(y[t])              p[t] = softmax(y[t]); q[t] = p[t] (e - <e, p[t]>)
//! max       o = the largest y[t] over time               q[t] = e at the first t where y is largest, else 0
//! last      o = y[T]                                     q[T] = e, else 0
//!
//! ly[t] = q[t] + r ly[t+1]        dL/dI[t] = (1 - r) ly[t]        dL/dr = sum of ly[t] (y[t-1] - I[t])
//! ```
//!
//! I is the input, y the integrator's value, and o the output. T is the last time step. e is dL/do, and `<e, p>` is the
//! dot product of e and p. The loss is the softmax cross entropy of o.
//!
//! Sources: sparch and SiLIF (softmax), Cramer et al. 2020 and Neftci et al. 2019 (max and last).

use crate::kernel::cell::{CellInput, CellParameter, load};
use crate::kernel::exp::exp;
use crate::kernel::isa::for_each_isa;
use crate::kernel::vector::{F32x16, F64x16};
use crate::kernel::{Aligned, DoubleTile, TILE_WIDTH, Tile, halves, halves_mut};

/// How the integrator's values over time become the output of a class.
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
    /// For each tile of classes: r, and 1 - r.
    tiles: Vec<[Tile; 2]>,
    /// 0 for each class, -infinity for the padding of the last tile.
    padding: Aligned<Tile>,
}

/// Number of sums over time that [`backward`] computes for each class:
///
/// - dL/dr
/// - the sum of dL/dI
/// - the sum of dL/dI * (x - mean), where x is the input before its norm
pub(crate) const SUMS: usize = 3;

impl Leaky {
    /// Makes the constants. `leak` has the values of r, (classes,).
    pub(crate) fn new(reduction: Reduction, leak: CellParameter<'_>) -> Leaky {
        let classes = leak.values.len();
        let mut tiles = vec![[[0.0; TILE_WIDTH]; 2]; classes.div_ceil(TILE_WIDTH)];
        let mut padding = Aligned::filled([f32::NEG_INFINITY; TILE_WIDTH], tiles.len());
        for class in 0..classes {
            padding[class / TILE_WIDTH][class % TILE_WIDTH] = 0.0;
            let r = leak.of(class);
            let [decay, gain] = &mut tiles[class / TILE_WIDTH];
            (decay[class % TILE_WIDTH], gain[class % TILE_WIDTH]) = (r as f32, (1.0 - r) as f32);
        }
        Leaky { reduction, classes, tiles, padding }
    }

    /// Writes the gradient for r, (classes,). `sums` returns dL/dr of a class, summed over all samples.
    pub(crate) fn write_gradient(leak: CellParameter<'_>, sums: impl Fn(usize) -> f64, gradient: &mut [f32]) {
        for (class, gradient) in gradient.iter_mut().enumerate() {
            *gradient = if leak.is_open(class) { sums(class) as f32 } else { 0.0 };
        }
    }
}

for_each_isa! {
    /// Runs the readout forward over time. Writes the outputs to `logits`, (classes,).
    ///
    /// Writes the values of the integrators at time step t to `trace[t * tiles + tile]`, for [`backward`]. With
    /// [`Reduction::SoftmaxSum`], the softmax of each time step follows after these values, in the same layout.
    pub(crate) fn forward<V>(readout: &Leaky, input: &CellInput<'_>, trace: &mut Aligned<Tile>, logits: &mut [f32]) {
        let tiles = readout.tiles.len();
        let len = tiles * input.steps;
        trace.resize(if readout.reduction == Reduction::SoftmaxSum { 2 * len } else { len }, [0.0; TILE_WIDTH]);
        let (y, p) = trace.split_at_mut(len);
        for tile in 0..tiles {
            let c: [[V; 2]; 2] = [0, 1].map(|half| load(&readout.tiles[tile], half));
            let (scale, shift) = input.norm.tile(tile);
            let (scale, shift): ([V; 2], [V; 2]) = (halves(scale).map(V::load), halves(shift).map(V::load));
            let mut state: [V; 2] = halves(&input.start(tile)[0]).map(V::load);
            for (t, input) in input.column(tile).iter().enumerate() {
                for half in 0..2 {
                    let current = V::load(halves(input)[half]).mul_add(scale[half], shift[half]);
                    state[half] = state[half].mul_add(c[half][0], current.mul(c[half][1]));
                    state[half].store(halves_mut(&mut y[t * tiles + tile])[half]);
                }
            }
        }
        let steps = y.chunks_exact(tiles);
        match readout.reduction {
            Reduction::SoftmaxSum => {
                let mut sums = vec![[V::splat(0.0); 2]; tiles];
                for (y, p) in steps.zip(p.chunks_exact_mut(tiles)) {
                    softmax::<V>(y, &readout.padding, p);
                    for (sums, p) in sums.iter_mut().zip(p) {
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

    /// Runs the readout backward over time. `e` is dL/do, and `trace` is from [`forward`].
    ///
    /// Writes dL/dI to `out`, in the layout of the input, and the [`SUMS`] of each tile to `sums`.
    pub(crate) fn backward<V>(
        readout: &Leaky,
        input: &CellInput<'_>,
        trace: &[Tile],
        e: &[f32],
        out: &mut [Tile],
        sums: &mut [[DoubleTile; SUMS]],
    ) {
        let (tiles, steps) = (readout.tiles.len(), input.steps);
        let (y, p) = trace.split_at(tiles * steps);
        let mut upstream = Aligned::filled([0.0; TILE_WIDTH], tiles);
        upstream.iter_mut().zip(e.chunks(TILE_WIDTH)).for_each(|(row, e)| row[..e.len()].copy_from_slice(e));
        let last = match readout.reduction {
            Reduction::SoftmaxSum => Vec::new(),
            Reduction::Max => first_largest(y, tiles, readout.classes),
            Reduction::Last => vec![steps.wrapping_sub(1); readout.classes],
        };
        let mut next = vec![[V::splat(0.0); 2]; tiles];
        let mut totals = vec![[[V::Double::load(&[0.0; 16]); 2]; SUMS]; tiles];
        let mut q = Aligned::filled([0.0; TILE_WIDTH], tiles);
        for t in (0..steps).rev() {
            if readout.reduction == Reduction::SoftmaxSum {
                q.copy_from_slice(&p[t * tiles..][..tiles]);
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
                    let apart = row(own).double().sub(row(input.norm.mean(tile)).double());
                    sums[0][half] = row(before).sub(i).double().mul_add(lambda.double(), sums[0][half]);
                    sums[1][half] = sums[1][half].add(current.double());
                    sums[2][half] = apart.mul_add(current.double(), sums[2][half]);
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

/// Writes the softmax over the classes to `p`, and 0 to the padding of the last tile. `padding` is -infinity in that
/// padding, and 0 for classes.
#[inline(always)]
fn softmax<V: F32x16>(y: &[Tile], padding: &[Tile], p: &mut [Tile]) {
    let mut lanes = V::splat(f32::NEG_INFINITY);
    for (y, padding) in y.iter().zip(padding) {
        for half in 0..2 {
            lanes = V::load(halves(y)[half]).add(V::load(halves(padding)[half])).at_least(lanes);
        }
    }
    let largest = V::splat(lanes.largest());
    let mut sum = V::splat(0.0);
    for ((y, padding), p) in y.iter().zip(padding).zip(&mut *p) {
        for half in 0..2 {
            let y = V::load(halves(y)[half]).add(V::load(halves(padding)[half]));
            let power = exp(y.sub(largest));
            power.store(halves_mut(p)[half]);
            sum = sum.add(power);
        }
    }
    let sum = V::splat(sum.sum());
    for p in p {
        halves_mut(p).into_iter().for_each(|p| V::load(p).div(sum).store(p));
    }
}

/// Computes the gradient through the softmax. `q` has p before the call, and `p (e - <e, p>)` after it.
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

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::{Leaky, Reduction, SUMS, backward, forward};
    use crate::kernel::cell::{CellInput, CellParameter};
    use crate::kernel::isa::Isa;
    use crate::kernel::norm::Norm;
    use crate::kernel::{Aligned, TILE_WIDTH, Tile, linear};

    /// The readout in float64. Returns the sum of e * o.
    fn loss(reduction: Reduction, r: &[f64], start: &[f64], input: &[Vec<f64>], e: &[f64]) -> f64 {
        let mut y = start.to_vec();
        let mut outputs = vec![if reduction == Reduction::Max { f64::NEG_INFINITY } else { 0.0 }; e.len()];
        for input in input {
            y.iter_mut().zip(r).zip(input).for_each(|((y, r), x)| *y = r * *y + (1.0 - r) * x);
            let largest = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = y.iter().map(|y| (y - largest).exp()).sum();
            for (output, y) in outputs.iter_mut().zip(&y) {
                *output = match reduction {
                    Reduction::SoftmaxSum => *output + (y - largest).exp() / sum,
                    Reduction::Max => output.max(*y),
                    Reduction::Last => *y,
                };
            }
        }
        outputs.iter().zip(e).map(|(output, e)| output * e).sum()
    }

    #[test]
    fn equals_the_formulas_and_numerical_gradients() {
        for (reduction, steps, classes, scale) in [
            (Reduction::SoftmaxSum, 40, 35, 3.0f32),
            (Reduction::SoftmaxSum, 7, 3, 500.0),
            (Reduction::Max, 25, 35, 3.0),
            (Reduction::Last, 25, 64, 3.0),
            (Reduction::SoftmaxSum, 1, 1, 1.0),
        ] {
            let name = format!("{reduction:?}, {steps} steps, {classes} classes, scale {scale}");
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            let mut draw =
                |n: usize, low: f32, high: f32| -> Vec<f32> { (0..n).map(|_| rng.random_range(low..high)).collect() };
            let (r, e, start) = (draw(classes, 0.7, 1.0), draw(classes, -1.0, 1.0), draw(classes, 0.0, 1.0));
            let x = draw(steps * classes, -scale, scale);
            let (stride, tiles) = (linear::stride(steps), classes.div_ceil(TILE_WIDTH));
            let mut y = vec![[0.0; TILE_WIDTH]; tiles * stride];
            for (i, x) in x.iter().enumerate() {
                let (t, k) = (i / classes, i % classes);
                y[k / TILE_WIDTH * stride + t][k % TILE_WIDTH] = *x;
            }
            let mut start_tiles = vec![[[0.0; TILE_WIDTH]; 3]; tiles];
            start.iter().enumerate().for_each(|(k, s)| start_tiles[k / TILE_WIDTH][0][k % TILE_WIDTH] = *s);
            let norm = Norm::identity(classes);
            let input = CellInput { y: &y, stride, steps, norm: &norm, start: Some(&start_tiles) };
            let leak = CellParameter { values: &r, clamp: Some([0.75, 0.97]) };
            let readout = Leaky::new(reduction, leak);
            let (mut out, mut sums) =
                (vec![[f32::NAN; TILE_WIDTH]; tiles * stride], vec![[[0.0; TILE_WIDTH]; SUMS]; tiles]);
            let (mut logits, mut trace) = (vec![f32::NAN; classes], Aligned::default());
            let mut first: Option<Vec<u32>> = None;
            for isa in Isa::available() {
                forward(isa, &readout, &input, &mut trace, &mut logits);
                backward(isa, &readout, &input, &trace, &e, &mut out, &mut sums);
                let used: Vec<Tile> = out.chunks(stride).flat_map(|column| column[..steps].to_vec()).collect();
                let bits: Vec<u32> = logits.iter().chain(used.as_flattened()).map(|x| x.to_bits()).collect();
                assert_eq!(first.get_or_insert_with(|| bits.clone()), &bits, "{name}, {isa:?}");
            }
            let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&x| f64::from(x)).collect() };
            let clamped: Vec<f64> = wide(&r).iter().map(|r| r.clamp(0.75f32.into(), 0.97f32.into())).collect();
            let rows: Vec<Vec<f64>> = x.chunks(classes).map(wide).collect();
            let (start, e) = (wide(&start), wide(&e));
            let close = |got: f64, expected: f64, what: &str| {
                let largest = expected.abs().max(f64::from(scale) * 0.1);
                assert!((got - expected).abs() < 3e-5 * largest, "{name}: {what} {got}, not {expected}");
            };
            for k in 0..classes {
                let mut one = vec![0.0; classes];
                one[k] = 1.0;
                close(f64::from(logits[k]), loss(reduction, &clamped, &start, &rows, &one), "output");
            }
            for k in [0, classes / 2, classes - 1] {
                for t in 0..steps {
                    let at = |by: f64| {
                        let mut rows = rows.clone();
                        rows[t][k] += by;
                        loss(reduction, &clamped, &start, &rows, &e)
                    };
                    let got = f64::from(out[k / TILE_WIDTH * stride + t][k % TILE_WIDTH]);
                    close(got, (at(1e-6) - at(-1e-6)) / 2e-6, "dL/dI");
                }
                let at = |by: f64| {
                    let mut r = clamped.clone();
                    r[k] += by;
                    loss(reduction, &r, &start, &rows, &e)
                };
                let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
                close(sums[k / TILE_WIDTH][0][k % TILE_WIDTH], slope, "sum for r");
                let mut gradient = vec![f32::NAN; classes];
                Leaky::write_gradient(leak, |_| 1.0, &mut gradient);
                assert_eq!(gradient[k], if (0.75..=0.97).contains(&r[k]) { 1.0 } else { 0.0 });
            }
        }
    }

    #[test]
    fn a_logit_that_is_no_number_stays_one() {
        let norm = Norm::identity(2);
        let mut y = vec![[0.0; TILE_WIDTH]; linear::stride(3)];
        y[1][1] = f32::NAN;
        let input = CellInput { y: &y, stride: linear::stride(3), steps: 3, norm: &norm, start: None };
        for reduction in [Reduction::SoftmaxSum, Reduction::Max, Reduction::Last] {
            let readout = Leaky::new(reduction, CellParameter { values: &[0.5, 0.5], clamp: None });
            let mut logits = [0.0; 2];
            forward(Isa::chosen(), &readout, &input, &mut Aligned::default(), &mut logits);
            assert!(logits[1].is_nan(), "{reduction:?}: {logits:?}");
        }
    }
}
