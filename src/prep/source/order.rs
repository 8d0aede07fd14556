//! Tells a recording that is sorted by something else than time from one whose clock starts again.

use crate::error::Result;
use crate::source::numbers::EventBlock;
use crate::source::stream::EventStream;

/// Number of events of each part that are looked at.
const SEEN: u64 = 1 << 12;
/// Maximum number of parts that are looked at.
const PARTS: usize = 16;
/// Two parts were exchanged only if each has this share of the events.
const SHARE: u64 = 16;
/// Two parts join if between them are at most so many usual steps.
const JOINT: i64 = 100;

/// What the events are sorted by, if the times step back before these events for another reason than the clock.
///
/// The events are sorted by other columns if each part has other values in one of them than the part before. Two parts
/// were exchanged if the second leads up to the first. And they are one recording if they begin together and end
/// together, at other times than those at which a clock starts.
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
    if large && d <= a && near(d, a, (span / stream.len as i64).max(1).saturating_mul(JOINT)) {
        return Ok(Some(format!("the events from {} on end where the first begin", start + stream.time.skipped)));
    }
    let together = near(a, c, span / 100) && near(b, d, span / 100) && a.min(c) > span / 10;
    Ok(together.then(|| format!("the events before and after {} cover the same times", start + stream.time.skipped)))
}

/// The lowest and the highest number of a column.
type Range = Option<(i64, i64)>;

/// Of p, x and y.
type Ranges = [Range; 3];

fn ranges(block: &EventBlock) -> Ranges {
    [block.p.as_ref(), Some(&block.x), block.y.as_ref()].map(|column| Some((column?.min()?, column?.max()?)))
}
