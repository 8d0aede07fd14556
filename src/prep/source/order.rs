//! Finds out why the times of a recording step back: its events are sorted by something other than time, or its clock
//! started again.
//!
//! A *part* of the recording is its events from one step back to the next.

use crate::error::Result;
use crate::source::numbers::EventBlock;
use crate::source::stream::EventStream;

/// Number of events that are read after each step back in time.
const SEEN: u64 = 1 << 12;
/// Maximum number of parts that are compared. A part is the events between two steps back in time.
const PARTS: usize = 16;
/// Two parts of a recording can be in the wrong order only if each has at least `1 / SHARE` of the events.
const SHARE: u64 = 16;
/// Maximum time between the end of one part of a recording and the start of the part that continues it, as a multiple
/// of the mean time between events.
const JOINT: i64 = 100;

/// Returns why the times of a recording step back, as text for a message. `starts` has the indices of the events at
/// which the times step back. Returns `None` if the clock may be the reason. The reasons that are recognised:
///
/// - The events are sorted by p, x or y first, and then by time. Then each part has other values in one of these
///   columns than the part before it.
/// - Two parts are in the wrong order. Then the second part ends shortly before the first part begins.
/// - The recording was stored as two parts that cover the same times. Then both parts begin at about the same time and
///   end at about the same time. They do not begin near 0, as they would after a restart of the clock.
///
/// # Errors
/// Errors of [`EventStream::read`].
pub(super) fn sorting(stream: &EventStream, starts: &[u64]) -> Result<Option<String>> {
    let mut bounds: Vec<u64> = [0].into_iter().chain(starts.iter().copied().take(PARTS)).collect();
    if starts.len() < PARTS {
        bounds.push(stream.len);
    }
    let parts = bounds.windows(2).map(|part| stream.read(part[0]..part[1].min(part[0] + SEEN)));
    let parts = parts.map(|part| part.map(|block| ranges(&block))).collect::<Result<Vec<_>>>()?;
    let apart = |pair: &[Ranges]| {
        let columns = ["p", "x", "y"].into_iter().zip(pair[0].iter().zip(&pair[1]));
        let other = |range: &Range, than: &Range| matches!((range, than), (Some(a), Some(b)) if a.1 < b.0 || b.1 < a.0);
        columns.into_iter().find(|(_, (range, than))| other(range, than)).map(|(name, _)| name)
    };
    if let Some(mut keys) = parts.windows(2).map(apart).collect::<Option<Vec<_>>>().filter(|keys| !keys.is_empty()) {
        keys.sort_unstable();
        keys.dedup();
        return Ok(Some(format!("its events are sorted by {} first, then by time", keys.join(" and "))));
    }
    let &[start] = starts else { return Ok(None) };
    let time = |i: u64| stream.times(i..i + 1).map(|times| times.us.first().copied().unwrap_or(0));
    let (a, b, c, d) = (time(0)?, time(start - 1)?, time(start)?, time(stream.len - 1)?);
    let span = b.max(d).saturating_sub(a.min(c));
    let near = |a: i64, b: i64, most: i64| a.abs_diff(b) <= most.unsigned_abs();
    let large = start.min(stream.len - start) >= stream.len / SHARE;
    let usual = (b.saturating_sub(a).saturating_add(d.saturating_sub(c)) / stream.len as i64).max(1);
    if large && d <= a && near(d, a, usual.saturating_mul(JOINT)) {
        return Ok(Some(format!("the events from {} on end where the first begin", start + stream.time.skipped)));
    }
    let together = near(a, c, span / 100) && near(b, d, span / 100) && a.min(c) > span / 10;
    Ok(together.then(|| format!("the events before and after {} cover the same times", start + stream.time.skipped)))
}

/// The lowest and the highest number of a column. `None` if the column is missing or empty.
type Range = Option<(i64, i64)>;

/// The ranges of p, x and y, in this order.
type Ranges = [Range; 3];

fn ranges(block: &EventBlock) -> Ranges {
    [block.p.as_ref(), Some(&block.x), block.y.as_ref()].map(|column| Some((column?.min()?, column?.max()?)))
}
