//! The columns of events that were found in a NumPy or MATLAB file. Makes a stream of events from them.

use std::path::Path;

use crate::error::{BaseFault, Error, Result};
use crate::source::columns::{ArrayInfo, FieldPath, Fields, Survey, TakenColumns, TakenField, UnusableField};
use crate::source::fields::{check_times, elsewhere, survey, unusable};
use crate::source::layout::Layout;
use crate::source::numpy::{Header, Lane, NumberKind};
use crate::source::options::{Map, SourceOptions};
use crate::source::stream::{EventStore, EventStream};
use crate::source::times::{Timeline, Told};
use crate::time_unit::TimeUnit;

/// Text for error messages: the fields that were expected in the file.
pub(super) const LOOKED: &str = "fields t and x, and y and p if there are any, by their usual names";

/// Returns the name of the array that the user's map gives as the label.
pub(super) fn named_label(options: &SourceOptions) -> Option<&str> {
    options.map.as_ref().and_then(|map| map.label.as_deref())
}

/// Returns an error if the user's map names a label. Called for `.npy` files and texts, which have only the columns of
/// events.
///
/// # Errors
/// [`tonic_base::Error::Usage`].
pub(super) fn no_label(path: &Path, map: Option<&Map>) -> Result<()> {
    let Some(label) = map.and_then(|map| map.label.as_deref()) else { return Ok(()) };
    let expected = format!("no label for {}, which is one array and has no class", path.display());
    Err(Error::usage("map", expected, format!("label={label}")))
}

/// Finds the lanes of the columns t, x, y and p. A [`Lane`] says where a column is in the data of its array. `lane`
/// finds the lane of one field.
pub(super) fn lanes(fields: &Fields, lane: impl Fn(&FieldPath) -> Result<Lane>) -> Result<[Option<Lane>; 4]> {
    let [t, x, y, p] = fields.each_ref().map(|field| field.as_ref().map(&lane).transpose());
    Ok([t?, x?, y?, p?])
}

pub(super) fn lane(path: &Path, header: &Header, field: &FieldPath) -> Result<Lane> {
    let wrong = |expected| Error::wrong_type(path, &field.to_string(), expected, header.info(""));
    header.lane(&field.part).map_err(wrong)
}

/// Returns the unit that the type of the times gives: milliseconds for `datetime64[ms]`. `None` if the type gives no
/// unit.
pub(super) fn unit_of_type(lanes: &[Option<Lane>; 4]) -> Option<TimeUnit> {
    match lanes[0]?.number.kind {
        NumberKind::Time(tick) => Some(tick.unit()),
        _ => None,
    }
}

/// The columns t, x, y and p that were found in a file.
pub(super) struct Found {
    pub(super) fields: Fields,
    pub(super) lanes: [Option<Lane>; 4],
    /// Number of events.
    pub(super) len: u64,
    /// Fields that have one entry for each event, but are not used as a column.
    unused: Vec<String>,
    /// Other unused arrays of the file: their names, or the names of groups of them.
    others: Vec<String>,
    /// Fields that have the name of a column, but whose type or shape does not fit.
    unusable: Vec<UnusableField>,
    /// The unit of the times. It is the unit that the file gives, or else the default unit of the layout.
    pub(super) unit: TimeUnit,
    /// Notes for the user about the unit and the times.
    notes: Vec<String>,
}

impl Found {
    /// Describes the columns that were found. `label` and `unit` are the names of the arrays with the class and the
    /// unit of times. `notes` are for the user.
    pub(super) fn new(
        fields: Fields,
        lanes: [Option<Lane>; 4],
        arrays: &[ArrayInfo],
        label: Option<&str>,
        unit: Option<&str>,
        notes: Vec<String>,
    ) -> Found {
        let len = lanes[0].map_or(0, |t| t.len);
        let unused = survey::left_over(arrays, &fields, len);
        let used = fields.iter().flatten().map(|field| field.array.as_str());
        let used: Vec<&str> = used.chain(label).chain(unit).chain(unused.iter().map(String::as_str)).collect();
        let others = elsewhere(arrays, &used);
        let unusable = unusable(arrays, &fields, len);
        Found { fields, lanes, len, unused, others, unusable, unit: TimeUnit::Microseconds, notes }
    }

    /// Calls `lane` with the field and the lane of each column that was found. Returns the results.
    pub(super) fn each_lane(&self, lane: impl Fn(&FieldPath, Lane) -> Option<Lane>) -> [Option<Lane>; 4] {
        [0, 1, 2, 3].map(|i| lane(self.fields[i].as_ref()?, self.lanes[i]?))
    }

    /// Sets the unit of the times to `told`. If `told` is `None`, sets it to the unit in the name of the field t.
    /// Checks that t agrees with other fields of times. Does nothing if the type of t gives a unit.
    pub(super) fn set_unit(
        &mut self,
        path: &Path,
        file: &dyn Survey,
        told: Option<Told>,
        options: &SourceOptions,
    ) -> Result<()> {
        if unit_of_type(&self.lanes).is_some() {
            return Ok(());
        }
        let by_name = || Told::by_name(&self.fields[0].as_ref()?.to_string());
        if let Some(told) = told.or_else(by_name) {
            let (unit, note) = told.unit(path, options.time_unit, self.unit)?;
            self.unit = unit;
            self.notes.extend(note);
        }
        match &options.map {
            Some(_) => Ok(()),
            None => check_times(path, file, &self.fields, self.time(options).unit),
        }
    }

    /// Returns how the times are read. Their unit is the first of these that is given: the unit in the options, the
    /// unit of their type, the unit in the file.
    pub(super) fn time(&self, options: &SourceOptions) -> Timeline {
        let own = unit_of_type(&self.lanes);
        let mut time = Timeline::new(options, own.unwrap_or(self.unit), self.notes.clone());
        time.unit_given |= own.is_some();
        time
    }

    pub(super) fn taken(&self, unit: TimeUnit) -> TakenColumns {
        let taken = |i: usize| {
            let (field, kind) = (self.fields[i].as_ref()?.to_string(), self.lanes[i]?.number.to_string());
            Some(TakenField { field, kind })
        };
        let (unused, others, unusable) = (self.unused.clone(), self.others.clone(), self.unusable.clone());
        TakenColumns { fields: [0, 1, 2, 3].map(taken), unit: Some(unit), unused, others, unusable }
    }

    pub(super) fn stream(
        &self,
        path: &Path,
        layout: Layout,
        options: &SourceOptions,
        columns: impl FnOnce(TimeUnit) -> EventStore,
    ) -> EventStream {
        let time = self.time(options);
        let unit = time.unit;
        EventStream {
            path: path.into(),
            layout,
            time,
            len: self.len,
            sensor: None,
            label: None,
            time_offset: None,
            taken: self.taken(unit),
            linked: Vec::new(),
            notes: Vec::new(),
            columns: columns(unit),
        }
    }
}
