//! Finds the unit of a file's times in the attributes of their HDF5 dataset, or of the groups that contain the dataset.

use std::path::Path;

use hdf5::{Attribute, Location};

use crate::error::{Error, Result};
use crate::source::hdf::{self, text_bytes};
use crate::source::times::unit::TimeUnit;

/// An attribute gives the unit of times if its name is `unit` or `units`, alone or with one of these words, as in
/// `time_unit`.
const OF_TIMES: [&str; 7] = ["", "t", "ts", "time", "times", "timestamp", "timestamps"];

/// Returns the unit that an attribute in the file gives for the times in `dataset`, or else `usual`. Also returns a
/// note for the user if the attribute is not understood, or gives an unexpected unit. The expected unit is the user's
/// (`given`), or else `usual`.
///
/// # Errors
/// [`Error::OddUnit`] if the attribute gives a unit of time that is not supported, and the user gave none.
pub(crate) fn told_unit(
    path: &Path,
    file: &hdf::File,
    dataset: &str,
    given: Option<TimeUnit>,
    usual: TimeUnit,
) -> Result<(TimeUnit, Option<String>)> {
    let of_dataset = file.dataset(dataset).ok().and_then(|place| find(&place, dataset));
    let of_dataset = of_dataset.map(|told| Told { of_times: told.text.as_deref().is_some_and(is_told), ..told });
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

/// Returns whether a text says anything, unlike an empty text or a placeholder such as `unknown`.
fn is_told(text: &str) -> bool {
    !["", "none", "unknown", "n/a"].contains(&&*text.trim().to_lowercase())
}

/// Returns whether a text that is not a unit mentions time: it contains the name of a unit, or a number.
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

/// An attribute that may give the unit of times.
struct Told {
    /// Description of the attribute for messages.
    place: String,
    /// Value of the attribute. `None` if it is neither a text nor a number.
    text: Option<String>,
    /// Whether the attribute is about times and nothing else.
    of_times: bool,
}

/// Finds the attribute that gives the unit of times. `place` is the dataset or group whose attributes are searched, and
/// `name` is the path of this dataset or group in the file.
fn find(place: &Location, name: &str) -> Option<Told> {
    let names = place.attr_names().ok()?;
    let plain = |attribute: &str| attribute.to_lowercase().replace(['-', ' '], "_").replace("_of_", "_");
    let is_unit = |attribute: &&String| {
        let attribute = plain(attribute).replace("units", "unit");
        let of = attribute.strip_suffix("unit").or_else(|| attribute.strip_prefix("unit"));
        of.is_some_and(|of| OF_TIMES.contains(&of.trim_matches('_')))
    };
    let mut units: Vec<&String> = names.iter().filter(is_unit).collect();
    // One that names times goes before one that may be of all columns.
    let is_generic = |attribute: &str| ["unit", "units"].contains(&&*plain(attribute));
    units.sort_by_key(|attribute| (is_generic(attribute), *attribute));
    let attribute = units.first()?;
    let told = place.attr(attribute).ok();
    let number = |told: &Attribute| Some(told.read_raw::<f64>().ok().filter(|_| told.size() == 1)?[0].to_string());
    let text = told.and_then(|told| attribute_text(&told).or_else(|| number(&told)));
    let of_times = !is_generic(attribute);
    Some(Told { place: format!("the attribute {attribute:?} of {name:?}"), text, of_times })
}

/// Reads the text of an attribute that is one string, of any string type. `None` for other attributes.
pub(crate) fn attribute_text(attribute: &Attribute) -> Option<String> {
    if attribute.size() != 1 {
        return None;
    }
    let kind = attribute.dtype().ok()?.to_descriptor().ok()?;
    let bytes = text_bytes(attribute, &kind).ok()??.pop()?;
    // What is not UTF-8 is Latin-1, in which micro is a byte of its own.
    Some(String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect()))
}
