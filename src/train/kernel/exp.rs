//! The exponential of numbers that are not positive, vectorisable and the same bits on every machine.
//!
//! libm's differs from one C library and instruction set to the next, and cannot be inlined into a vector loop.

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
/// Cephes' expf), and 2^n is written into the exponent. The relative error is below 1.5e-7 for all x >= -87.33654;
/// below that the result is 0, as it is for negative infinity. NaN gives NaN. For x > 0 it is not meant.
#[inline(always)]
pub fn exp_nonpositive(x: f32) -> f32 {
    // Written so that NaN passes through.
    let bounded = if x < UNDERFLOW { UNDERFLOW } else { x };
    let shifted = bounded * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = bounded - n * LN2_HIGH - n * LN2_LOW;
    // Estrin's order: half the latency of Horner's, which is what a loop over time waits for.
    let square = r * r;
    let low = 1.666_666_5e-1 * r + 0.5;
    let middle = 8.333_452e-3 * r + 4.166_579_6e-2;
    let high = 1.987_569_1e-4 * r + 1.398_199_9e-3;
    let p = (high * (square * square) + (middle * square + low)) * square + r + 1.0;
    // The integer n stands in the low bits of `shifted`; 127 is the exponent's bias.
    let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x < UNDERFLOW { 0.0 } else { p * scale }
}
