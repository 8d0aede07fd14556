//! The types of numbers in HDF5 files, and the types that they are read as.

use hdf5::types::{IntSize, TypeDescriptor};

use crate::source::columns::Numbers;
use crate::source::hdf::member::Class;

/// The type that the numbers of a column are read as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum NumberType {
    U8,
    I8,
    U16,
    U32,
    U64,
    I64,
    F64,
}

impl NumberType {
    pub(super) fn of(descriptor: &TypeDescriptor) -> Option<NumberType> {
        use IntSize::{U1, U2, U4, U8};
        Some(match descriptor {
            TypeDescriptor::Enum(named) if !named.signed => NumberType::of(&TypeDescriptor::Unsigned(named.size))?,
            TypeDescriptor::Unsigned(U1) | TypeDescriptor::Boolean => NumberType::U8,
            TypeDescriptor::Unsigned(U2) => NumberType::U16,
            TypeDescriptor::Unsigned(U4) => NumberType::U32,
            TypeDescriptor::Unsigned(U8) => NumberType::U64,
            TypeDescriptor::Integer(U1) => NumberType::I8,
            TypeDescriptor::Integer(_) | TypeDescriptor::Enum(_) => NumberType::I64,
            TypeDescriptor::Float(_) => NumberType::F64,
            _ => return None,
        })
    }

    /// Returns how libhdf5 reads members of this type: as 8-byte signed integers, unsigned integers or floats. Also
    /// returns the function that makes a column from the bits of these numbers.
    pub(super) fn class(self) -> (Class, fn(Vec<u64>) -> Numbers) {
        fn each<T>(bits: Vec<u64>, number: fn(u64) -> T) -> Vec<T> {
            bits.into_iter().map(number).collect()
        }
        match self {
            NumberType::U8 => (Class::Unsigned, |bits| Numbers::U8(each(bits, |bits| bits as u8))),
            NumberType::U16 => (Class::Unsigned, |bits| Numbers::U16(each(bits, |bits| bits as u16))),
            NumberType::U32 => (Class::Unsigned, |bits| Numbers::U32(each(bits, |bits| bits as u32))),
            NumberType::U64 => (Class::Unsigned, Numbers::U64),
            NumberType::I8 => (Class::Signed, |bits| Numbers::I8(each(bits, |bits| bits as i8))),
            NumberType::I64 => (Class::Signed, |bits| Numbers::I64(each(bits, |bits| bits as i64))),
            NumberType::F64 => (Class::Float, |bits| Numbers::F64(each(bits, f64::from_bits))),
        }
    }
}

/// Returns whether a column of this type can be read as numbers.
pub(super) fn is_number(descriptor: &TypeDescriptor) -> bool {
    NumberType::of(descriptor).is_some()
}
