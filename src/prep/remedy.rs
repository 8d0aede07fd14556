//! What the user can do about an error of a recording: values for options, commands, ranges of events.

use crate::event_range::EventRange;
use crate::time_unit::TimeUnit;

/// A way to avoid an error when a recording is opened again: a value for an option, or a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A value for the option `map`: `t=when,x=col` says that t is the field `when` and x is the field `col`. The user
    /// has to replace the word `FIELD` by the name of a field.
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
        /// Path that the user opens after the command has run: the new file or its folder. Empty if this path is
        /// unknown.
        file: String,
        /// Options to give when `file` is opened.
        with: Vec<Remedy>,
    },
}

/// What the user can do about a recording whose times wrap, jump or are out of order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClockRemedy {
    /// The times wrap: a counter starts again from 0 when it is full. The option `unwrap` corrects them.
    Unwrap,
    /// The times restart or jump. The value has the ranges of events between the jumps, the largest first. The user can
    /// convert each range separately.
    Parts(Vec<EventRange>),
    /// The events are out of order throughout. The option `allow_clock_trouble` sorts them by time.
    Sort,
    /// A few events have times far from all others. The value has the ranges of these events. The user has to save a
    /// copy without these events.
    TakeOut(Vec<EventRange>),
    /// The recording mixes the times of several clocks, or has damaged times all over it. The user has to save a copy
    /// that has only the events of one clock.
    Keep {
        /// The times of each clock. The clock with the most events comes first.
        clocks: Vec<ClockTimes>,
        /// Number of events that a copy loses if it has only the events of the first clock.
        removed: u64,
    },
    /// Some samples of a file with many samples have wrong times. The user has to remove events from a copy of the
    /// file.
    OfRows {
        /// The samples with wrong times, in order, and their events to remove. All have the same kind of fault.
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
    /// True if the times of the sample restart or jump. The jumps divide the sample into parts. In this case, `events`
    /// has all events outside the largest part.
    pub in_parts: bool,
}
