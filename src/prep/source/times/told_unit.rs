//! Finds the unit of a file's times in its entries: attributes and small datasets of an HDF5 file, or arrays of an npz
//! archive.
//!
//! An entry gives a unit (`time_unit`), the length of a tick of the clock (`time_base`), or the number of ticks per
//! second (`fs`). Without such an entry, the name of the field of times may end in a unit (`t_ns`). Offsets
//! (`t_offset`) and factors are not used; they become notes for the user.

use std::path::Path;

use crate::error::{Error, Result};
use crate::source::columns::unit_in_name;
use crate::source::hdf;
use crate::source::times::entries::{Entry, of_dataset, of_group};
use crate::time_unit::TimeUnit;

/// An entry named `unit` or `units`, alone or with one of these words (`time_unit`), gives the unit of times.
const OF_TIMES: [&str; 7] = ["", "t", "ts", "time", "times", "timestamp", "timestamps"];
/// An entry named by one of these words and one of [`OF_TIMES`], such as `time_base`, gives the length of a tick.
const OF_TICKS: [&str; 6] = ["base", "scale", "scale_factor", "resolution", "tick", "ticks"];
/// An entry whose whole name is one of these words, such as `resolution`, gives the length of a tick too.
const ALONE: [&str; 4] = ["scale_factor", "resolution", "tick", "ticks"];

/// An entry with one of these names gives the number of ticks of the clock per second.
const RATES: [&str; 16] = [
    "rate",
    "sampling_rate",
    "sample_rate",
    "samplerate",
    "sampling_frequency",
    "sample_frequency",
    "clock_rate",
    "clock_frequency",
    "tick_rate",
    "ticks_per_second",
    "timestamp_rate",
    "time_rate",
    "fs",
    "freq",
    "sfreq",
    "frequency",
];
/// Names of entries that give an offset. Offsets are not added to the times.
const OFFSETS: [&str; 14] = [
    "offset",
    "time_offset",
    "t_offset",
    "ts_offset",
    "timestamp_offset",
    "offset_us",
    "offset_ns",
    "offset_ms",
    "offset_s",
    "t0",
    "t_0",
    "ts0",
    "t_start",
    "start_time",
];

/// Names of entries that give a factor for the times, but not the unit of the result.
const SCALES: [&str; 7] = ["scale", "factor", "multiplier", "gain", "t_factor", "time_factor", "time_multiplier"];

/// Names that are used only if they are attributes of the dataset of times. In other places, they often describe
/// something else, such as the sensor.
const OF_ANYTHING: [&str; 5] = ["freq", "frequency", "factor", "multiplier", "gain"];

/// What a file says about the unit of its times.
pub(crate) struct Told {
    /// Name of the array, or path of the dataset, that gives the unit. `None` if the unit comes from an attribute or
    /// from the name of the field.
    array: Option<String>,
    /// How messages name the entry, such as `the attribute "unit" of "events/t"`.
    place: String,
    text: Option<String>,
    /// Length of a tick of the clock in microseconds. `None` if the entry's value is not understood.
    us: Option<f64>,
    /// Whether the entry is certainly about times. If it is, and the user gave no unit, a value that is not understood
    /// is an error.
    of_times: bool,
}

/// What an HDF5 file says about its times.
pub(crate) struct ToldUnit {
    pub(crate) unit: TimeUnit,
    pub(crate) notes: Vec<String>,
    /// Path of the dataset that gives the unit. `None` if no dataset does.
    pub(crate) dataset: Option<String>,
}

/// Returns the unit of the times in the field `field` of the HDF5 dataset `dataset`. An entry or the name of the
/// field gives it; otherwise, it is `usual`. `given`, the unit from the user, changes only the notes and the errors.
///
/// # Errors
/// Errors of [`Told::unit`].
pub(crate) fn told_unit(
    path: &Path,
    file: &hdf::File,
    (dataset, field): (&str, &str),
    given: Option<TimeUnit>,
    usual: TimeUnit,
) -> Result<ToldUnit> {
    let of_group = |group| (of_group(path, file, group, is_known), false);
    let places: Vec<_> =
        std::iter::once((of_dataset(file, dataset), true)).chain(groups(dataset).map(of_group)).collect();
    let (told, mut notes) = find(&places, given, usual);
    let told = told.or_else(|| Told::by_name(field));
    let dataset = told.as_ref().and_then(|told| told.array.clone());
    let (unit, note) = told.map_or(Ok((usual, None)), |told| told.unit(path, given, usual))?;
    notes.extend(note);
    Ok(ToldUnit { unit, notes, dataset })
}

/// Finds what entries of a file say about the unit of its times. Also returns notes for the user.
///
/// - `places`: one item for each dataset or group, the nearest to the dataset of times first. An item has the
///   entries, and whether they belong to the dataset of times itself.
/// - `given`: the unit that the user gave.
/// - `usual`: the unit of the times if the file doesn't give one.
pub(crate) fn find(
    places: &[(Vec<Entry>, bool)],
    given: Option<TimeUnit>,
    usual: TimeUnit,
) -> (Option<Told>, Vec<String>) {
    let (mut rate, mut notes) = (None, Vec::new());
    for (entries, of_dataset) in places {
        let (told, more) = rate_and_notes(entries, *of_dataset, given, usual);
        rate = rate.or(told);
        notes.extend(more);
    }
    (places.iter().find_map(|(entries, of_dataset)| unit_of(entries, *of_dataset)).or(rate), notes)
}

/// Returns whether an entry with this name may be about times.
fn is_known(name: &str) -> bool {
    let is = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    is(&RATES)
        || is(&OFFSETS)
        || is(&SCALES)
        || of_words(name, &["units", "unit"], &["units", "unit"]).is_some()
        || of_words(name, &OF_TICKS, &ALONE).is_some()
}

/// Finds an entry with the number of ticks per second, and returns the length of a tick. Returns it only if `usual` is
/// microseconds, and a tick lasts a microsecond or a nanosecond. Also returns notes for the user about entries that are
/// not used.
fn rate_and_notes(
    entries: &[Entry],
    of_dataset: bool,
    given: Option<TimeUnit>,
    usual: TimeUnit,
) -> (Option<Told>, Vec<String>) {
    let named = |names: &'static [&str]| {
        let is = move |entry: &&Entry| {
            let name = names.iter().find(|name| entry.name.eq_ignore_ascii_case(name));
            name.is_some_and(|name| of_dataset || !OF_ANYTHING.contains(name))
        };
        entries.iter().filter(is).filter_map(|entry| Some((entry, number(entry.text.as_ref()?)?)))
    };
    let (mut told, mut notes) = (None, Vec::new());
    for (entry, rate) in named(&RATES).filter(|(_, rate)| *rate > 1.0) {
        let us = 1e6 / rate;
        match usual == TimeUnit::Microseconds && rate >= 1e6 && TimeUnit::of_length(us).is_some() {
            true => told = Some(Told::of_ticks(entry, entry.text.clone().unwrap_or_default(), Some(us))),
            // Times in seconds are in seconds at any tick rate.
            false if usual == TimeUnit::Seconds || given.is_some() => {}
            false => {
                let ticks = match TimeUnit::of_length(us) {
                    Some(unit) => format!("`time_unit {unit}`"),
                    None => format!("save them as us, multiplied by {us}"),
                };
                let place = &entry.place;
                notes.push(format!(
                    "warning: ticks per second: {place} is {rate}, and times are taken as they are; if they count its ticks: {ticks}"
                ));
            }
        }
    }
    let text = |entry: &Entry| entry.text.as_deref().unwrap_or_default().trim().to_owned();
    for (entry, _) in named(&OFFSETS).filter(|(_, offset)| *offset != 0.0) {
        notes.push(format!("{} is not added to the times: {}", entry.place, text(entry)));
    }
    for (entry, _) in named(&SCALES).filter(|(_, scale)| *scale != 1.0) {
        notes.push(format!("the times are not multiplied by {}: {}", entry.place, text(entry)));
    }
    (told, notes)
}

/// Parses a frequency such as `1 MHz`. Returns it in hertz. A number without a unit is in hertz too.
fn number(text: &str) -> Option<f64> {
    let text = text.trim().to_lowercase();
    let units = [("ghz", 1e9), ("mhz", 1e6), ("khz", 1e3), ("hz", 1.0), ("", 1.0)];
    let (number, unit) = units.into_iter().find_map(|(unit, hz)| Some((text.strip_suffix(unit)?, hz)))?;
    Some(number.trim().parse::<f64>().ok()? * unit)
}

impl Told {
    /// Makes a [`Told`] from an entry about ticks of the clock. `us` is the length of a tick in microseconds.
    fn of_ticks(entry: &Entry, text: String, us: Option<f64>) -> Told {
        let (array, place) = (entry.array.clone(), entry.place.clone());
        Told { array, place, text: Some(text), us, of_times: true }
    }

    pub(crate) fn array(&self) -> Option<&str> {
        self.array.as_deref()
    }

    /// Returns the unit at the end of `field`, the name of a field such as `t_ns`. `None` if the name doesn't end in a
    /// unit.
    pub(crate) fn by_name(field: &str) -> Option<Told> {
        let (unit, place) = (unit_in_name(field)?, format!("the name of {field}"));
        let (text, us) = (Some(unit.name().into()), Some(unit.microseconds()));
        Some(Told { array: None, place, text, us, of_times: true })
    }

    /// Returns the unit that the entry gives, or `usual` if the entry's value is not understood. Also returns a note
    /// for the user in two cases:
    ///
    /// - The value is not understood.
    /// - The value is a unit, but not the expected one. The expected unit is `given` (from the user) or, if that is
    ///   `None`, `usual`.
    ///
    /// # Errors
    /// [`Error::OddUnit`] if the user gave no unit, and the entry is about times but its value is not a supported unit.
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

/// Returns whether a text that is not a supported unit is probably meant as a unit of time: it has a digit or the name
/// of a unit.
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

/// Returns `Some(true)` if the name of an entry consists of one of `words` and a word of [`OF_TIMES`], and
/// `Some(false)` if it is only one of the words in `alone`. `None` for other names.
fn of_words(name: &str, words: &[&str], alone: &[&str]) -> Option<bool> {
    let name = name.to_lowercase().replace(['-', ' '], "_").replace("_of_", "_");
    // A name such as `base_time` gives the time at which the clock began.
    let before = |word: &&str| name.strip_prefix(word).filter(|_| *word != "base");
    let of = |word: &&str| name.strip_suffix(word).or_else(|| before(word)).map(|of| of.trim_matches('_'));
    let found = |word: &&str| of(word).filter(|of| OF_TIMES.contains(of) && (!of.is_empty() || alone.contains(word)));
    words.iter().find_map(|word| found(word).map(|of| !of.is_empty()))
}

/// Finds the unit of times in the entries of one dataset or group. If no entry gives it, finds the length of a tick.
/// `of_dataset` is whether the entries belong to the dataset of times.
fn unit_of(entries: &[Entry], of_dataset: bool) -> Option<Told> {
    let named = |words: &'static [&'static str], alone: &'static [&'static str]| {
        let mut found: Vec<(bool, &Entry)> =
            entries.iter().filter_map(|entry| Some((!of_words(&entry.name, words, alone)?, entry))).collect();
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
            array: unit.array.clone(),
            place: format!("{} with {}", unit.place, entry.place),
            text: Some(format!("{factor} * {}", unit.text.as_deref().unwrap_or_default())),
            us: Some(us * factor).filter(|us| *us > 0.0),
            of_times: true,
        },
        _ => Told {
            array: unit.array.clone(),
            place: unit.place.clone(),
            text: unit.text.clone(),
            us,
            of_times: if of_dataset { unit.text.as_deref().is_some_and(is_told) } else { !generic },
        },
    })
}

/// Reads the length of a tick from an entry that is probably about times. `names_times` is whether the entry's name has
/// a word for times. `of_dataset` is whether the entry belongs to the dataset of times.
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
