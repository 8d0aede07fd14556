//! Finds the unit of a file's times in entries of the file: attributes of an HDF5 dataset of times, attributes of the
//! groups that contain the dataset, or arrays of an npz archive. An entry gives a unit (`time_unit`), or the length of
//! a tick of the clock (`time_base`). If no entry gives either, the name of the field of times may end in a unit
//! (`t_ns`).

use std::path::Path;

use hdf5::{Attribute, Location};

use crate::error::{Error, Result};
use crate::source::columns::unit_in_name;
use crate::source::hdf::{self, text_bytes};
use crate::time_unit::TimeUnit;

/// The name of an entry that gives the unit of times is `unit` or `units`, alone or together with one of these words,
/// as in `time_unit`.
const OF_TIMES: [&str; 7] = ["", "t", "ts", "time", "times", "timestamp", "timestamps"];
/// The name of an entry that gives the length of a tick has one of these words and one of the words in [`OF_TIMES`],
/// as in `time_base`.
const OF_TICKS: [&str; 6] = ["base", "scale", "scale_factor", "resolution", "tick", "ticks"];
/// These words of [`OF_TICKS`] also count without a word of [`OF_TIMES`]: an entry named `resolution` gives the length
/// of a tick, but an entry named `base` does not.
const ALONE: [&str; 4] = ["scale_factor", "resolution", "tick", "ticks"];

/// An attribute with one of these names gives the number of ticks of the clock per second.
const RATES: [&str; 10] = [
    "sampling_rate",
    "sample_rate",
    "sampling_frequency",
    "sample_frequency",
    "clock_rate",
    "clock_frequency",
    "tick_rate",
    "ticks_per_second",
    "frequency",
    "fs",
];
/// An attribute with one of these names gives a number that has to be added to the times.
const OFFSETS: [&str; 5] = ["offset", "time_offset", "t_offset", "ts_offset", "timestamp_offset"];

/// An attribute with one of these names gives a factor for the times, but not the unit of the result.
const SCALES: [&str; 4] = ["scale", "factor", "multiplier", "gain"];

/// An entry of a file with a name and a value: an attribute, or an array with one element.
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Description of the entry for messages.
    pub(crate) place: String,
    /// Value of the entry as text. The value is a text, a number or a fraction of two integers. `None` for any other
    /// value.
    pub(crate) text: Option<String>,
}

/// What a file says about the unit of its times.
pub(crate) struct Told {
    /// Name of the entry that gives the unit.
    pub(crate) name: String,
    /// Description of the entry for messages.
    place: String,
    text: Option<String>,
    /// Length of a tick of the clock in microseconds. `None` if the value of the entry is not understood.
    us: Option<f64>,
    /// Whether the entry is certainly about times. If so, a value that is not understood is an error, unless the user
    /// gave the unit.
    of_times: bool,
}

/// Returns the unit of the times in the field `field` of the HDF5 dataset `dataset`. Also returns a note for the
/// user, if there is one. The unit comes from an attribute or from the name of the field. If neither gives a unit,
/// returns `usual`. `given` is the unit that the user gave. It has an effect on the note and the errors only.
///
/// # Errors
/// Errors of [`Told::unit`].
pub(crate) fn told_unit(
    path: &Path,
    file: &hdf::File,
    (dataset, field): (&str, &str),
    given: Option<TimeUnit>,
    usual: TimeUnit,
) -> Result<(TimeUnit, Option<String>)> {
    let own = file.dataset(dataset).map_or(Vec::new(), |place| attributes(&place, dataset));
    let (rate, more) = rate_and_notes(&own, given, usual);
    let of_group = |group| find(attributes(&*file.group(group).ok()?, group), false);
    let found = find(own, true).or_else(|| groups(dataset).find_map(of_group)).or(rate);
    let told = found.or_else(|| Told::by_name(field));
    let (unit, note) = told.map_or(Ok((usual, None)), |told| told.unit(path, given, usual))?;
    let notes: Vec<String> = more.into_iter().chain(note).collect();
    Ok((unit, (!notes.is_empty()).then(|| notes.join("; "))))
}

/// Searches `own`, the attributes of the dataset of times, for the clock's ticks per second. Returns the unit that
/// the number of ticks gives: microseconds for 1e6 ticks, nanoseconds for 1e9 ticks. If `usual`, the default unit of
/// the times, is not microseconds, the number gives no unit. Also returns notes about a number of ticks that is not
/// used, about an offset and about a factor. If the user gave the unit (`given`), there is no note about ticks.
fn rate_and_notes(own: &[Entry], given: Option<TimeUnit>, usual: TimeUnit) -> (Option<Told>, Vec<String>) {
    let named = |names: &'static [&str]| {
        let is = |entry: &&Entry| names.iter().any(|name| entry.name.eq_ignore_ascii_case(name));
        own.iter().filter(is).filter_map(|entry| Some((entry, number(entry.text.as_ref()?)?)))
    };
    let (mut told, mut notes) = (None, Vec::new());
    for (entry, rate) in named(&RATES).filter(|(_, rate)| *rate > 1.0) {
        let us = 1e6 / rate;
        match usual == TimeUnit::Microseconds && rate >= 1e6 && TimeUnit::of_length(us).is_some() {
            true => told = Some(Told::of_ticks(entry, entry.text.clone().unwrap_or_default(), Some(us))),
            // Times in seconds are in seconds at any tick rate.
            false if usual == TimeUnit::Seconds || given.is_some() => {}
            false => notes.push(format!("warning: {} is {rate}, and times are taken as they are", entry.place)),
        }
    }
    for (entry, offset) in named(&OFFSETS).filter(|(_, offset)| *offset != 0.0) {
        notes.push(format!("{} is {offset}, which is not added to the times", entry.place));
    }
    for (entry, scale) in named(&SCALES).filter(|(_, scale)| *scale != 1.0) {
        notes.push(format!("{} is {scale}, by which the times are not multiplied", entry.place));
    }
    (told, notes)
}

/// Parses a frequency such as `1 MHz`, and returns it in hertz. A number without a unit is in hertz.
fn number(text: &str) -> Option<f64> {
    let text = text.trim().to_lowercase();
    let units = [("ghz", 1e9), ("mhz", 1e6), ("khz", 1e3), ("hz", 1.0), ("", 1.0)];
    let (number, unit) = units.into_iter().find_map(|(unit, hz)| Some((text.strip_suffix(unit)?, hz)))?;
    Some(number.trim().parse::<f64>().ok()? * unit)
}

impl Told {
    /// Makes a [`Told`] from an entry about ticks of the clock. `us` is the length of a tick in microseconds.
    fn of_ticks(entry: &Entry, text: String, us: Option<f64>) -> Told {
        let (name, place) = (entry.name.clone(), entry.place.clone());
        Told { name, place, text: Some(text), us, of_times: true }
    }

    /// Returns what the name of a field of times says about the unit of the times. `None` if the name does not end in
    /// a unit.
    pub(crate) fn by_name(field: &str) -> Option<Told> {
        let (unit, place) = (unit_in_name(field)?, format!("the name of {field}"));
        let (text, us) = (Some(unit.name().into()), Some(unit.microseconds()));
        Some(Told { name: field.into(), place, text, us, of_times: true })
    }

    /// Returns the unit that the entry gives. If the entry is not understood, returns `usual` and a note for the
    /// user. Also returns a note if the entry gives another unit than expected. The expected unit is `given`, the
    /// unit from the user. If the user gave none, it is `usual`.
    ///
    /// # Errors
    /// [`Error::OddUnit`] if the user gave no unit, and the entry is about times but its value is not a supported
    /// unit.
    pub(crate) fn unit(
        self,
        path: &Path,
        given: Option<TimeUnit>,
        usual: TimeUnit,
    ) -> Result<(TimeUnit, Option<String>)> {
        let Told { place, text, us, of_times, .. } = self;
        let said = text.as_ref().map_or("no text".into(), |text| format!("{text:?}"));
        Ok(match (us.and_then(TimeUnit::of_length), given) {
            (Some(told), Some(given)) if told != given => (
                told,
                Some(format!(
                    "{place} says that times are in {told}; they are taken as {given}, the unit that was given"
                )),
            ),
            (Some(told), None) if told != usual => {
                (told, Some(format!("times are in {told}, as {place} says, not in {usual} as is usual")))
            }
            (Some(told), _) => (told, None),
            (None, None) if of_times || text.as_deref().is_some_and(is_of_time) => {
                return Err(Error::OddUnit { path: path.into(), place, got: said, multiple: us });
            }
            (None, _) => {
                let unit = given.unwrap_or(usual);
                (
                    usual,
                    Some(format!(
                        "{place} is {said}, which is no known unit (s, ms, us, ns); times are taken as {unit}"
                    )),
                )
            }
        })
    }
}

/// Returns whether a text has a meaning: it is neither empty nor a placeholder such as `unknown`.
fn is_told(text: &str) -> bool {
    !["", "none", "unknown", "n/a"].contains(&&*text.trim().to_lowercase())
}

/// Returns whether a text is probably meant as a unit of time: it has a digit or contains the name of a unit, as in
/// `10 us ticks`. Is called only for texts that are not a supported unit.
fn is_of_time(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_digit()) || has_unit(text)
}

fn has_unit(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    words.any(|word| TimeUnit::recognise(word).is_some())
}

/// Returns the groups that contain a dataset, from the innermost to the file's root.
fn groups(dataset: &str) -> impl Iterator<Item = &str> {
    let dataset = dataset.trim_end_matches('/');
    let slashes = dataset.rmatch_indices('/').map(|(at, _)| at);
    slashes.filter(|&at| at > 0).map(|at| &dataset[..at]).chain(["/"])
}

/// Finds the unit of times in `entries`, the entries of one dataset or group. Takes the unit that an entry gives. If
/// another entry gives a factor, such as `scale_factor`, the unit is multiplied by this factor. If no entry gives a
/// unit, takes the length of a tick from an entry. `of_dataset` is true for entries of the dataset of times, and
/// false for entries of a group that contains this dataset.
pub(crate) fn find(entries: Vec<Entry>, of_dataset: bool) -> Option<Told> {
    let of_words = |entry: &Entry, words: &[&str], alone: &[&str]| {
        let name = entry.name.to_lowercase().replace(['-', ' '], "_").replace("_of_", "_");
        // A name such as `base_time` gives the time at which the clock began.
        let before = |word: &&str| name.strip_prefix(word).filter(|_| *word != "base");
        let of = |word: &&str| name.strip_suffix(word).or_else(|| before(word)).map(|of| of.trim_matches('_'));
        let found =
            |word: &&str| of(word).filter(|of| OF_TIMES.contains(of) && (!of.is_empty() || alone.contains(word)));
        words.iter().find_map(|word| found(word).map(|of| !of.is_empty()))
    };
    let named = |words: &'static [&'static str], alone: &'static [&'static str]| {
        let mut found: Vec<(bool, &Entry)> =
            entries.iter().filter_map(|entry| Some((!of_words(entry, words, alone)?, entry))).collect();
        // Entries whose names have a word for times come before entries that may be about all columns.
        found.sort_by_key(|(generic, entry)| (*generic, &entry.name));
        found
    };
    let ticks = named(&OF_TICKS, &ALONE);
    let Some((generic, unit)) = named(&["units", "unit"], &["units", "unit"]).into_iter().next() else {
        return ticks.into_iter().find_map(|(generic, entry)| tick(entry, !generic, of_dataset));
    };
    let us = unit.text.as_deref().and_then(TimeUnit::measure);
    let factor = |entry: &Entry| entry.text.as_ref()?.parse::<f64>().ok().filter(|factor| *factor != 1.0);
    let scale =
        |(generic, entry): &&(bool, &Entry)| (of_dataset || !generic) && entry.name.to_lowercase().contains("scale");
    let mut factors = ticks.iter().filter(scale).filter_map(|(_, entry)| Some((*entry, factor(entry)?)));
    Some(match (us, factors.next()) {
        (Some(us), Some((entry, factor))) => Told {
            name: unit.name.clone(),
            place: format!("{} with {}", unit.place, entry.place),
            text: Some(format!("{factor} * {}", unit.text.as_deref().unwrap_or_default())),
            us: Some(us * factor).filter(|us| *us > 0.0),
            of_times: true,
        },
        _ => Told {
            name: unit.name.clone(),
            place: unit.place.clone(),
            text: unit.text.clone(),
            us,
            of_times: if of_dataset { unit.text.as_deref().is_some_and(is_told) } else { !generic },
        },
    })
}

/// Reads the length of a tick from an entry. The entry has a time with a unit, or a number of seconds. `names_times`
/// is whether the name of the entry has a word for times. `of_dataset` is whether the entry belongs to the dataset of
/// times. Returns `None` if the entry says nothing, or if it is probably about something else, such as the resolution
/// of a sensor.
fn tick(entry: &Entry, names_times: bool, of_dataset: bool) -> Option<Told> {
    let text = entry.text.as_deref()?;
    let us = TimeUnit::measure(text).or_else(|| TimeUnit::measure(&format!("{text} s")));
    let (us, says) = match text.trim().parse::<f64>() {
        // A number from 1 on may be a number of ticks per second.
        Ok(number) => (us.filter(|us| *us < 1e6), (names_times || of_dataset) && ![0.0, 1.0].contains(&number)),
        Err(_) => (us, us.is_some() || has_unit(text)),
    };
    let says = says || us.and_then(TimeUnit::of_length).is_some();
    says.then(|| Told::of_ticks(entry, text.into(), us))
}

/// Reads all attributes of a dataset or group. `name` is its path in the file.
fn attributes(place: &Location, name: &str) -> Vec<Entry> {
    let names = place.attr_names().unwrap_or_default();
    let entry = |attribute: String| {
        let told = place.attr(&attribute).ok();
        let text = told.and_then(|told| attribute_text(&told).or_else(|| attribute_number(&told, &attribute)));
        Entry { place: format!("the attribute {attribute:?} of {name:?}"), name: attribute, text }
    };
    names.into_iter().map(entry).collect()
}

/// Returns the value of an attribute as text, if the value is one number. If the name of the attribute ends in
/// `base`, the value can also be two numbers such as (1, 1000000), which are a fraction.
fn attribute_number(attribute: &Attribute, name: &str) -> Option<String> {
    let numbers = if attribute.size() <= 2 { attribute.read_raw::<f64>().ok()? } else { return None };
    match numbers[..] {
        [number] => Some(number.to_string()),
        [above, below] if name.to_lowercase().ends_with("base") => Some(format!("{above}/{below}")),
        _ => None,
    }
}

/// Reads the text of an attribute whose value is one string, of any string type. `None` for other attributes.
pub(crate) fn attribute_text(attribute: &Attribute) -> Option<String> {
    if attribute.size() != 1 {
        return None;
    }
    let kind = attribute.dtype().ok()?.to_descriptor().ok()?;
    let bytes = text_bytes(attribute, &kind).ok()??.pop()?;
    // Text that is not UTF-8 is read as Latin-1, in which the micro sign is one byte.
    Some(String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect()))
}
