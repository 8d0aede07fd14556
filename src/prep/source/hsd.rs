//! The Heidelberg layout: Spiking Heidelberg Digits and Spiking Speech Commands, one cochlea recording a row.
//!
//! | path | type |
//! |---|---|
//! | `spikes/times` | variable-length float16, float32 or float64: seconds |
//! | `spikes/units` | variable-length integers: channels |
//! | `labels` | integers: classes |
//! | `extra/keys` | strings: class names (may be missing) |
//! | `extra/*` | other integers, one a sample, such as `speaker`, are kept as extra columns |

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use half::f16;
use hdf5::types::{FloatSize, IntSize, TypeDescriptor, VarLenArray};
use hdf5::{Dataset, H5Type};

use super::super::events::{Admitted, SensorSize, admit, microseconds};
use super::{last_words, open_hdf5};
use crate::error::{Error, Result};

const LAYOUT: &str = "Heidelberg";
const TIMES: &str = "spikes/times";
const UNITS: &str = "spikes/units";
const LABELS: &str = "labels";
const KEYS: &str = "extra/keys";
/// The most classes of a file that names none: a stray label must not become a flood of classes.
const MAX_NAMELESS_CLASSES: usize = 1 << 16;

/// The cochlea of SHD and SSC.
pub const SENSOR: SensorSize = SensorSize { width: 700, height: 1, polarities: 1 };

/// A file of the Heidelberg layout, open for reading.
#[derive(Debug)]
pub struct Hsd {
    path: PathBuf,
    times: Dataset,
    units: Dataset,
    /// Class of each sample.
    pub labels: Vec<u32>,
    /// Class names, if the file has them.
    pub keys: Option<Vec<String>>,
    /// Names and numbers of the extra columns, sorted by name.
    pub extras: Vec<(String, Vec<i64>)>,
}

/// The spikes of consecutive samples, as the file has them.
#[derive(Debug)]
pub struct Spikes {
    times: Times,
    units: Units,
    /// Where each sample's spikes begin, and the end.
    offsets: Vec<usize>,
}

#[derive(Debug)]
enum Times {
    F16(Vec<f16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

#[derive(Debug)]
enum Units {
    U16(Vec<u16>),
    /// Every other integer type, converted by libhdf5.
    I64(Vec<i64>),
}

impl Hsd {
    /// Opens a file and checks that everything in it belongs together.
    ///
    /// # Errors
    /// [`Error::NotHdf5`], [`Error::MissingDataset`], [`Error::WrongType`] (also for columns of different lengths),
    /// [`Error::BadSample`] for a label without a name.
    pub fn open(path: &Path) -> Result<Hsd> {
        let file = open_hdf5(path)?;
        let times = dataset(path, &file, TIMES)?;
        let units = dataset(path, &file, UNITS)?;
        let wrong = |dataset: &str, expected: &str, got: String| Error::WrongType {
            path: path.into(),
            dataset: dataset.into(),
            expected: expected.into(),
            got,
        };
        if !matches!(element(path, &times, TIMES)?, Some(TypeDescriptor::Float(_))) {
            let got = describe(path, &times, TIMES)?;
            return Err(wrong(TIMES, "rows of variable-length float16, float32 or float64", got));
        }
        if !matches!(element(path, &units, UNITS)?, Some(TypeDescriptor::Unsigned(_) | TypeDescriptor::Integer(_))) {
            return Err(wrong(UNITS, "rows of variable-length integers", describe(path, &units, UNITS)?));
        }
        let samples = rows(path, &times, TIMES)?;
        if samples == 0 {
            return Err(wrong(TIMES, "at least one sample", "none".into()));
        }
        if rows(path, &units, UNITS)? != samples {
            let got = format!("{}", rows(path, &units, UNITS)?);
            return Err(wrong(UNITS, &format!("{samples} rows, as {TIMES} has"), got));
        }
        let labels = integers(path, &dataset(path, &file, LABELS)?, LABELS)?;
        if labels.len() != samples {
            return Err(wrong(LABELS, &format!("{samples} labels, one a sample"), labels.len().to_string()));
        }
        let keys = match file.dataset(KEYS) {
            Ok(keys) => Some(strings(path, &keys, KEYS)?),
            Err(_) => None,
        };
        let classes = keys.as_ref().map_or(MAX_NAMELESS_CLASSES, Vec::len);
        let labels = labels.iter().enumerate().map(|(i, &label)| match u32::try_from(label) {
            Ok(label) if (label as usize) < classes => Ok(label),
            _ => Err(Error::BadSample {
                path: path.into(),
                sample: i as u64,
                what: "label".into(),
                expected: match &keys {
                    Some(keys) => format!("0 to {}, as {KEYS} names", keys.len().saturating_sub(1)),
                    None => format!("a class, 0 to {} in a file without {KEYS}", MAX_NAMELESS_CLASSES - 1),
                },
                got: label.to_string(),
            }),
        });
        let labels = labels.collect::<Result<Vec<u32>>>()?;
        let extras = extras(path, &file, samples)?;
        Ok(Hsd { path: path.into(), times, units, labels, keys, extras })
    }

    /// How many samples.
    pub fn samples(&self) -> u64 {
        self.labels.len() as u64
    }

    /// Reads the spikes of consecutive samples.
    ///
    /// # Errors
    /// [`Error::DamagedRecording`], [`Error::BadSample`] where times and units differ in length.
    pub fn read(&self, samples: Range<u64>) -> Result<Spikes> {
        let damaged = |dataset: &str, e: &hdf5::Error| Error::DamagedRecording {
            path: self.path.clone(),
            place: format!("{dataset}, samples {} to {}", samples.start, samples.end - 1),
            reason: last_words(e),
        };
        let range = samples.start as usize..samples.end as usize;
        let (times, offsets) = match element(&self.path, &self.times, TIMES)? {
            Some(TypeDescriptor::Float(FloatSize::U2)) => {
                let (column, offsets) = read_rows::<f16>(&self.times, range.clone()).map_err(|e| damaged(TIMES, &e))?;
                (Times::F16(column), offsets)
            }
            Some(TypeDescriptor::Float(FloatSize::U4)) => {
                let (column, offsets) = read_rows::<f32>(&self.times, range.clone()).map_err(|e| damaged(TIMES, &e))?;
                (Times::F32(column), offsets)
            }
            _ => {
                let (column, offsets) = read_rows::<f64>(&self.times, range.clone()).map_err(|e| damaged(TIMES, &e))?;
                (Times::F64(column), offsets)
            }
        };
        let (units, unit_offsets) = match element(&self.path, &self.units, UNITS)? {
            Some(TypeDescriptor::Unsigned(IntSize::U2)) => {
                let (column, offsets) = read_rows::<u16>(&self.units, range).map_err(|e| damaged(UNITS, &e))?;
                (Units::U16(column), offsets)
            }
            _ => {
                let (column, offsets) = read_rows::<i64>(&self.units, range).map_err(|e| damaged(UNITS, &e))?;
                (Units::I64(column), offsets)
            }
        };
        if let Some(i) = (1..offsets.len()).find(|&i| offsets[i] != unit_offsets[i]) {
            return Err(Error::BadSample {
                path: self.path.clone(),
                sample: samples.start + i as u64 - 1,
                what: format!("length of {UNITS}"),
                expected: format!("{}, as {TIMES} has", offsets[i] - offsets[i - 1]),
                got: (unit_offsets[i] - unit_offsets[i - 1]).to_string(),
            });
        }
        Ok(Spikes { times, units, offsets })
    }
}

impl Spikes {
    /// How many samples these are.
    pub fn samples(&self) -> usize {
        self.offsets.len() - 1
    }

    /// How many spikes sample `i` of these has.
    pub fn count(&self, i: usize) -> u64 {
        (self.offsets[i + 1] - self.offsets[i]) as u64
    }

    /// Sample `i` of these, as events of `sensor`.
    pub fn admit(&self, i: usize, sensor: SensorSize) -> Admitted {
        let range = self.offsets[i]..self.offsets[i + 1];
        match &self.times {
            Times::F16(t) => self.admit_with(range.clone(), t[range].iter().map(|&t| f16_microseconds(t)), sensor),
            Times::F32(t) => self.admit_with(range.clone(), t[range].iter().map(|&t| microseconds(t.into())), sensor),
            Times::F64(t) => self.admit_with(range.clone(), t[range].iter().map(|&t| microseconds(t)), sensor),
        }
    }

    fn admit_with(
        &self,
        range: Range<usize>,
        times: impl ExactSizeIterator<Item = Option<i64>>,
        sensor: SensorSize,
    ) -> Admitted {
        match &self.units {
            Units::U16(x) => admit(sensor, times.zip(&x[range]).map(|(t, &x)| (t, x.into(), 0, 0))),
            Units::I64(x) => admit(sensor, times.zip(&x[range]).map(|(t, &x)| (t, x, 0, 0))),
        }
    }
}

/// [`microseconds`] of a float16, of which there are 65,536: looked up, because a sample has thousands of them.
fn f16_microseconds(seconds: f16) -> Option<i64> {
    static TABLE: LazyLock<Vec<Option<i64>>> =
        LazyLock::new(|| (0..=u16::MAX).map(|bits| microseconds(f16::from_bits(bits).to_f64())).collect());
    TABLE[usize::from(seconds.to_bits())]
}

fn dataset(path: &Path, file: &hdf5::File, name: &str) -> Result<Dataset> {
    file.dataset(name).map_err(|_| Error::MissingDataset {
        path: path.into(),
        dataset: name.into(),
        layout: LAYOUT,
        present: match file.member_names() {
            Ok(names) if !names.is_empty() => names.join(", "),
            _ => "nothing at its top".into(),
        },
    })
}

/// The type of the elements of variable-length rows; `None` for any other type.
fn element(path: &Path, dataset: &Dataset, name: &str) -> Result<Option<TypeDescriptor>> {
    match descriptor(path, dataset, name)? {
        TypeDescriptor::VarLenArray(element) => Ok(Some(*element)),
        _ => Ok(None),
    }
}

fn descriptor(path: &Path, dataset: &Dataset, name: &str) -> Result<TypeDescriptor> {
    dataset.dtype().and_then(|t| t.to_descriptor()).map_err(|e| Error::WrongType {
        path: path.into(),
        dataset: name.into(),
        expected: "a type that can be read".into(),
        got: last_words(&e),
    })
}

fn describe(path: &Path, dataset: &Dataset, name: &str) -> Result<String> {
    Ok(format!("{} of shape {:?}", descriptor(path, dataset, name)?, dataset.shape()))
}

/// The length of a one-dimensional dataset.
fn rows(path: &Path, dataset: &Dataset, name: &str) -> Result<usize> {
    match dataset.shape()[..] {
        [n] => Ok(n),
        _ => Err(Error::WrongType {
            path: path.into(),
            dataset: name.into(),
            expected: "one dimension, a sample a row".into(),
            got: describe(path, dataset, name)?,
        }),
    }
}

/// Rows of variable length, one after another, and where each begins, and the end.
fn read_rows<T: H5Type + Copy>(dataset: &Dataset, range: Range<usize>) -> hdf5::Result<(Vec<T>, Vec<usize>)> {
    let rows = dataset.read_slice_1d::<VarLenArray<T>, _>(range)?;
    let mut offsets = Vec::with_capacity(rows.len() + 1);
    offsets.push(0);
    let mut column = Vec::with_capacity(rows.iter().map(|r| r.len()).sum());
    for row in &rows {
        column.extend_from_slice(row.as_slice());
        offsets.push(column.len());
    }
    Ok((column, offsets))
}

fn integers(path: &Path, dataset: &Dataset, name: &str) -> Result<Vec<i64>> {
    if !matches!(descriptor(path, dataset, name)?, TypeDescriptor::Unsigned(_) | TypeDescriptor::Integer(_)) {
        let (expected, got) = ("integers".into(), describe(path, dataset, name)?);
        return Err(Error::WrongType { path: path.into(), dataset: name.into(), expected, got });
    }
    rows(path, dataset, name)?;
    dataset.read_raw::<i64>().map_err(|e| unreadable(path, name, &e))
}

fn strings(path: &Path, dataset: &Dataset, name: &str) -> Result<Vec<String>> {
    use hdf5::types::{FixedAscii, FixedUnicode, VarLenAscii, VarLenUnicode};
    /// The longest class name that is read from fixed-length strings.
    const LONGEST: usize = 256;
    let read = match descriptor(path, dataset, name)? {
        TypeDescriptor::FixedAscii(n) if n <= LONGEST => {
            dataset.read_raw::<FixedAscii<LONGEST>>().map(|v| v.iter().map(ToString::to_string).collect())
        }
        TypeDescriptor::FixedUnicode(n) if n <= LONGEST => {
            dataset.read_raw::<FixedUnicode<LONGEST>>().map(|v| v.iter().map(ToString::to_string).collect())
        }
        TypeDescriptor::VarLenAscii => {
            dataset.read_raw::<VarLenAscii>().map(|v| v.iter().map(ToString::to_string).collect())
        }
        TypeDescriptor::VarLenUnicode => {
            dataset.read_raw::<VarLenUnicode>().map(|v| v.iter().map(ToString::to_string).collect())
        }
        _ => {
            let (expected, got) = (format!("strings of at most {LONGEST} bytes"), describe(path, dataset, name)?);
            return Err(Error::WrongType { path: path.into(), dataset: name.into(), expected, got });
        }
    };
    read.map_err(|e| unreadable(path, name, &e))
}

fn unreadable(path: &Path, name: &str, e: &hdf5::Error) -> Error {
    Error::DamagedRecording { path: path.into(), place: name.into(), reason: last_words(e) }
}

/// The integer columns of `extra/` that have a number for each sample.
fn extras(path: &Path, file: &hdf5::File, samples: usize) -> Result<Vec<(String, Vec<i64>)>> {
    let Ok(group) = file.group("extra") else { return Ok(Vec::new()) };
    let mut names = group.member_names().map_err(|e| unreadable(path, "extra", &e))?;
    names.sort();
    let mut extras = Vec::new();
    for name in names {
        let full = format!("extra/{name}");
        let Ok(dataset) = group.dataset(&name) else { continue };
        let integer = matches!(
            dataset.dtype().and_then(|t| t.to_descriptor()),
            Ok(TypeDescriptor::Unsigned(_) | TypeDescriptor::Integer(_))
        );
        if integer && dataset.shape() == [samples] {
            extras.push((name, integers(path, &dataset, &full)?));
        }
    }
    Ok(extras)
}
