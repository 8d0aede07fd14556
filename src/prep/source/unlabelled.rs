//! Counts the events of a recording that are in no sample because no interval of the table of labels contains them.

use crate::source::unit::TimeUnit;

/// The events of a recording that no interval of a table of labels contains.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unlabelled {
    /// Number of events in no sample.
    pub(crate) events: u64,
    /// Number of events of the recording that are used.
    pub(crate) of: u64,
    /// First start and last end of the intervals, in microseconds.
    pub(crate) intervals: (i64, i64),
    /// First and last time of the recording, in microseconds.
    pub(crate) times: (i64, i64),
    /// The unit in which the table's times would fit the recording better, if there is one.
    pub(crate) probable: Option<TimeUnit>,
}

impl Unlabelled {
    /// Describes a recording of `of` events, of which `events` are in no sample. The other arguments are as in
    /// [`Unlabelled`], and `unit` is the unit in which the table's times were read. `None` if `events` is 0.
    pub(super) fn new(
        (events, of): (u64, u64),
        intervals: (i64, i64),
        times: (i64, i64),
        unit: TimeUnit,
    ) -> Option<Unlabelled> {
        let probable = unit.fitting(intervals.1 as f64, times.1 as f64);
        (events > 0).then_some(Unlabelled { events, of, intervals, times, probable })
    }
}

/// A question about the unit of a table's times, which would probably be `probable`.
pub(crate) fn ask_unit(probable: Option<TimeUnit>) -> String {
    match probable {
        Some(unit) => format!("are they in {unit}? Their unit can be at each, as in 20{unit}"),
        None => "their unit can be at each, as in 20ms".into(),
    }
}
