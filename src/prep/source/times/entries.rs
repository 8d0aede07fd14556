//! Reads the entries of an HDF5 file that may give the unit of its times: attributes, and datasets with one element.

use std::path::Path;

use hdf5::types::TypeDescriptor::{Integer, Unsigned};
use hdf5::{Container, Location};

use crate::source::hdf::{self, letters, text_bytes};

/// An entry of a file with a name and a value: an attribute, or an array with one element.
pub(crate) struct Entry {
    pub(crate) name: String,
    /// How messages name the entry, such as `the attribute "unit" of "events/t"`.
    pub(crate) place: String,
    /// Name of the array, or path of the dataset. `None` for an attribute.
    pub(crate) array: Option<String>,
    /// Value of the entry as text. `None` unless the value is a text, a number or a fraction of two integers.
    pub(crate) text: Option<String>,
}

/// Reads all attributes of a dataset.
pub(super) fn of_dataset(file: &hdf::File, dataset: &str) -> Vec<Entry> {
    file.dataset(dataset).map_or(Vec::new(), |place| attributes(&place, dataset))
}

/// Reads all attributes of a group, and its datasets with one number or one text. Skips datasets for whose name
/// `known` returns false.
pub(super) fn of_group(path: &Path, file: &hdf::File, group: &str, known: fn(&str) -> bool) -> Vec<Entry> {
    let Ok(place) = file.group(group) else { return Vec::new() };
    let scalar = |name: String| {
        let dataset = format!("{}/{name}", group.trim_matches('/')).trim_matches('/').to_owned();
        file.dataset(&dataset).ok().filter(|found| found.size() == 1 || letters(found).is_some())?;
        // Data that is not there is no error, because it is not needed.
        let found = hdf::optional(path, file, &dataset).ok()??;
        let text = Some(text(&found, &name)?);
        Some(Entry { place: format!("the dataset {dataset:?}"), name, array: Some(dataset), text })
    };
    let names = place.member_names().unwrap_or_default().into_iter().filter(|name| known(name));
    attributes(&place, group).into_iter().chain(names.filter_map(scalar)).collect()
}

/// Reads all attributes of a dataset or group. `name` is its path in the file.
fn attributes(place: &Location, name: &str) -> Vec<Entry> {
    let names = place.attr_names().unwrap_or_default();
    let entry = |attribute: String| {
        let text = place.attr(&attribute).ok().and_then(|told| text(&told, &attribute));
        Entry { place: format!("the attribute {attribute:?} of {name:?}"), name: attribute, array: None, text }
    };
    names.into_iter().map(entry).collect()
}

/// Reads the value of an attribute or dataset named `name` as text.
fn text(place: &Container, name: &str) -> Option<String> {
    letters(place).or_else(|| one_text(place)).or_else(|| one_number(place, name))
}

/// Reads the value of an attribute or dataset as text if it is one number. If `name` ends in `base`, the value can
/// also be two numbers that form a fraction, such as (1, 1000000).
fn one_number(place: &Container, name: &str) -> Option<String> {
    if place.size() > 2 {
        return None;
    }
    // Integers are read as integers: float64 cannot represent every number of nanoseconds since 1970.
    match place.dtype().ok()?.to_descriptor().ok()? {
        Integer(_) if place.size() == 1 => return Some(place.read_raw::<i64>().ok()?.first()?.to_string()),
        Unsigned(_) if place.size() == 1 => return Some(place.read_raw::<u64>().ok()?.first()?.to_string()),
        _ => {}
    }
    match place.read_raw::<f64>().ok()?[..] {
        [number] => Some(number.to_string()),
        [above, below] if name.to_lowercase().ends_with("base") => Some(format!("{above}/{below}")),
        _ => None,
    }
}

/// Reads the text of an attribute or dataset that is one string. Otherwise `None`.
pub(crate) fn one_text(place: &Container) -> Option<String> {
    if place.size() != 1 {
        return None;
    }
    let kind = place.dtype().ok()?.to_descriptor().ok()?;
    let bytes = text_bytes(place, &kind).ok()??.pop()?;
    // A text that is not UTF-8 is read as Latin-1, in which the micro sign is a single byte.
    Some(String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect()))
}
