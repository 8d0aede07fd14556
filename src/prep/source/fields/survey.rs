//! Finds the columns of events, t, x, y and p, in a file of any structure, by the names of its fields.
//!
//! A *place* is a group whose arrays are columns, or an array of records. Exactly one place of the file must have
//! fields with the names of the columns. A table is one array with several numbers for each event. Its columns have no
//! names, so the caller gives their order.

use std::path::Path;

use crate::error::{Error, Result};
use crate::remedy::Remedy;
use crate::source::columns::{
    ArrayInfo, ArrayKind, FieldPath, Fields, Part, Role, Survey, assign, element, list, map_line, shape,
};
use crate::source::fields::boxes::{are_boxes, boxes};
use crate::source::fields::unnamed::unnamed;
use crate::source::options::TableColumns;

/// Finds the fields of a file that are the columns of events. With an `order`, these are the columns of a table (an
/// array with several numbers for each event). Otherwise, they are arrays of a group, or members of records.
///
/// # Errors
/// - [`Error::Columns`] if several groups, records or tables could have the events, or if no table fits `order`.
/// - [`Error::Foreign`] for bounding boxes, and for an array of records that has several dimensions.
/// - [`Error::NoEvents`] for an empty array.
/// - [`Error::UnknownLayout`] for any other file without columns of events.
pub(crate) fn find(path: &Path, file: &dyn Survey, order: Option<&TableColumns>) -> Result<Fields> {
    match order {
        Some(order) => find_table(path, file, order),
        None => find_named(path, file),
    }
}

/// A group whose arrays may be columns, or an array of records.
struct Place<'a> {
    name: String,
    /// For each field: its name in the group or in the records, and its path in the file.
    fields: Vec<(&'a str, FieldPath)>,
}

impl Place<'_> {
    fn has(&self, roles: &[Role]) -> bool {
        roles.iter().all(|&role| self.fields.iter().any(|(name, _)| Role::of(name) == Some(role)))
    }

    fn fits(&self) -> bool {
        self.has(&[Role::T, Role::X])
    }

    fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| *name).collect()
    }

    fn text(&self) -> String {
        let names = self.names();
        let at = if self.name.is_empty() { String::new() } else { format!("{}: ", self.name) };
        format!("{at}{}", names.join(", "))
    }

    /// Returns a map of columns for an error to suggest. Each column has the first field whose name fits.
    fn map(&self) -> Remedy {
        let field = |role: Role| self.fields.iter().find(|(name, _)| Role::of(name) == Some(role));
        map_line(&Role::ALL.map(|role| field(role).map(|(_, path)| path.to_string())), &[])
    }
}

/// Lists the places of a file: its groups and its arrays of records. If `same_length` is set, arrays of different
/// lengths in one group form separate places. A broken link with the name of a column is a field too.
fn places(arrays: &[ArrayInfo], same_length: bool) -> Vec<Place<'_>> {
    let mut groups: Vec<(Option<u64>, Place<'_>)> = Vec::new();
    for array in arrays {
        let Some(len) = shape::column(&array.shape) else { continue };
        match &array.kind {
            ArrayKind::Number(_) => {
                let (group, name) = array.group_and_name();
                let key = same_length.then_some(len);
                let field = (name, array.field(Part::Whole));
                match groups.iter_mut().find(|(len, place)| *len == key && place.name == group) {
                    Some((_, place)) => place.fields.push(field),
                    None => groups.push((key, Place { name: group.into(), fields: vec![field] })),
                }
            }
            // An array of records is a place of its own: no group has this key.
            ArrayKind::Record(_) => {
                groups.push((Some(u64::MAX), Place { name: array.name.clone(), fields: array.members() }));
            }
            ArrayKind::Nowhere(_) | ArrayKind::Other(_) => {}
        }
    }
    for array in arrays.iter().filter(|array| matches!(array.kind, ArrayKind::Nowhere(_))) {
        let (group, name) = array.group_and_name();
        let field = || (name, array.field(Part::Whole));
        let mut siblings = groups.iter_mut().filter(|(_, place)| place.name == group).peekable();
        match (Role::of(name), siblings.peek()) {
            (None, _) => {}
            (_, Some(_)) => siblings.for_each(|(_, place)| place.fields.push(field())),
            (_, None) => groups.push((None, Place { name: group.into(), fields: vec![field()] })),
        }
    }
    groups.into_iter().map(|(_, place)| place).collect()
}

fn find_named(path: &Path, file: &dyn Survey) -> Result<Fields> {
    let (of_boxes, others): (Vec<_>, Vec<_>) =
        places(file.arrays(), true).into_iter().partition(|place| are_boxes(&place.names()));
    let mut fitting: Vec<Place<'_>> = others.into_iter().filter(Place::fits).collect();
    if let ([], [place, ..]) = (&fitting[..], &of_boxes[..]) {
        return Err(boxes(path, &place.name, &place.names()));
    }
    if fitting.is_empty() {
        // Perhaps the columns have different lengths. Take them anyway, so that opening them reports the lengths.
        fitting = places(file.arrays(), false).into_iter().filter(Place::fits).collect();
    }
    // An inertial sensor has t, x and y too, but no polarity. So prefer a place with all four columns, if there is only
    // one.
    if let Some(only) = fitting.iter().position(|place| place.has(&Role::ALL))
        && !fitting[only + 1..].iter().any(|place| place.has(&Role::ALL))
    {
        fitting = vec![fitting.swap_remove(only)];
    }
    match &mut fitting[..] {
        [place] => loop {
            match assign(&place.fields) {
                Ok(fields) => return Ok(fields),
                Err((_, a, b)) if dangles(file, &a) != dangles(file, &b) => {
                    place.fields.retain(|(_, field)| *field != if dangles(file, &a) { a.clone() } else { b.clone() });
                }
                Err((role, a, b)) if is_copy(file, role, &a, &b) => place.fields.retain(|(_, field)| *field != b),
                Err((role, a, b)) => {
                    let without = |other: &FieldPath| {
                        let fields = place.fields.iter().filter(|(_, field)| field != other).cloned().collect();
                        Place { name: String::new(), fields }.map()
                    };
                    return Err(Error::Columns {
                        path: path.into(),
                        place: if place.name.is_empty() { "fields".into() } else { place.name.clone() },
                        expected: format!("one field for {}", role.name()),
                        got: format!("{a} and {b}, of the fields {}", place.text()),
                        remedies: vec![without(&b), without(&a)],
                    });
                }
            }
        },
        [] => Err(unnamed(path, file)),
        several => Err(Error::Columns {
            path: path.into(),
            place: "events".into(),
            expected: "one place with the columns t, x, y and p".into(),
            got: several.iter().map(Place::text).collect::<Vec<_>>().join("; "),
            remedies: several.iter().map(Place::map).collect(),
        }),
    }
}

fn dangles(file: &dyn Survey, field: &FieldPath) -> bool {
    file.arrays().iter().any(|array| array.name == field.array && matches!(array.kind, ArrayKind::Nowhere(_)))
}

/// Returns whether the first numbers of two fields are equal. For polarities, -1 and 0 count as equal.
fn is_copy(file: &dyn Survey, role: Role, a: &FieldPath, b: &FieldPath) -> bool {
    let numbers = |field| {
        let numbers = file.sample(field)?;
        let off = |n: f64| if role == Role::P && n == -1.0 { 0.0 } else { n };
        Some(numbers.into_iter().map(off).collect::<Vec<f64>>())
    };
    numbers(a).is_some_and(|a| Some(a) == numbers(b))
}

fn find_table(path: &Path, file: &dyn Survey, order: &TableColumns) -> Result<Fields> {
    let width = order.width() as u64;
    let fits = |array: &&ArrayInfo| {
        matches!(array.kind, ArrayKind::Number(_)) && shape::table(&array.shape, Some(width)).is_some()
    };
    let tables: Vec<&ArrayInfo> = file.arrays().iter().filter(fits).collect();
    let map = |array: &ArrayInfo| {
        order.places().map(|i| i.map(|index| array.field(Part::Column { index, columns: Some(width) })))
    };
    let wrong = |got: String, remedies| Error::Columns {
        path: path.into(),
        place: "columns".into(),
        expected: format!("one array of {width} columns"),
        got: format!("a file with {got}"),
        remedies,
    };
    let line = |fields: Fields| map_line(&fields.map(|field| field.map(|field| field.to_string())), &[]);
    match &tables[..] {
        [table] => Ok(map(table)),
        [] => {
            let without_order = match find(path, file, None) {
                Ok(fields) => vec![line(fields)],
                Err(Error::Columns { remedies, .. }) => remedies,
                Err(_) => Vec::new(),
            };
            Err(wrong(list(file.arrays()), without_order))
        }
        several => {
            let lines = several.iter().map(|array| line(map(array))).collect();
            Err(wrong(list(several.iter().copied()), lines))
        }
    }
}

/// Returns the fields that could be a column of `len` events, except columns of two-dimensional arrays.
pub(crate) fn fields_of_length(arrays: &[ArrayInfo], len: u64) -> Vec<FieldPath> {
    let long = arrays.iter().filter(|array| shape::column(&array.shape) == Some(len));
    long.flat_map(|array| match &array.kind {
        ArrayKind::Number(_) => vec![array.field(Part::Whole)],
        _ => array.members().into_iter().map(|(_, field)| field).collect(),
    })
    .collect()
}

/// Returns the names of fields that are not in `fields` but could be a column of the `len` events. Empty if `len` is 1.
pub(crate) fn left_over(arrays: &[ArrayInfo], fields: &Fields, len: u64) -> Vec<String> {
    let all = if len > 1 { fields_of_length(arrays, len) } else { Vec::new() };
    let taken: Vec<String> = fields.iter().flatten().map(FieldPath::to_string).collect();
    let array = |name: &str| element(name).map(|(array, _)| array.to_string());
    let mut names: Vec<String> = all.iter().map(FieldPath::to_string).filter(|name| !taken.contains(name)).collect();
    for name in &mut names {
        // If no element of an array is used, the array is listed as a whole.
        let whole = array(name).filter(|whole| !taken.iter().any(|taken| array(taken).as_ref() == Some(whole)));
        whole.into_iter().for_each(|whole| *name = whole);
    }
    names.dedup();
    names.retain(|name| !name.is_empty());
    names
}
