//! Finds the unit of a file's times in the attributes of their HDF5 dataset, or of the groups that contain the dataset.

use std::path::Path;

use hdf5::{Attribute, Location};

use crate::error::{Error, Result};
use crate::source::hdf::{self, text_bytes};
use crate::source::unit::TimeUnit;

/// What may precede `unit` or `units` in the name of an attribute that gives the unit of times.
const OF_TIMES: [&str; 7] = ["", "t", "ts", "time", "times", "timestamp", "timestamps"];

/// The unit that a file tells for the times in `dataset`, or else `usual`; and a note for the user, if the file tells
/// something that is not the usual, not understood, or not what the user has `given`.
///
/// # Errors
/// [`Error::OddUnit`] if the file tells another unit of time, and none was given.
pub(super) fn told_unit(
    path: &Path,
    file: &hdf::File,
    dataset: &str,
    given: Option<TimeUnit>,
    usual: TimeUnit,
) -> Result<(TimeUnit, Option<String>)> {
    let of_dataset = file.dataset(dataset).ok().and_then(|place| find(&place, dataset));
    let found = of_dataset
        .or_else(|| groups(dataset).find_map(|group| file.group(group).ok().and_then(|place| find(&place, group))));
    let Some(Told { place, text, of_times }) = found else { return Ok((usual, None)) };
    let told = text.as_deref().and_then(TimeUnit::recognise);
    let said = text.as_ref().map_or("no text".into(), |text| format!("{text:?}"));
    Ok(match (told, given) {
        (Some(told), Some(given)) if told != given => (
            told,
            Some(format!("{place} says that times are in {told}; they are taken as {given}, the unit that was given")),
        ),
        (Some(told), None) if told != usual => {
            (told, Some(format!("times are in {told}, as {place} says, not in {usual} as is usual")))
        }
        (Some(told), _) => (told, None),
        (None, None) if of_times || text.as_deref().is_some_and(is_of_time) => {
            let multiple = text.as_deref().and_then(TimeUnit::measure);
            return Err(Error::OddUnit { path: path.into(), place, got: said, multiple });
        }
        (None, _) => {
            let unit = given.unwrap_or(usual);
            (
                usual,
                Some(format!("{place} is {said}, which is no known unit (s, ms, us, ns); times are taken as {unit}")),
            )
        }
    })
}

/// Whether a text that is no unit tells something of time: it has a unit's name among others, or a number.
fn is_of_time(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    text.contains(|c: char| c.is_ascii_digit()) || words.any(|word| TimeUnit::recognise(word).is_some())
}

/// Returns the groups that contain a dataset, from the innermost to the file's root.
fn groups(dataset: &str) -> impl Iterator<Item = &str> {
    let dataset = dataset.trim_end_matches('/');
    let slashes = dataset.rmatch_indices('/').map(|(at, _)| at);
    slashes.filter(|&at| at > 0).map(|at| &dataset[..at]).chain(["/"])
}

/// What an attribute tells.
struct Told {
    /// Its name and place.
    place: String,
    /// `None` if it is neither a text nor a number.
    text: Option<String>,
    /// Whether it can be of nothing but the times.
    of_times: bool,
}

/// The attribute with the unit of the times, of the dataset or group `name`.
fn find(place: &Location, name: &str) -> Option<Told> {
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
    let told = place.attr(attribute).ok();
    let number = |told: &Attribute| Some(told.read_raw::<f64>().ok().filter(|_| told.size() == 1)?[0].to_string());
    let text = told.and_then(|told| text(&told).or_else(|| number(&told)));
    let of_times = !attribute.to_lowercase().starts_with("unit");
    Some(Told { place: format!("the attribute {attribute:?} of {name:?}"), text, of_times })
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
