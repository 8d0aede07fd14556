//! Reads a large sample in blocks. The result is the same as for a sample that is read whole. Events that are out of
//! order are sorted on disk.

use tonic_base::interrupt;

use crate::convert::outside::outside_error;
use crate::disk_sort::DiskSort;
use crate::error::{Error, Result};
use crate::events::{Admitted, Events, SensorSize};
use crate::recipe::BlockSteps;
use crate::source::{BLOCK_EVENTS, LARGE_SAMPLE, Recording, count};
use tonic_shard::{KEPT, Ledger};

/// Which samples are large, and how many of their events are read or sorted at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockSizes {
    /// A sample with more events than this is large.
    pub above: u64,
    /// Maximum number of events that are read at once.
    pub events: u64,
    /// Maximum number of events that are sorted in memory.
    pub sorted: usize,
}

impl Default for BlockSizes {
    fn default() -> BlockSizes {
        BlockSizes { above: LARGE_SAMPLE, events: BLOCK_EVENTS, sorted: 1 << 20 }
    }
}

/// What is known about a sample after all its events have been read and transformed.
#[derive(Clone, Debug, Default)]
pub(super) struct Passed {
    /// Ledger of the sample. `binned` and `cut` are 0 until the framing counts them.
    pub ledger: Ledger,
    /// Number of events that each step lost, in the order of [`crate::convert::loss::Losses::steps`]. Excludes slicing.
    pub lost: Vec<u64>,
    /// Whether the valid events were out of order and had to be sorted.
    pub sorted: bool,
    /// The first event outside the sensor: its index in the sample, and its x, y and p.
    pub first_outside: Option<(u64, [i64; 3])>,
    /// Number of events after the transforms.
    pub events: u64,
    /// Times of the first and the last event after the transforms, in microseconds. `None` if no events are left.
    pub times: Option<(i64, i64)>,
}

/// A sample that is read in blocks.
pub(super) struct LargeSample<'a> {
    pub recording: &'a Recording,
    /// Index of the sample in the recording.
    pub sample: u64,
    pub sensor: SensorSize,
    pub sizes: BlockSizes,
    pub steps: BlockSteps<'a>,
}

/// Sorts events by time in a temporary file. An event's x, y and p take five bytes.
type EventSort = DiskSort<5>;

impl LargeSample<'_> {
    /// Calls `take` with blocks of transformed events, in order of time. With `strict`, an event outside the sensor is
    /// an error.
    pub(super) fn pass(mut self, strict: bool, mut take: impl FnMut(&Events) -> Result<()>) -> Result<Passed> {
        let in_order = self.recording.check_in_blocks(self.sample, self.sizes.events)?;
        let all = self.recording.sample_events(self.sample).unwrap_or(0);
        let mut sort = if in_order { None } else { Some(EventSort::new(self.sizes.sorted, all)?) };
        // If the file is decoded before its events are read, decoding counts as the other half of the progress.
        let share = if self.recording.reopens() { 0.5 } else { 1.0 };
        let (mut passed, mut last, mut transformed) = (Passed::default(), None, Ledger::default());
        let mut send = |events: &mut Events, passed: &mut Passed| {
            let bad = |fault: crate::fault::Fault| {
                Error::bad_sample(&self.recording.path, self.sample, fault.place, fault.expected, fault.got)
            };
            self.steps.apply(events, &mut transformed).map_err(bad)?;
            if let [first, .., last] | [first @ last] = events.t[..] {
                passed.times = Some((passed.times.map_or(first, |(first, _)| first), last));
            }
            passed.events += events.len() as u64;
            take(events)
        };
        self.recording.read_in_blocks(self.sample, self.sizes.events, |mut raw| {
            interrupt::check(KEPT)?;
            let Admitted { mut events, non_finite, outside, first_outside, sorted } = raw.admit_once(0, self.sensor);
            let before = passed.ledger.events_in;
            passed.first_outside = passed.first_outside.or(first_outside.map(|(i, event)| (before + i, event)));
            if let Some(first) = passed.first_outside.filter(|_| strict) {
                return Err(outside_error(self.recording, self.sample, first, self.sensor)?);
            }
            passed.ledger.events_in += raw.count(0);
            count(share * raw.count(0) as f64 / all.max(1) as f64);
            passed.ledger.non_finite += non_finite;
            passed.ledger.outside += outside;
            passed.sorted |= sorted || events.t.first().zip(last).is_some_and(|(first, last)| *first < last);
            last = events.t.last().copied().or(last);
            match &mut sort {
                Some(sort) => events.iter().try_for_each(|(t, x, y, p)| {
                    let ([x, high_x], [y, high_y]) = (x.to_le_bytes(), y.to_le_bytes());
                    sort.push((t, [x, high_x, y, high_y, p]))
                }),
                None if passed.sorted => {
                    let reason = "its events were in order of time before: it changed while it was read";
                    Err(Error::damaged(&self.recording.path, "times", reason))
                }
                None => send(&mut events, &mut passed),
            }
        })?;
        if let Some(sort) = sort {
            let mut block = Events::default();
            sort.finish(|(t, [x, high_x, y, high_y, p])| {
                block.push(t, u16::from_le_bytes([x, high_x]), u16::from_le_bytes([y, high_y]), p);
                if (block.len() as u64) < self.sizes.events {
                    return Ok(());
                }
                interrupt::check(KEPT)?;
                send(&mut std::mem::take(&mut block), &mut passed)
            })?;
            send(&mut block, &mut passed)?;
        }
        passed.lost = vec![passed.ledger.non_finite, passed.ledger.outside];
        passed.lost.extend(self.steps.lost);
        passed.ledger += transformed;
        Ok(passed)
    }
}

#[cfg(test)]
mod tests;
