//! The exponential of numbers that are not positive, vectorisable and the same bits on every machine.
//!
//! libm's differs from one C library and instruction set to the next, and cannot be inlined into a vector loop.

use super::vector::Real;

/// Below this the result is 0: e^x would be smaller than the smallest normal float32.
const UNDERFLOW: f32 = -87.336_54;
/// Adding and subtracting it rounds to the nearest integer, in the default rounding mode.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts: the first has so few bits that its product with an integer up to 126 is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// e^x for x <= 0.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; e^r is a polynomial of degree 7 (Cody and Waite's reduction; coefficients of
/// Cephes' expf), and 2^n is written into the exponent. The relative error is below 1.5e-7 for all x > -87.33654;
/// from there on the result is 0, as it is for negative infinity. NaN gives NaN. For x > 0 it is not meant.
pub fn exp_nonpositive(x: f32) -> f32 {
    exp(x)
}

/// The same, side by side.
#[inline(always)]
pub(super) fn exp<R: Real>(x: R) -> R {
    let c = R::splat;
    let bounded = x.at_least(c(UNDERFLOW));
    let shifted = bounded.mul_add(c(std::f32::consts::LOG2_E), c(ROUND));
    let n = shifted.sub(c(ROUND));
    let r = n.mul_add(c(-LN2_LOW), n.mul_add(c(-LN2_HIGH), bounded));
    // Estrin's order: half the latency of Horner's, which is what a loop over time waits for.
    let square = r.mul(r);
    let low = r.mul_add(c(1.666_666_5e-1), c(0.5));
    let middle = r.mul_add(c(8.333_452e-3), c(4.166_579_6e-2));
    let high = r.mul_add(c(1.987_569_1e-4), c(1.398_199_9e-3));
    let high = high.mul_add(square, middle).mul_add(square, low);
    let p = high.mul_add(square, r.add(c(1.0)));
    // The integer n stands in the low bits of `shifted`.
    p.mul(shifted.power_of_two()).zero_at_most(x, c(UNDERFLOW))
}
