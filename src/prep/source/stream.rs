//! One recording as a sequence of events that is read in ranges, independent of the file format.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{BaseFault, Error, Result};
use crate::event_range::EventRange;
use crate::events::SensorSize;
use crate::source::columns::{EventBlock, Numbers, Role, Stamps, TakenColumns};
use crate::source::hdf::{LinkedPath, NumberColumn};
use crate::source::labels::MAX_NAMELESS_CLASSES;
use crate::source::layout::Layout;
use crate::source::numpy::EventArray;
use crate::source::packed::{is_packed, local};
use crate::source::raw::MAX_SAMPLE_EVENTS;
use crate::source::sorted::SortedEvents;
use crate::source::stored::StoredEvents;
use crate::source::times::Timeline;

/// Number of events that are read at a time when a whole recording is scanned.
const STRIDE: u64 = 1 << 20;
/// A recording with more events than this is sorted, or decoded, in a temporary file instead of in memory.
pub(super) const MAX_IN_MEMORY: u64 = 1 << 22;
/// Maximum number of events per byte of a file. No compression reaches this ratio, so a file that claims more is
/// damaged.
const MAX_EVENTS_A_BYTE: u64 = 4096;

/// A file with one recording, open for reading ranges of its events.
#[derive(Debug)]
pub(super) struct EventStream {
    pub path: PathBuf,
    pub layout: Layout,
    /// How the times are read: their unit, the range of events that is used, and the wraps to undo.
    pub time: Timeline,
    /// Number of events in the range that is used.
    pub len: u64,
    /// Sensor size, if the file or the layout gives it.
    pub sensor: Option<SensorSize>,
    /// Class of the recording, if the file gives it.
    pub label: Option<ClassLabel>,
    /// Which fields of the file are used as the columns t, x, y and p.
    pub taken: TakenColumns,
    /// The file's time offset (`t_offset`) in microseconds. It is not added to the times.
    pub time_offset: Option<i64>,
    /// Other files that the events come from.
    pub linked: Vec<LinkedPath>,
    /// Notes for the user about how the recording was opened.
    pub notes: Vec<String>,
    /// Where the events are stored.
    pub columns: EventStore,
}

/// What an array must contain if the user's map names it as the label. Error messages quote this text.
pub(super) const ONE_CLASS: &str = "one class, a number from 0 or a name";

/// A class label as stored in a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ClassLabel {
    /// Number of the class, from 0.
    Number(u32),
    /// Name of the class. It is the only class of the recording, so its number is 0.
    Name(String),
}

impl ClassLabel {
    /// Returns the label with this number. `None` if the number is negative, or [`MAX_NAMELESS_CLASSES`] or more.
    pub(super) fn of_number(number: i64) -> Option<ClassLabel> {
        u32::try_from(number).ok().filter(|&number| number < MAX_NAMELESS_CLASSES).map(ClassLabel::Number)
    }
}

/// Where the events of a recording are stored.
#[derive(Debug)]
pub(super) enum EventStore {
    /// The events are in an HDF5 file: the columns t, x, y and p. t and x are not `None`.
    Hdf5(Box<[Option<NumberColumn>; 4]>),
    /// The events are in a NumPy array in a file. For each event, the array has a record, or a row of several numbers.
    Array(EventArray),
    /// The events are in memory, with times in microseconds.
    Memory(EventBlock),
    /// The events are in a temporary file, in the order of the recording, with times in microseconds.
    Stored(StoredEvents),
    /// The events are in a temporary file, sorted by time.
    Sorted(SortedEvents),
}

/// The order that the events of a recording had before they were sorted.
pub(super) enum OriginalOrder {
    /// The original index of each event.
    InMemory(Vec<u32>),
    /// The original indices are in the temporary file, with the sorted events.
    OnDisk,
}

impl EventStream {
    /// Returns [`Error::DamagedRecording`] if the file claims more events than its size can hold.
    pub(super) fn check_length(self) -> Result<EventStream> {
        let size = |path: &Path| {
            std::fs::metadata(&*local(path)?).map(|m| m.len()).map_err(Error::io(path, "read the recording"))
        };
        let linked = self.linked.iter().map(|file| size(&file.path)).sum::<Result<u64>>()?;
        let bytes = size(&self.path)? + linked;
        if self.len > bytes.saturating_mul(MAX_EVENTS_A_BYTE) {
            let reason = format!("it claims to have {} events in {bytes} bytes", self.len);
            return Err(Error::damaged(&self.path, "events", reason));
        }
        Ok(self)
    }

    /// Limits the stream to the range of events that the user gave, if any.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] if the recording has events, but none of them is in the range.
    pub(super) fn restrict(mut self, events: Option<EventRange>) -> Result<EventStream> {
        if let Some(events) = events {
            self.len = self.time.restrict(events, &self.path, self.len)?;
        }
        Ok(self)
    }

    /// Reads the times of a range of events, in microseconds, with wraps undone.
    pub(super) fn times(&self, range: Range<u64>) -> Result<Stamps> {
        let first = range.start;
        let mut times = self.stored_times(range)?;
        self.time.mend(first, &mut times);
        Ok(times)
    }

    /// Reads the times of a range of events, in microseconds. Does not undo wraps.
    fn stored_times(&self, range: Range<u64>) -> Result<Stamps> {
        let unit = self.time.unit;
        let range = self.time.places(range);
        Ok(match &self.columns {
            EventStore::Memory(block) => block.t.part(range.start as usize..range.end as usize),
            EventStore::Stored(events) => events.times(range)?,
            EventStore::Sorted(events) => events.times(range)?,
            EventStore::Hdf5(columns) => match &columns[0] {
                Some(t) => t.read(&self.path, range)?.times(unit),
                None => Stamps::default(),
            },
            EventStore::Array(array) => array.column(Role::T, range)?.map_or_else(Stamps::default, |t| t.times(unit)),
        })
    }

    /// Reads a range of events.
    pub(super) fn read(&self, range: Range<u64>) -> Result<EventBlock> {
        let (path, first, range) = (&self.path, range.start, self.time.places(range));
        let mut block = match &self.columns {
            EventStore::Hdf5(columns) => EventBlock::of(NumberColumn::read_each(columns, path, range)?, self.time.unit),
            EventStore::Array(array) => array.read(range, self.time.unit)?,
            EventStore::Memory(block) => block.part(range.start as usize..range.end as usize),
            EventStore::Stored(events) => events.read(range)?,
            EventStore::Sorted(events) => events.read(range)?,
        };
        self.time.mend(first, &mut block.t);
        Ok(block)
    }

    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.columns, EventStore::Memory(_))
    }

    /// Reads a range of one column as the file stores it. `None` if the recording lacks the column, or if its events
    /// are in memory or in a temporary file.
    pub(super) fn stored(&self, role: Role, range: Range<u64>) -> Result<Option<Numbers>> {
        let range = self.time.places(range);
        match &self.columns {
            EventStore::Hdf5(columns) => columns[role as usize].as_ref().map(|c| c.read(&self.path, range)).transpose(),
            EventStore::Array(array) => array.column(role, range),
            EventStore::Memory(_) | EventStore::Stored(_) | EventStore::Sorted(_) => Ok(None),
        }
    }

    /// Reads x or y (`role`) for a range of events. `None` if the file does not store this column as floats.
    pub(super) fn float_coordinates(&self, role: Role, range: Range<u64>) -> Result<Option<Vec<f64>>> {
        let are_floats = match &self.columns {
            EventStore::Hdf5(columns) => columns[role as usize].as_ref().is_some_and(NumberColumn::is_float),
            EventStore::Array(array) => array.is_float(role),
            EventStore::Memory(_) | EventStore::Stored(_) | EventStore::Sorted(_) => false,
        };
        let numbers = if are_floats { self.stored(role, range)? } else { None };
        Ok(numbers.map(Numbers::floats))
    }

    /// Returns whether the events are in a temporary file, which is made each time the recording is opened.
    pub(super) fn is_on_disk(&self) -> bool {
        let is_stored = match &self.columns {
            EventStore::Stored(_) | EventStore::Sorted(_) => true,
            EventStore::Array(array) => array.is_spilled(),
            EventStore::Hdf5(_) | EventStore::Memory(_) => false,
        };
        is_stored || self.is_unpacked()
    }

    /// Returns whether the file was unpacked into a temporary file.
    pub(super) fn is_unpacked(&self) -> bool {
        matches!(self.columns, EventStore::Hdf5(_) | EventStore::Array(_)) && is_packed(&self.path)
    }

    /// Splits the recording into consecutive ranges of events that fit in memory.
    pub(super) fn strides(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let len = self.len;
        (0..len.div_ceil(STRIDE)).map(move |i| i * STRIDE..len.min((i + 1) * STRIDE))
    }

    /// Sorts the recording by time and returns the original order. Events with equal times keep their order.
    pub(super) fn sort(&mut self) -> Result<OriginalOrder> {
        self.sort_above(MAX_IN_MEMORY)
    }

    fn sort_above(&mut self, most: u64) -> Result<OriginalOrder> {
        let order = if self.len > most {
            let blocks = self.strides().map(|range| self.read(range));
            self.columns = EventStore::Sorted(SortedEvents::new(self.len, blocks)?);
            OriginalOrder::OnDisk
        } else {
            let block = self.read(0..self.len)?;
            let places = block.t.places(None);
            let mut order: Vec<u32> = (0..self.len as u32).collect();
            order.sort_by_key(|&i| places[i as usize]);
            self.columns = EventStore::Memory(block.pick(order.iter().map(|&i| i as usize)));
            OriginalOrder::InMemory(order)
        };
        self.time.settle();
        Ok(order)
    }

    /// Returns whether the events of a range already had the same order before [`EventStream::sort`]. `order` is the
    /// result of `sort`.
    pub(super) fn was_in_order(&self, order: &OriginalOrder, range: Range<u64>) -> Result<bool> {
        match (order, &self.columns) {
            (OriginalOrder::InMemory(order), _) => Ok(order[range.start as usize..range.end as usize].is_sorted()),
            (OriginalOrder::OnDisk, EventStore::Sorted(events)) => events.was_in_order(range),
            (OriginalOrder::OnDisk, _) => Ok(true),
        }
    }

    /// Returns the largest x and y of about the first [`MAX_SAMPLE_EVENTS`] events.
    pub(super) fn extent(&self) -> Result<(i64, i64)> {
        let (mut x, mut y) = (0, 0);
        for range in self.strides().take_while(|range| range.start < MAX_SAMPLE_EVENTS) {
            let block = self.read(range)?;
            x = x.max(block.x.max().unwrap_or(0));
            y = y.max(block.y.as_ref().and_then(|y| y.max()).unwrap_or(0));
        }
        Ok((x, y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::options::SourceOptions;
    use crate::source::raw::Coordinates;
    use crate::time_unit::TimeUnit;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn sorting_on_disk_gives_what_sorting_in_memory_gives() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        for round in 0..300 {
            let n = random.random_range(0..60_usize);
            let first = if round % 4 == 0 { random.random_range(0..=n) } else { 0 };
            let missing: Vec<usize> = (0..n).filter(|&i| i < first || random.random_bool(0.1)).collect();
            let mut us: Vec<i64> = (0..n).map(|_| random.random_range(-20..20)).collect();
            missing.iter().for_each(|&i| us[i] = 0);
            let mut column = |few: i64| Coordinates::I64((0..n).map(|_| random.random_range(-few..few)).collect());
            let (x, y, p) = (column(9), Some(column(i64::MAX)), (round % 3 > 0).then(|| column(2)));
            let block = EventBlock { t: Stamps { us, missing }, x, y, p };
            let stream = || EventStream {
                path: PathBuf::new(),
                layout: Layout::Npy,
                time: Timeline::new(&SourceOptions::default(), TimeUnit::Microseconds, Vec::new()),
                len: n as u64,
                sensor: None,
                label: None,
                taken: TakenColumns::default(),
                time_offset: None,
                linked: Vec::new(),
                notes: Vec::new(),
                columns: EventStore::Memory(block.clone()),
            };
            let (mut memory, mut disk) = (stream(), stream());
            let orders = [memory.sort_above(u64::MAX).unwrap(), disk.sort_above(0).unwrap()];
            assert!(n == 0 || matches!(orders, [OriginalOrder::InMemory(_), OriginalOrder::OnDisk]));
            for range in [0..n as u64, n as u64 / 3..n as u64 / 2, 0..0] {
                let [a, b] = [&memory, &disk].map(|stream| stream.read(range.clone()).unwrap());
                assert_eq!(format!("{a:?}"), format!("{b:?}"), "{round}");
                let [a, b] = [(&memory, &orders[0]), (&disk, &orders[1])]
                    .map(|(stream, order)| stream.was_in_order(order, range.clone()).unwrap());
                assert_eq!(a, b, "{round}");
            }
        }
    }
}
