//! An exponential for x <= 0 that gives the same bits on every machine, so that sets are byte-identical everywhere.

/// For x below this, e^x rounds to 0 in float32.
const UNDERFLOW: f64 = -104.0;
/// The leading bits of ln 2; `LN2_LOW` is the rest. The product of this number with an integer up to 2^11 is exact.
const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// Computes e^x for x <= 0, within two units in the last place. Returns 0 if the result is too small for a float32.
pub(super) fn exp_nonpositive(x: f64) -> f64 {
    if x < UNDERFLOW {
        return 0.0;
    }
    // e^x = 2^n e^r with r = x - n ln 2. e^r is the Taylor series up to r^13.
    let n = (x * std::f64::consts::LOG2_E).round();
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let series = (1..=13).rev().fold(1.0, |sum, k| 1.0 + sum * (r / f64::from(k)));
    series * f64::from_bits(((1023 + n as i64) as u64) << 52)
}
