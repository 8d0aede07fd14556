//! The exponential of numbers up to 0: vectorisable, and the same bits on every machine.
//!
//! The exponential of libm differs between C libraries and instruction sets, and cannot be inlined into a vector loop.

use crate::kernel::vector::Real;

/// Below this the result is 0: e^x would be smaller than the smallest normal float32.
const UNDERFLOW: f32 = -87.336_54;
/// 1.5 * 2^23. Adding and then subtracting it rounds a float32 to the nearest integer, in the default rounding mode.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts: the first has so few bits that its product with an integer up to 126 is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Coefficients of the polynomial, from that of r^2 up. The coefficients of 1 and r are 1.
const C: [f32; 6] = [0.5, 1.666_666_5e-1, 4.166_579_6e-2, 8.333_452e-3, 1.398_199_9e-3, 1.987_569_1e-4];

/// The constants, with their names in the CUDA sources.
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

/// e^x for x <= 0, of one number or of a vector of them.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; e^r is a polynomial of degree 7 (Cody and Waite's reduction; coefficients of
/// Cephes' expf), and 2^n is written into the exponent. The relative error is below 1.5e-7 for all x > -87.33654;
/// below, the result is 0. The result for NaN is NaN. For x > 0 the result is unspecified.
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
