//! The exponential function e^x for x <= 0. It can be vectorised, and gives the same bits on every machine.
//!
//! The exponential function of the C library has neither property: its results differ between libraries and instruction
//! sets, and it cannot be inlined into a vector loop.

use crate::kernel::vector::Real;

/// Largest x for which the result of [`exp`] is 0. At about this x, e^x is the smallest normal float32.
const UNDERFLOW: f32 = -87.336_54;
/// 1.5 * 2^23. Adding this number to a float32 x and subtracting it again rounds x to the nearest integer, if |x| is
/// below 2^22.
const ROUND: f32 = 12_582_912.0;
/// High part of ln 2: ln 2 rounded to so few bits that its product with any integer up to 126 is exact. [`LN2_LOW`] is
/// ln 2 minus this part.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Coefficients of r^2 to r^7 in the polynomial for e^r. The polynomial begins with 1 + r.
const C: [f32; 6] = [0.5, 1.666_666_5e-1, 4.166_579_6e-2, 8.333_452e-3, 1.398_199_9e-3, 1.987_569_1e-4];

/// Constants of the exponential function that Rust and CUDA share, as (name in the CUDA sources, value).
pub(super) const SHARED: [(&str, f32); 11] = [
    ("EXP_UNDERFLOW", UNDERFLOW),
    ("EXP_ROUND", ROUND),
    ("EXP_LOG2_E", std::f32::consts::LOG2_E),
    ("EXP_LN2_HIGH", LN2_HIGH),
    ("EXP_LN2_LOW", LN2_LOW),
    ("EXP_C2", C[0]),
    ("EXP_C3", C[1]),
    ("EXP_C4", C[2]),
    ("EXP_C5", C[3]),
    ("EXP_C6", C[4]),
    ("EXP_C7", C[5]),
];

/// Returns e^x for x <= 0. `x` is one float32, or a vector of float32.
///
/// x is split into n ln 2 + r, with an integer n and |r| <= ln 2 / 2 (Cody and Waite's reduction). e^r is computed with
/// a polynomial of degree 7 (coefficients of Cephes' expf). 2^n is made by writing n into the exponent bits of a
/// float32. The result is e^r * 2^n.
///
/// The relative error is below 1.5e-7 for -87.33654 < x <= 0. The result is 0 for smaller x, NaN for NaN, and
/// unspecified for x > 0.
#[inline(always)]
pub(super) fn exp<R: Real>(x: R) -> R {
    let c = R::splat;
    let bounded = x.at_least(c(UNDERFLOW));
    let shifted = bounded.mul_add(c(std::f32::consts::LOG2_E), c(ROUND));
    let n = shifted.sub(c(ROUND));
    let r = n.mul_add(c(-LN2_LOW), n.mul_add(c(-LN2_HIGH), bounded));
    // Estrin's order has half the latency of Horner's, and a loop over time waits for that.
    let square = r.mul(r);
    let low = r.mul_add(c(C[1]), c(C[0]));
    let middle = r.mul_add(c(C[3]), c(C[2]));
    let high = r.mul_add(c(C[5]), c(C[4]));
    let high = high.mul_add(square, middle).mul_add(square, low);
    let p = high.mul_add(square, r.add(c(1.0)));
    // The low bits of `shifted` are the integer n.
    p.mul(shifted.power_of_two()).zero_at_most(x, c(UNDERFLOW))
}
