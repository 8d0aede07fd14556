//! Reads members of the records in an HDF5 compound dataset. The names of the members are known only at run time.

use hdf5::types::{CompoundField, CompoundType, FloatSize, IntSize, TypeDescriptor};
use hdf5::{Dataset, Selection};

use crate::source::columns::{MAX_COLUMNS, element};
use crate::source::hdf::sys::read_rows;

/// The type in which a number is read: an integer or a float of 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Class {
    Signed,
    Unsigned,
    Float,
}

/// One element of a member that is an array.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    index: usize,
    /// Number of elements of the array, at most [`MAX_COLUMNS`].
    of: usize,
}

/// A member to read: the names on the path from the outermost record to the member, the type in which its numbers are
/// read, and the element to read if the member is an array.
pub(super) type Member<'a> = (&'a [String], Class, Option<Element>);

/// Reads members of the selected records. Returns one vector for each member, with the bits of its numbers, each
/// converted to 8 bytes. `members` has either one to four members that are numbers and in no nested record, or a single
/// member, which may be in a nested record and may be an element of an array.
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

/// Returns the type of an array's elements, and their number. `None` for an array of arrays, for one of more than
/// [`MAX_COLUMNS`] elements, and for a type that is no array.
pub(super) fn elements(array: &TypeDescriptor) -> Option<(&TypeDescriptor, usize)> {
    match array {
        TypeDescriptor::FixedArray(number, _) if matches!(**number, TypeDescriptor::FixedArray(..)) => None,
        TypeDescriptor::FixedArray(number, n) if *n as u64 <= MAX_COLUMNS => Some((number, *n)),
        _ => None,
    }
}

/// Finds a member of a record. `name` is the member's name, or the names of nested records and the member, with dots
/// between them. `xy[0]` is an element of a member that is an array. Returns the names on the path, the number's type,
/// and the element.
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
