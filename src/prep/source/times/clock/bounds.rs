//! Limits that several of the clock's checks use.

/// A recording with fewer events than this says little about its clock and its unit. Both are then judged more
/// cautiously.
pub(crate) const FEW: u64 = 100;
/// The times of a recording count as ordered if there is at most one large step back per this many events. A step back
/// is large if it is longer than an eighth of the recording's duration. This eighth is limited to the range from 1 to
/// 100 milliseconds.
pub(crate) const ORDERED: u64 = 4;
/// Jumps of the times that are longer than this many microseconds are kept until all times were processed. Only then
/// is it decided which of them are gaps.
pub(crate) const PAUSE: i64 = 2_000_000;
/// One minute in microseconds. A jump ahead can be a gap only if it is longer than this. A jump to stray events can
/// also be shorter.
pub(crate) const MINUTE: i64 = 60_000_000;
