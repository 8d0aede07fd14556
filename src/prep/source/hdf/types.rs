//! Describes the types of datasets, including types that the crate `hdf5` cannot describe.

use hdf5::Datatype;
use hdf5::types::{CompoundField, CompoundType, FloatSize, TypeDescriptor};

use crate::source::hdf::sys::{Odd, odd};

/// Returns the description of a type. A float of a size that Rust doesn't have becomes float64. An array of several
/// dimensions becomes an array of arrays. Members of unknown types are left out of records.
///
/// # Errors
/// The error of libhdf5 for a type that is no number, record, array or text.
pub(super) fn describe(dtype: &Datatype) -> hdf5::Result<TypeDescriptor> {
    dtype.to_descriptor().or_else(|error| match odd(dtype)? {
        Odd::Float => Ok(TypeDescriptor::Float(FloatSize::U8)),
        Odd::Array(element, shape) => {
            let array = |ty, &length: &usize| TypeDescriptor::FixedArray(Box::new(ty), length);
            Ok(shape.iter().rev().fold(describe(&element)?, array))
        }
        Odd::Record(members) => {
            let field = |(index, (name, ty)): (usize, (String, Datatype))| {
                Some(CompoundField { name, ty: describe(&ty).ok()?, offset: 0, index })
            };
            let fields = members.into_iter().enumerate().filter_map(field).collect();
            Ok(TypeDescriptor::Compound(CompoundType { fields, size: dtype.size() }))
        }
        Odd::Bits => Err("bits, an HDF5 bitfield".into()),
        Odd::Other => Err(error),
    })
}
