//! Limits that several of the clock's checks use.

/// If a recording has fewer events than this, its clock and its unit are judged more cautiously.
pub(crate) const FEW: u64 = 100;
/// The times of a recording count as ordered if there is at most one large step back per this many events. A large step
/// is longer than an eighth of the recording's duration, limited to the range from 1 to 100 milliseconds.
pub(crate) const ORDERED: u64 = 4;
/// Jumps longer than this many microseconds are kept until all times were read. Only then is it decided which of them
/// are gaps.
pub(crate) const PAUSE: i64 = 2_000_000;
/// One minute in microseconds. A jump ahead can be a gap only if it is longer than this.
pub(crate) const MINUTE: i64 = 60_000_000;
