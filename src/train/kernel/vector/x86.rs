//! The vectors of AVX2 and AVX-512.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::kernel::vector::{F32x16, F64x16, Real};

/// A vector for AVX2: two registers of eight float32.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256, __m256);

/// A vector for AVX-512: one register of sixteen float32.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

/// [`Avx2`] in float64: four registers of four.
#[derive(Clone, Copy)]
pub(crate) struct Avx2Double([__m256d; 4]);

/// [`Avx512`] in float64: two registers of eight.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Double(__m512d, __m512d);

/// Evaluates calls of vector intrinsics in an `unsafe` block.
macro_rules! intrinsics {
    ($calls:expr) => {{
        // SAFETY: only functions compiled for AVX2 and FMA, or for AVX-512, use these vectors (see `isa`). Loads and
        // stores get references to arrays of 16 numbers.
        unsafe { $calls }
    }};
}

/// Returns the sum of eight numbers: first 4 sums of two elements with distance 4, then 2 sums of these, then 1 sum.
#[inline]
#[target_feature(enable = "avx2")]
fn sum_of_eight(x: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// Returns the largest of eight numbers, compared in the order of [`sum_of_eight`].
#[inline]
#[target_feature(enable = "avx2")]
fn largest_of_eight(x: __m256) -> f32 {
    // If an operand is NaN or both are equal, the instruction returns the second operand.
    let four = _mm_max_ps(_mm256_extractf128_ps::<1>(x), _mm256_castps256_ps128(x));
    let two = _mm_max_ps(_mm_movehl_ps(four, four), four);
    _mm_cvtss_f32(_mm_max_ss(_mm_movehdup_ps(two), two))
}

/// Returns the [`sum_of_eight`] of each of four vectors.
#[inline]
#[target_feature(enable = "avx2")]
fn sums_of_eight(a: __m256, b: __m256, c: __m256, d: __m256) -> [f32; 4] {
    // Each pair of vectors becomes one vector with 4 sums of each. Then one vector has 2 sums of each of the four.
    let fours = |x, y| _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(x, y), _mm256_permute2f128_ps::<0x31>(x, y));
    let (ab, cd) = (fours(a, b), fours(c, d));
    let two = _mm256_add_ps(_mm256_shuffle_ps::<0x44>(ab, cd), _mm256_shuffle_ps::<0xee>(ab, cd));
    let one = _mm256_add_ps(two, _mm256_movehdup_ps(two));
    let (ac, bd) = (_mm256_castps256_ps128(one), _mm256_extractf128_ps::<1>(one));
    let second = |x| _mm_cvtss_f32(_mm_movehl_ps(x, x));
    [_mm_cvtss_f32(ac), _mm_cvtss_f32(bd), second(ac), second(bd)]
}

impl Real for Avx2 {
    #[inline(always)]
    fn splat(x: f32) -> Avx2 {
        intrinsics!(Avx2(_mm256_set1_ps(x), _mm256_set1_ps(x)))
    }
    #[inline(always)]
    fn add(self, other: Avx2) -> Avx2 {
        intrinsics!(Avx2(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)))
    }
    #[inline(always)]
    fn sub(self, other: Avx2) -> Avx2 {
        intrinsics!(Avx2(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)))
    }
    #[inline(always)]
    fn mul(self, other: Avx2) -> Avx2 {
        intrinsics!(Avx2(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)))
    }
    #[inline(always)]
    fn div(self, other: Avx2) -> Avx2 {
        intrinsics!(Avx2(_mm256_div_ps(self.0, other.0), _mm256_div_ps(self.1, other.1)))
    }
    #[inline(always)]
    fn mul_add(self, factor: Avx2, addend: Avx2) -> Avx2 {
        intrinsics!(Avx2(_mm256_fmadd_ps(self.0, factor.0, addend.0), _mm256_fmadd_ps(self.1, factor.1, addend.1)))
    }
    #[inline(always)]
    fn sqrt(self) -> Avx2 {
        intrinsics!(Avx2(_mm256_sqrt_ps(self.0), _mm256_sqrt_ps(self.1)))
    }
    #[inline(always)]
    fn abs(self) -> Avx2 {
        intrinsics!({
            let sign = _mm256_set1_ps(-0.0);
            Avx2(_mm256_andnot_ps(sign, self.0), _mm256_andnot_ps(sign, self.1))
        })
    }
    #[inline(always)]
    fn trunc(self) -> Avx2 {
        const ZERO: i32 = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
        intrinsics!(Avx2(_mm256_round_ps::<ZERO>(self.0), _mm256_round_ps::<ZERO>(self.1)))
    }
    #[inline(always)]
    fn at_least(self, bound: Avx2) -> Avx2 {
        // If an operand is NaN or both are equal, the instruction returns the second operand.
        intrinsics!(Avx2(_mm256_max_ps(bound.0, self.0), _mm256_max_ps(bound.1, self.1)))
    }
    #[inline(always)]
    fn zero_at_most(self, x: Avx2, bound: Avx2) -> Avx2 {
        intrinsics!({
            let low = _mm256_cmp_ps::<_CMP_LE_OQ>(x.0, bound.0);
            let high = _mm256_cmp_ps::<_CMP_LE_OQ>(x.1, bound.1);
            Avx2(_mm256_andnot_ps(low, self.0), _mm256_andnot_ps(high, self.1))
        })
    }
    #[inline(always)]
    fn keep_above(self, x: Avx2, bound: Avx2) -> Avx2 {
        intrinsics!({
            let low = _mm256_cmp_ps::<_CMP_GT_OQ>(x.0, bound.0);
            let high = _mm256_cmp_ps::<_CMP_GT_OQ>(x.1, bound.1);
            Avx2(_mm256_and_ps(low, self.0), _mm256_and_ps(high, self.1))
        })
    }
    #[inline(always)]
    fn keep_at_most(self, x: Avx2, bound: Avx2) -> Avx2 {
        intrinsics!({
            let low = _mm256_cmp_ps::<_CMP_LE_OQ>(x.0, bound.0);
            let high = _mm256_cmp_ps::<_CMP_LE_OQ>(x.1, bound.1);
            Avx2(_mm256_and_ps(low, self.0), _mm256_and_ps(high, self.1))
        })
    }
    #[inline(always)]
    fn power_of_two(self) -> Avx2 {
        intrinsics!({
            let power = |x| {
                let biased = _mm256_add_epi32(_mm256_castps_si256(x), _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
            };
            Avx2(power(self.0), power(self.1))
        })
    }
}

impl F32x16 for Avx2 {
    type Double = Avx2Double;
    const WIDE: bool = false;
    #[inline(always)]
    fn load(from: &[f32; 16]) -> Avx2 {
        intrinsics!(Avx2(_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))))
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; 16]) {
        intrinsics!({
            _mm256_storeu_ps(to.as_mut_ptr(), self.0);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), self.1);
        })
    }
    #[inline(always)]
    fn nonzero(self) -> u32 {
        intrinsics!({
            let bits = |x| _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(x, _mm256_setzero_ps())) as u32;
            bits(self.0) | bits(self.1) << 8
        })
    }
    #[inline(always)]
    fn above(self, bound: Avx2) -> u32 {
        intrinsics!({
            let bits = |x, bound| _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(x, bound)) as u32;
            bits(self.0, bound.0) | bits(self.1, bound.1) << 8
        })
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        intrinsics!(sum_of_eight(_mm256_add_ps(self.0, self.1)))
    }
    #[inline(always)]
    fn largest(self) -> f32 {
        intrinsics!(largest_of_eight(_mm256_max_ps(self.1, self.0)))
    }
    #[inline(always)]
    fn sums([a, b, c, d]: [Avx2; 4]) -> [f32; 4] {
        intrinsics!({
            let eight = |x: Avx2| _mm256_add_ps(x.0, x.1);
            sums_of_eight(eight(a), eight(b), eight(c), eight(d))
        })
    }
    #[inline(always)]
    fn keep(self, mask: u32) -> Avx2 {
        intrinsics!({
            let of = |mask: u32| {
                let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
                let chosen = _mm256_and_si256(_mm256_set1_epi32(mask as i32), bits);
                _mm256_castsi256_ps(_mm256_cmpeq_epi32(chosen, bits))
            };
            Avx2(_mm256_and_ps(self.0, of(mask)), _mm256_and_ps(self.1, of(mask >> 8)))
        })
    }
    #[inline(always)]
    fn double(self) -> Avx2Double {
        intrinsics!(Avx2Double([
            _mm256_cvtps_pd(_mm256_castps256_ps128(self.0)),
            _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(self.0)),
            _mm256_cvtps_pd(_mm256_castps256_ps128(self.1)),
            _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(self.1)),
        ]))
    }
}

impl Real for Avx512 {
    #[inline(always)]
    fn splat(x: f32) -> Avx512 {
        intrinsics!(Avx512(_mm512_set1_ps(x)))
    }
    #[inline(always)]
    fn add(self, other: Avx512) -> Avx512 {
        intrinsics!(Avx512(_mm512_add_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn sub(self, other: Avx512) -> Avx512 {
        intrinsics!(Avx512(_mm512_sub_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn mul(self, other: Avx512) -> Avx512 {
        intrinsics!(Avx512(_mm512_mul_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn div(self, other: Avx512) -> Avx512 {
        intrinsics!(Avx512(_mm512_div_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn mul_add(self, factor: Avx512, addend: Avx512) -> Avx512 {
        intrinsics!(Avx512(_mm512_fmadd_ps(self.0, factor.0, addend.0)))
    }
    #[inline(always)]
    fn sqrt(self) -> Avx512 {
        intrinsics!(Avx512(_mm512_sqrt_ps(self.0)))
    }
    #[inline(always)]
    fn abs(self) -> Avx512 {
        intrinsics!(Avx512(_mm512_abs_ps(self.0)))
    }
    #[inline(always)]
    fn trunc(self) -> Avx512 {
        const ZERO: i32 = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
        intrinsics!(Avx512(_mm512_roundscale_ps::<ZERO>(self.0)))
    }
    #[inline(always)]
    fn at_least(self, bound: Avx512) -> Avx512 {
        intrinsics!(Avx512(_mm512_max_ps(bound.0, self.0)))
    }
    #[inline(always)]
    fn zero_at_most(self, x: Avx512, bound: Avx512) -> Avx512 {
        intrinsics!(Avx512(_mm512_maskz_mov_ps(!_mm512_cmp_ps_mask::<_CMP_LE_OQ>(x.0, bound.0), self.0)))
    }
    #[inline(always)]
    fn keep_above(self, x: Avx512, bound: Avx512) -> Avx512 {
        intrinsics!(Avx512(_mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(x.0, bound.0), self.0)))
    }
    #[inline(always)]
    fn keep_at_most(self, x: Avx512, bound: Avx512) -> Avx512 {
        intrinsics!(Avx512(_mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_LE_OQ>(x.0, bound.0), self.0)))
    }
    #[inline(always)]
    fn power_of_two(self) -> Avx512 {
        intrinsics!({
            let biased = _mm512_add_epi32(_mm512_castps_si512(self.0), _mm512_set1_epi32(127));
            Avx512(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased)))
        })
    }
}

impl F32x16 for Avx512 {
    type Double = Avx512Double;
    const WIDE: bool = true;
    #[inline(always)]
    fn load(from: &[f32; 16]) -> Avx512 {
        intrinsics!(Avx512(_mm512_loadu_ps(from.as_ptr())))
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; 16]) {
        intrinsics!(_mm512_storeu_ps(to.as_mut_ptr(), self.0))
    }
    #[inline(always)]
    fn nonzero(self) -> u32 {
        intrinsics!(u32::from(_mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(self.0, _mm512_setzero_ps())))
    }
    #[inline(always)]
    fn above(self, bound: Avx512) -> u32 {
        intrinsics!(u32::from(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, bound.0)))
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        intrinsics!({
            let (low, high) = (_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0));
            sum_of_eight(_mm256_add_ps(low, high))
        })
    }
    #[inline(always)]
    fn largest(self) -> f32 {
        intrinsics!({
            let (low, high) = (_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0));
            largest_of_eight(_mm256_max_ps(high, low))
        })
    }
    #[inline(always)]
    fn sums([a, b, c, d]: [Avx512; 4]) -> [f32; 4] {
        intrinsics!({
            let eight = |x: Avx512| _mm256_add_ps(_mm512_castps512_ps256(x.0), _mm512_extractf32x8_ps::<1>(x.0));
            sums_of_eight(eight(a), eight(b), eight(c), eight(d))
        })
    }
    #[inline(always)]
    fn keep(self, mask: u32) -> Avx512 {
        intrinsics!(Avx512(_mm512_maskz_mov_ps(mask as u16, self.0)))
    }
    #[inline(always)]
    fn double(self) -> Avx512Double {
        intrinsics!({
            let (low, high) = (_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0));
            Avx512Double(_mm512_cvtps_pd(low), _mm512_cvtps_pd(high))
        })
    }
}

impl F64x16 for Avx2Double {
    type Single = Avx2;
    #[inline(always)]
    fn load(from: &[f64; 16]) -> Avx2Double {
        intrinsics!({
            let at = |i: usize| _mm256_loadu_pd(from.as_ptr().add(i));
            Avx2Double([at(0), at(4), at(8), at(12)])
        })
    }
    #[inline(always)]
    fn store(self, to: &mut [f64; 16]) {
        intrinsics!({
            _mm256_storeu_pd(to.as_mut_ptr(), self.0[0]);
            _mm256_storeu_pd(to.as_mut_ptr().add(4), self.0[1]);
            _mm256_storeu_pd(to.as_mut_ptr().add(8), self.0[2]);
            _mm256_storeu_pd(to.as_mut_ptr().add(12), self.0[3]);
        })
    }
    #[inline(always)]
    fn add(self, other: Avx2Double) -> Avx2Double {
        intrinsics!({
            let at = |i: usize| _mm256_add_pd(self.0[i], other.0[i]);
            Avx2Double([at(0), at(1), at(2), at(3)])
        })
    }
    #[inline(always)]
    fn sub(self, other: Avx2Double) -> Avx2Double {
        intrinsics!({
            let at = |i: usize| _mm256_sub_pd(self.0[i], other.0[i]);
            Avx2Double([at(0), at(1), at(2), at(3)])
        })
    }
    #[inline(always)]
    fn mul_add(self, factor: Avx2Double, addend: Avx2Double) -> Avx2Double {
        intrinsics!({
            let at = |i: usize| _mm256_fmadd_pd(self.0[i], factor.0[i], addend.0[i]);
            Avx2Double([at(0), at(1), at(2), at(3)])
        })
    }
    #[inline(always)]
    fn single(self) -> Avx2 {
        intrinsics!({
            let half = |i: usize| _mm256_set_m128(_mm256_cvtpd_ps(self.0[i + 1]), _mm256_cvtpd_ps(self.0[i]));
            Avx2(half(0), half(2))
        })
    }
}

impl F64x16 for Avx512Double {
    type Single = Avx512;
    #[inline(always)]
    fn load(from: &[f64; 16]) -> Avx512Double {
        intrinsics!(Avx512Double(_mm512_loadu_pd(from.as_ptr()), _mm512_loadu_pd(from.as_ptr().add(8))))
    }
    #[inline(always)]
    fn store(self, to: &mut [f64; 16]) {
        intrinsics!({
            _mm512_storeu_pd(to.as_mut_ptr(), self.0);
            _mm512_storeu_pd(to.as_mut_ptr().add(8), self.1);
        })
    }
    #[inline(always)]
    fn add(self, other: Avx512Double) -> Avx512Double {
        intrinsics!(Avx512Double(_mm512_add_pd(self.0, other.0), _mm512_add_pd(self.1, other.1)))
    }
    #[inline(always)]
    fn sub(self, other: Avx512Double) -> Avx512Double {
        intrinsics!(Avx512Double(_mm512_sub_pd(self.0, other.0), _mm512_sub_pd(self.1, other.1)))
    }
    #[inline(always)]
    fn mul_add(self, factor: Avx512Double, addend: Avx512Double) -> Avx512Double {
        intrinsics!(Avx512Double(
            _mm512_fmadd_pd(self.0, factor.0, addend.0),
            _mm512_fmadd_pd(self.1, factor.1, addend.1),
        ))
    }
    #[inline(always)]
    fn single(self) -> Avx512 {
        intrinsics!({
            let low = _mm512_castps256_ps512(_mm512_cvtpd_ps(self.0));
            Avx512(_mm512_insertf32x8::<1>(low, _mm512_cvtpd_ps(self.1)))
        })
    }
}
