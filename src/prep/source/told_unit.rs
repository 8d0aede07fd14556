//! Finds the unit of a file's times in the attributes of their HDF5 dataset, or of the groups that contain the dataset.

use hdf5::{Attribute, Location};

use crate::source::hdf::text_bytes;
use crate::source::unit::TimeUnit;

/// What may precede `unit` or `units` in the name of an attribute that gives the unit of times.
const OF_TIMES: [&str; 7] = ["", "t", "ts", "time", "times", "timestamp", "timestamps"];

/// Returns the unit that an attribute in the file gives for the times in `dataset`, or else `usual`. Also returns a
/// note for the user if the attribute is not understood, or gives an unexpected unit. The expected unit is `given`,
/// which the user gave, or else `usual`.
pub(super) fn told_unit(
    file: &hdf5::File,
    dataset: &str,
    given: Option<TimeUnit>,
    usual: TimeUnit,
) -> (TimeUnit, Option<String>) {
    let of_dataset = file.dataset(dataset).ok().and_then(|place| find(&place, dataset));
    let found = of_dataset
        .or_else(|| groups(dataset).find_map(|group| file.group(group).ok().and_then(|place| find(&place, group))));
    let Some((place, text)) = found else { return (usual, None) };
    match (text.as_deref().and_then(TimeUnit::recognise), given) {
        (Some(told), Some(given)) if told != given => (
            told,
            Some(format!("{place} says that times are in {told}; they are taken as {given}, the unit that was given")),
        ),
        (Some(told), None) if told != usual => {
            (told, Some(format!("times are in {told}, as {place} says, not in {usual} as is usual")))
        }
        (Some(told), _) => (told, None),
        (None, _) => {
            let text = text.map_or("no text".into(), |text| format!("{text:?}"));
            let unit = given.unwrap_or(usual);
            (
                usual,
                Some(format!("{place} is {text}, which is no known unit (s, ms, us, ns); times are taken as {unit}")),
            )
        }
    }
}

/// Returns the groups that contain a dataset, from the innermost to the file's root.
fn groups(dataset: &str) -> impl Iterator<Item = &str> {
    let dataset = dataset.trim_end_matches('/');
    let slashes = dataset.rmatch_indices('/').map(|(at, _)| at);
    slashes.filter(|&at| at > 0).map(|at| &dataset[..at]).chain(["/"])
}

/// Finds the attribute of `place` that gives the unit of times. Returns a description of the attribute for messages,
/// and its text. `name` is the path of `place` in the file.
fn find(place: &Location, name: &str) -> Option<(String, Option<String>)> {
    let names = place.attr_names().ok()?;
    let is_unit = |attribute: &&String| {
        let attribute = attribute.to_lowercase().replace(['-', ' '], "_");
        let prefix = attribute.strip_suffix("units").or_else(|| attribute.strip_suffix("unit"));
        prefix.is_some_and(|prefix| OF_TIMES.contains(&prefix.trim_end_matches('_')))
    };
    let mut units: Vec<&String> = names.iter().filter(is_unit).collect();
    // One that names times goes before one that may be of all columns.
    units.sort_by_key(|attribute| (attribute.to_lowercase().starts_with("unit"), *attribute));
    let attribute = units.first()?;
    let text = place.attr(attribute).ok().and_then(|attribute| text(&attribute));
    Some((format!("the attribute {attribute:?} of {name:?}"), text))
}

/// Reads the text of an attribute that is one string, of any string type. `None` for other attributes.
pub(super) fn text(attribute: &Attribute) -> Option<String> {
    if attribute.size() != 1 {
        return None;
    }
    let kind = attribute.dtype().ok()?.to_descriptor().ok()?;
    let bytes = text_bytes(attribute, &kind).ok()??.pop()?;
    // What is not UTF-8 is Latin-1, in which micro is a byte of its own.
    Some(String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect()))
}
