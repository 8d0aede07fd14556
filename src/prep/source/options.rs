//! What users say of their recordings: the layout, the class, and how long ones are cut into samples.

use std::path::PathBuf;
use std::str::FromStr;

use super::super::events::SensorSize;
use super::Layout;
use super::unit::TimeUnit;

/// What is known of recordings beside the files themselves.
#[derive(Clone, Debug, Default)]
pub struct SourceOptions {
    /// The layout, instead of what the content tells.
    pub layout: Option<Layout>,
    /// Where the columns are, for [`Layout::Map`].
    pub map: Option<Map>,
    /// What times count, instead of the layout's unit.
    pub time_unit: Option<TimeUnit>,
    /// The sensor, where the files do not tell it or tell it wrong.
    pub sensor: Option<SensorSize>,
    /// How recordings become samples.
    pub cut: Cut,
    /// Where classes come from.
    pub labels: Labels,
    /// Which samples of an N-TIDIGITS18 file.
    pub digits: Digits,
}

/// How a recording becomes samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// It is one; or one for each labelled interval, if there are any.
    #[default]
    Whole,
    /// Pieces of this duration.
    Duration {
        /// Microseconds, at least 1.
        length: i64,
        /// Microseconds from the end of one sample that are in the next too, fewer than its length.
        overlap: i64,
    },
    /// Pieces of so many events.
    Events {
        /// Events, at least 1.
        count: u64,
        /// Events at the end of one sample that are in the next too, fewer than its count.
        overlap: u64,
    },
}

/// Where classes come from, for layouts that have none of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Labels {
    /// From the files, or from the folders that they are in.
    #[default]
    Own,
    /// All samples are of this class.
    One(String),
    /// From a CSV file: of files, or of intervals of a recording.
    Csv(PathBuf),
}

/// Which samples of an N-TIDIGITS18 file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digits {
    /// Those of the training part, else of the test part.
    pub train: bool,
    /// Single digits only.
    pub single: bool,
}

impl Default for Digits {
    fn default() -> Digits {
        Digits { train: true, single: false }
    }
}

/// A dataset's path in a file, and which of its columns, if it has several.
pub type Place = (String, Option<usize>);

/// Where a file has its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// When.
    pub t: Place,
    /// Pixel column or channel.
    pub x: Place,
    /// Pixel row.
    pub y: Option<Place>,
    /// Polarity.
    pub p: Option<Place>,
    /// The recording's class.
    pub label: Option<String>,
}

impl FromStr for Map {
    type Err = String;

    fn from_str(text: &str) -> Result<Map, String> {
        let (mut places, mut label) = ([None, None, None, None], None);
        for part in text.split(',') {
            let (key, place) = part.split_once('=').ok_or_else(|| format!("{part:?} is no t=PATH or the like"))?;
            let (key, place) = (key.trim(), place.trim());
            if place.is_empty() {
                return Err(format!("{key} has no path"));
            }
            let again = match (key, ["t", "x", "y", "p"].iter().position(|name| *name == key)) {
                (_, Some(i)) => places[i].replace(column(place)?).is_some(),
                ("label", _) => label.replace(place.to_string()).is_some(),
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

/// `PATH` or `PATH[N]`.
fn column(text: &str) -> Result<Place, String> {
    match text.strip_suffix(']').and_then(|text| text.rsplit_once('[')) {
        None => Ok((text.into(), None)),
        Some((path, number)) => {
            let number = number.parse().map_err(|_| format!("{number:?} is no number of a column"))?;
            Ok((path.into(), Some(number)))
        }
    }
}
