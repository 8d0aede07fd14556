//! What the user can do about an error of a recording: values for options, commands, ranges of events.

use crate::event_range::EventRange;
use crate::time_unit::TimeUnit;

/// A way to avoid an error when a recording is opened again: the value of an option, or a command that makes a readable
/// copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A value for the option `map`, such as `t=when,x=col`, which says that t is the field `when` and x is the field
    /// `col`. If the value contains the word `FIELD`, the user has to replace this word by the name of a field.
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
        /// Path that the user opens after the command has run: the path of the new file, or of the folder that
        /// contains the new file. Empty if this path is unknown.
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
    /// The times restart or jump, which divides the recording into parts. The value has the range of events of each
    /// part, the largest range first. The user can convert each range separately.
    Parts(Vec<EventRange>),
    /// The events are out of order throughout. The option `allow_clock_trouble` sorts them by time.
    Sort,
    /// A few events have times that are far from all other times. The value has the ranges of these events. The user
    /// has to remove them from a copy of the recording.
    TakeOut(Vec<EventRange>),
    /// The recording mixes the times of several clocks, or has damaged times all over it. The user has to save a copy
    /// that has only the events of one clock.
    Keep {
        /// The times of each clock. The clock with the most events comes first. There is only one clock if all other
        /// times are damaged.
        clocks: Vec<ClockTimes>,
        /// Number of events that a copy loses if it has only the events of the first clock.
        removed: u64,
    },
    /// Some samples of a file with many samples have wrong times. The user has to remove events of these samples from
    /// a copy of the file. If the times of a sample restart or jump, these are all events outside the largest part of
    /// the sample. Otherwise, they are the events whose times are far from those of most other events.
    OfRows {
        /// The samples with wrong times and their events to remove, in the order of the samples. All samples have the
        /// same kind of fault.
        rows: Vec<RowEvents>,
        /// Number of samples that have the same kind of fault but are not in `rows`.
        more: u64,
    },
}

/// A range of times that contains the times of all events of one clock, with a margin on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockTimes {
    /// Start of the range, inclusive: a number in the unit `unit`.
    pub from: String,
    /// End of the range, inclusive: a number in the unit `unit`.
    pub to: String,
    /// Number of events whose times come from this clock.
    pub events: u64,
    /// Unit of the times in the file.
    pub unit: TimeUnit,
}

/// The events to remove from one sample of a file with many samples, and the arrays that have these events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowEvents {
    /// Paths of the array of times and the array of channels. All samples with a `row` are in the same two arrays.
    pub arrays: [String; 2],
    /// Index of the sample's row in both arrays. `None` if the arrays have only this sample.
    pub row: Option<u64>,
    /// The events to remove, as ranges of their indices in the sample.
    pub events: Vec<EventRange>,
    /// True if the times of the sample restart or jump. Then `events` are whole parts of the sample. If the events are
    /// only out of order, nothing has to be removed.
    pub in_parts: bool,
}
