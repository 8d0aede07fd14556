//! Errors of recordings and recipes.

mod makers;

use std::path::PathBuf;

pub(crate) use tonic_base::BaseFault;
use tonic_base::Error as BaseError;
use tonic_shard::Error as ShardError;

use crate::reason::{Absence, FolderKind};
use crate::remedy::{ClockRemedy, Remedy};
use crate::time_unit::TimeUnit;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of reading recordings and of recipes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error that is not specific to recordings, for example an error of the operating system.
    #[error("{0}")]
    Base(#[from] BaseError),
    /// An error of a shard set.
    #[error("{0}")]
    Shard(#[from] ShardError),
    /// A file that cannot be read as a recording, or a folder without the expected recordings.
    #[error("{}: expected {expected}, got {got}", .path.display())]
    NotARecording {
        /// The file or folder.
        path: PathBuf,
        /// The expected kind of file, or the expected content of the folder.
        expected: String,
        /// What was found instead.
        got: String,
    },
    /// A folder that does not hold the complete download of a data set.
    #[error("{}: expected {expected}, as in the download of {title}, got {got}", .path.display())]
    NotADownload {
        /// The file or folder that is not as expected.
        path: PathBuf,
        /// The folder that the user has named.
        dir: PathBuf,
        /// Name of the data set on the command line.
        dataset: &'static str,
        /// Name of the data set in its publication.
        title: &'static str,
        /// What the download has at `path`.
        expected: String,
        /// What was found instead.
        got: String,
    },
    /// A recording that lacks a dataset of its layout.
    #[error("{}: expected a dataset {dataset} ({layout} layout), got none; the file has {present}", .path.display())]
    MissingDataset {
        /// Path of the recording.
        path: PathBuf,
        /// Path of the dataset in the file.
        dataset: String,
        /// Name of the layout that requires the dataset.
        layout: &'static str,
        /// The datasets of the file, with their types and shapes.
        present: String,
    },
    /// A dataset or array whose type, shape or length does not fit the layout.
    #[error("{}: {dataset}: expected {expected}, got {got}", .path.display())]
    WrongType {
        /// Path of the recording.
        path: PathBuf,
        /// Path of the dataset in the file.
        dataset: String,
        /// The required type, shape or length.
        expected: String,
        /// The type, shape or length in the file.
        got: String,
        /// Whether the user can name another dataset with the option `map`.
        mapped: bool,
    },
    /// A recording whose data is damaged or truncated.
    #[error("{}: {place}: cannot be read: {reason}", .path.display())]
    DamagedRecording {
        /// Path of the recording.
        path: PathBuf,
        /// The dataset and samples that cannot be read.
        place: String,
        /// Why the data cannot be read, for example libhdf5's message.
        reason: String,
    },
    /// A camera's file that has damaged bytes or was cut short.
    #[error("{}: byte {at}: expected {expected}, got {got}; the {events} events before it are whole", .path.display())]
    DamagedBytes {
        /// Path of the recording.
        path: PathBuf,
        /// Offset of the damaged bytes in the file, in bytes.
        at: u64,
        /// What the format requires at this place.
        expected: String,
        /// What the file has at this place.
        got: String,
        /// Number of events before the damage.
        events: u64,
    },
    /// A line of a text file that does not hold a valid event.
    #[error("{}: line {line}{place}: expected {expected}, got {got}; the {events} events before it are whole", .path.display())]
    BadRow {
        /// Path of the recording.
        path: PathBuf,
        /// Number of the line, counted from 1.
        line: u64,
        /// Text that names the wrong column, such as `, column x`. Empty if the whole line is wrong.
        place: String,
        /// What the line, or the column, should have.
        expected: String,
        /// What the line, or the column, has.
        got: String,
        /// Number of events before the line.
        events: u64,
    },
    /// Data that a file declares but does not contain. libhdf5 would read the fill value instead, usually zero.
    #[error("{}: {dataset}: {what}", .path.display())]
    MissingData {
        /// The file.
        path: PathBuf,
        /// Path of the dataset in the file.
        dataset: String,
        /// Which events are missing, and where they should be according to the file.
        what: String,
        /// Why the data is missing.
        absence: Absence,
    },
    /// A sample whose data is inconsistent, or that a step of the recipe cannot handle.
    #[error("{}: sample {sample}: {what}: expected {expected}, got {got}", .path.display())]
    BadSample {
        /// Path of the recording.
        path: PathBuf,
        /// Index of the sample in the file.
        sample: u64,
        /// The dataset that has the wrong value, or the step of the recipe that cannot handle the sample.
        what: String,
        /// The values that the layout or the step of the recipe allows.
        expected: String,
        /// The values that were found in the file, or computed in the step of the recipe.
        got: String,
    },
    /// A sample that needs more memory than is free.
    #[error(
        "{}: sample {sample}: expected about {needed} of free memory, because {step} needs all of its {events} events at \
         once{}, got {free}",
        .path.display(), if *.samples > 1 { format!(" ({samples} such samples at the same time)") } else { String::new() }
    )]
    TooLittleMemory {
        /// Path of the recording.
        path: PathBuf,
        /// Index of the sample in the file.
        sample: u64,
        /// Number of events of the sample.
        events: u64,
        /// Number of large samples that are in memory at the same time.
        samples: usize,
        /// The step of the recipe that needs all events at once: a transform or the framing.
        step: &'static str,
        /// Memory that is needed, with its unit.
        needed: String,
        /// Free memory, with its unit.
        free: String,
    },
    /// A sample with too many events to load into memory.
    #[error("{}: sample {sample}: events: expected at most {most}, because {step} needs all of them at once, got {got}", .path.display())]
    SampleTooLarge {
        /// The step that needs all events at once.
        step: &'static str,
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
        /// The coordinates that the sensor allows.
        expected: String,
        /// The event's coordinates.
        got: String,
        /// A value for the option `origin`, 0 or 1, with which the recording would fit the sensor.
        origin: Option<u8>,
        /// The lowest x and the lowest y of the recording, if many of its events have a negative x or y.
        lowest: Option<[i64; 2]>,
    },
    /// An event whose x or y is not a finite number.
    #[error("{}: sample {sample}: event {event}: expected x and y that are finite, got {got}", .path.display())]
    NoPixel {
        /// Path of the recording.
        path: PathBuf,
        /// Index of the sample in the file.
        sample: u64,
        /// Index of the event in the sample.
        event: u64,
        /// The event's coordinates.
        got: String,
    },
    /// A file that has no events, so it doesn't show which columns its events would have.
    #[error("{}: expected events, got {got}", .path.display())]
    NoEvents {
        /// Path of the recording.
        path: PathBuf,
        /// What the file has in place of events, such as an empty array.
        got: String,
    },
    /// Fields that cannot be read as the columns t, x, y and p.
    #[error("{}: {place}: expected {expected}, got {got}", .path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// The group, array or field that causes the error.
        place: String,
        /// The columns or values that are needed.
        expected: String,
        /// The fields or values that the file has.
        got: String,
        /// Ways to avoid the error. Empty if none is known.
        remedies: Vec<Remedy>,
    },
    /// Coordinates that are not pixels: fractions that all lie inside one pixel, or all in a corner of the sensor.
    #[error(
        "{}: {field}: expected pixels, got fractions from {least} to {most}: fractions inside one pixel or a corner of the sensor are not pixels",
        .path.display()
    )]
    NotPixels {
        /// The file.
        path: PathBuf,
        /// Name of the field with the coordinates.
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
        /// The part of the file that has this format. Empty for the whole file.
        place: String,
        /// The format or content that the file, or this part of it, should have.
        expected: String,
        /// Name of the format that was found.
        format: String,
        /// The tool or the steps that read or convert the format.
        reader: String,
        /// The command that converts the file, if there is one.
        command: Option<Box<Remedy>>,
    },
    /// Times that cannot be in the unit that was assumed for them.
    #[error("{}: {place}: expected {expected}, got {got}", .path.display())]
    ImplausibleTimes {
        /// The file.
        path: PathBuf,
        /// Name of the wrong times in the message, such as `sample 3: times`.
        place: String,
        /// The expected duration, or the expected number of frames.
        expected: String,
        /// The duration of the events in the assumed unit, and in the probable unit.
        got: String,
        /// The unit that was assumed.
        assumed: TimeUnit,
        /// The unit that the times probably have. `None` if no other unit is plausible.
        probable: Option<TimeUnit>,
        /// Whether the other recordings, or the other samples of the file, fit the assumed unit. `false` if unknown.
        alone: bool,
    },
    /// An attribute of a file gives a unit of time other than s, ms, us and ns.
    #[error("{}: {place}: expected a unit of time (s, ms, us or ns), got {got}", .path.display())]
    OddUnit {
        /// The file.
        path: PathBuf,
        /// Name of the attribute, and path of the dataset or group that has it.
        place: String,
        /// Value of the attribute.
        got: String,
        /// Length of the unit in microseconds: 10 if the attribute is `10 us`. `None` for an unclear attribute.
        multiple: Option<f64>,
    },
    /// A recording whose times wrap, start again, jump or are out of order.
    #[error("{}: {place}: expected a clock that goes on, got {got}", .path.display())]
    ClockTrouble {
        /// The file.
        path: PathBuf,
        /// Name of the wrong times in the message, such as `sample 3: times`.
        place: String,
        /// What is wrong with the times, and at which event.
        got: String,
        /// What the user can do about the times.
        remedy: ClockRemedy,
        /// If wraps of a counter may explain the times: the period of this counter, in the file's unit of time.
        period: Option<Box<str>>,
    },
    /// A file whose layout is not recognised.
    #[error("{}: no layout fits: looked for {looked}; {has}", .path.display())]
    UnknownLayout {
        /// Path of the recording.
        path: PathBuf,
        /// The known layouts, and how each is recognised.
        looked: String,
        /// What the file has in place of events, such as an empty array.
        has: String,
        /// Probable values for the option `map`, one for each group of arrays that could be the events of a camera.
        maps: Vec<Remedy>,
    },
    /// A folder whose sub-folders are probably not its classes.
    #[error("{}: expected a folder for each class, got {got}", .path.display())]
    NotClasses {
        /// The folder.
        path: PathBuf,
        /// Names of the sub-folders, and what they probably are.
        got: String,
        /// What the sub-folders probably are.
        kind: FolderKind,
    },
    /// A class that is not in the caller's list of classes.
    #[error("{}{}: expected classes of {} ({expected}), got {got}", .path.display(), .line.map_or(String::new(), |line| format!(": line {line}")), .list.display())]
    UnknownClass {
        /// The recording or the table of labels that has the unknown class.
        path: PathBuf,
        /// Line of the table of labels, counted from 1. `None` if the classes don't come from a table.
        line: Option<usize>,
        /// The file or set that the list of classes comes from.
        list: PathBuf,
        /// The classes of the list.
        expected: String,
        /// The classes that the list does not contain.
        got: String,
    },
    /// A table of labels or a list of classes that is not text in UTF-8.
    #[error("{}: line {line}: expected text in UTF-8, got {got}", .path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Number of the line with the first wrong byte, counted from 1.
        line: usize,
        /// The encoding, the format or the byte that was found instead of UTF-8.
        got: String,
        /// The encoding of the file, as iconv names it. `None` if it is unknown.
        encoding: Option<&'static str>,
    },
    /// A table of labels or a list of classes with an invalid line.
    #[error("{}: line {line}: expected {expected}, got {got}", .path.display())]
    BadTable {
        /// The file with the table or the list.
        path: PathBuf,
        /// Number of the invalid line, counted from 1.
        line: usize,
        /// What the invalid line must have.
        expected: String,
        /// What the invalid line has.
        got: String,
    },
    /// A conversion that lost more events than the caller allows.
    #[error("{}: expected at most {most} of the events to be lost, got {got}: {reasons}", .path.display())]
    TooMuchLost {
        /// Directory of the set.
        path: PathBuf,
        /// The share of the events that may be lost, as text such as `10%`.
        most: String,
        /// The share and the number of events that were lost.
        got: String,
        /// What each step lost, and the likely causes.
        reasons: String,
        /// Whether all samples were converted, and only the manifest is missing. If false, no sample was converted.
        converted: bool,
    },
    /// A recipe that cannot be parsed or is invalid.
    #[error("recipe{}: {place}: expected {expected}, got {got}", .path.as_ref().map_or(String::new(), |path| format!(" {}", path.display())))]
    BadRecipe {
        /// Path of the recipe, if it was read from a file or set.
        path: Option<PathBuf>,
        /// The transform and the parameter, or the line of the TOML.
        place: String,
        /// What the recipe can have at this place.
        expected: String,
        /// What the recipe has at this place.
        got: String,
    },
}
