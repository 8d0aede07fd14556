//! Opens events that a program has in memory. They are checked in the same way as the events of a file.

use std::path::Path;

use crate::error::{BaseFault, Error, Result};
use crate::source::check::{check_columns, check_sensor};
use crate::source::columns::{EventBlock, Numbers, Role, TakenColumns, TakenField, assign};
use crate::source::layout::Layout;
use crate::source::open::cut_recording;
use crate::source::options::{Cut, LabelSource, SourceOptions};
use crate::source::raw::MAX_SAMPLE_EVENTS;
use crate::source::recording::Recording;
use crate::source::stream::{EventStore, EventStream};
use crate::source::times::Timeline;
use crate::time_unit::TimeUnit;

/// If a message is about events that are in no file, this text stands in place of the path.
pub(crate) const ADDED: &str = "added events";

/// Columns of events in memory, each with its name: t, x, y, p, or another usual name such as `ts` or `pol`. y can be
/// missing if the sensor has one row, and p if it has one polarity.
pub type EventColumns = Vec<(String, Numbers)>;

/// Opens events as a recording with one sample and no label. Times are in microseconds, unless the options give another
/// unit.
///
/// # Errors
/// [`tonic_base::Error::Usage`] for columns of different lengths, for two names of the same column (such as `t` and
/// `ts`), and if t or x is missing; the errors of opening a file with these events.
pub(crate) fn open_columns(columns: EventColumns, options: &SourceOptions) -> Result<Recording> {
    let (path, layout) = (Path::new(ADDED), Layout::Npy);
    let names: Vec<(&str, usize)> = columns.iter().zip(0..).map(|((name, _), i)| (name.as_str(), i)).collect();
    let assigned = assign(&names).map_err(|(role, a, b)| {
        let got = format!("{} and {}", columns[a].0, columns[b].0);
        Error::usage("events", format!("one column {}", role.name()), got)
    })?;
    let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    let unused = (0..names.len()).filter(|&i| !assigned.contains(&Some(i))).map(|i| names[i].clone()).collect();
    let mut numbers: Vec<Option<Numbers>> = columns.into_iter().map(|(_, numbers)| Some(numbers)).collect();
    let mut columns = assigned.map(|i| numbers[i?].take());
    let p = &mut columns[Role::P as usize];
    if options.sensor.is_some_and(|sensor| sensor.polarities == 1) && p.as_ref().is_some_and(Numbers::are_equal) {
        *p = None; // Tonic's arrays of a cochlea have polarity 1 in every event
    }
    let len = columns[Role::T as usize].as_ref().map_or(0, Numbers::len);
    for (role, column) in Role::ALL.into_iter().zip(&columns) {
        match column {
            Some(column) if column.len() == len => {}
            Some(column) => {
                return Err(Error::usage(role.name(), format!("{len} numbers, as t has"), column.len()));
            }
            None if matches!(role, Role::T | Role::X) => {
                let got = if names.is_empty() { "none".into() } else { names.join(", ") };
                return Err(Error::usage("events", "columns t and x at least", got));
            }
            None => {}
        }
    }
    if len as u64 > MAX_SAMPLE_EVENTS {
        let (path, most, got) = (path.into(), MAX_SAMPLE_EVENTS, len as u64);
        return Err(Error::SampleTooLarge { step: "adding it", path, sample: 0, most, got });
    }
    let mut time = Timeline::new(options, TimeUnit::Microseconds, Vec::new());
    time.fractions = columns[Role::T as usize].as_ref().and_then(Numbers::fractions);
    let field = |role: Role| {
        let kind = columns[role as usize].as_ref()?.kind().into();
        Some(TakenField { field: names[assigned[role as usize]?].clone(), kind })
    };
    let (fields, unit) = (Role::ALL.map(field), Some(time.unit));
    let taken = TakenColumns { fields, unit, unused, ..TakenColumns::default() };
    check_sensor(path, layout, &taken, options.sensor)?;
    let mut notes = check_columns(path, layout, &columns, &taken, options.sensor)?;
    notes.extend(taken.left_over_note());
    let stream = EventStream {
        path: path.into(),
        layout,
        len: len as u64,
        sensor: options.sensor,
        label: None,
        taken,
        time_offset: None,
        linked: Vec::new(),
        notes,
        columns: EventStore::Memory(EventBlock::of(columns, time.unit)),
        time,
    };
    let whole = SourceOptions { cut: Cut::Whole, labels: LabelSource::Own, ..options.clone() };
    let recording = cut_recording(stream, &whole)?;
    Ok(recording.expect("only a table of labels leaves a recording out"))
}
