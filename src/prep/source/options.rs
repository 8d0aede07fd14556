//! Options for opening recordings: the layout, where classes come from, and how a long recording is cut into samples.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{BaseFault, Error, Result};
use crate::event_range::EventRange;
use crate::events::SensorSize;
use crate::source::columns::{Fields, Role, field_text, named_field};
use crate::source::labels::{ClassList, ListedFiles};
use crate::source::layout::Layout;
use crate::source::placing::Placing;
use crate::time_unit::TimeUnit;

/// Options for opening recordings. They add to the information in the files, or replace it.
#[derive(Clone, Debug, Default)]
pub struct SourceOptions {
    /// The layout of the files. Default: detected from their content.
    pub layout: Option<Layout>,
    /// For HDF5 and NumPy files: which fields are the columns t, x, y and p of the events. Default: found by name.
    pub map: Option<Map>,
    /// For files whose events are in one table (an array with several numbers for each event): the order of its
    /// columns.
    pub columns: Option<TableColumns>,
    /// The coordinate of the first pixel, 0 or 1. It is subtracted from x and y.
    pub origin: u8,
    /// Whether the rows of the files are counted from below: y becomes the sensor's height - 1 - y.
    pub flip_y: bool,
    /// Whether each sample is moved so that its lowest x and its lowest y are 0.
    pub to_zero: bool,
    /// The unit of the times in the files. Default: the unit that the file or the layout gives.
    pub time_unit: Option<TimeUnit>,
    /// The sensor size. Needed if the files give no sensor size, or a wrong one.
    pub sensor: Option<SensorSize>,
    /// For bags of ROS: the topic whose events are read. Default: the first topic with events.
    pub topic: Option<String>,
    /// Which range of a recording's events is used. Default: all events.
    pub events: Option<EventRange>,
    /// Whether to undo wraps (counter overflows) of a recording's clock. If false, a wrap is an error.
    pub unwrap: bool,
    /// Whether to accept the times unchanged if the clock has wraps, resets or jumps, or if the assumed unit is
    /// implausible. If false, such times are an error.
    pub allow_clock_trouble: bool,
    /// Whether a damaged file of a camera is read up to the damage, with a warning. If false, the damage is an error.
    pub lenient: bool,
    /// How recordings are cut into samples.
    pub cut: Cut,
    /// Where class labels come from.
    pub labels: LabelSource,
    /// All classes and their order. Default: the classes that are found, in alphabetical order.
    pub classes: Option<ClassList>,
    /// For a folder of recordings: the level of the sub-folders whose names are the classes. Level 1 is directly in the
    /// folder. Default: level 1, with an error if its names are probably not classes.
    pub class_level: Option<usize>,
    /// Which samples of an N-TIDIGITS18 file to use.
    pub digits: Digits,
}

/// How a recording is cut into samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// The recording is one sample. If a table of labels gives intervals, each interval is one sample.
    #[default]
    Whole,
    /// The recording is cut into samples of equal duration.
    Duration {
        /// Duration of a sample in microseconds, at least 1.
        length: i64,
        /// Microseconds by which consecutive samples overlap. Less than `length`.
        overlap: i64,
    },
    /// The recording is cut into samples with an equal number of events.
    Events {
        /// Number of events of a sample, at least 1.
        count: u64,
        /// Number of events that consecutive samples share. Less than `count`.
        overlap: u64,
    },
}

impl Cut {
    /// Makes the cut for these options:
    ///
    /// - `sample_duration`: duration of each sample in microseconds; `sample_overlap` is a time, such as `10ms`.
    /// - `sample_events`: number of events of each sample; `sample_overlap` is a number of events.
    ///
    /// If neither `sample_duration` nor `sample_events` is given, recordings are not cut.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] if the overlap is not shorter than a sample, or if only an overlap is given.
    pub fn of(sample_duration: Option<i64>, sample_events: Option<u64>, sample_overlap: Option<&str>) -> Result<Cut> {
        let wrong = |expected: &str| Error::usage("sample_overlap", expected, sample_overlap.unwrap_or("none"));
        match (sample_duration, sample_events) {
            (Some(length), _) => {
                let time = |text| TimeUnit::Microseconds.read(text).ok().filter(|time| (0..length).contains(time));
                let overlap = sample_overlap.map_or(Some(0), time);
                let overlap = overlap.ok_or_else(|| wrong("a time below `sample_duration`"))?;
                Ok(Cut::Duration { length, overlap })
            }
            (None, Some(count)) => {
                let overlap = sample_overlap.map_or(Some(0), |text| text.parse().ok().filter(|&n| n < count));
                let overlap = overlap.ok_or_else(|| wrong("a number below `sample_events`"))?;
                Ok(Cut::Events { count, overlap })
            }
            (None, None) if sample_overlap.is_some() => Err(wrong("`sample_duration` or `sample_events` with it")),
            (None, None) => Ok(Cut::Whole),
        }
    }
}

impl SourceOptions {
    /// Checks that [`Layout::Map`] comes with the option `map` or `columns`.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`].
    pub fn check(&self) -> Result<()> {
        match self.layout {
            Some(Layout::Map) if self.map.is_none() && self.columns.is_none() => {
                Err(Error::usage("layout map", "`map` with it", "none"))
            }
            _ => Ok(()),
        }
    }

    /// Returns how x and y of the recording `path` become pixels. `sensor` is the sensor size that the file gives.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] if rows are counted from below and the height of the sensor is unknown.
    pub(super) fn placing(&self, path: &Path, sensor: Option<SensorSize>) -> Result<Placing> {
        let flip = match (self.flip_y, self.sensor.or(sensor)) {
            (false, _) => None,
            (true, Some(sensor)) => Some(sensor.height),
            (true, None) => {
                let expected = format!("one with `flip_y`, because {} does not tell it", path.display());
                return Err(Error::usage("sensor", expected, "none"));
            }
        };
        Ok(Placing { origin: self.origin, flip, to_zero: self.to_zero })
    }
}

/// Where class labels come from. If a layout's files label all samples, only [`LabelSource::Own`] is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LabelSource {
    /// The label in the file. If the file has no label: the name of the sub-folder that the file is in.
    #[default]
    Own,
    /// All samples have this class.
    One(String),
    /// The labels in a CSV file, one for each recording or for each interval of a recording.
    Csv(PathBuf),
    /// A list of recordings and classes, which [`dataset_source`](crate::dataset_source) makes.
    Listed(Arc<ListedFiles>),
}

/// Which samples of an N-TIDIGITS18 file to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digits {
    /// Whether to use the training part. If false, the test part is used.
    pub train: bool,
    /// Whether to use only the samples with a single digit.
    pub single: bool,
}

impl Default for Digits {
    fn default() -> Digits {
        Digits { train: true, single: false }
    }
}

/// The order of the columns, such as `t,x,y,p`, in a table: an array with several numbers for each event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumns {
    /// Index of each of the columns t, x, y and p in the table, from 0. `None` if the table lacks the column.
    places: [Option<usize>; 4],
    width: usize,
}

impl TableColumns {
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Returns the index of each of the columns t, x, y and p in the table. `None` if the table lacks the column.
    pub(super) fn places(&self) -> [Option<usize>; 4] {
        self.places
    }
}

impl FromStr for TableColumns {
    type Err = String;

    /// Parses column names, separated by commas. The name `_` stands for an unused column.
    fn from_str(text: &str) -> std::result::Result<TableColumns, String> {
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        let mut places = [None; 4];
        for (i, name) in names.iter().enumerate().filter(|(_, name)| **name != "_") {
            let role = Role::of(name).ok_or_else(|| format!("{name:?} is none of t, x, y, p and _"))?;
            if places[role as usize].replace(i).is_some() {
                return Err(format!("{} is there twice", role.name()));
            }
        }
        match places {
            [Some(_), Some(_), ..] => Ok(TableColumns { places, width: names.len() }),
            _ => Err("expected t and x at least, and y and p if there are any, such as t,x,y,p".into()),
        }
    }
}

/// The name of a field as a user writes it: `PATH` or `PATH[N]`. `N`, from 0, is a column of a two-dimensional array,
/// or an element of an array in a record.
pub(super) type DatasetPath = (String, Option<usize>);

/// Which fields of a file are the columns of events: arrays, columns of two-dimensional arrays, or members of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Path of the field with the time of each event.
    pub t: DatasetPath,
    /// Path of the field with the pixel column or channel of each event.
    pub x: DatasetPath,
    /// Path of the field with the pixel row of each event. `None` for a sensor of one row.
    pub y: Option<DatasetPath>,
    /// Path of the field with the polarity of each event: 0 or -1 is off, 1 is on. `None` if the events have no
    /// polarity.
    pub p: Option<DatasetPath>,
    /// Path of an array with one number or one name: the recording's class.
    pub label: Option<String>,
}

impl Map {
    /// Converts the map to fields of a file. `exists` returns whether the file has an array of a given name.
    pub(super) fn fields(&self, exists: impl Fn(&str) -> bool) -> Fields {
        let field = |place: &DatasetPath| named_field(&place.0, place.1, &exists);
        [Some(&self.t), Some(&self.x), self.y.as_ref(), self.p.as_ref()].map(|place| place.map(field))
    }
}

impl FromStr for Map {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Map, String> {
        let (mut places, mut label) = ([None, None, None, None], None);
        for part in field_text::parts(text) {
            let (key, place) = part.split_once('=').ok_or_else(|| format!("{part:?} is no t=PATH or the like"))?;
            let (key, place) = (key.trim(), place.trim());
            if place.is_empty() {
                return Err(format!("{key} has no path"));
            }
            let again = match (key, ["t", "x", "y", "p"].iter().position(|name| *name == key)) {
                (_, Some(i)) => places[i].replace(column(place)?).is_some(),
                ("label", _) => label.replace(field_text::unquote(place)?.0).is_some(),
                _ => return Err(format!("{key} is none of t, x, y, p and label")),
            };
            if again {
                return Err(format!("{key} is there twice"));
            }
        }
        match places {
            [Some(t), Some(x), y, p] => Ok(Map { t, x, y, p, label }),
            _ => Err("expected t=PATH,x=PATH at least, and y=PATH, p=PATH, label=PATH if there are any".into()),
        }
    }
}

/// Parses `PATH` or `PATH[N]`, with or without quotes around the path.
fn column(text: &str) -> std::result::Result<DatasetPath, String> {
    let (name, rest) = field_text::unquote(text)?;
    let number = rest.unwrap_or(text).strip_suffix(']').and_then(|text| text.rsplit_once('['));
    match number.map(|(path, number)| (if rest.is_some() { &name } else { path }, number)) {
        None if rest.is_none_or(str::is_empty) => Ok((name, None)),
        None => Err(format!("{text} has {:?} after the quotes", rest.unwrap_or_default())),
        Some((path, number)) => {
            let number = number.parse().map_err(|_| format!("{number:?} is no number of a column"))?;
            Ok((path.into(), Some(number)))
        }
    }
}
