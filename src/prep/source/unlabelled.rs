//! Counts the events of a recording that are in no sample.

use crate::time_unit::TimeUnit;

/// How many events of a recording are in no sample: they are outside all labelled intervals, or in pieces without a
/// label.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unlabelled {
    /// Number of events that are in no sample.
    pub(crate) events: u64,
    /// Number of all events of the recording in the range of events that the user gave.
    pub(crate) of: u64,
    /// The earliest start and the latest end of the intervals, in microseconds.
    pub(crate) intervals: (i64, i64),
    /// First and last time of the recording, in microseconds.
    pub(crate) times: (i64, i64),
    /// The unit in which the times in the table of labels would fit the recording better, if there is one.
    pub(crate) probable: Option<TimeUnit>,
}

impl Unlabelled {
    /// Describes the events that are in no sample. The first argument is the number of these events and the number of
    /// all events. `unit` is the unit in which the times in the table of labels were read. Returns `None` if all
    /// events are in samples.
    pub(crate) fn new(
        (events, of): (u64, u64),
        intervals: (i64, i64),
        times: (i64, i64),
        unit: TimeUnit,
    ) -> Option<Unlabelled> {
        let probable = unit.fitting(intervals.1 as f64, times.1 as f64);
        (events > 0).then_some(Unlabelled { events, of, intervals, times, probable })
    }
}

/// Returns the text that asks the user for the unit of the times in a table of labels. `probable` is the most probable
/// unit.
pub(crate) fn ask_unit(probable: Option<TimeUnit>) -> String {
    match probable {
        Some(unit) => format!("are they in {unit}? Their unit can be at each, as in 20{unit}"),
        None => "their unit can be at each, as in 20ms".into(),
    }
}
