//! The ledger: counts what happened to every event.
//!
//! For every sample, `events_in = binned + cropped + filtered + outside + non_finite + cut`.

use serde::{Deserialize, Serialize};

/// What happened to the events of a sample or of a set. Each field is a number of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Events in the recording. If a transform replaces events, the new events are counted here too, and the old ones
    /// in `filtered`.
    pub events_in: u64,
    /// Events in at least one frame.
    pub binned: u64,
    /// Events cropped by time or position.
    pub cropped: u64,
    /// Events filtered by a transform.
    pub filtered: u64,
    /// Events outside the sensor.
    pub outside: u64,
    /// Events whose time is not a finite number, or doesn't fit into 64 bits in microseconds.
    pub non_finite: u64,
    /// Events that the slicing rule puts into no frame, such as those after the last complete frame.
    pub cut: u64,
}

impl Ledger {
    /// Names of the fields, in the order of [`Ledger::columns`].
    pub const NAMES: [&str; 7] = ["events_in", "binned", "cropped", "filtered", "outside", "non_finite", "cut"];

    /// The fields in the order in which the format stores them.
    pub fn columns(&self) -> [u64; 7] {
        [self.events_in, self.binned, self.cropped, self.filtered, self.outside, self.non_finite, self.cut]
    }

    /// Inverse of [`Ledger::columns`].
    pub fn from_columns(columns: [u64; 7]) -> Ledger {
        let [events_in, binned, cropped, filtered, outside, non_finite, cut] = columns;
        Ledger { events_in, binned, cropped, filtered, outside, non_finite, cut }
    }

    /// Sum of all fields except `events_in`; `None` if it overflows 64 bits.
    pub fn accounted(&self) -> Option<u64> {
        self.columns()[1..].iter().try_fold(0_u64, |sum, &n| sum.checked_add(n))
    }

    /// Whether the other fields add up to `events_in`.
    pub fn balances(&self) -> bool {
        self.accounted() == Some(self.events_in)
    }
}

impl std::ops::AddAssign for Ledger {
    /// Adds field by field. A sum that is too large becomes the largest u64.
    fn add_assign(&mut self, other: Ledger) {
        let (mine, theirs) = (self.columns(), other.columns());
        *self = Ledger::from_columns(std::array::from_fn(|i| mine[i].saturating_add(theirs[i])));
    }
}
