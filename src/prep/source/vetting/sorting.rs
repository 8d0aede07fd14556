//! Finds out why the times of a recording step back: its events are sorted by something other than time, or its clock
//! started again. In this module, a part of a recording is the events from one step back to the next.

use std::ops::Range;

use crate::error::Result;
use crate::source::columns::EventBlock;
use crate::source::stream::EventStream;

/// Number of events that are read at the start of each part of a recording.
const SEEN: u64 = 1 << 12;
/// Maximum number of parts of a recording that are compared.
const PARTS: usize = 16;
/// Two parts of a recording count as swapped only if each has at least `1 / SHARE` of all events.
const SHARE: u64 = 16;
/// Two parts of a recording count as swapped only if the time from the end of the second part to the start of the first
/// is at most this many times the mean time between events. For a recording of fewer than 400 events, the limit is a
/// quarter of the number of its events instead.
const JOINT: i64 = 100;

/// To find the packet around a step back, this many events before the step and this many after it are read.
const PACKET: u64 = 1 << 15;
/// A step back is in the middle of a packet only if at least this many events before it have one polarity, and at least
/// this many events after it have the other one.
const SIDE: usize = 8;
/// Parts of a recording are compared by x, y or p only if each has at least this many events.
const TOLD: usize = 16;

/// Why the times of a recording step back if its clock has no fault.
pub(crate) enum Sorting {
    /// In each packet, all events of one polarity come before all events of the other polarity.
    Packets,
    /// The events of the whole file have another order, which the text describes.
    Whole(String),
}

/// Returns why the times of a recording step back, or `None` if the clock may be the reason. `starts` has the index of
/// the event after each step back. The other reasons are:
///
/// - The events of each packet are sorted by p first, and then by time.
/// - The events of the recording are sorted by p, x or y first, and then by time.
/// - Two parts are in the wrong order: the second part ends shortly before the first part begins.
/// - Two parts cover the same times, and do not begin near 0, as they would after a restart of the clock.
pub(crate) fn sorting(stream: &EventStream, starts: &[u64]) -> Result<Option<Sorting>> {
    let packets = starts.iter().take(PARTS).map(|&start| packet(stream, start)).collect::<Result<Option<Vec<_>>>>()?;
    if packets.is_some_and(|packets| packets.iter().any(|packet| *packet != (0..stream.len))) {
        return Ok(Some(Sorting::Packets));
    }
    sorted_whole(stream, starts).map(|what| what.map(Sorting::Whole))
}

/// Returns the range of events of the packet around the step back at `start`: first events of one polarity, then events
/// of the other polarity that cover the same times. `None` if there is no such packet.
fn packet(stream: &EventStream, start: u64) -> Result<Option<Range<u64>>> {
    let first = start.saturating_sub(PACKET);
    let block = stream.read(first..(start + PACKET).min(stream.len))?;
    let Some(p) = &block.p else { return Ok(None) };
    let (t, middle) = (block.t.places(None), (start - first) as usize);
    let before = (0..middle).rev().take_while(|&i| p.get(i) == p.get(middle - 1)).count();
    let after = (middle..p.len()).take_while(|&i| p.get(i) == p.get(middle)).count();
    let extent = |t: &[i64]| Some((*t.iter().min()?, *t.iter().max()?));
    let sides = (extent(&t[middle - before..middle]), extent(&t[middle..middle + after]));
    let (Some(a), Some(b)) = sides else { return Ok(None) };
    let both = a.1.min(b.1).saturating_sub(a.0.max(b.0));
    let longest = a.1.saturating_sub(a.0).max(b.1.saturating_sub(b.0));
    let fits = p.get(middle - 1) != p.get(middle) && before.min(after) >= SIDE && both >= longest / 2;
    Ok(fits.then(|| start - before as u64..start + after as u64))
}

fn sorted_whole(stream: &EventStream, starts: &[u64]) -> Result<Option<String>> {
    let mut bounds: Vec<u64> = [0].into_iter().chain(starts.iter().copied().take(PARTS)).collect();
    if starts.len() < PARTS {
        bounds.push(stream.len);
    }
    let parts = bounds.windows(2).map(|part| stream.read(part[0]..part[1].min(part[0] + SEEN)));
    let blocks = parts.collect::<Result<Vec<_>>>()?;
    let told = blocks.iter().all(|block| block.x.len() >= TOLD);
    let parts: Vec<Ranges> = blocks.iter().map(ranges).collect();
    let apart = |pair: &[Ranges]| {
        let columns = ["p", "x", "y"].into_iter().zip(pair[0].iter().zip(&pair[1]));
        let other = |a: &Extent, b: &Extent| matches!((a, b), (Some(a), Some(b)) if a.1 < b.0 || b.1 < a.0);
        columns.into_iter().find(|(_, (range, than))| other(range, than)).map(|(name, _)| name)
    };
    if let Some(mut keys) =
        parts.windows(2).map(apart).collect::<Option<Vec<_>>>().filter(|keys| told && !keys.is_empty())
    {
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
    // The condition c < d excludes a second part whose times are all equal: probably rows that were never filled.
    if large && c < d && d <= a && near(d, a, usual.saturating_mul(JOINT.min(stream.len as i64 / 4))) {
        return Ok(Some(format!("the events from {} on end where the first begin", start + stream.time.skipped)));
    }
    let together = near(a, c, span / 100) && near(b, d, span / 100) && a.min(c) > span / 10;
    Ok(together.then(|| format!("the events before and after {} cover the same times", start + stream.time.skipped)))
}

/// The lowest and the highest number of a column. `None` if the column is missing or empty.
type Extent = Option<(i64, i64)>;

/// The lowest and the highest value of p, x and y, in this order.
type Ranges = [Extent; 3];

fn ranges(block: &EventBlock) -> Ranges {
    [block.p.as_ref(), Some(&block.x), block.y.as_ref()].map(|column| Some((column?.min()?, column?.max()?)))
}
