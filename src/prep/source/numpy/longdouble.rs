//! Converts C's long double of x86 processors, which NumPy calls float96 or float128.

/// Returns the float64 nearest to a little-endian long double of 12 or 16 bytes.
pub(super) fn nearest<const N: usize>(bytes: [u8; N]) -> f64 {
    // The bytes after the tenth are padding with any values.
    let bits = bytes[..10].iter().rev().fold(0_u128, |bits, &byte| bits << 8 | u128::from(byte));
    let (mantissa, exponent, sign) =
        (bits as u64, (bits >> 64) as i32 & 0x7fff, if bits >> 79 == 1 { -1.0 } else { 1.0 });
    let has_whole = mantissa >> 63 == 1;
    match exponent {
        0x7fff if mantissa << 1 == 0 => sign * f64::INFINITY,
        0 => sign * 0.0, // smaller than any float64
        1..0x7fff if has_whole => {
            // Multiply in two steps: the power of two may be outside the range of float64, but half of it is not.
            let power = (exponent - 16_383 - 63).clamp(-2_000, 2_000);
            sign * mantissa as f64 * 2.0_f64.powi(power / 2) * 2.0_f64.powi(power - power / 2)
        }
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes are those of `np.longdouble(x).tobytes()` on x86-64.
    #[test]
    fn the_nearest_float64_is_read() {
        for (head, mantissa, number) in [
            (0, 0, 0.0),
            (0x3fff, 1 << 63, 1.0),
            (0xc000, 0xa000_0000_0000_0000, -2.5),
            (0x4001, 0xa3d7_0a3d_70a3_d70a, 5.12),
            (0x401d, 0xcccc_cccd_0000_0000, 1_717_986_918.5),
            (0x7fff, 1 << 63, f64::INFINITY),
            (0x7ffe, u64::MAX, f64::INFINITY),
        ] {
            let mut bytes = (u128::from(head as u16) << 64 | u128::from(mantissa)).to_le_bytes();
            assert_eq!(nearest(bytes), number);
            bytes[10..].fill(0xa5);
            assert_eq!((nearest(bytes), nearest::<12>(bytes[..12].try_into().unwrap())), (number, number));
        }
        for head in [0x7fff, 0x4000] {
            assert!(nearest((head << 64 | 1_u128).to_le_bytes()).is_nan());
        }
    }
}
