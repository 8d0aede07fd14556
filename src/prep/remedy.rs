//! What the user can do about an error of a recording: values for options, commands, ranges of events.

use crate::source::{EventRange, TimeUnit};

/// A way to avoid an error when a recording is opened again: the value of an option, or a command that makes a readable
/// copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A value for the option `map`, such as `t=when,x=col`: the field of each column. `FIELD` stands for a field that
    /// the user has to name.
    Map(String),
    /// A value for the option `columns`: the order of a table's columns, such as `t,x,y,p`.
    Columns(String),
    /// A value for the option `sensor`: a sensor size, such as `346,260,1`.
    Sensor(String),
    /// A value for the option `time_unit`: the unit of the times in the file.
    Unit(TimeUnit),
    /// A command that converts or unpacks the file into a file that can be read.
    Copy {
        /// The command and its arguments.
        words: Vec<String>,
        /// The file or folder to open afterwards: the one that the command writes, or the folder that contains it.
        /// Empty if its name is unknown.
        file: String,
        /// Options to give when `file` is opened.
        with: Vec<Remedy>,
    },
}

/// What the user can do about a recording whose times wrap, jump or are out of order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClockRemedy {
    /// The times wrap: a counter starts again from 0 when it is full. The option `unwrap` adds the counter's period
    /// after each wrap.
    Unwrap,
    /// The times restart or jump, which divides the recording into parts. The value is the range of events of each
    /// part, the largest first. The user can convert each range by itself.
    Parts(Vec<EventRange>),
    /// The events are out of order throughout. The option `allow_clock_trouble` sorts them by time.
    Sort,
    /// The times of these few events are far from all others. The user has to remove the events from a copy of the
    /// recording.
    TakeOut(Vec<EventRange>),
    /// The times of events all over the recording are far from the others. The user has to save a copy with the times
    /// of one clock only.
    Keep {
        /// The times of each clock, the one with the most events first. There is only one clock if all other times are
        /// damaged.
        clocks: Vec<ClockTimes>,
        /// Number of events that are missing from a copy with the first clock only.
        removed: u64,
    },
    /// A file with many samples, some with wrong times. The user has to remove events of these samples from a copy of
    /// the file. These are a few events with times far from all others, or all parts of the sample but the largest.
    OfRows {
        /// The samples and their events, in the order of the samples. All have the same kind of fault.
        rows: Vec<RowEvents>,
        /// Number of further samples with this kind of fault. They are not listed.
        more: u64,
    },
}

/// A range of times that contains all events of one clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockTimes {
    /// The lowest time as a number in the unit `unit`.
    pub from: String,
    /// The highest time as a number in the unit `unit`, inclusive.
    pub to: String,
    /// Number of events whose times come from this clock.
    pub events: u64,
    /// Unit of the times in the file.
    pub unit: TimeUnit,
}

/// Events of one sample that have to be removed from a file with many samples, and their place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowEvents {
    /// Paths of the arrays of times and channels. All samples with a `row` have the same arrays.
    pub arrays: [String; 2],
    /// Index of the sample's row in both arrays. `None` if the arrays have only this sample.
    pub row: Option<u64>,
    /// The events to remove, as ranges of their indices in the sample.
    pub events: Vec<EventRange>,
    /// Whether `events` are parts of the sample, because its times restart or jump. Then the events can also be just
    /// out of order, with nothing to remove.
    pub in_parts: bool,
}
