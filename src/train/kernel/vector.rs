//! Vectors of sixteen float32 for each instruction set. Every operation rounds as for [`f32`], so all instruction
//! sets give the same bits.

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

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
    /// Returns self, with 0 in each element where `x` is at most `bound`.
    fn zero_at_most(self, x: Self, bound: Self) -> Self;
    /// Returns self in each element where `x` is above `bound`. The other elements, also those where `x` is NaN, are
    /// 0.
    fn keep_above(self, x: Self, bound: Self) -> Self;
    /// Returns self in each element where `x` is at most `bound`. The other elements, also those where `x` is NaN,
    /// are 0.
    fn keep_at_most(self, x: Self, bound: Self) -> Self;
    /// Returns 2^n, where self is n + 1.5 * 2^23 and n is an integer from -126 to 127.
    fn power_of_two(self) -> Self;
}

pub(crate) trait F32x16: Real {
    /// Type of the same sixteen numbers in float64.
    type Double: F64x16<Single = Self>;
    /// Whether the instruction set has 32 registers of 512 bits (AVX-512). Otherwise, the kernels are written for 16
    /// registers of 256 bits.
    const WIDE: bool;
    fn load(from: &[f32; 16]) -> Self;
    fn store(self, to: &mut [f32; 16]);
    /// Returns a mask in which bit i is set if element i is not 0.
    fn nonzero(self) -> u32;
    /// Returns a mask in which bit i is set if element i is above `bound`.
    fn above(self, bound: Self) -> u32;
    /// Returns the sum of all elements: first 8 sums of two elements with distance 8, then 4 sums of these, then 2,
    /// then 1.
    fn sum(self) -> f32;
    /// Returns the largest element, compared in the order of [`sum`](F32x16::sum). An element that is NaN may be left
    /// out.
    fn largest(self) -> f32;
    /// Returns the [`sum`](F32x16::sum) of each vector, with fewer instructions.
    fn sums(vectors: [Self; 4]) -> [f32; 4];
    /// Returns self in each element whose bit in `mask` is 1. The other elements are 0.
    fn keep(self, mask: u32) -> Self;
    fn double(self) -> Self::Double;
}

/// Operations on a vector of sixteen float64.
pub(crate) trait F64x16: Copy {
    type Single;
    fn load(from: &[f64; 16]) -> Self;
    fn store(self, to: &mut [f64; 16]);
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    /// Returns self * factor + addend, rounded only once.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// Returns the nearest float32.
    fn single(self) -> Self::Single;
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
    fn keep_above(self, x: f32, bound: f32) -> f32 {
        if x > bound { self } else { 0.0 }
    }
    #[inline(always)]
    fn keep_at_most(self, x: f32, bound: f32) -> f32 {
        if x <= bound { self } else { 0.0 }
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
    fn keep_above(self, x: Portable, bound: Portable) -> Portable {
        Portable(std::array::from_fn(|i| self.0[i].keep_above(x.0[i], bound.0[i])))
    }
    #[inline(always)]
    fn keep_at_most(self, x: Portable, bound: Portable) -> Portable {
        Portable(std::array::from_fn(|i| self.0[i].keep_at_most(x.0[i], bound.0[i])))
    }
    #[inline(always)]
    fn power_of_two(self) -> Portable {
        Portable(self.0.map(Real::power_of_two))
    }
}

impl F32x16 for Portable {
    type Double = PortableDouble;
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
    #[inline(always)]
    fn above(self, bound: Portable) -> u32 {
        self.0.iter().zip(bound.0).enumerate().map(|(i, (&x, bound))| u32::from(x > bound) << i).sum()
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        let mut sums = self.0;
        for width in [8, 4, 2, 1] {
            for i in 0..width {
                sums[i] += sums[i + width];
            }
        }
        sums[0]
    }
    #[inline(always)]
    fn largest(self) -> f32 {
        let Portable(mut x) = self;
        for width in [8, 4, 2, 1] {
            for i in 0..width {
                x[i] = if x[i + width] > x[i] { x[i + width] } else { x[i] };
            }
        }
        x[0]
    }
    #[inline(always)]
    fn sums(vectors: [Portable; 4]) -> [f32; 4] {
        vectors.map(F32x16::sum)
    }
    #[inline(always)]
    fn keep(self, mask: u32) -> Portable {
        Portable(std::array::from_fn(|i| if mask >> i & 1 == 1 { self.0[i] } else { 0.0 }))
    }
    #[inline(always)]
    fn double(self) -> PortableDouble {
        PortableDouble(self.0.map(f64::from))
    }
}

/// [`Portable`] in float64.
#[derive(Clone, Copy)]
pub(crate) struct PortableDouble([f64; 16]);

impl F64x16 for PortableDouble {
    type Single = Portable;
    #[inline(always)]
    fn load(from: &[f64; 16]) -> PortableDouble {
        PortableDouble(*from)
    }
    #[inline(always)]
    fn store(self, to: &mut [f64; 16]) {
        *to = self.0;
    }
    #[inline(always)]
    fn add(self, other: PortableDouble) -> PortableDouble {
        PortableDouble(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
    #[inline(always)]
    fn sub(self, other: PortableDouble) -> PortableDouble {
        PortableDouble(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }
    #[inline(always)]
    fn mul_add(self, factor: PortableDouble, addend: PortableDouble) -> PortableDouble {
        PortableDouble(std::array::from_fn(|i| self.0[i].mul_add(factor.0[i], addend.0[i])))
    }
    #[inline(always)]
    fn single(self) -> Portable {
        Portable(self.0.map(|x| x as f32))
    }
}
