//! The arguments of every command that reads recordings: layout, sensor, samples and labels.

use std::path::PathBuf;

use clap::Args;
use tonic_base::{BaseFault, Error};
use tonic_prep::{
    ClassList, Cut, Digits, EventRange, LabelSource, Layout, Map, SensorSize, SourceOptions, TableColumns, TimeUnit,
};

/// Heading of these arguments in `--help`.
const HEADING: &str = "Recordings";

/// What is known of recordings beside the files.
#[derive(Args)]
pub(crate) struct SourceArgs {
    /// The layout, instead of what the content tells: hsd (SHD, SSC), ntidigits (N-TIDIGITS18), dsec (DSEC, TUM-VIE:
    /// events/t), e2vid (events/ts), mvsec (davis/left/events), prophesee (CD/events), npy, npz, map
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    layout: Option<Layout>,
    /// Which fields of an HDF5 or NumPy file are the columns, instead of what their names tell: t=FIELD,x=FIELD and, if
    /// it has them, y=FIELD,p=FIELD,label=FIELD. A field is a dataset or array (`events/t`), a member of records
    /// (`events.t`, in .npy `t`) or a column of a table (`events[2]`); label is one number or name, the class
    #[arg(long, value_name = "t=FIELD,...", help_heading = HEADING)]
    map: Option<Map>,
    /// The order of the columns of a table, a plain array of N rows (or columns) of numbers: t,x,y,p or another order.
    /// `_` is a column that is not used
    #[arg(long, value_name = "t,x,y,p", conflicts_with = "map", help_heading = HEADING)]
    columns: Option<TableColumns>,
    /// The coordinate of the first pixel: with 1, 1 is subtracted from x and y
    #[arg(long, value_name = "0|1", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=1), help_heading = HEADING)]
    origin: u8,
    /// What times count: s, ms, us or ns [default: what an attribute of the file tells; else us of integers and NumPy
    /// files, s of floats in HDF5]
    #[arg(long, value_name = "UNIT", help_heading = HEADING)]
    time_unit: Option<TimeUnit>,
    /// Use only these of a recording's events, by their number in the file, from 0: A..B without B, A.. or ..B. The others
    /// are in no sample
    #[arg(long, value_name = "A..B", help_heading = HEADING)]
    events: Option<EventRange>,
    /// Where the counter of a recording's clock starts again from 0, add its period
    #[arg(long, help_heading = HEADING)]
    unwrap: bool,
    /// Take times as they are: do not refuse clocks that wrap, start again or jump, nor recordings too short or too long
    /// for their unit
    #[arg(long, help_heading = HEADING)]
    allow_clock_trouble: bool,
    /// The sensor: channels, or W,H,P [default: what file or layout tell]
    #[arg(long, value_name = "W[,H,P]", help_heading = HEADING)]
    sensor: Option<SensorSize>,
    /// Cut recordings into samples of this duration (100ms, 1s, 50000us), from the first event on. Times of a sample
    /// start at 0; the last sample has what is left
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "sample_events", help_heading = HEADING)]
    sample_duration: Option<i64>,
    /// Cut recordings into samples of so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = HEADING)]
    sample_events: Option<u64>,
    /// How far a sample reaches into the next: a time with --sample-duration, events with --sample-events
    #[arg(long, value_name = "TIME|N", help_heading = HEADING)]
    sample_overlap: Option<String>,
    /// The class of all samples
    #[arg(long, value_name = "NAME", conflicts_with = "labels", help_heading = HEADING)]
    label: Option<String>,
    /// A table of classes, in CSV or with semicolons or tabs: file,label for a folder, of which only those files are
    /// taken; or start,end,label (with file before them for several recordings), a sample for each row. With --sample-duration, a sample has the class
    /// of the interval that its middle is in, and those in none are left out
    #[arg(long, value_name = "FILE.csv", help_heading = HEADING)]
    labels: Option<PathBuf>,
    /// All classes in their order, one name a line: labels are numbered by it, and a class that it lacks is refused
    /// [default: the classes that are found, by name]
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    classes: Option<PathBuf>,
    /// All classes in their order, as another set has them, so that the two can be trained on together
    #[arg(long, value_name = "SET", conflicts_with = "classes", help_heading = HEADING)]
    classes_of: Option<PathBuf>,
    /// Which folders of a folder are the classes: 1 for DIR/CLASS/a.npy, 2 for DIR/user01/CLASS/a.npy
    /// [default: 1, unless these look like persons, sessions or parts of a dataset]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16), conflicts_with_all = ["label", "labels"], help_heading = HEADING)]
    class_level: Option<u8>,
    /// Which samples of an N-TIDIGITS18 file
    #[arg(long, value_name = "PART", value_parser = ["train", "test"], default_value = "train", help_heading = HEADING)]
    digits: String,
    /// Of N-TIDIGITS18, single digits only
    #[arg(long, help_heading = HEADING)]
    single_digits: bool,
}

impl SourceArgs {
    /// The options of the library.
    pub(crate) fn options(self) -> anyhow::Result<SourceOptions> {
        let overlap = self.sample_overlap.as_deref();
        let wrong = |expected: &str| Error::usage("--sample-overlap", expected, overlap.unwrap_or("none"));
        let cut = match (self.sample_duration, self.sample_events) {
            (Some(length), _) => {
                let overlap = overlap.map_or(Some(0), |text| duration_from(text, 0).ok().filter(|&time| time < length));
                let overlap = overlap.ok_or_else(|| wrong("a time below --sample-duration"))?;
                Cut::Duration { length, overlap }
            }
            (None, Some(count)) => {
                let overlap = overlap.map_or(Some(0), |text| text.parse().ok().filter(|&n| n < count));
                let overlap = overlap.ok_or_else(|| wrong("a number below --sample-events"))?;
                Cut::Events { count, overlap }
            }
            (None, None) if overlap.is_some() => {
                return Err(wrong("--sample-duration or --sample-events beside it").into());
            }
            (None, None) => Cut::Whole,
        };
        if self.layout == Some(Layout::Map) && self.map.is_none() && self.columns.is_none() {
            return Err(Error::usage("--layout map", "--map beside it", "none").into());
        }
        Ok(SourceOptions {
            layout: self.layout,
            map: self.map,
            columns: self.columns,
            origin: self.origin,
            time_unit: self.time_unit,
            sensor: self.sensor,
            events: self.events,
            unwrap: self.unwrap,
            allow_clock_trouble: self.allow_clock_trouble,
            cut,
            labels: match (self.label, self.labels) {
                (Some(name), _) => LabelSource::One(name),
                (None, Some(table)) => LabelSource::Csv(table),
                (None, None) => LabelSource::Own,
            },
            classes: match (self.classes, self.classes_of) {
                (Some(file), _) => Some(ClassList::read(&file)?),
                (None, Some(set)) => Some(ClassList::of_set(&set)?),
                (None, None) => None,
            },
            class_level: self.class_level.map(usize::from),
            digits: Digits { train: self.digits == "train", single: self.single_digits },
        })
    }
}

/// Parses a positive duration such as `100ms`, in microseconds.
fn duration(text: &str) -> Result<i64, String> {
    duration_from(text, 1)
}

fn duration_from(text: &str, least: i64) -> Result<i64, String> {
    let time = TimeUnit::Microseconds.read(text).ok().filter(|&time| time >= least);
    time.ok_or_else(|| "expected a time such as 100ms, 1s or 50000us".into())
}
