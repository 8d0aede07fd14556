//! How the times of a recording are read: their unit, the range of events that is used, and a counter's wraps.

use std::ops::Range;

use crate::error::{BaseFault, Error, Result};
use crate::source::clock::Wrap;
use crate::source::event_range::EventRange;
use crate::source::numbers::{Fractions, Stamps};
use crate::source::options::SourceOptions;
use crate::source::unit::TimeUnit;

/// How the times of a recording are read.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    /// Unit of the times in the file.
    pub unit: TimeUnit,
    /// Whether the user gave the unit, so that it is not doubted.
    pub unit_given: bool,
    /// Whether wraps of the clock are undone.
    pub unwrap: bool,
    /// Whether times are taken as they are, even if the clock has faults.
    pub as_is: bool,
    /// The fractions of the times of a recording that is in memory.
    pub fractions: Option<Fractions>,
    /// Notes for the user about the unit.
    pub notes: Vec<String>,
    /// Number of the file's events before the first that is used.
    pub skipped: u64,
    /// Number of the file's events that the user left out.
    pub left_out: u64,
    /// Place in the store of the first event that is used.
    base: u64,
    /// The wraps to undo.
    wrap: Option<Wrap>,
}

impl Timeline {
    /// Times in `unit`, unless the options give another unit. A note about the unit may be given.
    pub(super) fn new(options: &SourceOptions, unit: TimeUnit, note: Option<String>) -> Timeline {
        Timeline {
            unit: options.time_unit.unwrap_or(unit),
            unit_given: options.time_unit.is_some(),
            unwrap: options.unwrap,
            as_is: options.allow_clock_trouble,
            fractions: None,
            notes: note.into_iter().collect(),
            skipped: 0,
            left_out: 0,
            base: 0,
            wrap: None,
        }
    }

    /// Uses only a range of the `len` events. Returns how many these are.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] for a range without events.
    pub(super) fn restrict(&mut self, events: EventRange, path: &std::path::Path, len: u64) -> Result<u64> {
        let range = events.of(len);
        if range.is_empty() && len > 0 {
            let expected = format!("a range with some of the {len} events of {}", path.display());
            return Err(Error::usage("events", expected, events));
        }
        let used = range.end.saturating_sub(range.start);
        (self.base, self.skipped, self.left_out) = (range.start, range.start, len - used);
        Ok(used)
    }

    /// The places in the store of a range of the used events.
    pub(super) fn places(&self, events: Range<u64>) -> Range<u64> {
        events.start + self.base..events.end + self.base
    }

    /// Undoes wraps in the times of consecutive events, the first of which is `first`.
    pub(super) fn mend(&self, first: u64, times: &mut Stamps) {
        if let Some(wrap) = &self.wrap {
            wrap.unwrap(first, &mut times.us);
        }
    }

    /// Undoes these wraps from now on.
    pub(super) fn set_wrap(&mut self, wrap: Option<Wrap>) {
        self.wrap = wrap;
    }

    /// The same for times whose wraps were undone: no other wrap is expected.
    pub(super) fn unwrapped(&self) -> Timeline {
        Timeline { unwrap: false, ..self.clone() }
    }

    /// The store has only the used events from now on, with mended times.
    pub(super) fn settle(&mut self) {
        (self.base, self.wrap) = (0, None);
    }

    /// The unit, if it may be doubted.
    pub(super) fn assumed(&self) -> Option<TimeUnit> {
        (!self.unit_given && !self.as_is).then_some(self.unit)
    }
}
