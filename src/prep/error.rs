//! Errors of recordings and recipes.

use std::fmt::Display;
use std::path::{Path, PathBuf};

pub(crate) use tonic_base::BaseFault;
use tonic_base::Error as BaseError;
use tonic_shard::Error as ShardError;

use crate::source::{EventRange, TimeUnit};

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What to give when a recording is opened again, so that an error goes away: the values of options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A map that names the columns. FIELD stands for a field that the user knows.
    Map(String),
    /// The order of a table's columns.
    Columns(String),
    /// A sensor size.
    Sensor(String),
    /// The unit of times.
    Unit(TimeUnit),
    /// A command that writes another file, which is read.
    Copy {
        /// The words of the command.
        words: Vec<String>,
        /// The file that it writes.
        file: String,
        /// What to give when that is opened.
        with: Vec<Remedy>,
    },
}

/// What to do about a clock that does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClockRemedy {
    /// Wraps can be undone.
    Unwrap,
    /// The recording has parts, largest first. A row of a dataset has none.
    Parts(Vec<EventRange>),
    /// It can be sorted.
    Sort,
    /// These events have to be taken out.
    TakeOut(EventRange),
}

/// Errors of reading recordings and of recipes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the operating system or of a setting.
    #[error("{0}")]
    Base(#[from] BaseError),
    /// An error of a shard set.
    #[error("{0}")]
    Shard(#[from] ShardError),
    /// A file that is not an HDF5 file, or a folder that is not a folder of recordings.
    #[error("{}: expected {expected}, got {got}", .path.display())]
    NotARecording {
        /// The file or folder.
        path: PathBuf,
        /// What a recording of this kind is or contains.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A recording that lacks a dataset of its layout.
    #[error("{}: expected a dataset {dataset} ({layout} layout), got none; the file has {present}", .path.display())]
    MissingDataset {
        /// Path of the recording.
        path: PathBuf,
        /// Path of the dataset in the file.
        dataset: String,
        /// The layout that requires it.
        layout: &'static str,
        /// The datasets of the file, with their types and shapes.
        present: String,
    },
    /// A dataset whose type or shape does not fit the layout.
    #[error("{}: {dataset}: expected {expected}, got {got}", .path.display())]
    WrongType {
        /// Path of the recording.
        path: PathBuf,
        /// Path of the dataset in the file.
        dataset: String,
        /// The type or shape that the layout requires.
        expected: String,
        /// The type or shape in the file.
        got: String,
    },
    /// A recording that is damaged or truncated, so that its data cannot be read.
    #[error("{}: {place}: cannot be read: {reason}", .path.display())]
    DamagedRecording {
        /// Path of the recording.
        path: PathBuf,
        /// The dataset and samples that cannot be read.
        place: String,
        /// Why, for example libhdf5's message.
        reason: String,
    },
    /// Data that a file promises but that is not there. libhdf5 reads the fill value in its place, usually zero.
    #[error("{}: {dataset}: {what}", .path.display())]
    MissingData {
        /// The file.
        path: PathBuf,
        /// Path of the dataset in the file.
        dataset: String,
        /// Which events are missing, and where they should be.
        what: String,
        /// How the data came to be missing.
        absence: Absence,
    },
    /// A sample whose data are inconsistent or do not fit the sensor.
    #[error("{}: sample {sample}: {what}: expected {expected}, got {got}", .path.display())]
    BadSample {
        /// Path of the recording.
        path: PathBuf,
        /// Index of the sample in the file.
        sample: u64,
        /// The value that is wrong.
        what: String,
        /// What the layout or the sensor allows.
        expected: String,
        /// What the file has.
        got: String,
    },
    /// A sample with too many events to load into memory.
    #[error("{}: sample {sample}: events: expected at most {most}, got {got}", .path.display())]
    SampleTooLarge {
        /// Path of the recording.
        path: PathBuf,
        /// Index of the sample in the file.
        sample: u64,
        /// Maximum number of events per sample.
        most: u64,
        /// Number of events of the sample.
        got: u64,
    },
    /// An event outside the sensor.
    #[error("{}: sample {sample}: event {event}: expected {expected}, got {got}", .path.display())]
    OutsideSensor {
        /// Path of the recording.
        path: PathBuf,
        /// Index of the sample in the file.
        sample: u64,
        /// Index of the event in the sample.
        event: u64,
        /// The range that the sensor allows.
        expected: String,
        /// The event's coordinates.
        got: String,
        /// The coordinate of the first pixel that the coordinates of the sample seem to be counted from, if another one
        /// was assumed.
        origin: Option<u8>,
    },
    /// Fields that do not fit the columns t, x, y and p, or several that do.
    #[error("{}: {place}: expected {expected}, got {got}", .path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// The group or array.
        place: String,
        /// What the columns have to be.
        expected: String,
        /// The fields that are there.
        got: String,
        /// The ways out.
        remedies: Vec<Remedy>,
    },
    /// Coordinates that are fractions inside one pixel.
    #[error(
        "{}: {field}: expected pixels, got fractions from {least} to {most}: fractional coordinates inside one pixel are not pixels",
        .path.display()
    )]
    NotPixels {
        /// The file.
        path: PathBuf,
        /// The field of the coordinates.
        field: String,
        /// The smallest coordinate.
        least: f64,
        /// The largest coordinate.
        most: f64,
    },
    /// A file, or a part of one, whose format is not supported. The error names the format and a way to convert it.
    #[error(
        "{}: {}expected {expected}, got {format}: {reader}",
        .path.display(), if .place.is_empty() { String::new() } else { format!("{}: ", .place) }
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The part of the file. Empty if it is the whole file.
        place: String,
        /// What is read there.
        expected: String,
        /// The format's name.
        format: String,
        /// What reads or converts it.
        reader: String,
        /// A command that converts it.
        command: Option<Box<Remedy>>,
    },
    /// Times that cannot be in the unit that was assumed.
    #[error("{}: {place}: expected {expected}, got {got}", .path.display())]
    ImplausibleTimes {
        /// The file.
        path: PathBuf,
        /// The sample, and that it is its times.
        place: String,
        /// What a recording's times are like.
        expected: String,
        /// How long the events last in the assumed unit, and in the probable one.
        got: String,
        /// The unit that was assumed.
        assumed: TimeUnit,
        /// The unit that the times probably are in.
        probable: Option<TimeUnit>,
    },
    /// A recording whose clock wraps, starts again or jumps, or which is not in order of time.
    #[error("{}: {place}: expected a clock that goes on, got {got}", .path.display())]
    ClockTrouble {
        /// The file.
        path: PathBuf,
        /// The sample, and that it is its times.
        place: String,
        /// What happens at which event.
        got: String,
        /// The way out.
        remedy: ClockRemedy,
    },
    /// A file whose layout is not recognised.
    #[error("{}: no layout fits: looked for {looked}; {has}", .path.display())]
    UnknownLayout {
        /// Path of the recording.
        path: PathBuf,
        /// The known layouts, and how each is recognised.
        looked: String,
        /// What the file has.
        has: String,
        /// Maps of its columns, as far as their content shows them: one for each place that may be a camera.
        maps: Vec<Remedy>,
    },
    /// A folder whose sub-folders are probably not its classes.
    #[error("{}: expected a folder for each class, got {got}", .path.display())]
    NotClasses {
        /// The folder.
        path: PathBuf,
        /// Names of the sub-folders.
        got: String,
        /// What the sub-folders probably are.
        kind: FolderKind,
    },
    /// A class that is not in the caller's list of classes.
    #[error("{}{}: expected classes of {} ({expected}), got {got}", .path.display(), .line.map_or(String::new(), |line| format!(": line {line}")), .list.display())]
    UnknownClass {
        /// The recording, or the table of labels.
        path: PathBuf,
        /// Line of the table, counted from 1.
        line: Option<usize>,
        /// The file or set that the list is from.
        list: PathBuf,
        /// The classes of the list.
        expected: String,
        /// The classes that it lacks.
        got: String,
    },
    /// A table or a list that is not text in UTF-8.
    #[error("{}: line {line}: expected text in UTF-8, got {got}", .path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Line number, counted from 1.
        line: usize,
        /// What the line has.
        got: String,
        /// The encoding, by iconv's name; `None` if it is unknown.
        encoding: Option<&'static str>,
    },
    /// A table of labels with an invalid line.
    #[error("{}: line {line}: expected {expected}, got {got}", .path.display())]
    BadTable {
        /// The CSV file.
        path: PathBuf,
        /// Line number, counted from 1.
        line: usize,
        /// What the line must have.
        expected: String,
        /// What the line has.
        got: String,
    },
    /// A conversion that lost more events than the caller allows.
    #[error("{}: expected at most {most} of the events to be lost, got {got}: {reasons}", .path.display())]
    TooMuchLost {
        /// Directory of the set.
        path: PathBuf,
        /// The share that may be lost.
        most: String,
        /// The share that was lost.
        got: String,
        /// What was lost, and the likely causes.
        reasons: String,
        /// Whether all samples have been converted, and a resumed conversion only has to complete the set.
        converted: bool,
    },
    /// A recipe that cannot be parsed or is invalid.
    #[error(
        "recipe{}: {place}: expected {expected}, got {got}",
        .path.as_ref().map_or(String::new(), |path| format!(" {}", path.display()))
    )]
    BadRecipe {
        /// Path of the recipe, if it came from a file.
        path: Option<PathBuf>,
        /// The transform and the parameter.
        place: String,
        /// What is allowed.
        expected: String,
        /// What was found.
        got: String,
    },
}

/// How data came to be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// A source of a virtual dataset is missing or too small.
    VirtualSource,
    /// An external raw file is missing or too short.
    RawFile,
    /// Chunks were never written.
    NeverWritten,
    /// A link leads nowhere.
    Link,
}

/// What the sub-folders of a folder of recordings are, if they are not its classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderKind {
    /// Parts of a dataset, such as train and test: their names.
    Parts(Vec<String>),
    /// Classes, each of which has parts of a dataset as its sub-folders.
    PartsOfEach,
    /// Persons, sessions and the like, with recordings in them and no folders.
    Groups,
    /// Persons, sessions or a folder around all. The classes are probably the folders of this level, counted from 1.
    Above(usize),
}

impl Error {
    pub(crate) fn not_a_recording(path: &Path, expected: impl Into<String>, got: impl Into<String>) -> Error {
        Error::NotARecording { path: path.into(), expected: expected.into(), got: got.into() }
    }

    pub(crate) fn wrong_type(path: &Path, dataset: &str, expected: impl Into<String>, got: impl Display) -> Error {
        Error::WrongType { path: path.into(), dataset: dataset.into(), expected: expected.into(), got: got.to_string() }
    }

    pub(crate) fn damaged(path: &Path, place: impl Into<String>, reason: impl Display) -> Error {
        Error::DamagedRecording { path: path.into(), place: place.into(), reason: reason.to_string() }
    }

    pub(crate) fn bad_sample(
        path: &Path,
        sample: u64,
        what: impl Into<String>,
        expected: impl Into<String>,
        got: impl Display,
    ) -> Error {
        let (what, expected, got) = (what.into(), expected.into(), got.to_string());
        Error::BadSample { path: path.into(), sample, what, expected, got }
    }
}
