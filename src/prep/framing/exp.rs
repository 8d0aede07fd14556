//! The exponential of numbers that are not positive, the same bits on every machine, as a set's bytes have to be.

/// Below this, e^x is less than half the smallest float32, and the result is 0.
const UNDERFLOW: f64 = -104.0;
/// ln 2 in two parts: the first has so few bits that its product with an integer up to 2^11 is exact.
const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// e^x for x <= 0, within two units of the last place; 0 where float32 has nothing that small.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2, e^r is its series to the thirteenth power, and 2^n is written into the exponent.
pub(super) fn exp_nonpositive(x: f64) -> f64 {
    if x < UNDERFLOW {
        return 0.0;
    }
    let n = (x * std::f64::consts::LOG2_E).round();
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let series = (1..=13).rev().fold(1.0, |sum, k| 1.0 + sum * (r / f64::from(k)));
    series * f64::from_bits(((1023 + n as i64) as u64) << 52)
}
