//! The function e^x for x <= 0, for a number or a vector, with the same bits on every machine.

use crate::kernel::vector::Real;

/// Largest x for which [`exp`] returns 0. At about this x, e^x is the smallest normal float32.
const UNDERFLOW: f32 = -87.336_54;
/// 1.5 * 2^23. Adding and then subtracting this number rounds a float32 x to the nearest integer, for |x| < 2^22.
const ROUND: f32 = 12_582_912.0;
/// High part of ln 2, whose product with an integer up to 126 is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Coefficients of r^2 to r^7 in the polynomial for e^r, which begins with 1 + r.
const C: [f32; 6] = [0.5, 1.666_666_5e-1, 4.166_579_6e-2, 8.333_452e-3, 1.398_199_9e-3, 1.987_569_1e-4];

/// Constants of the exponential function that the CUDA sources use too, as (name in CUDA, value).
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

/// Returns e^x for x <= 0, with a relative error below 1.5e-7. Returns 0 for x <= -87.33654, and NaN for NaN.
///
/// Uses Cody and Waite's reduction x = n ln 2 + r, and the polynomial for e^r of Cephes' expf.
#[inline(always)]
pub(super) fn exp<R: Real>(x: R) -> R {
    let c = R::splat;
    let bounded = x.at_least(c(UNDERFLOW));
    let shifted = bounded.mul_add(c(std::f32::consts::LOG2_E), c(ROUND));
    let n = shifted.sub(c(ROUND));
    let r = n.mul_add(c(-LN2_LOW), n.mul_add(c(-LN2_HIGH), bounded));
    // Estrin's scheme has half the latency of Horner's. A loop over time waits for this latency at every step.
    let square = r.mul(r);
    let low = r.mul_add(c(C[1]), c(C[0]));
    let middle = r.mul_add(c(C[3]), c(C[2]));
    let high = r.mul_add(c(C[5]), c(C[4]));
    let high = high.mul_add(square, middle).mul_add(square, low);
    let p = high.mul_add(square, r.add(c(1.0)));
    // The low bits of `shifted` are the integer n.
    p.mul(shifted.power_of_two()).zero_at_most(x, c(UNDERFLOW))
}
