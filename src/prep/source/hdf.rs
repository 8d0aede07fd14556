//! Columns of numbers in HDF5 files, of any type, in ranges; and files whose compression this program does not have.

use std::ops::Range;
use std::panic;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use hdf5::filters::Filter;
use hdf5::types::{FloatSize, IntSize, TypeDescriptor};
use hdf5::{Dataset, H5Type, Hyperslab};

use super::numbers::Numbers;
use super::{MAX_SAMPLE_EVENTS, last_words};
use crate::error::{Error, Result};

/// Bytes of decompressed chunks that libhdf5 keeps for each dataset: samples are smaller than chunks.
const CHUNK_CACHE: usize = 16 << 20;
/// Places in its table of them, a prime, as libhdf5 asks for.
const CHUNK_SLOTS: usize = 4_099;

/// Compressions of HDF5 files, by the numbers under which they are registered, with what has them.
const FILTERS: [(i32, &str, &str); 10] = [
    (4, "szip", "h5repack of an HDF5 that was built with szip"),
    (307, "bzip2", HDF5PLUGIN),
    (32004, "LZ4", HDF5PLUGIN),
    (32008, "bitshuffle", HDF5PLUGIN),
    (32013, "ZFP", HDF5PLUGIN),
    (32015, "Zstandard", HDF5PLUGIN),
    (32017, "SZ", HDF5PLUGIN),
    (32024, "SZ3", HDF5PLUGIN),
    (32026, "Blosc2", HDF5PLUGIN),
    (0x8ecf, "ECF, Prophesee's event compression", "Metavision SDK and github.com/prophesee-ai/hdf5_ecf have it"),
];
const HDF5PLUGIN: &str = "`pip install hdf5plugin` has it, at hdf5plugin.PLUGIN_PATH";

/// Opens an HDF5 file for reads of many small ranges.
///
/// # Errors
/// Those of [`super::open_hdf5`].
pub fn open(path: &Path) -> Result<hdf5::File> {
    let mut options = hdf5::File::with_options();
    options.with_fapl(|plist| plist.chunk_cache(CHUNK_SLOTS, CHUNK_CACHE, 0.75));
    super::open_hdf5_with(path, &options)
}

/// A one-dimensional dataset of numbers, or a column of a two-dimensional one.
#[derive(Clone, Debug)]
pub struct Column {
    dataset: Dataset,
    /// Its path in the file.
    pub name: String,
    kind: Kind,
    axis: Option<usize>,
    /// How many numbers.
    pub len: u64,
}

/// The type that a column is read as.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    U8,
    I8,
    U16,
    U32,
    U64,
    I64,
    F64,
}

impl Kind {
    fn of(descriptor: &TypeDescriptor) -> Option<Kind> {
        use IntSize::{U1, U2, U4, U8};
        Some(match descriptor {
            TypeDescriptor::Unsigned(U1) | TypeDescriptor::Boolean => Kind::U8,
            TypeDescriptor::Unsigned(U2) => Kind::U16,
            TypeDescriptor::Unsigned(U4) => Kind::U32,
            TypeDescriptor::Unsigned(U8) => Kind::U64,
            TypeDescriptor::Integer(U1) => Kind::I8,
            TypeDescriptor::Integer(U2 | U4 | U8) | TypeDescriptor::Enum(_) => Kind::I64,
            TypeDescriptor::Float(FloatSize::U2 | FloatSize::U4 | FloatSize::U8) => Kind::F64,
            _ => return None,
        })
    }
}

impl Column {
    /// A dataset of the file, all of it or column `axis` of it.
    ///
    /// # Errors
    /// [`Error::WrongType`] for one that has no numbers, or has them in another shape; [`Error::MissingDataset`].
    pub fn open(
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
        let kind = Kind::of(&descriptor).ok_or_else(|| wrong("integers or floats", got()))?;
        match (shape.as_slice(), axis) {
            (&[len], None) => Ok(Column { dataset, name: name.into(), kind, axis, len: len as u64 }),
            (&[len, width], Some(i)) if i < width => {
                Ok(Column { dataset, name: name.into(), kind, axis, len: len as u64 })
            }
            (_, None) => Err(wrong("one dimension, a number an event", got())),
            (_, Some(i)) => Err(wrong(&format!("a row an event, with a column {i}"), got())),
        }
    }

    /// Whether these are floats.
    pub fn is_float(&self) -> bool {
        self.kind == Kind::F64
    }

    /// Reads a range.
    ///
    /// # Errors
    /// [`Error::DamagedRecording`]; [`Error::Unavailable`] for a compression that is not there.
    pub fn read(&self, path: &Path, range: Range<u64>) -> Result<Numbers> {
        let read = match self.kind {
            Kind::U8 => self.read_as(range.clone()).map(Numbers::U8),
            Kind::I8 => self.read_as(range.clone()).map(Numbers::I8),
            Kind::U16 => self.read_as(range.clone()).map(Numbers::U16),
            Kind::U32 => self.read_as(range.clone()).map(Numbers::U32),
            Kind::U64 => self.read_as(range.clone()).map(Numbers::U64),
            Kind::I64 => self.read_as(range.clone()).map(Numbers::I64),
            Kind::F64 => self.read_as(range.clone()).map(Numbers::F64),
        };
        read.map_err(|e| unreadable(path, &self.dataset, &self.name, range, &e))
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// As [`Column::read`]; [`Error::WrongType`] for one of more events than a sample may have.
    pub fn read_all(&self, path: &Path) -> Result<Numbers> {
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

/// A dataset that its layout asks for.
///
/// # Errors
/// [`Error::MissingDataset`].
pub fn dataset(path: &Path, file: &hdf5::File, name: &str, layout: &'static str) -> Result<Dataset> {
    let missing = |_| Error::MissingDataset { path: path.into(), dataset: name.into(), layout, present: top(file) };
    file.dataset(name).map_err(missing)
}

/// What there is at the top of a file.
pub fn top(file: &hdf5::File) -> String {
    match file.member_names() {
        Ok(names) if !names.is_empty() => names.join(", "),
        _ => "nothing at its top".into(),
    }
}

/// The datasets of a file, and their types, as many as fit a message.
pub fn contents(file: &hdf5::File) -> String {
    const MOST: usize = 12;
    let (mut found, mut visits) = (Vec::new(), 0..64);
    let mut groups: Vec<(String, hdf5::Group)> =
        file.as_group().ok().map(|top| (String::new(), top)).into_iter().collect();
    while let Some((prefix, group)) = groups.pop().filter(|_| found.len() <= MOST && visits.next().is_some()) {
        for name in group.member_names().unwrap_or_default() {
            let path = format!("{prefix}{name}");
            if let Ok(dataset) = group.dataset(&name) {
                let kind = dataset.dtype().and_then(|t| t.to_descriptor()).map_or("?".into(), |t| t.to_string());
                found.push(format!("{path} ({kind}, shape {:?})", dataset.shape()));
            } else if let Ok(group) = group.group(&name) {
                groups.push((path + "/", group));
            }
        }
    }
    match found.len() {
        0 => "it has no datasets".into(),
        n if n > MOST => format!("it has {}, and more", found[..MOST].join(", ")),
        _ => format!("it has {}", found.join(", ")),
    }
}

/// A dataset's type.
///
/// # Errors
/// [`Error::WrongType`] for one that cannot be described.
pub fn descriptor(path: &Path, dataset: &Dataset, name: &str) -> Result<TypeDescriptor> {
    dataset.dtype().and_then(|t| t.to_descriptor()).map_err(|e| Error::WrongType {
        path: path.into(),
        dataset: name.into(),
        expected: "a type that can be read".into(),
        got: last_words(&e),
    })
}

/// Why a range of a dataset cannot be read.
pub fn unreadable(path: &Path, dataset: &Dataset, name: &str, range: Range<u64>, error: &hdf5::Error) -> Error {
    let lacks_filter = error.stack().is_some_and(|stack| {
        stack.iter().any(|frame| frame.desc().contains("filter") && frame.desc().contains("not registered"))
    });
    if !lacks_filter {
        let place = format!("{name}, events {} to {}", range.start, range.end.saturating_sub(1));
        return Error::DamagedRecording { path: path.into(), place, reason: last_words(error) };
    }
    let missing = filters(dataset).iter().find(|filter| !filter.is_available()).map(Filter::id);
    let known = FILTERS.iter().find(|(number, ..)| Some(*number) == missing);
    let number = missing.map_or("an unknown one".into(), |number| match number {
        0x8ecf => "36559 (0x8ECF)".to_string(),
        number => number.to_string(),
    });
    let filter = known.map_or(number.clone(), |(_, filter, _)| format!("{number}: {filter}"));
    let source = known.map_or("whoever wrote the file has it".into(), |(_, _, source)| (*source).to_string());
    Error::Unavailable {
        what: format!("the compression of {} in {}, HDF5 filter {filter},", name, path.display()),
        why: format!(
            "set HDF5_PLUGIN_PATH to the folder of its HDF5 plugin ({source}), or rewrite the file without it \
             (h5repack -f GZIP=4 IN OUT, where the plugin is)"
        ),
    }
}

/// The filters of a dataset; none where they cannot be told.
fn filters(dataset: &Dataset) -> Vec<Filter> {
    // The wrapper has room for 32 parameters of a filter and panics beyond, which is nobody's concern here. Hooks are
    // the whole process's: one thread at a time changes them.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let filters = panic::catch_unwind(|| dataset.filters()).unwrap_or_default();
    panic::set_hook(hook);
    filters
}
