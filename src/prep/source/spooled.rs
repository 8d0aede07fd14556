//! A temporary file for the samples that a program adds. Its content depends only on the events. The set's manifest
//! has the hash of this content in place of the hash of a recording.
//!
//! The file has for each sample, in this order:
//!
//! - the number of its events, in 8 bytes;
//! - the widths of the columns t, x, y and p, one byte each: the bytes per number, or 0 for a missing column;
//! - the columns t, x, y and p, one after the other.
//!
//! All numbers are little-endian. Numbers of 8 bytes are signed; numbers of 1 or 2 bytes are unsigned. The widths
//! are:
//!
//! - t: 8 bytes. Times are in microseconds; -2^63 stands for an event without a time.
//! - x and y: 2 bytes if all numbers of the column in this sample fit, otherwise 8 bytes.
//! - p: 1 byte if all numbers of the column in this sample fit, otherwise 8 bytes.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use tonic_base::Spill;
use tonic_shard::Id;

use crate::error::Result;
use crate::source::columns::TakenColumns;
use crate::source::filler::Filler;
use crate::source::layout::Layout;
use crate::source::memory::ADDED;
use crate::source::placing::Placing;
use crate::source::raw::{Coordinates, RawSamples, Times};
use crate::source::recording::{ReadSamples, Recording};
use crate::source::stored::coordinates;
use crate::time_unit::TimeUnit;

/// The number that stands for a missing time in the file.
const NO_TIME: i64 = i64::MIN;
/// Number of bytes of a time in the file.
const TIME: u64 = 8;

/// Samples in a temporary file.
#[derive(Debug)]
pub(crate) struct Spool {
    spill: Spill,
    hash: blake3::Hasher,
    samples: Vec<Sample>,
    /// The unit of the times, if it was assumed and may be wrong.
    assumed: Option<TimeUnit>,
}

#[derive(Debug)]
struct Sample {
    /// Offset in bytes at which the columns of the sample begin in the file.
    at: u64,
    events: u64,
    /// Number of bytes of each number in the columns x, y and p. 0 for a column that is missing.
    widths: [u8; 3],
    in_order: bool,
}

impl Spool {
    pub(crate) fn new() -> Result<Spool> {
        Ok(Spool { spill: Spill::new(1)?, hash: blake3::Hasher::new(), samples: Vec::new(), assumed: None })
    }

    pub(crate) fn samples(&self) -> u64 {
        self.samples.len() as u64
    }

    /// Appends the only sample of `recording`. `raw` has the events of the sample.
    pub(crate) fn push(&mut self, recording: &Recording, raw: &RawSamples) -> Result<()> {
        let RawSamples { times, x, y, p, .. } = raw;
        let events = times.len() as u64;
        let width = |column: Option<&Coordinates>, narrow: u8| column.map_or(0, |column| width(column, narrow));
        let widths = [width(Some(x), 2), width(y.as_ref(), 2), width(p.as_ref(), 1)];
        let row = TIME + widths.iter().map(|&width| u64::from(width)).sum::<u64>();
        let mut bytes = Vec::with_capacity((12 + events * row) as usize);
        bytes.extend(events.to_le_bytes());
        bytes.push(TIME as u8);
        bytes.extend(widths);
        let at = self.spill.len(0) + bytes.len() as u64;
        (0..times.len()).for_each(|i| bytes.extend(times.get(i).unwrap_or(NO_TIME).to_le_bytes()));
        for (column, width) in [Some(x), y.as_ref(), p.as_ref()].into_iter().zip(widths) {
            let Some(column) = column else { continue };
            (0..column.len()).for_each(|i| bytes.extend(&column.get(i).to_le_bytes()[..width.into()]));
        }
        self.spill.append(0, &bytes)?;
        self.hash.update_rayon(&bytes);
        let in_order = (0..times.len()).filter_map(|i| times.get(i)).is_sorted();
        self.samples.push(Sample { at, events, widths, in_order });
        self.assumed = self.assumed.or(recording.assumed_unit());
        Ok(())
    }

    /// Makes a recording of all samples. `labels` has the class number of each sample; `columns` says where the columns
    /// of the first sample came from.
    pub(crate) fn into_recording(
        self,
        (labels, classes): (Vec<u32>, Option<Arc<[String]>>),
        extras: Vec<(String, Vec<i64>)>,
        columns: TakenColumns,
        notes: Vec<String>,
    ) -> Recording {
        Recording {
            path: PathBuf::from(ADDED),
            name: ADDED.into(),
            layout: Layout::Npy,
            sensor: None,
            labels,
            classes,
            extras,
            columns,
            notes,
            unlabelled: None,
            out_of_range: 0,
            placing: Placing::default(),
            filler: Filler::default(),
            reader: Box::new(self),
        }
    }

    /// Reads a range of the events of a sample.
    fn block(&self, sample: &Sample, events: Range<u64>) -> Result<(Vec<i64>, [Option<Coordinates>; 3])> {
        let mut start = sample.at;
        let mut column = |width: u8| -> Result<Option<Coordinates>> {
            let bytes_each = u64::from(width);
            let mut bytes = vec![0; ((events.end - events.start) * bytes_each) as usize];
            self.spill.read(0, start + events.start * bytes_each, &mut bytes)?;
            start += sample.events * bytes_each;
            Ok(coordinates(width.into(), bytes))
        };
        let times = match column(TIME as u8)? {
            Some(Coordinates::I64(times)) => times,
            _ => Vec::new(),
        };
        let [x, y, p] = sample.widths;
        Ok((times, [column(x)?, column(y)?, column(p)?]))
    }
}

impl ReadSamples for Spool {
    fn read(&self, samples: Range<u64>) -> Result<RawSamples> {
        let samples = &self.samples[samples.start as usize..samples.end as usize];
        let (mut times, mut columns, mut offsets) = (Vec::new(), [const { Vec::new() }; 3], vec![0]);
        for sample in samples {
            let (t, block) = self.block(sample, 0..sample.events)?;
            times.extend(t);
            offsets.push(times.len());
            columns.iter_mut().zip(block).for_each(|(column, numbers)| column.push(numbers));
        }
        let [x, y, p] = columns.map(|columns| {
            let columns: Option<Vec<&Coordinates>> = columns.iter().map(Option::as_ref).collect();
            columns.map(|columns| Coordinates::concatenate(&columns))
        });
        Ok(raw(times, [x, y, p], offsets))
    }

    fn events(&self) -> Result<u64> {
        Ok(self.samples.iter().map(|sample| sample.events).sum())
    }

    fn sample_events(&self, sample: u64) -> Option<u64> {
        Some(self.samples[sample as usize].events)
    }

    fn check_in_blocks(&self, sample: u64, _most: u64) -> Result<bool> {
        Ok(self.samples[sample as usize].in_order)
    }

    fn read_in_blocks(&self, sample: u64, most: u64, take: &mut dyn FnMut(RawSamples) -> Result<()>) -> Result<()> {
        let sample = &self.samples[sample as usize];
        for start in (0..sample.events).step_by(most as usize) {
            let (times, columns) = self.block(sample, start..sample.events.min(start + most))?;
            let offsets = vec![0, times.len()];
            take(raw(times, columns, offsets))?;
        }
        Ok(())
    }

    fn assumed_unit(&self) -> Option<TimeUnit> {
        self.assumed
    }

    fn content(&self) -> Option<(Id, u64)> {
        Some((Id(*self.hash.finalize().as_bytes()), self.spill.len(0)))
    }
}

/// Returns the bytes per number of a column in the file: `narrow` if all numbers fit as unsigned numbers, or else 8.
fn width(column: &Coordinates, narrow: u8) -> u8 {
    let fits =
        column.min().is_none_or(|least| least >= 0) && (0..column.len()).all(|i| column.get(i) < 1 << (8 * narrow));
    if fits { narrow } else { 8 }
}

fn raw(times: Vec<i64>, [x, y, p]: [Option<Coordinates>; 3], offsets: Vec<usize>) -> RawSamples {
    let times = match times.contains(&NO_TIME) {
        false => Times::Us(times),
        true => Times::SomeUs(times.into_iter().map(|time| (time != NO_TIME).then_some(time)).collect()),
    };
    RawSamples { times, x: x.unwrap_or(Coordinates::U16(Vec::new())), y, p, offsets }
}
