//! Transforms of time.

use serde::{Deserialize, Serialize};

use super::super::events::Events;

/// Tonic's `CropTime`: keeps `min <= t <= max`, both in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CropTime {
    /// The first time kept.
    #[serde(default)]
    pub min: i64,
    /// The last time kept; none keeps all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
}

impl CropTime {
    pub(super) fn check(&self) -> std::result::Result<(), (&'static str, &'static str, String)> {
        match self.max {
            Some(max) if max < self.min => {
                Err(("CropTime", "max of at least min", format!("min {}, max {max}", self.min)))
            }
            _ => Ok(()),
        }
    }

    /// Crops, and returns how many events went.
    pub(super) fn apply(&self, events: &mut Events) -> u64 {
        let before = events.len();
        let start = events.t.partition_point(|&t| t < self.min);
        let end = self.max.map_or(before, |max| events.t.partition_point(|&t| t <= max)).max(start);
        events.keep_range(start..end);
        (before - events.len()) as u64
    }

    /// The span of time that can be left, of a span that was.
    pub(super) fn span_after(&self, span: Option<(i64, i64)>) -> Option<(i64, i64)> {
        match (span, self.max) {
            (Some((lo, hi)), Some(max)) => Some((lo.max(self.min), hi.min(max))),
            (Some((lo, hi)), None) => Some((lo.max(self.min), hi)),
            (None, Some(max)) => Some((self.min, max)),
            (None, None) => None,
        }
    }
}
