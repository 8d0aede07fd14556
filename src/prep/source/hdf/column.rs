//! Columns of numbers of any type in HDF5 files, read in ranges.

use std::ops::Range;
use std::path::Path;

use hdf5::types::{FloatSize, IntSize, TypeDescriptor};
use hdf5::{Dataset, H5Type, Hyperslab};

use crate::error::{Error, Result};
use crate::source::hdf::{dataset, descriptor, unreadable};
use crate::source::numbers::Numbers;
use crate::source::raw::MAX_SAMPLE_EVENTS;

/// A one-dimensional dataset of numbers, or a column of a two-dimensional one.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    dataset: Dataset,
    /// Path of the dataset in the file.
    pub name: String,
    kind: NumberType,
    axis: Option<usize>,
    /// Number of entries.
    pub len: u64,
}

/// The type that a column is read as.
#[derive(Clone, Copy, Debug, PartialEq)]
enum NumberType {
    U8,
    I8,
    U16,
    U32,
    U64,
    I64,
    F64,
}

impl NumberType {
    fn of(descriptor: &TypeDescriptor) -> Option<NumberType> {
        use IntSize::{U1, U2, U4, U8};
        Some(match descriptor {
            TypeDescriptor::Unsigned(U1) | TypeDescriptor::Boolean => NumberType::U8,
            TypeDescriptor::Unsigned(U2) => NumberType::U16,
            TypeDescriptor::Unsigned(U4) => NumberType::U32,
            TypeDescriptor::Unsigned(U8) => NumberType::U64,
            TypeDescriptor::Integer(U1) => NumberType::I8,
            TypeDescriptor::Integer(U2 | U4 | U8) | TypeDescriptor::Enum(_) => NumberType::I64,
            TypeDescriptor::Float(FloatSize::U2 | FloatSize::U4 | FloatSize::U8) => NumberType::F64,
            _ => return None,
        })
    }
}

impl Column {
    /// Opens a one-dimensional dataset, or column `axis` of a two-dimensional one.
    ///
    /// # Errors
    /// [`Error::WrongType`] for a dataset that doesn't contain numbers or has another shape; [`Error::MissingDataset`].
    pub(crate) fn open(
        path: &Path,
        file: &hdf5::File,
        name: &str,
        axis: Option<usize>,
        layout: &'static str,
    ) -> Result<Column> {
        let dataset = dataset(path, file, name, layout)?;
        let wrong = |expected: &str, got: String| Error::WrongType {
            path: path.into(),
            dataset: name.into(),
            expected: expected.into(),
            got,
        };
        let descriptor = descriptor(path, &dataset, name)?;
        let shape = dataset.shape();
        let got = || format!("{descriptor} of shape {shape:?}");
        let kind = NumberType::of(&descriptor).ok_or_else(|| wrong("integers or floats", got()))?;
        match (shape.as_slice(), axis) {
            (&[len], None) => Ok(Column { dataset, name: name.into(), kind, axis, len: len as u64 }),
            (&[len, width], Some(i)) if i < width => {
                Ok(Column { dataset, name: name.into(), kind, axis, len: len as u64 })
            }
            (_, None) => Err(wrong("one dimension, a number an event", got())),
            (_, Some(i)) => Err(wrong(&format!("a row an event, with a column {i}"), got())),
        }
    }

    /// Whether the numbers are floats.
    pub(crate) fn is_float(&self) -> bool {
        self.kind == NumberType::F64
    }

    /// Reads a range of entries.
    ///
    /// # Errors
    /// [`Error::DamagedRecording`]; [`tonic_base::Error::Unavailable`] if the compression filter is not installed.
    pub(crate) fn read(&self, path: &Path, range: Range<u64>) -> Result<Numbers> {
        let read = match self.kind {
            NumberType::U8 => self.read_as(range.clone()).map(Numbers::U8),
            NumberType::I8 => self.read_as(range.clone()).map(Numbers::I8),
            NumberType::U16 => self.read_as(range.clone()).map(Numbers::U16),
            NumberType::U32 => self.read_as(range.clone()).map(Numbers::U32),
            NumberType::U64 => self.read_as(range.clone()).map(Numbers::U64),
            NumberType::I64 => self.read_as(range.clone()).map(Numbers::I64),
            NumberType::F64 => self.read_as(range.clone()).map(Numbers::F64),
        };
        read.map_err(|e| unreadable(path, &self.dataset, &self.name, range, &e))
    }

    /// Reads the whole column.
    ///
    /// # Errors
    /// Those of [`Column::read`]; [`Error::WrongType`] if the column has more entries than the maximum events per
    /// sample.
    pub(crate) fn read_all(&self, path: &Path) -> Result<Numbers> {
        if self.len > MAX_SAMPLE_EVENTS {
            return Err(Error::WrongType {
                path: path.into(),
                dataset: self.name.clone(),
                expected: format!("at most {MAX_SAMPLE_EVENTS} events"),
                got: self.len.to_string(),
            });
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
