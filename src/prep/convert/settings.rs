//! The settings that decide which values are read from the recordings. A resumed conversion must not change them.

use std::collections::BTreeMap;
use std::path::Path;

use tonic_shard::{Error as ShardError, Id};

use crate::convert::inputs::Inputs;
use crate::error::{BaseFault, Error, Result};
use crate::source::{Cut, LabelSource, Recording, SourceOptions};

/// Value of a setting that the user did not give.
const NONE: &str = "none";
const GIVEN: &str = "given";

/// Returns the value of each setting, by the name of its option. For the unit of time, the fields and the sensor size,
/// these are the values that the recordings were opened with.
pub(super) fn settings(options: &SourceOptions, inputs: &Inputs) -> Result<BTreeMap<String, String>> {
    let given = |given: bool| if given { GIVEN } else { NONE }.to_string();
    let number = |number: Option<i64>, unit: &str| number.map_or(NONE.into(), |number| format!("{number}{unit}"));
    let (duration, events, overlap) = match options.cut {
        Cut::Whole => (None, None, NONE.into()),
        Cut::Duration { length, overlap } => (Some(length), None, format!("{overlap}us")),
        Cut::Events { count, overlap } => (None, Some(count as i64), overlap.to_string()),
    };
    let mut labels = blake3::Hasher::new();
    for label in inputs.recordings().flat_map(|recording| &recording.labels) {
        labels.update(&label.to_le_bytes());
    }
    match &options.labels {
        LabelSource::Csv(table) => {
            labels.update(&std::fs::read(table).map_err(Error::io(table, "read the table of labels"))?);
        }
        LabelSource::Listed(listed) => {
            for (from, to) in listed.intervals() {
                labels.update(&from.to_le_bytes()).update(&to.to_le_bytes());
            }
        }
        LabelSource::One(_) | LabelSource::Own => {}
    }
    let settings = [
        ("time_unit", of_each(inputs, |recording| recording.columns.unit_name().into())),
        ("fields", of_each(inputs, |recording| recording.columns.names())),
        ("origin", options.origin.to_string()),
        ("flip_y", given(options.flip_y)),
        ("to_zero", given(options.to_zero)),
        ("sensor", inputs.sensor.to_string().replace('x', ",")),
        ("events", options.events.map_or(NONE.into(), |events| events.to_string())),
        ("sample_duration", number(duration, "us")),
        ("sample_events", number(events, "")),
        ("sample_overlap", overlap),
        ("digits", if options.digits.train { "train" } else { "test" }.into()),
        ("single_digits", given(options.digits.single)),
        ("unwrap", given(options.unwrap)),
        ("allow_clock_trouble", given(options.allow_clock_trouble)),
        ("labels", Id(*labels.finalize().as_bytes()).to_string()),
    ];
    Ok(settings.map(|(name, value)| (name.into(), value)).into())
}

/// Joins the values of all recordings in one text that has each value once. If the recordings have different values,
/// adds a hash of all values in order.
fn of_each(inputs: &Inputs, value: impl Fn(&Recording) -> String) -> String {
    let (mut kinds, mut all) = (Vec::new(), blake3::Hasher::new());
    for value in inputs.recordings().map(value) {
        all.update(value.as_bytes()).update(&[0]);
        if !kinds.contains(&value) {
            kinds.push(value);
        }
    }
    let all = if kinds.len() > 1 { format!(" ({})", all.finalize().to_hex()) } else { String::new() };
    kinds.join(" or ") + &all
}

/// Returns an error if `settings` differ from `begun`, the settings of the unfinished set in `dir`. Three differences
/// are allowed:
///
/// - `labels` or `recordings` differ, and `same_files` is false.
/// - `allow_clock_trouble` differs. The function then sets it in `settings`.
/// - `unwrap` differs, and `begun` has neither `unwrap` nor `allow_clock_trouble`.
pub(super) fn check_settings(
    (dir, marker): (&Path, &Path),
    settings: &mut BTreeMap<String, String>,
    begun: &BTreeMap<String, String>,
    same_files: bool,
) -> Result<()> {
    let was_given = |name: &str| begun.get(name).is_some_and(|value| value == GIVEN);
    for (name, expected) in begun {
        let Some(got) = settings.get_mut(name).filter(|got| *got != expected) else { continue };
        match name.as_str() {
            "labels" | "recordings" if !same_files => {}
            "allow_clock_trouble" => *got = GIVEN.into(),
            "unwrap" if !was_given("unwrap") && !was_given("allow_clock_trouble") => {}
            _ => {
                let (field, expected, got) = (name.clone(), expected.clone(), got.clone());
                return Err(
                    ShardError::Mismatch { path: dir.into(), other: marker.into(), field, expected, got }.into()
                );
            }
        }
    }
    Ok(())
}
