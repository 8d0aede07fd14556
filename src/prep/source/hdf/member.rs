//! Reads members of the records in a compound dataset, whatever their names.

use hdf5::types::{CompoundField, CompoundType, FloatSize, IntSize, TypeDescriptor};
use hdf5::{Dataset, Selection};

use crate::source::hdf::sys::read_rows;

/// The type that a number is read as: 8 bytes of its own class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Class {
    Signed,
    Unsigned,
    Float,
}

/// A member to be read: the names from the outermost record to it, and how it is read.
pub(super) type Member<'a> = (&'a [String], Class);

/// Reads the bits of members of the selected records. There may be one to four members, all of the outermost record,
/// or one of any.
pub(super) fn read(dataset: &Dataset, members: &[Member<'_>], selection: Selection) -> hdf5::Result<Vec<Vec<u64>>> {
    fn columns<const N: usize>(
        dataset: &Dataset,
        fields: Vec<CompoundField>,
        selection: Selection,
    ) -> hdf5::Result<Vec<Vec<u64>>> {
        let rows = read_rows::<N>(dataset, fields, selection)?;
        Ok((0..N).map(|i| rows.iter().map(|row| row[i]).collect()).collect())
    }
    let fields = members.iter().enumerate().filter_map(|(i, (names, class))| {
        let number = match class {
            Class::Signed => TypeDescriptor::Integer(IntSize::U8),
            Class::Unsigned => TypeDescriptor::Unsigned(IntSize::U8),
            Class::Float => TypeDescriptor::Float(FloatSize::U8),
        };
        let (outer, inner) = names.split_first()?;
        let ty = inner.iter().rev().fold(number, |ty, name| {
            let fields = vec![CompoundField { name: name.clone(), ty, offset: 0, index: 0 }];
            TypeDescriptor::Compound(CompoundType { fields, size: 8 })
        });
        Some(CompoundField { name: outer.clone(), ty, offset: i * 8, index: i })
    });
    let fields: Vec<CompoundField> = fields.collect();
    match fields.len() {
        1 => columns::<1>(dataset, fields, selection),
        2 => columns::<2>(dataset, fields, selection),
        3 => columns::<3>(dataset, fields, selection),
        4 => columns::<4>(dataset, fields, selection),
        n => Err(format!("{n} members at once").into()),
    }
}

/// Finds a member of a record: its name, or the names of nested records with dots between them. Returns all names, and
/// the member's type.
pub(super) fn find<'a>(record: &'a TypeDescriptor, name: &str) -> Option<(Vec<String>, &'a TypeDescriptor)> {
    let TypeDescriptor::Compound(record) = record else { return None };
    let field = |name: &str| record.fields.iter().find(|field| field.name == name);
    if let Some(field) = field(name) {
        return Some((vec![name.into()], &field.ty));
    }
    name.match_indices('.').find_map(|(dot, _)| {
        let (mut names, ty) = find(&field(&name[..dot])?.ty, &name[dot + 1..])?;
        names.insert(0, name[..dot].into());
        Some((names, ty))
    })
}
