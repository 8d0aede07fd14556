//! Reads members of the records in a compound dataset, with any names.

use hdf5::types::{CompoundField, CompoundType, FloatSize, IntSize, TypeDescriptor};
use hdf5::{Dataset, Selection};

use crate::source::columns::element;
use crate::source::hdf::sys::read_rows;
use crate::source::shape::MAX_COLUMNS;

/// The type that a number is read as: 8 bytes of its own class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Class {
    Signed,
    Unsigned,
    Float,
}

/// An element of a member that is an array.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    index: usize,
    /// Number of elements, at most [`MAX_COLUMNS`].
    of: usize,
}

/// A member to be read: the names from the outermost record to it, how it is read, and which element of it.
pub(super) type Member<'a> = (&'a [String], Class, Option<Element>);

/// Reads the bits of members of the selected records. There may be one to four members that are numbers, all of the
/// outermost record, or one of any.
pub(super) fn read(dataset: &Dataset, members: &[Member<'_>], selection: Selection) -> hdf5::Result<Vec<Vec<u64>>> {
    fn columns<const N: usize>(
        dataset: &Dataset,
        fields: Vec<CompoundField>,
        selection: Selection,
    ) -> hdf5::Result<Vec<Vec<u64>>> {
        let rows = read_rows::<N>(dataset, fields, selection)?;
        Ok((0..N).map(|i| rows.iter().map(|row| row[i]).collect()).collect())
    }
    let fields = members.iter().enumerate().filter_map(|(i, (names, class, element))| {
        let number = match class {
            Class::Signed => TypeDescriptor::Integer(IntSize::U8),
            Class::Unsigned => TypeDescriptor::Unsigned(IntSize::U8),
            Class::Float => TypeDescriptor::Float(FloatSize::U8),
        };
        // libhdf5 reads arrays as a whole.
        let number = element.map_or(number.clone(), |all| TypeDescriptor::FixedArray(Box::new(number), all.of));
        let size = number.size();
        let (outer, inner) = names.split_first()?;
        let ty = inner.iter().rev().fold(number, |ty, name| {
            let fields = vec![CompoundField { name: name.clone(), ty, offset: 0, index: 0 }];
            TypeDescriptor::Compound(CompoundType { fields, size })
        });
        Some(CompoundField { name: outer.clone(), ty, offset: i * 8, index: i })
    });
    let fields: Vec<CompoundField> = fields.collect();
    macro_rules! read_as_many {
        ($($n:literal)*) => {
            match fields.iter().map(|field| field.ty.size() / 8).sum() {
                $($n => columns::<$n>(dataset, fields, selection)?,)*
                n => return Err(format!("{n} numbers at once").into()),
            }
        };
    }
    let read = read_as_many!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
    Ok(match members {
        [(.., Some(Element { index, .. }))] => read.into_iter().skip(*index).take(1).collect(),
        _ => read,
    })
}

/// The numbers in an array of numbers, if they can be read one by one.
pub(super) fn elements(array: &TypeDescriptor) -> Option<(&TypeDescriptor, usize)> {
    match array {
        TypeDescriptor::FixedArray(number, _) if matches!(**number, TypeDescriptor::FixedArray(..)) => None,
        TypeDescriptor::FixedArray(number, n) if *n as u64 <= MAX_COLUMNS => Some((number, *n)),
        _ => None,
    }
}

/// Finds a member of a record: its name, or the names of nested records with dots between them; or an element of a
/// member that is an array, `xy[0]`. Returns all names, the number's type and the element.
pub(super) fn find<'a>(
    record: &'a TypeDescriptor,
    name: &str,
) -> Option<(Vec<String>, &'a TypeDescriptor, Option<Element>)> {
    if let Some((names, ty)) = find_whole(record, name) {
        return Some(match elements(ty) {
            Some((number, 1)) => (names, number, Some(Element { index: 0, of: 1 })),
            _ => (names, ty, None),
        });
    }
    let (array, index) = element(name)?;
    let (names, ty) = find_whole(record, array)?;
    let (number, of) = elements(ty).filter(|&(_, of)| index < of)?;
    Some((names, number, Some(Element { index, of })))
}

fn find_whole<'a>(record: &'a TypeDescriptor, name: &str) -> Option<(Vec<String>, &'a TypeDescriptor)> {
    let TypeDescriptor::Compound(record) = record else { return None };
    let field = |name: &str| record.fields.iter().find(|field| field.name == name);
    if let Some(field) = field(name) {
        return Some((vec![name.into()], &field.ty));
    }
    name.match_indices('.').find_map(|(dot, _)| {
        let (mut names, ty) = find_whole(&field(&name[..dot])?.ty, &name[dot + 1..])?;
        names.insert(0, name[..dot].into());
        Some((names, ty))
    })
}
