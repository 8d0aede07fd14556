//! Recognises the file formats of cameras: by the first bytes of a file, or by the ending of its name and plausible
//! events.

mod percent_header;

use std::path::Path;

use crate::source::layout::Layout;
use crate::source::packed::without_gz;
pub(crate) use percent_header::PercentHeader;

/// The first bytes of an Event Stream.
pub(crate) const EVENT_STREAM: &[u8] = b"Event Stream";
/// Minimum number of events for a file to be recognised by plausible events. Fewer may be plausible by chance.
const LEAST: usize = 16;
/// An entry of N-MNIST with this y is no event: it reports an overflow of the clock.
const OVERFLOW: u8 = 240;
const OVERFLOW_US: i64 = 1 << 13;

/// Recognises a camera's file by its first bytes. Returns `None` for formats that don't begin with fixed bytes, and for
/// other files.
pub(crate) fn marked(head: &[u8]) -> Option<Layout> {
    let begins = |mark: &[u8]| head.starts_with(mark);
    if begins(b"#!AER-DAT4") {
        return Some(Layout::Aedat4);
    }
    if begins(b"#!AER-DAT3.1") {
        return Some(Layout::Aedat3);
    }
    if begins(b"#!AER-DAT2") {
        return Some(Layout::Aedat2);
    }
    if begins(b"#ROSBAG V2.0\n") {
        return Some(Layout::Rosbag);
    }
    if begins(EVENT_STREAM) {
        return Some(Layout::Es);
    }
    if begins(b"%") {
        let header = PercentHeader::of_head(head);
        let is_dat = header.is_dat || (header.may_be_dat && is_binary(head));
        return header.encoding.or(is_dat.then_some(Layout::Dat));
    }
    None
}

/// Recognises a camera's file that doesn't begin with fixed bytes. The ending of its name must fit, and its first
/// events must be plausible.
pub(crate) fn probable(path: &Path, head: &[u8]) -> Option<Layout> {
    let path = without_gz(path);
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "bin" => is_nmnist(head).then_some(Layout::Nmnist),
        "dat" => is_dat(head).then_some(Layout::Dat),
        _ => None,
    }
}

/// Returns whether there are control characters that don't occur in a text.
fn is_binary(head: &[u8]) -> bool {
    head.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
}

/// Returns whether an entry of N-MNIST reports an overflow of the clock instead of an event.
#[inline(always)]
pub(crate) fn is_overflow(entry: &[u8; 5]) -> bool {
    entry[1] == OVERFLOW
}

/// Returns the time of an event of N-MNIST, in microseconds. For an overflow of the clock, returns `None` and increases
/// `added`, which is added to all later times.
#[inline(always)]
pub(crate) fn nmnist_time(event: &[u8; 5], added: &mut i64) -> Option<i64> {
    let [_, _, high, middle, low] = *event;
    if is_overflow(event) {
        *added += OVERFLOW_US;
        return None;
    }
    Some(*added + (i64::from(high & 0x7f) << 16 | i64::from(middle) << 8 | i64::from(low)))
}

/// Returns whether `head` may be the beginning of a file of N-MNIST: the times of its events are in order.
fn is_nmnist(head: &[u8]) -> bool {
    let (events, mut added, mut last, mut is_sorted) = (head.as_chunks::<5>().0, 0, 0, true);
    for time in events.iter().filter_map(|event| nmnist_time(event, &mut added)) {
        is_sorted &= time >= last; // without a branch
        last = time;
    }
    is_sorted && events.len() >= LEAST
}

/// Returns whether `head` may be the beginning of a DAT file without a header. The times must be in order. In each
/// address, the bits that only later versions use must be 0.
fn is_dat(head: &[u8]) -> bool {
    let events = head.as_chunks::<8>().0;
    let times = events.iter().map(|event| u32::from_le_bytes([event[0], event[1], event[2], event[3]]));
    let fits = |event: &[u8; 8]| event[7] == 0 && event[6] < 4;
    events.len() >= LEAST && times.is_sorted() && events.iter().all(fits)
}
