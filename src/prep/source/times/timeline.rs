//! How the times of a recording are read: in which unit, for which range of events, and whether wraps of the clock are
//! undone.

use std::ops::Range;

use crate::error::{BaseFault, Error, Result};
use crate::event_range::EventRange;
use crate::source::columns::{Fractions, Stamps};
use crate::source::options::SourceOptions;
use crate::source::times::clock::{Findings, Wrap};
use crate::time_unit::TimeUnit;

/// How the times of a recording are read.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    /// Unit of the times in the file.
    pub unit: TimeUnit,
    /// Whether the unit is certain, because the user or the data type gave it. Such a unit is not checked against the
    /// times.
    pub unit_given: bool,
    /// Whether wraps of the clock are undone.
    pub unwrap: bool,
    /// Whether times are accepted even if the clock has faults.
    pub as_is: bool,
    /// The fractions in the times of a recording in memory. `None` if all times are whole numbers.
    pub fractions: Option<Fractions>,
    /// Notes for the user about the unit, and about offsets and factors that are not used.
    pub notes: Vec<String>,
    /// Number of the file's events before the first event that is used.
    pub skipped: u64,
    /// Number of the file's events outside the range of events that the user gave.
    pub left_out: u64,
    /// Index of the first used event in the stored columns.
    base: u64,
    /// The wraps of the clock that are undone when times are read.
    wrap: Option<Wrap>,
}

impl Timeline {
    /// Makes a timeline from the options. `unit` is used if the options have no unit. `notes` are notes for the user
    /// about the unit and the times.
    pub(crate) fn new(options: &SourceOptions, unit: TimeUnit, notes: Vec<String>) -> Timeline {
        Timeline {
            unit: options.time_unit.unwrap_or(unit),
            unit_given: options.time_unit.is_some(),
            unwrap: options.unwrap,
            as_is: options.allow_clock_trouble,
            fractions: None,
            notes,
            skipped: 0,
            left_out: 0,
            base: 0,
            wrap: None,
        }
    }

    /// Limits a recording of `len` events to `events`, and returns the number of events in this range.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] if the recording has events, but none of them is in the range.
    pub(crate) fn restrict(&mut self, events: EventRange, path: &std::path::Path, len: u64) -> Result<u64> {
        let range = events.of(len);
        if range.is_empty() && len > 0 {
            let expected = format!("a range with some of the {len} events of {}", path.display());
            return Err(Error::usage("events", expected, events));
        }
        let used = range.end.saturating_sub(range.start);
        (self.base, self.skipped, self.left_out) = (range.start, range.start, len - used);
        Ok(used)
    }

    /// Converts a range of indices of used events to a range of indices in the stored columns.
    pub(crate) fn places(&self, events: Range<u64>) -> Range<u64> {
        events.start + self.base..events.end + self.base
    }

    /// Undoes wraps in the times of consecutive events. `first` is the index of the first of these events.
    pub(crate) fn mend(&self, first: u64, times: &mut Stamps) {
        if let Some(wrap) = &self.wrap {
            wrap.unwrap(first, &mut times.us);
        }
    }

    /// Returns the wraps to undo, if there are wraps and the user asked to undo them.
    pub(crate) fn wrap_to_undo(&self, found: &Findings) -> Option<Wrap> {
        found.wraps(self.unwrap).filter(|_| self.unwrap).cloned()
    }

    pub(crate) fn set_wrap(&mut self, wrap: Option<Wrap>) {
        self.wrap = wrap;
    }

    /// Returns a copy for checking times whose wraps are undone already. Another wrap in these times is an error.
    pub(crate) fn unwrapped(&self) -> Timeline {
        Timeline { unwrap: false, ..self.clone() }
    }

    /// Changes the timeline for new stored columns. They have only the used events, with wraps undone.
    pub(crate) fn settle(&mut self) {
        (self.base, self.wrap) = (0, None);
    }

    /// Returns the assumed unit. `None` if the unit is certain, or if the user accepts implausible times.
    pub(crate) fn assumed(&self) -> Option<TimeUnit> {
        (!self.unit_given && !self.as_is).then_some(self.unit)
    }
}
