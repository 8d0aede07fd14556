//! One recording as a stream of events, read in ranges, whatever the file that holds it.

use std::ops::Range;
use std::path::PathBuf;

use super::super::events::SensorSize;
use super::camera::Compound;
use super::hdf::Column;
use super::numbers::{Block, Stamps};
use super::numpy::Array;
use super::unit::TimeUnit;
use super::{Layout, MAX_SAMPLE_EVENTS};
use crate::error::{Error, Result};

/// Events that are looked at together where all are looked at.
const STRIDE: u64 = 1 << 20;
/// The most events of a recording that has to be in memory as a whole.
const MAX_IN_MEMORY: u64 = 1 << 25;
/// Event files take more than a byte for so many events, however well they are compressed: what claims to have more
/// has none, and would be read for years.
const MAX_EVENTS_A_BYTE: u64 = 4096;

/// A recording's events.
#[derive(Debug)]
pub struct Stream {
    /// The file.
    pub path: PathBuf,
    /// Its layout.
    pub layout: Layout,
    /// What its times count.
    pub unit: TimeUnit,
    /// How many events.
    pub len: u64,
    /// The sensor, where file or layout tell it.
    pub sensor: Option<SensorSize>,
    /// Its class, where the file tells it.
    pub label: Option<Label>,
    /// The time of the file's zero, in microseconds, which is not added.
    pub time_offset: Option<i64>,
    /// Where the events are.
    pub columns: Columns,
}

/// A class, as a file tells it.
#[derive(Clone, Debug, PartialEq)]
pub enum Label {
    /// Its number.
    Number(u32),
    /// Its name.
    Name(String),
}

/// Where events are.
#[derive(Debug)]
pub enum Columns {
    /// In a dataset each.
    Separate {
        /// When.
        t: Column,
        /// Pixel column.
        x: Column,
        /// Pixel row.
        y: Option<Column>,
        /// Polarity.
        p: Option<Column>,
    },
    /// In a dataset of records.
    Compound(Compound),
    /// In a NumPy array of records.
    Array(Array),
    /// In memory.
    Memory(Block),
}

impl Stream {
    /// Refuses a file that claims to have more events than it can hold.
    ///
    /// # Errors
    /// [`Error::DamagedRecording`].
    pub fn check_length(self) -> Result<Stream> {
        let bytes = std::fs::metadata(&self.path).map_err(Error::io(&self.path, "read the recording"))?.len();
        if self.len > bytes.saturating_mul(MAX_EVENTS_A_BYTE) {
            let reason = format!("it claims to have {} events in {bytes} bytes", self.len);
            return Err(Error::DamagedRecording { path: self.path, place: "events".into(), reason });
        }
        Ok(self)
    }

    /// Reads the times of a range.
    ///
    /// # Errors
    /// [`Error::DamagedRecording`], [`Error::Unavailable`], [`Error::Io`].
    pub fn times(&self, range: Range<u64>) -> Result<Stamps> {
        match &self.columns {
            Columns::Separate { t, .. } => Ok(t.read(&self.path, range)?.times(self.unit)),
            Columns::Memory(block) => {
                let range = range.start as usize..range.end as usize;
                let first = block.t.missing.partition_point(|&i| i < range.start);
                let missing = block.t.missing[first..].iter().take_while(|&&i| i < range.end);
                Ok(Stamps {
                    missing: missing.map(|i| i - range.start).collect(),
                    us: block.t.us[range.clone()].to_vec(),
                })
            }
            _ => Ok(self.read(range)?.t),
        }
    }

    /// Reads a range.
    ///
    /// # Errors
    /// [`Error::DamagedRecording`], [`Error::Unavailable`], [`Error::Io`].
    pub fn read(&self, range: Range<u64>) -> Result<Block> {
        let path = &self.path;
        match &self.columns {
            Columns::Separate { t, x, y, p } => Ok(Block {
                t: t.read(path, range.clone())?.times(self.unit),
                x: x.read(path, range.clone())?.pixels(),
                y: y.as_ref().map(|y| y.read(path, range.clone())).transpose()?.map(|y| y.pixels()),
                p: p.as_ref().map(|p| p.read(path, range)).transpose()?.map(|p| p.polarities()),
            }),
            Columns::Compound(records) => records.read(path, range, self.unit),
            Columns::Array(array) => array.read(path, range, self.unit),
            Columns::Memory(block) => Ok(block.pick(range.start as usize..range.end as usize)),
        }
    }

    /// The whole recording in pieces that fit memory.
    pub fn strides(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let len = self.len;
        (0..len.div_ceil(STRIDE)).map(move |i| i * STRIDE..len.min((i + 1) * STRIDE))
    }

    /// Refuses a recording that is too large to be in memory as a whole.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn check_memory(&self, why: &str) -> Result<()> {
        if self.len <= MAX_IN_MEMORY {
            return Ok(());
        }
        Err(Error::WrongType {
            path: self.path.clone(),
            dataset: "events".into(),
            expected: format!("at most {MAX_IN_MEMORY} events, because {why} and has to be in memory as a whole"),
            got: self.len.to_string(),
        })
    }

    /// Sorts the recording by time, in memory, equal times in their order. Gives the number that each event had.
    ///
    /// # Errors
    /// Those of reading; [`Error::WrongType`] for a recording that is too large.
    pub fn sort(&mut self) -> Result<Vec<u32>> {
        self.check_memory("it is out of order")?;
        let block = self.read(0..self.len)?;
        let places = block.t.places(None);
        let mut order: Vec<u32> = (0..self.len as u32).collect();
        order.sort_by_key(|&i| places[i as usize]);
        self.columns = Columns::Memory(block.pick(order.iter().map(|&i| i as usize)));
        Ok(order)
    }

    /// The largest x and y, of the first events of a very long recording.
    ///
    /// # Errors
    /// Those of reading.
    pub fn extent(&self) -> Result<(i64, i64)> {
        let (mut x, mut y) = (0, 0);
        for range in self.strides().take_while(|range| range.start < MAX_SAMPLE_EVENTS) {
            let block = self.read(range)?;
            x = x.max(block.x.max().unwrap_or(0));
            y = y.max(block.y.as_ref().and_then(|y| y.max()).unwrap_or(0));
        }
        Ok((x, y))
    }
}
