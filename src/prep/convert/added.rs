//! Samples that a program adds one by one, instead of recordings in files. Each sample is checked in the same way as a
//! file with the same events. The samples are kept in a temporary file, because the set can be planned only after the
//! last one is added.

use tonic_shard::NO_LABEL;

use crate::convert::outside::outside_error;
use crate::error::{BaseFault, Error, Result};
use crate::source::{
    ADDED, EventColumns, Kind, Kinds, MAX_NAMELESS_CLASSES, Recording, SourceOptions, Spool, TOO_SHORT, TakenColumns,
    number_classes, open_columns,
};

/// Samples that a program has added.
#[derive(Debug)]
pub struct AddedSamples {
    options: SourceOptions,
    lenient: bool,
    spool: Spool,
    labels: Vec<u32>,
    /// Names of the classes. A label is an index into this list. A class is appended when its first sample is added.
    /// Empty if the labels are numbers, or if the options have a list of classes.
    names: Vec<String>,
    /// The extra columns, sorted by name: the name of each column, and its value for each sample.
    extras: Vec<(String, Vec<i64>)>,
    columns: TakenColumns,
    /// Notes for the user about the samples.
    notes: Kinds,
}

/// The class of a sample that a program adds.
#[derive(Clone, Copy, Debug)]
pub enum AddedLabel<'a> {
    /// The sample has no class.
    None,
    /// The class as a number, counted from 0.
    Number(u32),
    /// The class as a name.
    Name(&'a str),
}

impl AddedSamples {
    /// Makes an empty list of samples. `options` gives the sensor, the list of classes if there is one, and how times
    /// and coordinates are read. Other options are not needed. With `lenient`, events outside the sensor are left out.
    /// Without it, they are an error.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`] if the temporary file cannot be created.
    pub fn new(options: SourceOptions, lenient: bool) -> Result<AddedSamples> {
        Ok(AddedSamples {
            options,
            lenient,
            spool: Spool::new()?,
            labels: Vec::new(),
            names: Vec::new(),
            extras: Vec::new(),
            columns: TakenColumns::default(),
            notes: Kinds::default(),
        })
    }

    /// Number of samples.
    pub fn samples(&self) -> u64 {
        self.spool.samples()
    }

    /// Adds a sample. If an error is returned, the sample is not added. `extras` has the name and the value of each
    /// extra column. All samples must have the same extra columns.
    ///
    /// # Errors
    /// - Errors of opening a recording with these events.
    /// - Unless [`AddedSamples::new`] got `lenient`: [`Error::OutsideSensor`] for an event outside the sensor, and
    ///   [`Error::NoPixel`] for an event whose x or y is not a finite number.
    /// - [`Error::UnknownClass`] if the label is not in the list of classes.
    /// - [`tonic_base::Error::Usage`] if the label is too large, if some labels are names and others are numbers, or if
    ///   the earlier samples have other extra columns.
    pub fn add(&mut self, events: EventColumns, label: AddedLabel<'_>, extras: &[(String, i64)]) -> Result<()> {
        let number = self.samples();
        let mut extras: Vec<&(String, i64)> = extras.iter().collect();
        extras.sort();
        if number > 0 && !extras.iter().map(|(name, _)| name).eq(self.extras.iter().map(|(name, _)| name)) {
            let names = |names: Vec<&str>| if names.is_empty() { "none".into() } else { names.join(", ") };
            let expected = names(self.extras.iter().map(|(name, _)| name.as_str()).collect());
            let got = names(extras.iter().map(|(name, _)| name.as_str()).collect());
            return Err(Error::usage("extras", format!("{expected}, as the samples before have"), got));
        }
        let (label, new_name) = self.label(label)?;
        self.add_events(events, number).map_err(|error| of_sample(error, number))?;
        self.labels.push(label);
        self.names.extend(new_name);
        if number == 0 {
            self.extras = extras.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
        }
        self.extras.iter_mut().zip(extras).for_each(|((_, column), (_, value))| column.push(*value));
        Ok(())
    }

    fn add_events(&mut self, events: EventColumns, number: u64) -> Result<()> {
        let recording = open_columns(events, &self.options)?;
        let raw = recording.read(0..1)?;
        if let (false, Some(sensor)) = (self.lenient, self.options.sensor)
            && let Some(first) = raw.admit(0, sensor).first_outside
        {
            return Err(outside_error(&recording, 0, first, sensor)?);
        }
        self.spool.push(&recording, &raw)?;
        let name = format!("sample {number}");
        recording.notes.iter().cloned().chain(recording.found()).for_each(|note| self.notes.add(&name, note));
        if number == 0 {
            self.columns = recording.columns;
        }
        Ok(())
    }

    /// Returns the class number of `label`. For a new class, also returns its name: a name is a new class if there is
    /// no list of classes and no earlier sample has this name.
    fn label(&self, label: AddedLabel<'_>) -> Result<(u32, Option<String>)> {
        let is_number = |label: &u32| *label != NO_LABEL;
        let wrong = |expected: String, got: String| Err(Error::usage("label", expected, got));
        match (label, &self.options.classes) {
            (AddedLabel::None, _) => Ok((NO_LABEL, None)),
            (AddedLabel::Number(label), Some(list)) if (label as usize) < list.len() => Ok((label, None)),
            (AddedLabel::Number(label), Some(list)) => {
                wrong(format!("a class, 0 to {}", list.len() - 1), label.to_string())
            }
            (AddedLabel::Name(name), Some(list)) => Ok((list.number_of(ADDED.as_ref(), name)?, None)),
            (AddedLabel::Number(label), None) if !self.names.is_empty() => {
                wrong("the name of a class, as the samples before have".into(), label.to_string())
            }
            (AddedLabel::Number(label), None) if label < MAX_NAMELESS_CLASSES => Ok((label, None)),
            (AddedLabel::Number(label), None) => {
                wrong(format!("a number below {MAX_NAMELESS_CLASSES}"), label.to_string())
            }
            (AddedLabel::Name(name), None) => match self.names.iter().position(|known| known == name) {
                Some(known) => Ok((known as u32, None)),
                None if self.names.is_empty() && self.labels.iter().any(is_number) => {
                    wrong("the number of a class, as the samples before have".into(), name.into())
                }
                None => Ok((self.names.len() as u32, Some(name.into()))),
            },
        }
    }

    /// Makes a recording of all added samples.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] if no sample was added.
    pub(super) fn into_recording(mut self) -> Result<Recording> {
        let samples = self.samples() as usize;
        if samples == 0 {
            return Err(Error::usage("samples", "at least one", "none"));
        }
        let mut notes = self.notes.into_list();
        // If all samples have the warning about an implausible duration, drop it: such durations are usual here.
        notes.retain(|Kind { note, count, .. }| *count < samples || !note.contains(TOO_SHORT));
        let text = |kind: Kind| if kind.count == samples { kind.note } else { kind.text() };
        let notes = notes.into_iter().map(text).collect();
        let classes = match &self.options.classes {
            Some(list) => Some(list.names()),
            None if self.names.is_empty() => None,
            None => {
                let (sorted, numbers) = number_classes(self.names.iter().map(String::as_str), false);
                let labels = self.labels.iter_mut().filter(|label| **label != NO_LABEL);
                labels.for_each(|label| *label = numbers[*label as usize]);
                Some(sorted.into())
            }
        };
        Ok(self.spool.into_recording((self.labels, classes), self.extras, self.columns, notes))
    }
}

/// Puts the index of a sample into an error about the sample's events.
fn of_sample(mut error: Error, number: u64) -> Error {
    let of = |place: &mut String| *place = format!("sample {number}: {place}");
    match &mut error {
        Error::BadSample { sample, .. }
        | Error::NoPixel { sample, .. }
        | Error::OutsideSensor { sample, .. }
        | Error::SampleTooLarge { sample, .. } => *sample = number,
        Error::Columns { place, .. } | Error::ImplausibleTimes { place, .. } | Error::ClockTrouble { place, .. } => {
            of(place);
        }
        Error::NotPixels { field, .. } => of(field),
        _ => {}
    }
    error
}
