//! Finds the events of a file of any structure: the one place whose fields have the names of t, x, y and p.
//!
//! A place is a group whose arrays are columns, or an array of records. A table, one array with several numbers for each
//! event, has no names: the caller gives its order. If several places fit, or none does, the error has a line to type
//! for each.

use std::path::Path;

use crate::error::{Error, Remedy, Result};
use crate::source::columns::{FieldPath, Fields, Part, Role, assign, element, map_line};
use crate::source::guess::{guess, guess_order};
use crate::source::options::TableColumns;
use crate::source::shape;

/// Maximum number of columns that a guess looks at.
const MOST_GUESSED: usize = 24;
/// Maximum number of arrays that an error lists.
const MOST_LISTED: usize = 24;

/// An array of a file.
#[derive(Clone, Debug)]
pub(super) struct ArrayInfo {
    /// Path in the file. Empty in a file that has only one.
    pub(super) name: String,
    pub(super) shape: Vec<u64>,
    pub(super) kind: ArrayKind,
}

/// The type of an array's elements.
#[derive(Clone, Debug)]
pub(super) enum ArrayKind {
    /// Numbers of a type.
    Number(String),
    /// Records with these members, those of nested records included.
    Record(Vec<MemberInfo>),
    /// A link that leads nowhere: what is wrong with it.
    Nowhere(String),
    /// What cannot be a column: its type.
    Other(String),
}

/// A member of records.
#[derive(Clone, Debug)]
pub(super) struct MemberInfo {
    /// Its name. The names of nested records are before it, with dots between them.
    pub(super) name: String,
    /// Its type, for messages.
    pub(super) kind: String,
    pub(super) is_number: bool,
}

impl ArrayInfo {
    /// A link that leads nowhere, in the place of an array.
    pub(super) fn nowhere(name: String, wrong: String) -> ArrayInfo {
        ArrayInfo { name, shape: Vec::new(), kind: ArrayKind::Nowhere(wrong) }
    }

    /// The path of its group, which is empty for the root, and its name there.
    fn group_and_name(&self) -> (&str, &str) {
        self.name.rsplit_once('/').unwrap_or(("", &self.name))
    }

    /// The path of a part of the array.
    fn field(&self, part: Part) -> FieldPath {
        FieldPath { array: self.name.clone(), part }
    }

    /// The members that are numbers, if the array has records: their names and paths.
    fn members(&self) -> Vec<(&str, FieldPath)> {
        let ArrayKind::Record(members) = &self.kind else { return Vec::new() };
        let numbers = members.iter().filter(|member| member.is_number);
        numbers.map(|member| (member.name.as_str(), self.field(Part::Member(member.name.clone())))).collect()
    }
}

impl std::fmt::Display for ArrayInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.kind {
            ArrayKind::Nowhere(wrong) => return write!(f, "{} (a link that leads nowhere: {wrong})", self.name),
            ArrayKind::Number(kind) | ArrayKind::Other(kind) => kind.clone(),
            ArrayKind::Record(members) => {
                let member = |MemberInfo { name, kind, .. }: &MemberInfo| format!("{name}: {kind}");
                let members: Vec<String> = members.iter().map(member).collect();
                format!("records of {}", members.join(", "))
            }
        };
        let space = if self.name.is_empty() { "" } else { " " };
        write!(f, "{}{space}({kind}, shape {:?})", self.name, self.shape)
    }
}

/// A file whose arrays are looked through.
pub(super) trait Survey {
    /// The arrays of the file.
    fn arrays(&self) -> &[ArrayInfo];

    /// The first numbers of a field, for a guess. `None` if they cannot be read.
    fn sample(&self, field: &FieldPath) -> Option<Vec<f64>>;

    /// The layouts that were looked for, for messages.
    fn looked(&self) -> String;
}

/// Finds the columns of a file's events. `order` is the order of a table's columns; without it, tables are not taken.
///
/// # Errors
/// [`Error::Columns`] if several places fit, if two fields of a place fit one column, and for a table without an order;
/// [`Error::UnknownLayout`] if nothing fits.
pub(super) fn find(path: &Path, file: &dyn Survey, order: Option<&TableColumns>) -> Result<Fields> {
    match order {
        Some(order) => find_table(path, file, order),
        None => find_named(path, file),
    }
}

/// The fields of a place.
struct Place<'a> {
    name: String,
    /// Each field's own name and its path.
    fields: Vec<(&'a str, FieldPath)>,
}

impl Place<'_> {
    fn has(&self, roles: &[Role]) -> bool {
        roles.iter().all(|&role| self.fields.iter().any(|(name, _)| Role::of(name) == Some(role)))
    }

    fn fits(&self) -> bool {
        self.has(&[Role::T, Role::X])
    }

    /// The fields' names, for messages.
    fn text(&self) -> String {
        let names: Vec<&str> = self.fields.iter().map(|(name, _)| *name).collect();
        let at = if self.name.is_empty() { String::new() } else { format!("{}: ", self.name) };
        format!("{at}{}", names.join(", "))
    }

    /// A map of the fields by their names. If several fields fit a column, the first is taken.
    fn map(&self) -> Remedy {
        let field = |role: Role| self.fields.iter().find(|(name, _)| Role::of(name) == Some(role));
        map_line(&Role::ALL.map(|role| field(role).map(|(_, path)| path.to_string())), &[])
    }
}

/// The places of a file whose fields have names: groups of columns with the same length, and arrays of records. A link
/// that leads nowhere and has the name of a column is one of its group, so that it is refused if that is the place.
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

/// Whether two fields have the same numbers, or polarities of the same sign, as far as a guess looks.
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
        got,
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

/// The error for a file without a place whose names fit: a table, or no layout at all.
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
    // All columns that there are, those of tables and records included.
    let mut fields: Vec<(u64, FieldPath, Option<Role>)> = Vec::new();
    for array in arrays {
        match (&array.kind, shape::column(&array.shape), shape::table(&array.shape, None)) {
            (ArrayKind::Number(_), Some(len), _) => {
                let own = array.name.rsplit('/').next().and_then(Role::of);
                fields.push((len, array.field(Part::Whole), own));
            }
            (ArrayKind::Number(_), None, Some(table)) => {
                fields.extend((0..table.columns).map(|i| (table.len, column(array, i, None), None)));
            }
            (ArrayKind::Record(_), Some(len), _) => {
                fields.extend(array.members().into_iter().map(|(name, field)| (len, field, Role::of(name))));
            }
            _ => {}
        }
    }
    let longest = fields.iter().map(|(len, ..)| *len).max();
    fields.retain(|(len, ..)| Some(*len) == longest);
    fields.truncate(MOST_GUESSED);
    let named = Role::ALL.map(|role| fields.iter().position(|(_, _, own)| *own == Some(role)));
    let samples: Option<Vec<_>> = fields.iter().map(|(_, field, _)| file.sample(field)).collect();
    let found = samples.map_or(named, |samples| guess(&samples, named));
    let line = found.map(|i| i.map(|i| fields[i].1.to_string()));
    Error::UnknownLayout {
        path: path.into(),
        looked: file.looked(),
        has: list(arrays),
        // The column of an array without a name cannot be named.
        map: (!line.contains(&Some(String::new()))).then(|| map_line(&line, &Role::ALL)),
    }
}

/// The arrays of a file, shortened to fit a message.
fn list<'a>(arrays: impl IntoIterator<Item = &'a ArrayInfo>) -> String {
    let all: Vec<String> = arrays.into_iter().map(ToString::to_string).collect();
    match all.len() {
        0 => "it has no datasets".into(),
        n if n > MOST_LISTED => format!("it has {}, and {} more", all[..MOST_LISTED].join(", "), n - MOST_LISTED),
        _ => format!("it has {}", all.join(", ")),
    }
}

/// The fields of these arrays that could be columns of so many events, except columns of tables.
pub(super) fn fields_of_length(arrays: &[ArrayInfo], len: u64) -> Vec<FieldPath> {
    let long = arrays.iter().filter(|array| shape::column(&array.shape) == Some(len));
    long.flat_map(|array| match &array.kind {
        ArrayKind::Number(_) => vec![array.field(Part::Whole)],
        _ => array.members().into_iter().map(|(_, field)| field).collect(),
    })
    .collect()
}

/// The fields that could be columns of the events and were not taken. One number beside a single event tells nothing.
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
