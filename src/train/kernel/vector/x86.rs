//! The vectors of AVX2 and AVX-512.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::kernel::vector::{F32x16, Real};

/// A vector for AVX2: two registers of eight float32.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256, __m256);

/// A vector for AVX-512: one register of sixteen float32.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

/// Evaluates calls of vector intrinsics in an `unsafe` block.
macro_rules! intrinsics {
    ($calls:expr) => {{
        // SAFETY: only functions compiled for AVX2 and FMA, or for AVX-512, have these vectors (see `isa`), and memory
        // is arrays of 16.
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
        // For NaN and for equals, the instruction returns the second operand.
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
}
