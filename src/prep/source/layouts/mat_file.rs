//! Opens MATLAB files of version 5 with one recording. Each column is a variable or a field of a struct, or all columns
//! are in one table (an array with several numbers for each event).
//!
//! The caller or an array with one entry can give the unit of the times. Otherwise, whole times are in microseconds,
//! and times with fractions are in seconds. The type of the times doesn't show the unit, because MATLAB stores all
//! numbers as floats by default.

use std::path::Path;

use tonic_base::Spill;

use crate::error::Result;
use crate::source::check::check_columns;
use crate::source::columns::{ArrayInfo, EventBlock, FieldPath, GUESSED_EVENTS, Numbers, Survey, TakenColumns};
use crate::source::layout::Layout;
use crate::source::layouts::named_arrays::{self, NamedArrays};
use crate::source::layouts::npy_columns::{Found, LOOKED};
use crate::source::matlab::MatFile;
use crate::source::numpy::{ArrayData, EventArray, Header, Lane, NumberKind};
use crate::source::options::SourceOptions;
use crate::source::stream::{ClassLabel, EventStore, EventStream, MAX_IN_MEMORY};
use crate::time_unit::TimeUnit;

/// Opens a MATLAB file without reading its events. Returns the fields that are the columns, the label if the user's map
/// names one, and the number of events.
///
/// # Errors
/// Errors of [`open_mat`], except those of the events.
pub(crate) fn mat_head(path: &Path, options: &SourceOptions) -> Result<(TakenColumns, Option<ClassLabel>, u64)> {
    let file = MatFile::open(path)?;
    let found = named_arrays::find(&file, options)?;
    Ok((found.taken(found.time(options).unit), named_arrays::label(&file, options)?, found.len))
}

/// Opens a MATLAB file. Compressed columns are read into memory or, if there are many events, into a temporary file.
///
/// # Errors
/// Errors of [`MatFile::open`] and [`named_arrays::find`]; [`crate::Error::NotPixels`] and [`crate::Error::Columns`]
/// for unusable coordinates and polarities.
pub(crate) fn open_mat(path: &Path, options: &SourceOptions) -> Result<EventStream> {
    let file = MatFile::open(path)?;
    let found = named_arrays::find(&file, options)?;
    let label = named_arrays::label(&file, options)?;
    let direct = found.each_lane(|field, lane| Some(lane.at(file.place(&field.array)?)));
    if direct.iter().flatten().count() == found.lanes.iter().flatten().count() {
        let data = ArrayData::File { path: path.into(), local: file.local().clone(), begin: 0 };
        let columns = EventStore::Array(EventArray::new(data, direct));
        return Ok(EventStream { label, ..found.stream(path, Layout::Mat, options, |_| columns) });
    }
    if found.len > MAX_IN_MEMORY {
        let columns = EventStore::Array(spilled(&file, &found)?);
        return Ok(EventStream { label, ..found.stream(path, Layout::Mat, options, |_| columns) });
    }
    let columns = named_arrays::columns(&file, &found)?;
    file.finish()?;
    let taken = found.taken(found.time(options).unit);
    let notes = check_columns(path, Layout::Mat, &columns, &taken, options.sensor)?;
    let fractions = columns[0].as_ref().and_then(Numbers::fractions);
    let memory = |unit| EventStore::Memory(EventBlock::of(columns, unit));
    let mut stream = found.stream(path, Layout::Mat, options, memory);
    stream.time.fractions = fractions;
    Ok(EventStream { notes, label, ..stream })
}

/// Copies the arrays that have the columns into a temporary file, in the order in which the MATLAB file has them.
fn spilled(file: &MatFile<'_>, found: &Found) -> Result<EventArray> {
    let mut spill = Spill::new(1)?;
    let mut begins: Vec<(&str, u64)> = Vec::new();
    for array in file.arrays() {
        if found.fields.iter().flatten().any(|field| field.array == array.name) {
            begins.push((&array.name, spill.len(0)));
            file.copy(&array.name, u64::MAX, |piece| Ok(spill.append(0, piece)?))?;
        }
    }
    file.finish()?;
    let begin = |field: &FieldPath| begins.iter().find(|(name, _)| *name == field.array).map(|(_, begin)| *begin);
    let lanes = found.each_lane(|field, lane: Lane| Some(lane.at(begin(field)?)));
    Ok(EventArray::new(ArrayData::Spill(spill), lanes))
}

impl NamedArrays for MatFile<'_> {
    fn path(&self) -> &Path {
        self.path()
    }

    fn layout(&self) -> Layout {
        Layout::Mat
    }

    fn header(&self, name: &str) -> Option<&Header> {
        self.header(name)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        self.read(name, u64::MAX)
    }

    fn most_events(&self) -> u64 {
        u64::MAX
    }

    fn usual_unit(&self, times: &FieldPath, lane: Lane) -> TimeUnit {
        let is_float = lane.number.kind == NumberKind::Float;
        let have_fractions =
            || self.sample(times).is_some_and(|times| times.iter().any(|t| t.is_finite() && t.fract() != 0.0));
        if is_float && have_fractions() { TimeUnit::Seconds } else { TimeUnit::Microseconds }
    }

    /// Returns the arrays in each struct that contains the times, and then the arrays outside of structs.
    fn tells(&self, times: &str) -> Vec<Vec<(String, String)>> {
        let structs = times.rmatch_indices('/').map(|(slash, _)| &times[..slash]).chain([""]);
        let members = |group: &str| {
            let arrays = self.arrays().iter().filter(|array| array.group_and_name().0 == group);
            arrays.map(|array| (array.name.clone(), array.group_and_name().1.to_string())).collect()
        };
        structs.map(members).collect()
    }
}

impl Survey for MatFile<'_> {
    fn arrays(&self) -> &[ArrayInfo] {
        self.arrays()
    }

    fn has_more(&self) -> bool {
        self.has_more()
    }

    fn sample(&self, field: &FieldPath) -> Option<Vec<f64>> {
        let lane = self.header(&field.array)?.lane(&field.part).ok()?;
        let data = self.read(&field.array, lane.bytes(GUESSED_EVENTS)).ok()?;
        Some(lane.of_array(&data, GUESSED_EVENTS).floats())
    }

    fn looked(&self) -> String {
        LOOKED.into()
    }
}
