//! Options for opening recordings: the layout, where classes come from, and how a long recording is cut into samples.

use std::path::PathBuf;
use std::str::FromStr;

use crate::events::SensorSize;
use crate::source::class_list::ClassList;
use crate::source::columns::{Fields, Role, named_field};
use crate::source::event_range::EventRange;
use crate::source::field_text;
use crate::source::layout::Layout;
use crate::source::unit::TimeUnit;

/// Options for opening recordings. They give or replace information in the files.
#[derive(Clone, Debug, Default)]
pub struct SourceOptions {
    /// The layout. Default: detected from the content.
    pub layout: Option<Layout>,
    /// The fields of the columns, for HDF5 and NumPy files. Default: found by their names.
    pub map: Option<Map>,
    /// The order of a table's columns, for files with one array of several numbers for each event.
    pub columns: Option<TableColumns>,
    /// The coordinate of the first pixel, 0 or 1. It is subtracted from x and y.
    pub origin: u8,
    /// The unit of times. Default: the layout's unit.
    pub time_unit: Option<TimeUnit>,
    /// The sensor size, if the files do not give it or give a wrong one.
    pub sensor: Option<SensorSize>,
    /// The events of a recording that are used. Default: all.
    pub events: Option<EventRange>,
    /// Undo wraps of a recording's clock. Otherwise they are an error.
    pub unwrap: bool,
    /// Take times as they are, even if the clock wraps, starts again or jumps, or if they cannot be in the layout's
    /// unit. Otherwise this is an error.
    pub allow_clock_trouble: bool,
    /// How recordings are cut into samples.
    pub cut: Cut,
    /// Where class labels come from.
    pub labels: LabelSource,
    /// All classes and their order. Default: the classes that are found, in alphabetical order.
    pub classes: Option<ClassList>,
    /// The level of a folder's sub-folders that are its classes, counted from 1. Default: 1, if these may be classes.
    pub class_level: Option<usize>,
    /// Which samples of an N-TIDIGITS18 file to use.
    pub digits: Digits,
}

/// How a recording is cut into samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// The recording is one sample. If it has labelled intervals, each interval is one sample.
    #[default]
    Whole,
    /// Pieces of this duration.
    Duration {
        /// Duration in microseconds, at least 1.
        length: i64,
        /// Microseconds by which consecutive samples overlap. Less than `length`.
        overlap: i64,
    },
    /// Pieces with this number of events.
    Events {
        /// Number of events, at least 1.
        count: u64,
        /// Number of events that consecutive samples share. Less than `count`.
        overlap: u64,
    },
}

/// Where class labels come from, for layouts without labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LabelSource {
    /// From the files, or from the names of their folders.
    #[default]
    Own,
    /// All samples have this class.
    One(String),
    /// From a CSV file with a label per file, or per interval of a recording.
    Csv(PathBuf),
}

/// Which samples of an N-TIDIGITS18 file to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digits {
    /// Use the training part if true, the test part if false.
    pub train: bool,
    /// Use only the samples with a single digit.
    pub single: bool,
}

impl Default for Digits {
    fn default() -> Digits {
        Digits { train: true, single: false }
    }
}

/// The order of a table's columns, such as `t,x,y,p`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumns {
    /// For each of t, x, y and p, the number of its column.
    places: [Option<usize>; 4],
    width: usize,
}

impl TableColumns {
    /// Number of columns of the table.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// For each of t, x, y and p, the number of its column.
    pub(super) fn places(&self) -> [Option<usize>; 4] {
        self.places
    }
}

impl FromStr for TableColumns {
    type Err = String;

    /// Parses names of columns in their order, with `_` for a column that is not used.
    fn from_str(text: &str) -> Result<TableColumns, String> {
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

/// The path of an array, or of a member of its records, and the column index if the array is a table.
pub(super) type DatasetPath = (String, Option<usize>);

/// Which fields of a file are the columns of events: arrays, columns of tables, or members of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Time of each event, in the unit of the options.
    pub t: DatasetPath,
    /// Pixel column or channel of each event, from 0.
    pub x: DatasetPath,
    /// Pixel row of each event, from 0. `None` for a sensor of one row.
    pub y: Option<DatasetPath>,
    /// Polarity of each event: 0 or -1 is off, 1 is on. `None` if events have none.
    pub p: Option<DatasetPath>,
    /// Path of a dataset with one number or one name: the recording's class.
    pub label: Option<String>,
}

impl Map {
    /// The fields of the columns, in a file. `exists` returns whether the file has an array.
    pub(super) fn fields(&self, exists: impl Fn(&str) -> bool) -> Fields {
        let field = |place: &DatasetPath| named_field(&place.0, place.1, &exists);
        [Some(&self.t), Some(&self.x), self.y.as_ref(), self.p.as_ref()].map(|place| place.map(field))
    }
}

impl FromStr for Map {
    type Err = String;

    fn from_str(text: &str) -> Result<Map, String> {
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

/// Parses `PATH` or `PATH[N]`, the path in quotes or without.
fn column(text: &str) -> Result<DatasetPath, String> {
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
