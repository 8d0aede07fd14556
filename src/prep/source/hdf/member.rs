//! Reads members of the records in an HDF5 compound dataset. The names of the members are known only at run time.

use hdf5::types::{FloatSize, IntSize, TypeDescriptor};
use hdf5::{Dataset, Selection};

use crate::source::columns::{MAX_COLUMNS, element};
use crate::source::hdf::sys::{self, read_members};

/// The type in which a number is read: an integer of 8 bytes, signed or unsigned, or a float of 8 bytes.
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
    /// Number of axes of the array. If there are several, each has length 1.
    axes: usize,
}

/// A member to read: the names on the path to the member, the type in which its numbers are read, and the element to
/// read if the member is an array.
pub(super) type Member<'a> = (&'a [String], Class, Option<Element>);

/// Reads members of the selected records, as 8 bytes per number. Returns the bits of the numbers of each member. No two
/// members may be in the same nested record.
pub(super) fn read(dataset: &Dataset, members: &[Member<'_>], selection: Selection) -> hdf5::Result<Vec<Vec<u64>>> {
    let wanted: Vec<sys::Member<'_>> = members.iter().map(in_eight_bytes).collect();
    let width: usize = wanted.iter().map(sys::Member::numbers).sum();
    let bits = read_members(dataset, &wanted, selection)?;
    let mut start = 0;
    let columns = members.iter().zip(&wanted).map(|((.., element), wanted)| {
        let at = start + element.map_or(0, |element| element.index);
        start += wanted.numbers();
        bits.iter().skip(at).step_by(width.max(1)).copied().collect()
    });
    Ok(columns.collect())
}

fn in_eight_bytes<'a>(&(names, class, element): &Member<'a>) -> sys::Member<'a> {
    let number = match class {
        Class::Signed => TypeDescriptor::Integer(IntSize::U8),
        Class::Unsigned => TypeDescriptor::Unsigned(IntSize::U8),
        Class::Float => TypeDescriptor::Float(FloatSize::U8),
    };
    // libhdf5 reads arrays as a whole.
    let shape = element.map_or(Vec::new(), |Element { of, axes, .. }| match axes {
        1 => vec![of as u64],
        axes => vec![1; axes],
    });
    sys::Member { names, number, shape }
}

/// Returns the type of an array's elements, their number, and the number of axes. `None` if `array` is no array, has
/// more than [`MAX_COLUMNS`] elements, or has several elements on several axes.
pub(super) fn elements(array: &TypeDescriptor) -> Option<(&TypeDescriptor, usize, usize)> {
    let TypeDescriptor::FixedArray(element, n) = array else { return None };
    match (elements(element), &**element) {
        (Some((number, 1, axes)), _) if *n == 1 => Some((number, 1, axes + 1)),
        (_, TypeDescriptor::FixedArray(..)) => None,
        _ => (*n as u64 <= MAX_COLUMNS).then_some((&**element, *n, 1)),
    }
}

/// Returns the lengths of the axes of an array. Empty for a type that is no array.
pub(super) fn shape(ty: &TypeDescriptor) -> Vec<usize> {
    match ty {
        TypeDescriptor::FixedArray(element, n) => [vec![*n], shape(element)].concat(),
        _ => Vec::new(),
    }
}

/// Finds a member of a record by its name, such as `pixel.x` (in a nested record) or `xy[0]` (an element of an array).
/// Returns the names on the path, the type of the number, and the element.
pub(super) fn find<'a>(
    record: &'a TypeDescriptor,
    name: &str,
) -> Option<(Vec<String>, &'a TypeDescriptor, Option<Element>)> {
    if let Some((names, ty)) = find_whole(record, name) {
        return Some(match elements(ty) {
            Some((number, 1, axes)) => (names, number, Some(Element { index: 0, of: 1, axes })),
            _ => (names, ty, None),
        });
    }
    let (array, index) = element(name)?;
    let (names, ty) = find_whole(record, array)?;
    let (number, of, axes) = elements(ty).filter(|&(_, of, _)| index < of)?;
    Some((names, number, Some(Element { index, of, axes })))
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
