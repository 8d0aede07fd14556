//! The arguments of every command that reads recordings: layout, sensor, samples and labels.

use std::path::PathBuf;

use clap::Args;
use tonic_prep::{
    ClassList, Cut, Digits, EventRange, LabelSource, Layout, Map, SensorSize, SourceOptions, TableColumns, TimeUnit,
    dataset_source,
};

use crate::set_description::description_of;

/// Heading in `--help` of the arguments for reading recordings.
const HEADING: &str = "Recordings";

/// Options for reading, cutting and labelling recordings.
#[derive(Args)]
pub(crate) struct SourceArgs {
    /// The data set that the folder is the download of, such as nmnist, dvsgesture or ssc. Its files, classes, sensor
    /// and units are then known. `tonic-prep datasets` lists the names
    #[arg(long, value_name = "NAME", conflicts_with_all = ["origin", "digits"], help_heading = HEADING)]
    dataset: Option<String>,
    /// Part of the data set to convert, such as test, or one of its recordings [default: train, or all if the set has
    /// no parts]
    #[arg(long, value_name = "NAME", requires = "dataset", help_heading = HEADING)]
    split: Option<String>,
    /// Layout of the recordings, instead of the one recognised by their content: hsd (SHD, SSC), ntidigits
    /// (N-TIDIGITS18), dsec (DSEC, TUM-VIE: events/t), e2vid (events/ts), mvsec (davis/left/events), prophesee
    /// (CD/events), npy, npz, mat (MATLAB 5), map; of cameras: evt2, evt21, evt3 (Prophesee RAW), dat, aedat2, aedat3,
    /// aedat4, rosbag, es (Event Stream), nmnist (.bin), csv (text); of data sets: smnist (images of MNIST), stmnist,
    /// ebssa. `tonic-prep layouts` says what tells them apart
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    layout: Option<Layout>,
    /// Fields of an HDF5, NumPy or MATLAB file to read as columns, instead of those found by their names:
    /// t=FIELD,x=FIELD and, if the file has them, y=FIELD,p=FIELD,label=FIELD. A field is a dataset or array
    /// (`events/t`; of a struct `TD/ts`), a member of records (`events.t`; in .npy `t`) or a column of a table
    /// (`events[2]`). The field for label has one number or one name: the class of the file. Put a name with a comma or
    /// brackets in double quotes: 't="time, s",x=col'
    #[arg(long, value_name = "t=FIELD,...", help_heading = HEADING)]
    map: Option<Map>,
    /// Order of the columns of a table (a plain array of numbers, with one event per row or per column): t,x,y,p or
    /// another order. `_` is a column that is not used, such as one with row numbers
    #[arg(long, value_name = "t,x,y,p", conflicts_with = "map", help_heading = HEADING)]
    columns: Option<TableColumns>,
    /// Coordinate of the first pixel: 0 or 1. If it is 1, 1 is subtracted from every x and y
    #[arg(long, value_name = "0|1", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=1), help_heading = HEADING)]
    origin: u8,
    /// Count rows from below: y becomes the height of the sensor - 1 - y
    #[arg(long, help_heading = HEADING)]
    flip_y: bool,
    /// Move each sample so that its lowest x and its lowest y are 0
    #[arg(long, help_heading = HEADING)]
    to_zero: bool,
    /// Unit of the times: s, ms, us or ns [default: what an attribute of the file says; else us for integers and NumPy
    /// files, s for floats in HDF5 and for fractions in texts and in MATLAB's files]
    #[arg(long, value_name = "UNIT", help_heading = HEADING)]
    time_unit: Option<TimeUnit>,
    /// Topic of a ROS bag whose events are read [default: the first with events, in the order of names]
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    topic: Option<String>,
    /// Use only this range of each recording's events, counted from 0 in the order of the file: A..B (B is excluded),
    /// A.. or ..B. All other events are left out
    #[arg(long, value_name = "A..B", help_heading = HEADING)]
    events: Option<EventRange>,
    /// Undo wraps of a clock: wherever the clock's counter starts again from 0, add the counter's period to all later
    /// times of the recording (in a speech dataset, of the sample)
    #[arg(long, help_heading = HEADING)]
    unwrap: bool,
    /// Take times as they are, and sort the events by time. The command then accepts clocks that wrap, start again or
    /// jump, events in another order, and recordings that are too short or too long for their unit of time
    #[arg(long, help_heading = HEADING)]
    allow_clock_trouble: bool,
    /// Size of the sensor: the number of channels, or W,H,P (width, height, polarities) [default: what the file or its
    /// layout says]
    #[arg(long, value_name = "W[,H,P]", help_heading = HEADING)]
    sensor: Option<SensorSize>,
    /// Cut recordings into samples of this duration (100ms, 1s, 50000us), from the first event on. The times of each
    /// sample start at 0; the last sample can be shorter
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "sample_events", help_heading = HEADING)]
    sample_duration: Option<i64>,
    /// Cut recordings into samples of N events; the last sample can have fewer
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = HEADING)]
    sample_events: Option<u64>,
    /// Overlap of neighbouring samples: a time with --sample-duration, a number of events with --sample-events
    /// [default: 0]
    #[arg(long, value_name = "TIME|N", help_heading = HEADING)]
    sample_overlap: Option<String>,
    /// Name of the class that all samples get
    #[arg(long, value_name = "NAME", conflicts_with = "labels", help_heading = HEADING)]
    label: Option<String>,
    /// Table of classes, with cells separated by commas, semicolons or tabs. With the columns file,label, it lists the
    /// files of a folder to convert. With start,end,label (and file before them for several recordings), each row is an
    /// interval of time that becomes one sample. If --sample-duration is given too, the recording is cut into samples
    /// of that duration instead: each sample gets the class of the interval that contains its middle, and samples
    /// outside every interval are left out
    #[arg(long, value_name = "FILE.csv", help_heading = HEADING)]
    labels: Option<PathBuf>,
    /// File with all classes in their order, one name per line. A class that is not listed is refused [default: the
    /// classes found, sorted by name]
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    classes: Option<PathBuf>,
    /// Set whose list of classes is used again, so that a network can be trained on that set and on the new one: a
    /// directory or a URL
    #[arg(long, value_name = "SET", conflicts_with = "classes", help_heading = HEADING)]
    classes_of: Option<PathBuf>,
    /// Level of the sub-folders that are the classes: 1 for DIR/CLASS/a.npy, 2 for DIR/user01/CLASS/a.npy [default: 1,
    /// or an error if the folders at level 1 look like people, sessions or parts of a dataset]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16), conflicts_with_all = ["label", "labels"], help_heading = HEADING)]
    class_level: Option<u8>,
    /// Part of an N-TIDIGITS18 file to convert
    #[arg(long, value_name = "PART", value_parser = ["train", "test"], default_value = "train", help_heading = HEADING)]
    digits: String,
    /// Of an N-TIDIGITS18 file, convert only the samples in which a single digit is spoken
    #[arg(long, help_heading = HEADING)]
    single_digits: bool,
}

impl SourceArgs {
    /// Returns the recordings to open, and these options in the form that the library takes. Finds the recordings of a
    /// data set. Reads the list of classes, if the user gave one.
    pub(crate) fn resolve(mut self, files: Vec<PathBuf>) -> tonic_prep::Result<(Vec<PathBuf>, SourceOptions)> {
        let (dataset, split) = (self.dataset.take(), self.split.take());
        let options = self.options()?;
        match dataset {
            None => Ok((files, options)),
            Some(dataset) => dataset_source(&dataset, split.as_deref(), &files, options),
        }
    }

    fn options(self) -> tonic_prep::Result<SourceOptions> {
        let cut = Cut::of(self.sample_duration, self.sample_events, self.sample_overlap.as_deref())?;
        let options = SourceOptions {
            layout: self.layout,
            map: self.map,
            columns: self.columns,
            origin: self.origin,
            flip_y: self.flip_y,
            to_zero: self.to_zero,
            time_unit: self.time_unit,
            sensor: self.sensor,
            topic: self.topic,
            events: self.events,
            unwrap: self.unwrap,
            allow_clock_trouble: self.allow_clock_trouble,
            lenient: false,
            cut,
            labels: match (self.label, self.labels) {
                (Some(name), _) => LabelSource::One(name),
                (None, Some(table)) => LabelSource::Csv(table),
                (None, None) => LabelSource::Own,
            },
            classes: match (self.classes, self.classes_of) {
                (Some(file), _) => Some(ClassList::read(&file)?),
                (None, Some(set)) => Some(ClassList::of_set(&set, &description_of(&set)?)?),
                (None, None) => None,
            },
            class_level: self.class_level.map(usize::from),
            digits: Digits { train: self.digits == "train", single: self.single_digits },
        };
        options.check()?;
        Ok(options)
    }
}

/// Parses a positive duration such as `100ms`. Returns microseconds.
fn duration(text: &str) -> Result<i64, String> {
    let time = TimeUnit::Microseconds.read(text).ok().filter(|&time| time > 0);
    time.ok_or_else(|| "expected a time such as 100ms, 1s or 50000us".into())
}
