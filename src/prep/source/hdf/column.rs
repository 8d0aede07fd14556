//! Columns of numbers of any type in HDF5 files, read in ranges.

use std::ops::Range;
use std::path::Path;

use hdf5::types::{IntSize, TypeDescriptor};
use hdf5::{Dataset, H5Type, Hyperslab};

use crate::error::{Error, Result};
use crate::source::hdf::{File, descriptor, events, unreadable};
use crate::source::numbers::Numbers;
use crate::source::raw::MAX_SAMPLE_EVENTS;

/// A one-dimensional dataset of numbers, or a column of a two-dimensional one.
#[derive(Clone, Debug)]
pub(crate) struct NumberColumn {
    dataset: Dataset,
    /// Path of the dataset in the file.
    pub name: String,
    read: ReadNumbers,
    /// Whether the numbers are floats.
    pub is_float: bool,
    axis: Option<usize>,
    /// Number of entries.
    pub len: u64,
}

/// Reads a range of a column. libhdf5 converts the numbers to the type that is asked for.
type ReadNumbers = fn(&NumberColumn, Range<u64>) -> hdf5::Result<Numbers>;

/// How numbers of a type are read; `None` if they aren't numbers.
fn read_of(descriptor: &TypeDescriptor) -> Option<ReadNumbers> {
    use IntSize::{U1, U2, U4, U8};
    Some(match descriptor {
        TypeDescriptor::Unsigned(U1) | TypeDescriptor::Boolean => |c, range| c.read_as(range).map(Numbers::U8),
        TypeDescriptor::Unsigned(U2) => |c, range| c.read_as(range).map(Numbers::U16),
        TypeDescriptor::Unsigned(U4) => |c, range| c.read_as(range).map(Numbers::U32),
        TypeDescriptor::Unsigned(U8) => |c, range| c.read_as(range).map(Numbers::U64),
        TypeDescriptor::Integer(U1) => |c, range| c.read_as(range).map(Numbers::I8),
        TypeDescriptor::Integer(_) | TypeDescriptor::Enum(_) => |c, range| c.read_as(range).map(Numbers::I64),
        TypeDescriptor::Float(_) => |c, range| c.read_as(range).map(Numbers::F64),
        _ => return None,
    })
}

impl NumberColumn {
    /// Opens a one-dimensional dataset, or column `axis` of a two-dimensional one.
    ///
    /// # Errors
    /// [`Error::WrongType`] for a dataset that doesn't contain numbers or has another shape; [`Error::MissingDataset`].
    pub(crate) fn open(
        path: &Path,
        file: &File,
        name: &str,
        axis: Option<usize>,
        layout: &'static str,
    ) -> Result<NumberColumn> {
        let dataset = events(path, file, name, axis, layout)?;
        let descriptor = descriptor(path, &dataset, name)?;
        let shape = dataset.shape();
        let wrong =
            |expected: &str| Error::wrong_type(path, name, expected, format!("{descriptor} of shape {shape:?}"));
        let read = read_of(&descriptor).ok_or_else(|| wrong("integers or floats"))?;
        let len = match (shape.as_slice(), axis) {
            (&[len], None) => len as u64,
            (&[len, width], Some(i)) if i < width => len as u64,
            (_, None) => return Err(wrong("one dimension, a number an event")),
            (_, Some(i)) => return Err(wrong(&format!("a row an event, with a column {i}"))),
        };
        let is_float = matches!(descriptor, TypeDescriptor::Float(_));
        Ok(NumberColumn { dataset, name: name.into(), read, is_float, axis, len })
    }

    /// Reads a range of entries.
    ///
    /// # Errors
    /// [`Error::DamagedRecording`]; [`tonic_base::Error::Unavailable`] if the compression filter is not installed.
    pub(crate) fn read(&self, path: &Path, range: Range<u64>) -> Result<Numbers> {
        (self.read)(self, range.clone()).map_err(|e| unreadable(path, &self.dataset, &self.name, range, &e))
    }

    /// Reads the whole column.
    ///
    /// # Errors
    /// Those of [`NumberColumn::read`]; [`Error::WrongType`] if the column has more entries than the maximum events per
    /// sample.
    pub(crate) fn read_all(&self, path: &Path) -> Result<Numbers> {
        if self.len > MAX_SAMPLE_EVENTS {
            return Err(Error::wrong_type(path, &self.name, format!("at most {MAX_SAMPLE_EVENTS} events"), self.len));
        }
        self.read(path, 0..self.len)
    }

    fn read_as<T: H5Type>(&self, range: Range<u64>) -> hdf5::Result<Vec<T>> {
        let range = range.start as usize..range.end as usize;
        let column = match self.axis {
            None => self.dataset.read_slice_1d::<T, _>(range)?,
            Some(i) => self.dataset.read_slice_1d::<T, _>(Hyperslab::from(vec![range.into(), i.into()]))?,
        };
        Ok(column.into_raw_vec_and_offset().0)
    }
}
