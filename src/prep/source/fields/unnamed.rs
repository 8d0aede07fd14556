//! Makes the error for a file in which no fields are named like t and x. The error suggests an option.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::Error;
use crate::remedy::Remedy;
use crate::source::columns::{
    ArrayInfo, ArrayKind, FieldPath, Fields, MAX_ARRAYS, Part, Role, Survey, guess, guess_order, list, map_line, shape,
};
use crate::source::commands::rows_of_arrays;
use crate::source::fields::unusable::unusable_names;

/// Maximum number of fields whose numbers are read to guess the columns.
const MOST_GUESSED: usize = 24;
/// Maximum number of columns of a table for which errors suggest a map of columns, or the usual column order
/// `t,x,y,p,_,...`. An order that was guessed from the numbers is also suggested for larger tables.
const MOST_COLUMNS: u64 = 8;
/// Maximum number of cameras in a file for which an error suggests a map of columns.
const MOST_PLACES: usize = 4;
/// Endings of the names of fields with whole seconds, such as `t_sec`. Case is ignored.
const SECONDS: [&str; 5] = ["s", "sec", "secs", "second", "seconds"];
/// Endings of the names of fields with the nanoseconds to add to whole seconds, such as `t_nsec`. Case is ignored.
const NANOSECONDS: [&str; 7] = ["ns", "nsec", "nsecs", "nanosec", "nanosecs", "nanosecond", "nanoseconds"];
/// Endings of the names of fields with the microseconds to add to whole seconds, such as `t_usec`. Case is ignored.
const MICROSECONDS: [&str; 5] = ["us", "usec", "usecs", "microsecond", "microseconds"];

/// Makes the error for a file in which no group of arrays, and no array of records, has fields named like t and x.
pub(crate) fn unnamed(path: &Path, file: &dyn Survey) -> Error {
    let arrays = file.arrays();
    let known = no_events(path, arrays).or_else(|| grid(path, arrays)).or_else(|| rows_of_arrays(path, arrays));
    known.or_else(|| lone_table(path, file)).unwrap_or_else(|| no_layout(path, file))
}

/// Makes the error for a file whose only array has no name and no entries. `None` for other files.
fn no_events(path: &Path, arrays: &[ArrayInfo]) -> Option<Error> {
    let [array] = arrays else { return None };
    let is_empty = array.name.is_empty() && shape::likely_table(&array.shape).is_none() && array.shape.contains(&0);
    is_empty.then(|| Error::NoEvents { path: path.into(), got: format!("an empty array {array}") })
}

/// Makes the error for a file whose events are in an array of records with several dimensions. `None` for other files.
fn grid(path: &Path, arrays: &[ArrayInfo]) -> Option<Error> {
    let is_grid = |array: &&ArrayInfo| {
        let members = array.members();
        let has = |role: Role| members.iter().any(|(name, _)| Role::of(name) == Some(role));
        has(Role::T) && has(Role::X) && shape::column(&array.shape).is_none()
    };
    let array = arrays.iter().find(is_grid)?;
    Some(Error::Foreign {
        path: path.into(),
        place: array.name.clone(),
        expected: "records in one dimension, an event each".into(),
        format: format!("records of shape {:?}", array.shape),
        reader: "with NumPy, save events.ravel() if all are one recording, or else each row in a file of its own"
            .into(),
        command: None,
    })
}

/// Makes the error for a file with one table (an array with several numbers for each event) and nothing else that could
/// be events. `None` for other files.
fn lone_table(path: &Path, file: &dyn Survey) -> Option<Error> {
    let arrays = file.arrays();
    let mut tables = arrays
        .iter()
        .filter(|array| matches!(array.kind, ArrayKind::Number(_)))
        .filter_map(|array| Some((array, shape::likely_table(&array.shape)?)));
    let (Some((array, table)), None) = (tables.next(), tables.next()) else { return None };
    let rivals = |other: &ArrayInfo| {
        let is_long = shape::column(&other.shape) == Some(table.len) && table.len > 1;
        is_long || matches!(other.kind, ArrayKind::Record(_))
    };
    if arrays.iter().any(rivals) {
        return None;
    }
    let told = file.column_names(array).filter(|names| names.len() as u64 == table.columns);
    let roles = told.map(|names| names.iter().map(|name| Role::of(name).or_else(|| axis(name))).collect::<Vec<_>>());
    let told = roles.filter(|roles| [Role::T, Role::X].iter().all(|role| roles.contains(&Some(*role))));
    let told = told.map(|roles| roles.iter().map(|role| role.map_or("_", Role::name)).collect::<Vec<_>>().join(","));
    let columns: Option<Vec<_>> =
        (0..table.columns).map(|i| file.sample(&column(array, i, Some(table.columns)))).collect();
    // Pixels or polarities are whole numbers; forces or angles are not.
    let is_whole = |column: &&Vec<f64>| column.iter().all(|number| number.fract() == 0.0);
    let has_whole = columns.as_ref().is_none_or(|columns| columns.iter().filter(is_whole).count() > 1);
    let order = told.or_else(|| guess_order(&columns?));
    let usual = || {
        let columns = ["t", "x", "y", "p"].into_iter().chain(std::iter::repeat("_"));
        let is_likely = table.columns <= MOST_COLUMNS && has_whole;
        is_likely.then(|| columns.take(table.columns as usize).collect::<Vec<_>>().join(","))
    };
    let order = order.or_else(usual);
    Some(Error::Columns {
        path: path.into(),
        place: if array.name.is_empty() { "array".into() } else { array.name.clone() },
        expected: match order {
            Some(_) => "the order of its columns to be named".into(),
            None => "t, x, y and p, of which no column can be t: none ascends".into(),
        },
        got: array.to_string(),
        remedies: order.into_iter().map(Remedy::Columns).collect(),
    })
}

/// Makes the error for a file of no known layout. The error suggests a map of columns for each camera.
fn no_layout(path: &Path, file: &dyn Survey) -> Error {
    let arrays = file.arrays();
    let places = candidates(arrays);
    let all: Vec<Candidate<'_>> = places.iter().flat_map(|(_, fields)| fields).cloned().collect();
    // If times are in two fields, no map is suggested. A map has only one field for t, so it would lose the fractions
    // of seconds.
    let halves = split_times(&all);
    // The columns of one camera are all in one group or array.
    let cameras = places.into_iter().flat_map(|(_, fields)| cameras(fields)).filter(|fields| fields.len() > 2);
    let mut lines: Vec<Fields> = cameras.take(MOST_PLACES).map(|fields| guess_fields(file, fields)).collect();
    if lines.iter().any(|line| line[0].is_some() && line[1].is_some()) {
        lines.retain(|line| line[0].is_some() && line[1].is_some());
    } else if !all.is_empty() {
        lines = vec![guess_fields(file, all)];
    }
    // If t or x is there but cannot be used, no other field is suggested in its place. A map cannot name the field of
    // an array that has no name.
    let unusable: Vec<String> = arrays.iter().flat_map(unusable_names).collect();
    let cannot = if unusable.is_empty() { String::new() } else { format!("; not numbers: {}", unusable.join(", ")) };
    let named = |line: &Fields| unusable.is_empty() && !line.iter().flatten().any(|field| field.to_string().is_empty());
    let cannot = match &halves {
        Some((s, ns, divisor)) => format!(
            "{cannot}; times in two fields: save t = {s} * 1000000 + {ns}{divisor}, in integers of 64 bits, as \
             microseconds"
        ),
        None => cannot,
    };
    let more = if file.has_more() { format!(" (only the first {MAX_ARRAYS} are looked at)") } else { String::new() };
    let named = |line: &Fields| halves.is_none() && named(line);
    let text = |line: Fields| map_line(&line.map(|field| field.map(|field| field.to_string())), &[Role::T, Role::X]);
    Error::UnknownLayout {
        path: path.into(),
        looked: file.looked(),
        has: format!("it has {}{more}{cannot}", list(arrays)),
        maps: lines.into_iter().filter(named).map(text).collect(),
    }
}

/// Finds two fields for the times: one with whole seconds, one with the nanoseconds or microseconds to add. Returns
/// both names, and the Python code that converts the second field to microseconds: ` // 1000` or nothing.
fn split_times(fields: &[Candidate<'_>]) -> Option<(String, String, &'static str)> {
    let unit = |name: &str| {
        let last = name.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let (start, last) = (&name[..name.len() - last.len()], last.to_ascii_lowercase());
        let kinds = [(&SECONDS[..], 0), (&NANOSECONDS, 1), (&MICROSECONDS, 2)];
        kinds.iter().find(|(names, _)| names.contains(&&*last)).map(|(_, kind)| (start.to_owned(), *kind))
    };
    let of = |kind: usize, start: &str| fields.iter().find(|(name, ..)| unit(name) == Some((start.into(), kind)));
    fields.iter().find_map(|(name, _, field)| {
        let (start, _) = unit(name).filter(|(_, kind)| *kind == 0)?;
        let part = |kind, divisor| of(kind, &start).map(|(_, _, part)| (field.to_string(), part.to_string(), divisor));
        part(1, " // 1000").or_else(|| part(2, ""))
    })
}

/// Returns the path of column `i` of a two-dimensional array. `columns` can be `None` if the shape shows the number of
/// columns.
fn column(array: &ArrayInfo, i: u64, columns: Option<u64>) -> FieldPath {
    array.field(Part::Column { index: i as usize, columns })
}

/// A field that may be a column: its name, its number of entries, and its path in the file.
type Candidate<'a> = (&'a str, u64, FieldPath);

/// Lists the groups and arrays of a file that may contain the columns of events, each with its name and fields.
fn candidates(arrays: &[ArrayInfo]) -> Vec<(&str, Vec<Candidate<'_>>)> {
    let mut places: Vec<(&str, Vec<Candidate<'_>>)> = Vec::new();
    for array in arrays {
        let whole = array.group_and_name();
        let found: Vec<Candidate<'_>> =
            match (&array.kind, shape::column(&array.shape), shape::table(&array.shape, None)) {
                (ArrayKind::Number(_), Some(len), _) => vec![(whole.1, len, array.field(Part::Whole))],
                (ArrayKind::Number(_), None, Some(table)) if table.columns <= MOST_COLUMNS => {
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
    places
}

/// Splits fields by the camera in their names, such as `left_x` and `right_x`. Returns all fields in one list if the
/// names don't give several cameras with the same columns.
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

/// Returns the column that a name such as `col` or `pixel_y` probably means: x or y.
fn axis(name: &str) -> Option<Role> {
    let name = name.to_ascii_lowercase();
    let mut words = name.split(|c: char| !c.is_alphanumeric());
    words.find_map(|word| match word {
        "x" | "col" | "cols" | "column" | "columns" => Some(Role::X),
        "y" | "row" | "rows" | "line" | "lines" => Some(Role::Y),
        _ => None,
    })
}

/// Guesses which of `fields` are t, x, y and p, by names and numbers. Considers only the fields with the most entries.
fn guess_fields(file: &dyn Survey, mut fields: Vec<Candidate<'_>>) -> Fields {
    let longest = fields.iter().map(|(_, len, _)| *len).max();
    fields.retain(|(_, len, _)| Some(*len) == longest);
    fields.truncate(MOST_GUESSED);
    let exact = |role| fields.iter().position(|(name, ..)| Role::of(name) == Some(role));
    let likely = |role| fields.iter().position(|(name, ..)| axis(name) == Some(role));
    let named = Role::ALL.map(|role| exact(role).or_else(|| likely(role)));
    let samples: Option<Vec<_>> = fields.iter().map(|(.., field)| file.sample(field)).collect();
    let found = samples.map_or(named, |samples| guess(&samples, named));
    found.map(|i| i.map(|i| fields[i].2.clone()))
}
