//! Finds the columns of events, t, x, y and p, in a file of any structure, by the names of its fields.
//!
//! A *place* is a group whose arrays are columns, or an array of records. The file must have exactly one place whose
//! fields have the names of the columns. A table, one array with several numbers for each event, has no such names, so
//! the caller gives the order of its columns. If several places fit, or none does, the error suggests options to type.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Remedy, Result};
use crate::source::array_info::{ArrayInfo, ArrayKind};
use crate::source::columns::{FieldPath, Fields, Part, Role, assign, element, map_line};
use crate::source::guess::{guess, guess_order};
use crate::source::options::TableColumns;
use crate::source::shape;
use crate::source::unusable::unusable_names;

/// Maximum number of fields that are read in order to guess the columns.
const MOST_GUESSED: usize = 24;
/// Maximum number of places for which an error suggests a map.
const MOST_PLACES: usize = 4;
/// Maximum number of arrays that an error lists.
const MOST_LISTED: usize = 40;

/// A file whose arrays are searched for the columns of events.
pub(super) trait Survey {
    /// Returns the arrays of the file.
    fn arrays(&self) -> &[ArrayInfo];

    /// Reads the first numbers of a field, to guess which column it is. `None` if they cannot be read.
    fn sample(&self, field: &FieldPath) -> Option<Vec<f64>>;

    /// Says what the file was searched for, for messages.
    fn looked(&self) -> String;
}

/// Finds the fields of a file that are the columns of events. `order` is the order of a table's columns. Without it,
/// tables are not taken.
///
/// # Errors
/// Without `order`: [`Error::Columns`] if several places fit, if two fields of a place fit one column, or if the file
/// has only a table. [`Error::Foreign`] for records in several dimensions. [`Error::UnknownLayout`] if nothing fits.
///
/// With `order`: [`Error::Columns`] unless exactly one table has this number of columns.
pub(super) fn find(path: &Path, file: &dyn Survey, order: Option<&TableColumns>) -> Result<Fields> {
    match order {
        Some(order) => find_table(path, file, order),
        None => find_named(path, file),
    }
}

/// A group whose arrays may be columns, or an array of records.
struct Place<'a> {
    name: String,
    /// For each field: its name in the place, and its path in the file.
    fields: Vec<(&'a str, FieldPath)>,
}

impl Place<'_> {
    fn has(&self, roles: &[Role]) -> bool {
        roles.iter().all(|&role| self.fields.iter().any(|(name, _)| Role::of(name) == Some(role)))
    }

    fn fits(&self) -> bool {
        self.has(&[Role::T, Role::X])
    }

    /// Lists the names of the fields, for messages.
    fn text(&self) -> String {
        let names: Vec<&str> = self.fields.iter().map(|(name, _)| *name).collect();
        let at = if self.name.is_empty() { String::new() } else { format!("{}: ", self.name) };
        format!("{at}{}", names.join(", "))
    }

    /// Returns a map to suggest to the user. Each column gets the field whose name fits, or the first one if several
    /// names fit.
    fn map(&self) -> Remedy {
        let field = |role: Role| self.fields.iter().find(|(name, _)| Role::of(name) == Some(role));
        map_line(&Role::ALL.map(|role| field(role).map(|(_, path)| path.to_string())), &[])
    }
}

/// Lists the places of a file: groups of columns, and arrays of records. With `same_length`, columns of different
/// lengths in one group are different places. A broken link with the name of a column counts as a field of its group.
/// If this group has the events, opening that field then fails, and the link is reported.
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
            // Records stand alone: their key is that of no group.
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
    let mut fitting: Vec<Place<'_>> = places(file.arrays(), true).into_iter().filter(Place::fits).collect();
    if fitting.is_empty() {
        // Columns of different lengths: the error is theirs.
        fitting = places(file.arrays(), false).into_iter().filter(Place::fits).collect();
    }
    // An inertial sensor has t, x and y too, but no polarity.
    if let Some(only) = fitting.iter().position(|place| place.has(&Role::ALL))
        && !fitting[only + 1..].iter().any(|place| place.has(&Role::ALL))
    {
        fitting = vec![fitting.swap_remove(only)];
    }
    match &mut fitting[..] {
        [place] => loop {
            match assign(&place.fields) {
                Ok(fields) => return Ok(fields),
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
    match &tables[..] {
        [table] => Ok(map(table)),
        [] => Err(wrong(list(file.arrays()), Vec::new())),
        several => {
            let text =
                |array: &&ArrayInfo| map_line(&map(array).map(|field| field.map(|field| field.to_string())), &[]);
            Err(wrong(list(several.iter().copied()), several.iter().map(text).collect()))
        }
    }
}

/// Makes the error for a file in which no place has fields with the names of columns. It depends on whether the file
/// has a single table, records in several dimensions, or anything else.
fn unnamed(path: &Path, file: &dyn Survey) -> Error {
    let arrays = file.arrays();
    let tables: Vec<(&ArrayInfo, shape::Table)> = arrays
        .iter()
        .filter(|array| matches!(array.kind, ArrayKind::Number(_)))
        .filter_map(|array| Some((array, shape::likely_table(&array.shape)?)))
        .collect();
    let is_grid = |array: &&ArrayInfo| {
        let place = Place { name: String::new(), fields: array.members() };
        place.fits() && shape::column(&array.shape).is_none()
    };
    if let Some(array) = arrays.iter().find(is_grid) {
        return Error::Foreign {
            path: path.into(),
            place: array.name.clone(),
            expected: "records in one dimension, an event each".into(),
            format: format!("records of shape {:?}", array.shape),
            reader: "with NumPy, save events.ravel() if all are one recording, or else each row in a file of its own"
                .into(),
            command: None,
        };
    }
    let column = |array: &ArrayInfo, i: u64, columns| array.field(Part::Column { index: i as usize, columns });
    if let [(array, table)] = tables[..]
        && !arrays.iter().any(|array| matches!(array.kind, ArrayKind::Record(_)))
        && !arrays.iter().any(|other| shape::column(&other.shape) == Some(table.len) && table.len > 1)
    {
        let columns: Option<Vec<_>> =
            (0..table.columns).map(|i| file.sample(&column(array, i, Some(table.columns)))).collect();
        let order = columns.and_then(|columns| guess_order(&columns));
        let usual = ["t", "x", "y", "p"].into_iter().chain(std::iter::repeat("_")).take(table.columns as usize);
        return Error::Columns {
            path: path.into(),
            place: if array.name.is_empty() { "array".into() } else { array.name.clone() },
            expected: "the order of its columns to be named".into(),
            got: array.to_string(),
            remedies: vec![Remedy::Columns(order.unwrap_or_else(|| usual.collect::<Vec<_>>().join(",")))],
        };
    }
    // All columns that there are, those of tables and records included, by their places.
    let mut places: Vec<(&str, Vec<Candidate<'_>>)> = Vec::new();
    for array in arrays {
        let whole = array.group_and_name();
        let found: Vec<Candidate<'_>> =
            match (&array.kind, shape::column(&array.shape), shape::table(&array.shape, None)) {
                (ArrayKind::Number(_), Some(len), _) => vec![(whole.1, len, array.field(Part::Whole))],
                (ArrayKind::Number(_), None, Some(table)) => {
                    (0..table.columns).map(|i| ("", table.len, column(array, i, None))).collect()
                }
                (ArrayKind::Record(_), Some(len), _) => {
                    array.members().into_iter().map(|(name, field)| (name, len, field)).collect()
                }
                _ => Vec::new(),
            };
        let place = if found.len() == 1 { whole.0 } else { &array.name };
        match places.iter_mut().find(|(name, _)| *name == place) {
            Some((_, fields)) => fields.extend(found),
            None => places.push((place, found)),
        }
    }
    let all: Vec<Candidate<'_>> = places.iter().flat_map(|(_, fields)| fields).cloned().collect();
    // One camera of several: all of its columns are in one place.
    let cameras = places.into_iter().flat_map(|(_, fields)| cameras(fields)).filter(|fields| fields.len() > 2);
    let mut lines: Vec<Fields> = cameras.take(MOST_PLACES).map(|fields| guess_fields(file, fields)).collect();
    if lines.iter().any(|line| line[0].is_some() && line[1].is_some()) {
        lines.retain(|line| line[0].is_some() && line[1].is_some());
    } else if !all.is_empty() {
        lines = vec![guess_fields(file, all)];
    }
    // A column that is there and cannot be used is not another field; that of an array without a name cannot be named.
    let unusable: Vec<String> = arrays.iter().flat_map(unusable_names).collect();
    let cannot = if unusable.is_empty() { String::new() } else { format!("; not numbers: {}", unusable.join(", ")) };
    let named = |line: &Fields| unusable.is_empty() && !line.iter().flatten().any(|field| field.to_string().is_empty());
    let text = |line: Fields| map_line(&line.map(|field| field.map(|field| field.to_string())), &[Role::T, Role::X]);
    Error::UnknownLayout {
        path: path.into(),
        looked: file.looked(),
        has: format!("it has {}{cannot}", list(arrays)),
        maps: lines.into_iter().filter(named).map(text).collect(),
    }
}

/// A field that may be a column: its name, its number of entries, and its path in the file.
type Candidate<'a> = (&'a str, u64, FieldPath);

/// Splits the fields of a place into one list for each camera, if their names contain the camera: `left_x` and
/// `right_x`, or `x_left` and `x_right`. Otherwise, returns all fields in one list.
fn cameras(fields: Vec<Candidate<'_>>) -> Vec<Vec<Candidate<'_>>> {
    let joint = |c: char| !c.is_alphanumeric();
    let halves = [|(a, b)| (a, b), |(a, b)| (b, a)];
    let splits: [Option<Vec<(&str, &str)>>; 2] = [
        fields.iter().map(|(name, ..)| name.split_once(joint)).collect(),
        fields.iter().map(|(name, ..)| name.rsplit_once(joint)).collect(),
    ];
    for (split, half) in splits.into_iter().zip(halves) {
        let Some(split) = split else { continue };
        let mut of: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for (i, (camera, column)) in split.into_iter().map(half).enumerate() {
            of.entry(camera).or_default().insert(column, i);
        }
        let mut columns = of.values().map(|columns| columns.keys().collect::<Vec<_>>());
        let first = columns.next().unwrap_or_default();
        if of.len() > 1 && first.len() > 2 && columns.all(|other| other == first) {
            return of.values().map(|columns| columns.values().map(|&i| fields[i].clone()).collect()).collect();
        }
    }
    vec![fields]
}

/// Guesses which of these fields are the columns, by their names and by their content. Only the fields with the most
/// entries are considered.
fn guess_fields(file: &dyn Survey, mut fields: Vec<Candidate<'_>>) -> Fields {
    let longest = fields.iter().map(|(_, len, _)| *len).max();
    fields.retain(|(_, len, _)| Some(*len) == longest);
    fields.truncate(MOST_GUESSED);
    let named = Role::ALL.map(|role| fields.iter().position(|(name, ..)| Role::of(name) == Some(role)));
    let samples: Option<Vec<_>> = fields.iter().map(|(.., field)| file.sample(field)).collect();
    let found = samples.map_or(named, |samples| guess(&samples, named));
    found.map(|i| i.map(|i| fields[i].2.clone()))
}

/// Lists arrays for a message. If there are very many, only the first ones are named.
pub(super) fn list<'a>(arrays: impl IntoIterator<Item = &'a ArrayInfo>) -> String {
    let all: Vec<String> = arrays.into_iter().map(ToString::to_string).collect();
    match all.len() {
        0 => "no datasets".into(),
        n if n > MOST_LISTED => format!("{}, and {} more", all[..MOST_LISTED].join(", "), n - MOST_LISTED),
        _ => all.join(", "),
    }
}

/// Returns the fields of these arrays that have `len` entries, and so could be columns of `len` events. Columns of
/// tables are left out.
pub(super) fn fields_of_length(arrays: &[ArrayInfo], len: u64) -> Vec<FieldPath> {
    let long = arrays.iter().filter(|array| shape::column(&array.shape) == Some(len));
    long.flat_map(|array| match &array.kind {
        ArrayKind::Number(_) => vec![array.field(Part::Whole)],
        _ => array.members().into_iter().map(|(_, field)| field).collect(),
    })
    .collect()
}

/// Names the fields that have `len` entries, one for each event, but were not taken for a column. In a file with one
/// event, every scalar has this length, so no field is reported.
pub(super) fn left_over(arrays: &[ArrayInfo], fields: &Fields, len: u64) -> Vec<String> {
    let all = if len > 1 { fields_of_length(arrays, len) } else { Vec::new() };
    let taken: Vec<String> = fields.iter().flatten().map(FieldPath::to_string).collect();
    let array = |name: &str| element(name).map(|(array, _)| array.to_string());
    let mut names: Vec<String> = all.iter().map(FieldPath::to_string).filter(|name| !taken.contains(name)).collect();
    for name in &mut names {
        // An array of which nothing was taken is named as a whole.
        let whole = array(name).filter(|whole| !taken.iter().any(|taken| array(taken).as_ref() == Some(whole)));
        whole.into_iter().for_each(|whole| *name = whole);
    }
    names.dedup();
    names.retain(|name| !name.is_empty());
    names
}
