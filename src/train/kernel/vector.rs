//! Vectors of sixteen float32 for each instruction set. Every operation rounds as for [`f32`], so all instruction
//! sets give the same bits.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Operations on a float32 or on a vector of float32.
pub(crate) trait Real: Copy {
    /// Returns a vector whose elements are all `x`.
    fn splat(x: f32) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// Returns self * factor + addend, rounded only once.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    fn sqrt(self) -> Self;
    fn abs(self) -> Self;
    fn trunc(self) -> Self;
    /// Returns the larger of self and `bound`, or NaN if self is NaN.
    fn at_least(self, bound: Self) -> Self;
    /// Returns self with 0 in each element where `x` is at most `bound`.
    fn zero_at_most(self, x: Self, bound: Self) -> Self;
    /// Returns 2^n, where self is n + 1.5 * 2^23 and n is an integer from -126 to 127.
    fn power_of_two(self) -> Self;
}

pub(crate) trait F32x16: Real {
    /// Whether the instruction set has 32 registers for a whole vector each, instead of 16 registers for half a vector.
    const WIDE: bool;
    fn load(from: &[f32; 16]) -> Self;
    fn store(self, to: &mut [f32; 16]);
    /// Returns a mask in which bit i is set if element i is not 0.
    fn nonzero(self) -> u32;
}

impl Real for f32 {
    #[inline(always)]
    fn splat(x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn add(self, other: f32) -> f32 {
        self + other
    }
    #[inline(always)]
    fn sub(self, other: f32) -> f32 {
        self - other
    }
    #[inline(always)]
    fn mul(self, other: f32) -> f32 {
        self * other
    }
    #[inline(always)]
    fn div(self, other: f32) -> f32 {
        self / other
    }
    #[inline(always)]
    fn mul_add(self, factor: f32, addend: f32) -> f32 {
        f32::mul_add(self, factor, addend)
    }
    #[inline(always)]
    fn sqrt(self) -> f32 {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn abs(self) -> f32 {
        f32::abs(self)
    }
    #[inline(always)]
    fn trunc(self) -> f32 {
        f32::trunc(self)
    }
    #[inline(always)]
    fn at_least(self, bound: f32) -> f32 {
        if self < bound { bound } else { self }
    }
    #[inline(always)]
    fn zero_at_most(self, x: f32, bound: f32) -> f32 {
        if x <= bound { 0.0 } else { self }
    }
    #[inline(always)]
    fn power_of_two(self) -> f32 {
        f32::from_bits(self.to_bits().wrapping_add(127) << 23)
    }
}

/// A vector for machines without AVX2: a plain array.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 16]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Portable, each: impl Fn(f32, f32) -> f32) -> Portable {
        Portable(std::array::from_fn(|i| each(self.0[i], other.0[i])))
    }
}

impl Real for Portable {
    #[inline(always)]
    fn splat(x: f32) -> Portable {
        Portable([x; 16])
    }
    #[inline(always)]
    fn add(self, other: Portable) -> Portable {
        self.zip(other, Real::add)
    }
    #[inline(always)]
    fn sub(self, other: Portable) -> Portable {
        self.zip(other, Real::sub)
    }
    #[inline(always)]
    fn mul(self, other: Portable) -> Portable {
        self.zip(other, Real::mul)
    }
    #[inline(always)]
    fn div(self, other: Portable) -> Portable {
        self.zip(other, Real::div)
    }
    #[inline(always)]
    fn mul_add(self, factor: Portable, addend: Portable) -> Portable {
        Portable(std::array::from_fn(|i| self.0[i].mul_add(factor.0[i], addend.0[i])))
    }
    #[inline(always)]
    fn sqrt(self) -> Portable {
        Portable(self.0.map(Real::sqrt))
    }
    #[inline(always)]
    fn abs(self) -> Portable {
        Portable(self.0.map(Real::abs))
    }
    #[inline(always)]
    fn trunc(self) -> Portable {
        Portable(self.0.map(Real::trunc))
    }
    #[inline(always)]
    fn at_least(self, bound: Portable) -> Portable {
        self.zip(bound, Real::at_least)
    }
    #[inline(always)]
    fn zero_at_most(self, x: Portable, bound: Portable) -> Portable {
        Portable(std::array::from_fn(|i| self.0[i].zero_at_most(x.0[i], bound.0[i])))
    }
    #[inline(always)]
    fn power_of_two(self) -> Portable {
        Portable(self.0.map(Real::power_of_two))
    }
}

impl F32x16 for Portable {
    const WIDE: bool = false;
    #[inline(always)]
    fn load(from: &[f32; 16]) -> Portable {
        Portable(*from)
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; 16]) {
        *to = self.0;
    }
    #[inline(always)]
    fn nonzero(self) -> u32 {
        self.0.iter().enumerate().map(|(i, &x)| u32::from(x != 0.0) << i).sum()
    }
}

/// A vector for AVX2: two registers of eight float32.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256, __m256);

/// A vector for AVX-512: one register of sixteen float32.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

/// Evaluates calls of vector intrinsics in an `unsafe` block.
#[cfg(target_arch = "x86_64")]
macro_rules! intrinsics {
    ($calls:expr) => {{
        // SAFETY: only functions compiled for AVX2 and FMA, or for AVX-512, have these vectors (see `isa`), and memory
        // is arrays of 16.
        unsafe { $calls }
    }};
}

#[cfg(target_arch = "x86_64")]
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

#[cfg(target_arch = "x86_64")]
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
}

#[cfg(target_arch = "x86_64")]
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
    fn power_of_two(self) -> Avx512 {
        intrinsics!({
            let biased = _mm512_add_epi32(_mm512_castps_si512(self.0), _mm512_set1_epi32(127));
            Avx512(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased)))
        })
    }
}

#[cfg(target_arch = "x86_64")]
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
}
