//! Opens datasets and checks that none of their data is missing. Also lists the other files that hold some of this
//! data.

use std::ops::Deref;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use hdf5::Dataset;

use crate::error::{Error, Result};
use crate::reason::Absence;
use crate::source::columns::{FieldPath, Part, list, table};
use crate::source::hdf::absent::shape;
use crate::source::hdf::cause::damaged;
use crate::source::hdf::coverage::Region;
use crate::source::hdf::links::{LinkedPath, follow};
use crate::source::hdf::objects::{EMPTY, Objects, is_empty, objects};
use crate::source::hdf::storage::{Checker, Fault};
use crate::source::packed::Local;

/// An open HDF5 file, and the other files that hold data of its datasets.
#[derive(Debug)]
pub(crate) struct File {
    file: hdf5::File,
    linked: Mutex<Vec<LinkedPath>>,
    /// Keeps the temporary file into which a packed file was unpacked.
    local: Local,
}

impl Deref for File {
    type Target = hdf5::File;

    fn deref(&self) -> &hdf5::File {
        &self.file
    }
}

impl File {
    pub(super) fn new(file: hdf5::File, local: Local) -> File {
        File { file, linked: Mutex::default(), local }
    }

    pub(crate) fn local(&self) -> &Local {
        &self.local
    }

    /// Returns the files besides this one that hold data of its datasets. Knows only the datasets that were opened so
    /// far.
    pub(crate) fn linked(&self) -> Vec<LinkedPath> {
        self.linked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, files: Vec<LinkedPath>) {
        let mut linked = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
        for file in files {
            if !linked.contains(&file) {
                linked.push(file);
            }
        }
    }

    /// Returns whether the path `name` contains a broken link.
    pub(crate) fn dangles(&self, name: &str) -> bool {
        self.as_group().is_ok_and(|top| follow(&top, name).broken.is_some())
    }
}

/// Opens a dataset that the layout requires. The dataset has one entry for each sample.
///
/// # Errors
/// [`Error::MissingDataset`] if the file lacks the dataset; [`Error::MissingData`] if a link to the dataset is broken,
/// or if part of its data is missing.
pub(crate) fn dataset(path: &Path, file: &File, name: &str, layout: &'static str) -> Result<Dataset> {
    required(path, name, layout, file, open(path, file, name, None)?)
}

/// Opens the array of a field that the layout requires, such as the times. The array has one entry for each event. If
/// the field is one column of a two-dimensional array, the other columns may lack data.
///
/// # Errors
/// Errors of [`dataset`].
pub(crate) fn events(path: &Path, file: &File, field: &FieldPath, layout: &'static str) -> Result<Dataset> {
    required(path, &field.array, layout, file, open(path, file, &field.array, Some(&field.part))?)
}

/// Opens an optional dataset with one entry for each sample. Returns `None` if the file lacks the dataset.
///
/// # Errors
/// [`Error::MissingData`] if a link to the dataset is broken, or if part of its data is missing.
pub(crate) fn optional(path: &Path, file: &File, name: &str) -> Result<Option<Dataset>> {
    open(path, file, name, None)
}

fn required(path: &Path, name: &str, layout: &'static str, file: &File, dataset: Option<Dataset>) -> Result<Dataset> {
    let missing = || {
        let Objects { arrays, has_more } = objects(file);
        let more = if has_more { " (only these were looked at)" } else { "" };
        Error::MissingDataset { path: path.into(), dataset: name.into(), layout, present: list(&arrays) + more }
    };
    dataset.ok_or_else(missing)
}

/// Opens a dataset and checks that no data is missing in the used part. If the entries of the dataset are events,
/// `events` is the used part. If the entries are samples, `events` is `None`. Returns `None` if the file lacks the
/// dataset.
fn open(path: &Path, file: &File, name: &str, events: Option<&Part>) -> Result<Option<Dataset>> {
    let unreadable = |error| damaged(path, name, &error);
    let absent = |absence, what| Error::MissingData { path: path.into(), dataset: name.into(), what, absence };
    let trail = || file.as_group().map(|top| follow(&top, name)).map_err(unreadable);
    let Ok(dataset) = file.dataset(name) else {
        return match trail()?.broken {
            Some(broken) => Err(absent(Absence::Link, broken)),
            None => Ok(None),
        };
    };
    if is_empty(&dataset) {
        return match events {
            Some(_) => Err(Error::wrong_type(path, name, "numbers, one an event", EMPTY)),
            None => Ok(None),
        };
    }
    if dataset.filename() != file.filename() {
        file.note(trail()?.files);
    }
    let (used, unit) = used(&shape(&dataset), events);
    let mut checker = Checker::new(unit);
    checker.check(&dataset, &used).map_err(|fault| match fault {
        Fault::Absent(absence, what) => absent(absence, what),
        Fault::Unreadable(error) => unreadable(error),
    })?;
    file.note(checker.into_linked());
    Ok(Some(dataset))
}

/// Returns the region of a dataset that is used, and the word for the dataset's rows in messages, such as "events". If
/// the entries are events, `events` says which part is used, such as one column. If the entries are samples, `events`
/// is `None`.
fn used(shape: &[u64], events: Option<&Part>) -> (Region, &'static str) {
    let whole = Region::whole(shape);
    match events {
        None => (whole, "samples"),
        Some(Part::Column { index, columns }) if shape.len() == 2 => {
            let index = *index as u64;
            match table(shape, *columns).filter(|table| index < table.columns) {
                Some(table) if table.is_transposed() => {
                    (Region { rows: index..index + 1, ..whole }, "rows of the array")
                }
                Some(_) => (Region { columns: index..index + 1, ..whole }, "events"),
                None => (whole, "events"),
            }
        }
        Some(_) if matches!(shape, &[1, _, ..]) && shape.iter().any(|&length| length > 1) => {
            (whole, "rows of the array")
        }
        Some(_) => (whole, "events"),
    }
}
