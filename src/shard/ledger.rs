//! Every event accounted for: what came in, and where each one went.
//!
//! The ledger is part of the shard contract, because a set without it cannot say what its frames leave out.

use serde::{Deserialize, Serialize};

/// Where the events of a sample, or of a set, went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Events in the recording, and those that a transform emitted instead of those it filtered.
    pub events_in: u64,
    /// In frames.
    pub binned: u64,
    /// Cropped by time or place.
    pub cropped: u64,
    /// Filtered by a transform.
    pub filtered: u64,
    /// Outside the sensor.
    pub outside: u64,
    /// With a time that is no number, or beyond 64 bits of microseconds.
    pub non_finite: u64,
    /// Left out by the slicing rule.
    pub cut: u64,
}

impl Ledger {
    /// The columns' names, in the order of [`Ledger::columns`].
    pub const NAMES: [&str; 7] = ["events_in", "binned", "cropped", "filtered", "outside", "non_finite", "cut"];

    /// The numbers, in the format's order.
    pub fn columns(&self) -> [u64; 7] {
        [self.events_in, self.binned, self.cropped, self.filtered, self.outside, self.non_finite, self.cut]
    }

    /// From the numbers in the format's order.
    pub fn from_columns(columns: [u64; 7]) -> Ledger {
        let [events_in, binned, cropped, filtered, outside, non_finite, cut] = columns;
        Ledger { events_in, binned, cropped, filtered, outside, non_finite, cut }
    }

    /// Where the events that came in went, added up; `None` where that does not fit 64 bits.
    pub fn accounted(&self) -> Option<u64> {
        self.columns()[1..].iter().try_fold(0_u64, |sum, &n| sum.checked_add(n))
    }

    /// Whether every event that came in is accounted for.
    pub fn balances(&self) -> bool {
        self.accounted() == Some(self.events_in)
    }
}

impl std::ops::AddAssign for Ledger {
    /// Saturates: sums of a hostile file's numbers are compared, not trusted.
    fn add_assign(&mut self, other: Ledger) {
        let (mine, theirs) = (self.columns(), other.columns());
        *self = Ledger::from_columns(std::array::from_fn(|i| mine[i].saturating_add(theirs[i])));
    }
}
