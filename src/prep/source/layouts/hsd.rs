//! The Heidelberg layout of Spiking Heidelberg Digits (SHD) and Spiking Speech Commands (SSC). Each row of a dataset
//! belongs to one sample, which comes from a cochlea.
//!
//! | path | type |
//! |---|---|
//! | `spikes/times` | variable-length floats of 16 to 64 bits, in seconds or a given unit; integers in a given unit |
//! | `spikes/units` | variable-length integers, or whole floats: channels |
//! | `labels` | integers, or whole floats: classes |
//! | `extra/keys` | strings: class names (may be missing) |
//! | `extra/*` | other integers, one per sample, such as `speaker`: kept as extra columns |
//!
//! The unit of the times can be given by an attribute of the file or by the options.

use std::ops::Range;
use std::path::{Path, PathBuf};

use half::f16;
use hdf5::types::{FloatSize, IntSize, TypeDescriptor, VarLenArray};
use hdf5::{Dataset, H5Type};

use crate::error::{Error, Result};
use crate::events::SensorSize;
use crate::source::columns::{Survey, TakenColumns};
use crate::source::commands::{KEYS, LABELS, TIMES, UNITS};
use crate::source::fields::left_over;
use crate::source::filler::Filler;
use crate::source::hdf;
use crate::source::hdf::{LinkedPath, Tree, damaged, describe, descriptor};
use crate::source::heap::VlenRows;
use crate::source::layout::Layout;
use crate::source::layouts::hsd_labels::Labels;
use crate::source::options::SourceOptions;
use crate::source::placing::Placing;
use crate::source::raw::{Coordinates, RawSamples, Times};
use crate::source::recording::{ReadSamples, Recording, file_name};
use crate::source::times::{Timeline, ToldUnit, told_unit};
use crate::source::vetting::{RowClocks, probe};
use crate::time_unit::TimeUnit;

const LAYOUT: &str = "Heidelberg";
/// The group of SHD with data about each speaker. Its arrays are not about samples.
const ABOUT_SPEAKERS: &str = "extra/meta_info/";
/// Number of rows that are read at a time to count their events, if only libhdf5 can read the rows.
const ROWS_COUNTED: u64 = 64;

/// The sensor of SHD and SSC: a cochlea of 700 channels.
pub const COCHLEA: SensorSize = SensorSize { width: 700, height: 1, polarities: 1 };

/// A reader of the rows of a file with the Heidelberg layout.
#[derive(Debug)]
pub(crate) struct Hsd {
    path: PathBuf,
    times: Dataset,
    units: Dataset,
    /// Reads the times without libhdf5. `None` if they are stored in an unusual way.
    direct_times: Option<VlenRows>,
    /// Reads the units (channels) without libhdf5. `None` if they are stored in an unusual way.
    direct_units: Option<VlenRows>,
    linked: Vec<LinkedPath>,
    clocks: RowClocks,
}

/// Returns whether a file has the Heidelberg layout: its times or units have rows of variable length, or are a broken
/// link.
pub(crate) fn detect(file: &hdf::File) -> bool {
    let rows = |name: &&str| {
        let kind = file.dataset(name).and_then(|dataset| dataset.dtype()?.to_descriptor());
        matches!(kind, Ok(TypeDescriptor::VarLenArray(_))) || file.dangles(name)
    };
    [TIMES, UNITS].iter().any(rows)
}

impl Hsd {
    /// Opens a file and checks that its datasets match each other. Also checks the times of a few samples.
    ///
    /// # Errors
    /// - [`Error::NotARecording`] and [`Error::MissingDataset`].
    /// - [`Error::WrongType`], which also reports columns of different lengths.
    /// - [`Error::Columns`] for labels that are not classes.
    /// - [`Error::ImplausibleTimes`] if the times of the samples that are checked cannot be in the unit.
    /// - [`Error::ClockTrouble`] if the clock of one of these samples has faults.
    pub(crate) fn open(path: &Path, options: &SourceOptions) -> Result<Recording> {
        let file = hdf::open(path)?;
        let times = dataset(path, &file, TIMES)?;
        let units = dataset(path, &file, UNITS)?;
        let ToldUnit { unit: told, notes, dataset: of_unit } =
            told_unit(path, &file, (TIMES, TIMES), options.time_unit, TimeUnit::Seconds)?;
        let mut time = Timeline::new(options, told, notes);
        match element(path, &times, TIMES)? {
            Some(TypeDescriptor::Float(_)) => {}
            Some(TypeDescriptor::Unsigned(_) | TypeDescriptor::Integer(_))
                if time.unit_given || told != TimeUnit::Seconds => {}
            _ => {
                let expected =
                    "rows of variable-length float16, float32 or float64 (or of integers, with their time_unit)";
                return Err(Error::wrong_type(path, TIMES, expected, describe(path, &times, TIMES)?));
            }
        }
        use TypeDescriptor::{Float, Integer, Unsigned};
        if !matches!(element(path, &units, UNITS)?, Some(Unsigned(_) | Integer(_) | Float(_))) {
            let got = describe(path, &units, UNITS)?;
            return Err(Error::wrong_type(path, UNITS, "rows of variable-length integers, or of whole floats", got));
        }
        let samples = rows(path, &times, TIMES)?;
        if samples == 0 {
            return Err(Error::wrong_type(path, TIMES, "at least one sample", "none"));
        }
        let unit_rows = rows(path, &units, UNITS)?;
        if unit_rows != samples {
            return Err(Error::wrong_type(path, UNITS, format!("{samples} rows, as {TIMES} has"), unit_rows));
        }
        let Labels { labels, names, extras } = Labels::read(path, &file, &dataset(path, &file, LABELS)?, samples)?;
        let kind = |dataset, name| descriptor(path, dataset, name).map(|kind| kind.to_string());
        let (t, x) = ((TIMES, kind(&times, TIMES)?), (UNITS, kind(&units, UNITS)?));
        let direct_times = VlenRows::open(path, TIMES, &times)?;
        let direct_units = VlenRows::open(path, UNITS, &units)?;
        let used = extras.iter().map(|(name, _)| format!("extra/{name}")).collect::<Vec<_>>();
        let known = [TIMES, UNITS, LABELS, KEYS];
        let used: Vec<&str> = known.into_iter().chain(used.iter().chain(&of_unit).map(String::as_str)).collect();
        let mut columns = TakenColumns::of_cochlea(t, x, time.unit);
        columns.others = left_over::in_hdf5(&file, Tree::of_file(path, &file).arrays(), &used);
        columns.others.retain(|name| !name.starts_with(ABOUT_SPEAKERS));
        let notes = std::mem::take(&mut time.notes).into_iter().chain(columns.left_over_note()).collect();
        let clocks = RowClocks::new(path.into(), time);
        let rows = Hsd { path: path.into(), times, units, direct_times, direct_units, linked: file.linked(), clocks };
        probe(samples as u64, |row| rows.read_times(row)).map_err(|error| rows.of_all_rows(error))?;
        Ok(Recording {
            path: path.into(),
            name: file_name(path),
            layout: Layout::Hsd,
            sensor: Some(COCHLEA),
            labels,
            classes: names.map(Into::into),
            extras,
            columns,
            notes,
            placing: Placing::default(),
            unlabelled: None,
            out_of_range: 0,
            filler: Filler::default(),
            reader: Box::new(rows),
        })
    }

    /// Reads the times of consecutive samples and checks the clock of each sample. Returns the times of all samples in
    /// one column, and offsets of shape (samples + 1,). Sample `i` has the times `offsets[i]..offsets[i + 1]`.
    fn read_times(&self, samples: Range<u64>) -> Result<(Times, Vec<usize>)> {
        let (times, offsets) = self.unchecked_times(samples.clone())?;
        let arrays = |sample| ([TIMES, UNITS].map(String::from), Some(sample));
        Ok((self.clocks.vet(samples.start, times, &offsets, arrays)?, offsets))
    }

    /// Reads the times of consecutive samples, without checks. Returns them in the form that [`Hsd::read_times`]
    /// describes.
    fn unchecked_times(&self, samples: Range<u64>) -> Result<(Times, Vec<usize>)> {
        let direct = self.direct_times.as_ref().map(|rows| rows.times(samples.clone())).transpose()?;
        let (times, offsets) = direct.flatten().map_or_else(|| self.times(samples), Ok)?;
        Ok((times.of_unit(self.clocks.time.unit), offsets))
    }

    /// Extends an error about the times of one sample, so that it covers all samples with this kind of fault.
    fn of_all_rows(&self, error: Error) -> Error {
        let samples = self.times.size() as u64;
        let error = RowClocks::of_all_rows(error, samples, |row| self.read_times(row..row + 1));
        self.clocks.compare_rows(error, samples, |row| Ok(self.unchecked_times(row..row + 1)?.0))
    }

    /// Reads the times of consecutive samples with libhdf5.
    fn times(&self, samples: Range<u64>) -> Result<(Times, Vec<usize>)> {
        Ok(match element(&self.path, &self.times, TIMES)? {
            Some(TypeDescriptor::Float(FloatSize::U2)) => {
                self.column::<f16>(&self.times, TIMES, samples).map(|(c, o)| (Times::F16(c), o))?
            }
            Some(TypeDescriptor::Float(FloatSize::U4)) => {
                self.column::<f32>(&self.times, TIMES, samples).map(|(c, o)| (Times::F32(c), o))?
            }
            Some(TypeDescriptor::Float(_)) => {
                self.column::<f64>(&self.times, TIMES, samples).map(|(c, o)| (Times::F64(c), o))?
            }
            _ => {
                let (ticks, offsets) = self.column::<i64>(&self.times, TIMES, samples)?;
                (Times::SomeUs(ticks.into_iter().map(|t| self.clocks.time.unit.of_integer(t)).collect()), offsets)
            }
        })
    }

    /// Reads the units (channels) of consecutive samples with libhdf5.
    fn units(&self, samples: Range<u64>) -> Result<(Coordinates, Vec<usize>)> {
        Ok(match element(&self.path, &self.units, UNITS)? {
            Some(TypeDescriptor::Unsigned(IntSize::U2)) => {
                self.column::<u16>(&self.units, UNITS, samples).map(|(c, o)| (Coordinates::U16(c), o))?
            }
            Some(TypeDescriptor::Float(_)) => {
                let (units, offsets) = self.column::<f64>(&self.units, UNITS, samples.clone())?;
                if let Some(i) = units.iter().position(|unit| unit.fract() != 0.0) {
                    let sample = samples.start + offsets.partition_point(|&end| end <= i) as u64 - 1;
                    let what = format!("event {i} of {UNITS}", i = i - offsets[(sample - samples.start) as usize]);
                    return Err(Error::bad_sample(&self.path, sample, what, "a whole number", units[i]));
                }
                (Coordinates::I64(units.into_iter().map(|unit| unit as i64).collect()), offsets)
            }
            _ => self.column::<i64>(&self.units, UNITS, samples).map(|(c, o)| (Coordinates::I64(c), o))?,
        })
    }

    /// Reads consecutive variable-length rows with libhdf5. Returns the elements of all rows in one column, and offsets
    /// of shape (rows + 1,). Row `i` has the elements `offsets[i]..offsets[i + 1]`.
    fn column<T: H5Type + Copy>(
        &self,
        dataset: &Dataset,
        name: &str,
        samples: Range<u64>,
    ) -> Result<(Vec<T>, Vec<usize>)> {
        let rows =
            dataset.read_slice_1d::<VarLenArray<T>, _>(samples.start as usize..samples.end as usize).map_err(|e| {
                damaged(&self.path, &format!("{name}, samples {} to {}", samples.start, samples.end - 1), &e)
            })?;
        let mut offsets = Vec::with_capacity(rows.len() + 1);
        offsets.push(0);
        let mut column = Vec::with_capacity(rows.iter().map(|r| r.len()).sum());
        for row in &rows {
            column.extend_from_slice(row.as_slice());
            offsets.push(column.len());
        }
        Ok((column, offsets))
    }
}

impl ReadSamples for Hsd {
    fn linked(&self) -> Vec<LinkedPath> {
        self.linked.clone()
    }

    fn events(&self) -> Result<u64> {
        if let Some(rows) = self.direct_times.as_ref().or(self.direct_units.as_ref()) {
            return rows.elements();
        }
        let samples = self.times.size() as u64;
        let blocks = (0..samples).step_by(ROWS_COUNTED as usize);
        let count =
            |start: u64| Ok(*self.times(start..samples.min(start + ROWS_COUNTED))?.1.last().unwrap_or(&0) as u64);
        blocks.map(count).sum()
    }

    fn assumed_unit(&self) -> Option<TimeUnit> {
        self.clocks.time.assumed()
    }

    fn notes(&self) -> Vec<String> {
        self.clocks.notes()
    }

    fn read(&self, samples: Range<u64>) -> Result<RawSamples> {
        let (times, offsets) = self.read_times(samples.clone()).map_err(|error| self.of_all_rows(error))?;
        let direct = self.direct_units.as_ref().map(|rows| rows.coordinates(samples.clone())).transpose()?;
        let (units, unit_offsets) = direct.flatten().map_or_else(|| self.units(samples.clone()), Ok)?;
        if let Some(i) = (1..offsets.len()).find(|&i| offsets[i] != unit_offsets[i]) {
            let (sample, expected) = (samples.start + i as u64 - 1, offsets[i] - offsets[i - 1]);
            let (what, got) = (format!("length of {UNITS}"), unit_offsets[i] - unit_offsets[i - 1]);
            return Err(Error::bad_sample(&self.path, sample, what, format!("{expected}, as {TIMES} has"), got));
        }
        Ok(RawSamples { times, x: units, y: None, p: None, offsets })
    }
}

fn dataset(path: &Path, file: &hdf::File, name: &str) -> Result<Dataset> {
    hdf::dataset(path, file, name, LAYOUT)
}

/// Returns the type of the elements in a dataset's rows. `None` if the rows are not of variable length.
fn element(path: &Path, dataset: &Dataset, name: &str) -> Result<Option<TypeDescriptor>> {
    match descriptor(path, dataset, name)? {
        TypeDescriptor::VarLenArray(element) => Ok(Some(*element)),
        _ => Ok(None),
    }
}

/// Returns the length of a dataset, which must be one-dimensional.
fn rows(path: &Path, dataset: &Dataset, name: &str) -> Result<usize> {
    match dataset.shape()[..] {
        [n] => Ok(n),
        _ => Err(Error::wrong_type(path, name, "one dimension, a sample a row", describe(path, dataset, name)?)),
    }
}
