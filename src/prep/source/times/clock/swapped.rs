//! Tells large packets that were written in the wrong order from stray events, and from a clock that starts again.

/// Times that are further apart than this many microseconds, back or ahead, are in different segments.
const APART: i64 = 250_000;
/// Maximum number of segments that are kept.
const LISTED: usize = 256;
/// A swapped packet lasts at least this many times the tolerance at its ends.
const LONG: i64 = 8;
/// Bounds of the tolerance, in microseconds.
const TOLERANCE: (i64, i64) = (1_000, 50_000);

/// The segments of a recording: consecutive events whose times follow each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments {
    /// Lowest and highest time of each segment, in the order of the file.
    spans: Vec<(i64, i64)>,
    /// Whether there are more than [`LISTED`].
    more: bool,
}

impl Segments {
    /// Adds the next event.
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

    /// Adds events of the current segment, up to this time.
    pub(crate) fn extend_to(&mut self, time: i64) {
        if let Some((_, high)) = self.spans.last_mut() {
            *high = time.max(*high);
        }
    }

    /// Whether segments that are not where their times belong fill the gaps between the others, exactly: they begin and
    /// end within twenty mean steps (`mean` microseconds each) of their neighbours in time. Of two segments in the wrong
    /// order, none fills a gap.
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
