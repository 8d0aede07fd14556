//! Records with the fields x, y, p and t in HDF5 files, read in ranges.

use std::ops::Range;
use std::path::Path;

use hdf5::types::TypeDescriptor;
use hdf5::{Dataset, H5Type};

use crate::error::{Error, Result};
use crate::source::hdf::{File, descriptor, events, unreadable};
use crate::source::numbers::{EventBlock, Numbers};
use crate::source::unit::TimeUnit;

/// A dataset of records with the fields x, y, p and t.
#[derive(Debug)]
pub(crate) struct Records {
    dataset: Dataset,
    name: String,
    /// Whether its times are floats.
    pub(crate) float_times: bool,
    /// Number of records.
    pub(crate) len: u64,
}

/// A record with integer times. libhdf5 finds the fields by name and converts them.
#[derive(Clone, Copy, H5Type)]
#[repr(C)]
struct IntRecord {
    x: i32,
    y: i32,
    p: i32,
    t: i64,
}

/// A record with float times.
#[derive(Clone, Copy, H5Type)]
#[repr(C)]
struct FloatRecord {
    x: i32,
    y: i32,
    p: i32,
    t: f64,
}

impl Records {
    /// Opens the dataset `name`.
    ///
    /// # Errors
    /// `MissingDataset`; `WrongType` if the dataset is not a list of records with these fields.
    pub(crate) fn open(path: &Path, file: &File, name: &str, layout: &'static str) -> Result<Records> {
        let dataset = events(path, file, name, None, layout)?;
        let descriptor = descriptor(path, &dataset, name)?;
        let field = |field: &str| match &descriptor {
            TypeDescriptor::Compound(record) => record.fields.iter().find(|f| f.name == field).map(|f| &f.ty),
            _ => None,
        };
        let number = |name: &str| {
            use TypeDescriptor::{Boolean, Float, Integer, Unsigned};
            matches!(field(name), Some(Integer(_) | Unsigned(_) | Float(_) | Boolean))
        };
        let shape = dataset.shape();
        match shape.as_slice() {
            &[len] if ["x", "y", "p", "t"].into_iter().all(number) => {
                let float_times = matches!(field("t"), Some(TypeDescriptor::Float(_)));
                Ok(Records { dataset, name: name.into(), float_times, len: len as u64 })
            }
            _ => {
                let expected = "one dimension of records with the numbers x, y, p and t";
                Err(Error::wrong_type(path, name, expected, format!("{descriptor} of shape {shape:?}")))
            }
        }
    }

    /// Reads a range of events.
    ///
    /// # Errors
    /// [`Error::DamagedRecording`], [`tonic_base::Error::Unavailable`].
    pub(crate) fn read(&self, path: &Path, range: Range<u64>, unit: TimeUnit) -> Result<EventBlock> {
        let rows = range.start as usize..range.end as usize;
        let unreadable = |e| unreadable(path, &self.dataset, &self.name, range.clone(), &e);
        let (t, xyp) = if self.float_times {
            let records = self.dataset.read_slice_1d::<FloatRecord, _>(rows).map_err(unreadable)?;
            let xyp: Vec<[i32; 3]> = records.iter().map(|r| [r.x, r.y, r.p]).collect();
            (Numbers::F64(records.iter().map(|r| r.t).collect()), xyp)
        } else {
            let records = self.dataset.read_slice_1d::<IntRecord, _>(rows).map_err(unreadable)?;
            let xyp = records.iter().map(|r| [r.x, r.y, r.p]).collect();
            (Numbers::I64(records.iter().map(|r| r.t).collect()), xyp)
        };
        let column = |i: usize| {
            let narrow: Option<Vec<u16>> = xyp.iter().map(|event| event[i].try_into().ok()).collect();
            narrow.map_or_else(|| Numbers::I64(xyp.iter().map(|event| event[i].into()).collect()), Numbers::U16)
        };
        Ok(EventBlock {
            t: t.times(unit),
            x: column(0).pixels(),
            y: Some(column(1).pixels()),
            p: Some(column(2).polarities()),
        })
    }
}
