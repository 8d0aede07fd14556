//! Arguments of kernels: structs that are defined once, for Rust and for CUDA C++.

use std::fmt;
use std::marker::PhantomData;
use std::mem::size_of;

/// An address in GPU memory, or null. A kernel receives it as a `T*`.
#[repr(transparent)]
pub(crate) struct Address<T>(u64, PhantomData<T>);

impl<T> Address<T> {
    pub(super) fn new(address: u64) -> Address<T> {
        Address(address, PhantomData)
    }

    pub(crate) fn null() -> Address<T> {
        Address::new(0)
    }

    pub(crate) fn is_null(self) -> bool {
        self.0 == 0
    }

    /// Returns the address that is `elements` elements (not bytes) after this address. If this address is null,
    /// returns null.
    #[must_use]
    #[allow(clippy::should_implement_trait)]
    pub(crate) fn add(self, elements: usize) -> Address<T> {
        if self.is_null() { self } else { Address::new(self.0 + (elements * size_of::<T>()) as u64) }
    }

    pub(super) fn raw(self) -> u64 {
        self.0
    }
}

// Derived implementations would require the same traits of T.
impl<T> Clone for Address<T> {
    fn clone(&self) -> Address<T> {
        *self
    }
}

impl<T> Copy for Address<T> {}

impl<T> PartialEq for Address<T> {
    fn eq(&self, other: &Address<T>) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for Address<T> {}

impl<T> Default for Address<T> {
    fn default() -> Address<T> {
        Address::null()
    }
}

impl<T> fmt::Debug for Address<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A type for values in GPU memory and for arguments of kernels.
///
/// # Safety
/// Any bytes must be a valid value of the type. The type that [`declare`](DeviceType::declare) writes in CUDA C++ must
/// have the same layout as this Rust type.
pub(crate) unsafe trait DeviceType: Copy + Send + Sync + 'static {
    /// Returns the declaration of a variable in CUDA C++, without a semicolon, such as `unsigned int name[8]`.
    fn declare(name: &str) -> String;
}

/// Implements [`DeviceType`] for number types. In the macro's arguments, the name in CUDA C++ follows each type.
macro_rules! numbers {
    ($($rust:ty: $cuda:literal),* $(,)?) => {$(
        // SAFETY: a number of the same width and kind in Rust and in CUDA C++; any bits are a valid number.
        unsafe impl DeviceType for $rust {
            fn declare(name: &str) -> String {
                format!(concat!($cuda, " {}"), name)
            }
        }
    )*};
}

numbers! {
    f32: "float",
    f64: "double",
    u8: "unsigned char",
    u16: "unsigned short",
    u32: "unsigned int",
    u64: "unsigned long long",
    i32: "int",
}

// SAFETY: 64 bits with the alignment of a pointer in Rust and in CUDA C++. Rust never dereferences an address, so any
// bits are valid.
unsafe impl<T: DeviceType> DeviceType for Address<T> {
    fn declare(name: &str) -> String {
        T::declare(&format!("*{name}"))
    }
}

// SAFETY: an array has its elements side by side, in Rust and in CUDA C++.
unsafe impl<T: DeviceType, const N: usize> DeviceType for [T; N] {
    fn declare(name: &str) -> String {
        match name.starts_with('*') {
            true => T::declare(&format!("({name})[{N}]")),
            false => T::declare(&format!("{name}[{N}]")),
        }
    }
}

/// A struct that [`kernel_structs!`] defines both in Rust and in CUDA C++.
///
/// # Safety
/// Only [`kernel_structs!`] may implement this trait.
pub(crate) unsafe trait KernelStruct: DeviceType {
    const NAME: &'static str;

    /// Returns the definition of the struct in CUDA C++. The text also asserts that the struct has the same layout as
    /// in Rust.
    fn declaration() -> String;
}

/// Defines structs in Rust, and a function `declarations` that returns their definitions in CUDA C++. A struct must
/// come after the structs that it contains.
macro_rules! kernel_structs {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$field_attribute:meta])* $field_visibility:vis $field:ident: $type:ty),+ $(,)?
        }
    )+) => {$(
        $(#[$attribute])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        $visibility struct $name {
            $($(#[$field_attribute])* $field_visibility $field: $type),+
        }

        // SAFETY: any bytes are a value of each field, and NVRTC checks the layout by the assertions of `declaration`.
        #[allow(unsafe_code)]
        unsafe impl $crate::gpu::DeviceType for $name {
            fn declare(name: &str) -> String {
                format!(concat!(stringify!($name), " {}"), name)
            }
        }

        // SAFETY: this is the only macro that may implement the trait.
        #[allow(unsafe_code)]
        unsafe impl $crate::gpu::KernelStruct for $name {
            const NAME: &'static str = stringify!($name);

            fn declaration() -> String {
                $crate::gpu::definition::<$name>(&[$(
                    (
                        stringify!($field),
                        <$type as $crate::gpu::DeviceType>::declare(stringify!($field)),
                        ::std::mem::offset_of!($name, $field),
                    )
                ),+])
            }
        }
    )+

        pub(crate) fn declarations() -> String {
            [$(<$name as $crate::gpu::KernelStruct>::declaration()),+].concat()
        }
    };
}

pub(crate) use kernel_structs;

/// CUDA C++ text that defines the macro TONIC_OFFSET, which returns the offset of a field. NVRTC has no `offsetof`.
const OFFSET: &str = "#ifndef TONIC_OFFSET
#ifdef __CUDACC_RTC__
#define TONIC_OFFSET(type, field) __INTADDR__(&((type *)0)->field)
#else
#define TONIC_OFFSET(type, field) __builtin_offsetof(type, field)
#endif
#endif
";

/// Returns the text of [`KernelStruct::declaration`]. Each field is (name, CUDA C++ declaration, offset in bytes).
pub(crate) fn definition<T: KernelStruct>(fields: &[(&str, String, usize)]) -> String {
    let name = T::NAME;
    let mut text = format!("struct {name} {{\n");
    for (_, declaration, _) in fields {
        text += &format!("    {declaration};\n");
    }
    text += "};\n";
    text += OFFSET;
    let mut same = |what: &str, here: usize, words: &str| {
        text += &format!("static_assert({what} == {here}, \"{name}: Rust has {words} {here}\");\n");
    };
    same(&format!("sizeof({name})"), size_of::<T>(), "a size of");
    same(&format!("alignof({name})"), align_of::<T>(), "an alignment of");
    for (field, _, offset) in fields {
        same(&format!("TONIC_OFFSET({name}, {field})"), *offset, &format!("{field} at"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    kernel_structs! {
        struct Inner {
            a: u8,
            b: u16,
        }

        struct Outer {
            inner: Inner,
            list: [f32; 3],
            grid: [[u8; 2]; 5],
            next: Address<Outer>,
            pairs: Address<[f64; 2]>,
            tables: [Address<u64>; 4],
        }
    }

    #[test]
    fn every_kind_of_field_is_declared_as_cuda_has_it() {
        let text = declarations();
        let expected = "struct Outer {
    Inner inner;
    float list[3];
    unsigned char grid[5][2];
    Outer *next;
    double (*pairs)[2];
    unsigned long long *tables[4];
};
";
        assert!(text.contains(expected), "{text}");
        for assertion in [
            "static_assert(sizeof(Outer) == 80, \"Outer: Rust has a size of 80\");",
            "static_assert(alignof(Outer) == 8, ",
            "static_assert(TONIC_OFFSET(Outer, grid) == 16, \"Outer: Rust has grid at 16\");",
            "static_assert(TONIC_OFFSET(Outer, next) == 32, ",
        ] {
            assert!(text.contains(assertion), "no {assertion} in {text}");
        }
    }

    #[test]
    fn an_address_goes_on_by_elements_and_null_goes_nowhere() {
        let address = Address::<u32>::new(4096);
        assert_eq!(address.add(3).raw(), 4108);
        assert!(Address::<u32>::null().add(3).is_null() && !address.is_null());
        assert_eq!(format!("{address:?}"), "0x1000");
    }
}
