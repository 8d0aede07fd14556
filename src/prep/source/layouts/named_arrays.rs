//! Reads files of named arrays: NumPy archives and MATLAB files. Finds the columns of events, the unit of their times
//! and the label.

use std::path::Path;

use crate::error::{Error, Result};
use crate::source::columns::{FieldPath, MAX_ARRAYS, MAX_TEXT, Numbers, Survey, list};
use crate::source::fields::survey;
use crate::source::layout::Layout;
use crate::source::layouts::npy_columns::{Found, lane, lanes, named_label, unit_of_type};
use crate::source::numpy::{Header, Lane};
use crate::source::options::SourceOptions;
use crate::source::stream::{ClassLabel, ONE_CLASS};
use crate::source::times::{Entry, Told, find_told};
use crate::time_unit::TimeUnit;

/// A file of named arrays whose headers were read.
pub(super) trait NamedArrays: Survey {
    fn path(&self) -> &Path;

    fn layout(&self) -> Layout;

    fn header(&self, name: &str) -> Option<&Header>;

    /// Reads the elements of the array `name`, in the type that its header gives.
    fn read(&self, name: &str) -> Result<Vec<u8>>;

    /// Maximum number of events that are read.
    fn most_events(&self) -> u64;

    /// Returns the default unit of the times. It is used if neither the file nor the caller gives a unit. `times` is
    /// the field with the times, and `lane` says where its numbers are.
    fn usual_unit(&self, times: &FieldPath, lane: Lane) -> TimeUnit;

    /// Returns the arrays that may give the unit of the times in the array `times`. There is a list for each group of
    /// arrays, the nearest group first. Each array has two names: the full name, and the name in its group.
    fn tells(&self, times: &str) -> Vec<Vec<(String, String)>>;
}

/// Returns the header of the array `name`. Fails if the file lacks the array, or if the array has Python objects.
pub(super) fn needed<'a>(file: &'a dyn NamedArrays, name: &str) -> Result<&'a Header> {
    let header = file.header(name).ok_or_else(|| Error::MissingDataset {
        path: file.path().into(),
        dataset: name.into(),
        layout: file.layout().name(),
        present: list(file.arrays()),
    })?;
    header.check_unpickled(file.path(), name)?;
    Ok(header)
}

/// Reads the recording's class, if the user's map says which array has the class.
pub(super) fn label(file: &dyn NamedArrays, options: &SourceOptions) -> Result<Option<ClassLabel>> {
    let Some(name) = named_label(options) else { return Ok(None) };
    let header = needed(file, name)?;
    let wrong = |got: String| Error::wrong_type(file.path(), name, ONE_CLASS, got);
    if header.items() != 1 {
        return Err(wrong(header.info("").to_string()));
    }
    let data = file.read(name)?;
    // MATLAB stores numbers as floats by default, so a whole float is a class.
    let whole = || header.one_value(&data)?.parse().ok();
    let number = header.one_integer(&data).or_else(|| whole().filter(|_| file.layout() == Layout::Mat));
    let class = match (number, header.one_text(&data)) {
        (Some(number), _) => ClassLabel::of_number(number).ok_or_else(|| wrong(number.to_string()))?,
        (_, Some(text)) if !text.is_empty() => ClassLabel::Name(text),
        _ => return Err(wrong(header.info("").to_string())),
    };
    Ok(Some(class))
}

/// Finds the columns of events, and checks that they have the same length.
pub(super) fn find(file: &dyn NamedArrays, options: &SourceOptions) -> Result<Found> {
    let path = file.path();
    let fields = match &options.map {
        Some(map) => map.fields(|name| file.header(name).is_some()),
        None => survey::find(path, file, options.columns.as_ref())?,
    };
    let lanes = lanes(&fields, |field| lane(path, needed(file, &field.array)?, field))?;
    let given = options.time_unit.or_else(|| unit_of_type(&lanes));
    let (usual, places) = match (&fields[0], lanes[0]) {
        (Some(times), Some(lane)) => (file.usual_unit(times, lane), file.tells(&times.array)),
        _ => (TimeUnit::Microseconds, Vec::new()),
    };
    let places: Vec<_> = places.into_iter().map(|names| (entries(file, names), false)).collect();
    let (told, mut notes) = find_told(&places, given, usual);
    if file.has_more() {
        let advice = "if the events are in others, save these in a file of their own";
        notes.push(format!("warning: only the first {MAX_ARRAYS} arrays of the file are looked at; {advice}"));
    }
    let unit = told.as_ref().and_then(Told::array);
    let mut found = Found::new(fields, lanes, file.arrays(), named_label(options), unit, notes);
    found.unit = usual;
    for (field, lane) in found.fields.iter().flatten().zip(lanes.iter().flatten()) {
        let wrong = |expected: String| Err(Error::wrong_type(path, &field.to_string(), expected, lane.len));
        if lane.len != found.len {
            return wrong(format!("{} events, as t has", found.len));
        }
        if lane.len > file.most_events() {
            let why = "because an archive has to be in memory as a whole";
            return wrong(format!("at most {} events, {why}", file.most_events()));
        }
    }
    found.set_unit(path, file, told, options)?;
    Ok(found)
}

/// Reads the entry of each array in `names` that has only one entry. Other arrays are left out.
fn entries(file: &dyn NamedArrays, names: Vec<(String, String)>) -> Vec<Entry> {
    let entry = |(array, name): (String, String)| {
        let header = file.header(&array).filter(|header| header.items() == 1 && header.dtype.bytes() <= MAX_TEXT)?;
        let text = file.read(&array).ok().and_then(|data| header.one_value(&data));
        Some(Entry { name, place: format!("the array {array:?}"), array: Some(array), text })
    };
    names.into_iter().filter_map(entry).collect()
}

/// Reads the columns t, x, y and p. An array that has several of these columns is read only once. The arrays are read
/// in the order of the file.
pub(super) fn columns(file: &dyn NamedArrays, fields: &Found) -> Result<[Option<Numbers>; 4]> {
    let mut columns = [None, None, None, None];
    let mut data: Option<(&str, Vec<u8>)> = None;
    let place = |field: &FieldPath| file.arrays().iter().position(|array| array.name == field.array);
    let mut order = [0, 1, 2, 3];
    order.sort_by_key(|&i| fields.fields[i].as_ref().and_then(place));
    for i in order {
        let (Some(field), Some(lane)) = (&fields.fields[i], &fields.lanes[i]) else { continue };
        let bytes = match data.take().filter(|(name, _)| *name == field.array) {
            Some((_, bytes)) => bytes,
            None => file.read(&field.array)?,
        };
        columns[i] = Some(lane.of_array(&bytes, u64::MAX));
        data = Some((&field.array, bytes));
    }
    Ok(columns)
}
