//! Recognises large packets of events that were written in the wrong order. Their times look like stray events, or
//! like a clock that starts again.

/// An event begins a new segment if its time differs from the highest time of the current segment by more than this
/// many microseconds.
const APART: i64 = 250_000;
/// Maximum number of segments of a recording that are kept.
const LISTED: usize = 256;
/// Packets count as swapped only if each of them lasts at least this many times the tolerance (see [`TOLERANCE`]).
const LONG: i64 = 8;
/// Bounds of the tolerance, in microseconds. If the time from one packet to the next is at most the tolerance, there is
/// no gap.
const TOLERANCE: (i64, i64) = (1_000, 50_000);

/// The segments of a recording: consecutive events whose times are near each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments {
    /// Lowest and highest time of each segment, in the order of the file.
    spans: Vec<(i64, i64)>,
    /// Whether the recording has more than [`LISTED`] segments.
    more: bool,
}

impl Segments {
    /// Adds the next event of the recording. `time` is in microseconds.
    pub(crate) fn see(&mut self, time: i64) {
        let is_full = self.spans.len() == LISTED;
        match self.spans.last_mut() {
            Some((low, high)) if time.saturating_sub(*high).saturating_abs() <= APART => {
                (*low, *high) = (time.min(*low), time.max(*high));
            }
            _ if is_full => self.more = true,
            _ => self.spans.push((time, time)),
        }
    }

    /// Adds events that continue the last segment. `time` is the highest of their times, in microseconds.
    pub(crate) fn extend_to(&mut self, time: i64) {
        if let Some((_, high)) = self.spans.last_mut() {
            *high = time.max(*high);
        }
    }

    /// Returns whether the segments are packets in the wrong order: sorted by time, they follow each other without gaps
    /// and overlaps. `mean` is the mean time between events in microseconds.
    pub(crate) fn are_swapped(&self, mean: i64) -> bool {
        let tolerance = mean.saturating_mul(20).clamp(TOLERANCE.0, TOLERANCE.1);
        let mut order: Vec<usize> = (0..self.spans.len()).collect();
        order.sort_by_key(|&i| self.spans[i]);
        let is_long = |i: usize| self.spans[i].1.saturating_sub(self.spans[i].0) >= LONG * tolerance;
        let follows = |pair: &[usize]| {
            let (i, j) = (pair[0], pair[1]);
            let gap = self.spans[j].0.saturating_sub(self.spans[i].1);
            gap >= -tolerance && (j == i + 1 || gap <= tolerance && is_long(i) && is_long(j))
        };
        !self.more && order.len() > 2 && !order.is_sorted() && order.windows(2).all(follows)
    }
}
