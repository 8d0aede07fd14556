//! Compiles kernels for several instruction sets, and chooses one at run time.
//!
//! The environment variable `TONIC_ISA` (`portable`, `avx2` or `avx512`) chooses an instruction set. Without this
//! variable, the kernels use the fastest one that the machine supports.

use crate::error::{BaseFault, Error, Result};

const VARIABLE: &str = "TONIC_ISA";

/// An instruction set that this machine supports. [`Isa::available`] returns all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(pub(super) Set);

/// The instruction sets that the kernels are compiled for. All give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// Returns all instruction sets that this machine supports, from the slowest to the fastest.
    pub fn available() -> Vec<Isa> {
        let mut sets = vec![Isa(Set::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx2") && has!("fma") {
                sets.push(Isa(Set::Avx2));
                if has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") {
                    sets.push(Isa(Set::Avx512));
                }
            }
        }
        sets
    }

    /// Returns the instruction set in the environment variable `TONIC_ISA`. If the variable is not set, returns the
    /// fastest instruction set.
    ///
    /// # Errors
    /// [`Usage`](tonic_base::Error::Usage) if `TONIC_ISA` names an instruction set that this machine doesn't support.
    pub fn named() -> Result<Isa> {
        let mut available = Isa::available();
        match std::env::var(VARIABLE) {
            Ok(name) if !name.is_empty() => available.iter().find(|isa| isa.name() == name).copied().ok_or_else(|| {
                let names: Vec<&str> = available.iter().map(|isa| isa.name()).collect();
                Error::usage(VARIABLE, names.join(", "), name)
            }),
            _ => Ok(available.pop().unwrap_or(Isa(Set::Portable))),
        }
    }

    /// Like [`Isa::named`], but returns the portable instruction set instead of an error.
    pub fn chosen() -> Isa {
        Isa::named().unwrap_or(Isa(Set::Portable))
    }

    /// Returns the name for the environment variable `TONIC_ISA`, for example "avx2".
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
        }
    }
}

/// Compiles each function once per instruction set. In the body, `V` is the vector type of the instruction set. The
/// function gets an [`Isa`] as an additional first argument.
macro_rules! for_each_isa {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident<$vector:ident>($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)? $body:block
    )*) => {$(
        $(#[$attribute])*
        #[allow(unsafe_code)]
        $visibility fn $name(isa: $crate::kernel::isa::Isa, $($argument: $type),*) $(-> $output)? {
            use $crate::kernel::isa::Set;
            use $crate::kernel::vector;

            #[inline(always)]
            fn body<$vector: vector::F32x16>($($argument: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) $(-> $output)? {
                body::<vector::Avx2>($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($argument: $type),*) $(-> $output)? {
                body::<vector::Avx512>($($argument),*)
            }

            match isa.0 {
                Set::Portable => body::<vector::Portable>($($argument),*),
                // SAFETY: an Isa exists only for sets that this machine has.
                #[cfg(target_arch = "x86_64")]
                Set::Avx2 => unsafe { avx2($($argument),*) },
                // SAFETY: an Isa exists only for sets that this machine has.
                #[cfg(target_arch = "x86_64")]
                Set::Avx512 => unsafe { avx512($($argument),*) },
            }
        }
    )*};
}

pub(super) use for_each_isa;
