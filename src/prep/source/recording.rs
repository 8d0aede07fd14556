//! A recording that is open for reading, independent of its layout.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;
use crate::events::SensorSize;
use crate::source::columns::TakenColumns;
use crate::source::hdf::LinkedPath;
use crate::source::layout::Layout;
use crate::source::raw::{Coordinates, MAX_SAMPLE_EVENTS, RawSamples};
use crate::source::unit::TimeUnit;
use crate::source::unlabelled::Unlabelled;

/// A recording that is open for reading. It has one or more samples.
#[derive(Debug)]
pub struct Recording {
    /// Path of the file.
    pub path: PathBuf,
    /// Name in a set's manifest: the path of the file relative to the folder that was opened.
    pub name: String,
    /// Layout of the file.
    pub layout: Layout,
    /// Sensor size, if the file or the layout gives it.
    pub sensor: Option<SensorSize>,
    /// Class of each sample, or [`tonic_shard::NO_LABEL`].
    pub labels: Vec<u32>,
    /// Class names, if the file has them.
    pub classes: Option<Arc<[String]>>,
    /// Names and numbers of the extra columns, sorted by name.
    pub extras: Vec<(String, Vec<i64>)>,
    /// Which fields of the file were taken for the columns of events.
    pub columns: TakenColumns,
    /// Notes for the user about how the recording was opened.
    pub notes: Vec<String>,
    /// What the table of labels leaves out, if it has intervals.
    pub(crate) unlabelled: Option<Unlabelled>,
    /// The coordinate of the first pixel, which is subtracted from x and y.
    pub(super) origin: u8,
    pub(super) reader: Box<dyn ReadSamples>,
}

/// Number of samples that are read at once if each is a separate row. For SSC, this is 300 kB.
const ROWS_TOGETHER: u64 = 8;

/// Reads the events of a recording. It is implemented for each layout and can be used on any thread.
pub(super) trait ReadSamples: std::fmt::Debug + Send + Sync {
    /// Reads the raw events of consecutive samples.
    ///
    /// # Errors
    /// Errors of the layout.
    fn read(&self, samples: Range<u64>) -> Result<RawSamples>;

    /// Number of events of all samples together, without reading the events where the layout allows it.
    ///
    /// # Errors
    /// Errors of the layout.
    fn events(&self) -> Result<u64>;

    /// How many samples to read at once, starting at `first`. At most `most`.
    fn together(&self, _first: u64, most: u64) -> u64 {
        most.min(ROWS_TOGETHER)
    }

    /// The other files that the recording's data comes from.
    fn linked(&self) -> Vec<LinkedPath> {
        Vec::new()
    }

    /// Notes for the user about what was found when the recording was read.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// The unit of the file's times, if it was assumed and may be doubted. Known after the first read.
    fn assumed_unit(&self) -> Option<TimeUnit> {
        None
    }

    /// Whether a sample's events are out of order in the file.
    fn reordered(&self, _sample: u64) -> bool {
        false
    }

    /// The largest x and y. Used for error messages if the sensor size is unknown.
    ///
    /// # Errors
    /// Errors of reading.
    fn extent(&self) -> Result<Option<(i64, i64)>> {
        Ok(None)
    }
}

impl Recording {
    /// Number of samples.
    pub fn samples(&self) -> u64 {
        self.labels.len() as u64
    }

    /// Whether a sample's events are out of order in the file, so that the recording was sorted before it was cut.
    pub fn reordered(&self, sample: u64) -> bool {
        self.reader.reordered(sample)
    }

    /// Notes for the user about what was found when the recording was read. A recording that is one sample is checked
    /// then, not when it is opened.
    pub fn found(&self) -> Vec<String> {
        self.reader.notes()
    }

    /// The unit of the file's times, if it was assumed and may be doubted.
    pub(crate) fn assumed_unit(&self) -> Option<TimeUnit> {
        self.reader.assumed_unit()
    }

    /// How many samples to read at once, starting at `first`. At most `most`. The result is chosen so that samples cut
    /// from a recording fit in memory, and rows of a dataset fit in a core's cache.
    pub fn together(&self, first: u64, most: u64) -> u64 {
        self.reader.together(first, most)
    }

    /// Reads the raw events of consecutive samples. Any thread may call it.
    ///
    /// # Errors
    /// [`crate::Error::DamagedRecording`], [`crate::Error::BadSample`]; if the file has to be opened first, errors of
    /// opening.
    pub fn read(&self, samples: Range<u64>) -> Result<RawSamples> {
        let RawSamples { times, x, y, p, offsets } = self.reader.read(samples)?;
        let y = y.map(|y| y.minus_origin(self.origin));
        Ok(RawSamples { times, x: x.minus_origin(self.origin), y, p, offsets })
    }

    /// The coordinate of the first pixel that coordinates outside the sensor seem to be counted from: 1 if all go from
    /// 1 to exactly the sensor's width or height, 0 if 1 was assumed and some are 0. `None` if it is the assumed one.
    /// Of a very long recording, only the first 2^27 events or so are read.
    ///
    /// # Errors
    /// Errors of [`Recording::read`].
    pub fn likely_origin(&self, sensor: SensorSize) -> Result<Option<u8>> {
        let (mut lowest, mut excess, mut events, mut next) = (i64::MAX, i64::MIN, 0, 0);
        while next < self.samples() && events < MAX_SAMPLE_EVENTS {
            let end = next + self.together(next, self.samples() - next);
            let raw = self.read(next..end)?;
            (events, next) = (events + raw.x.len() as u64, end);
            for (column, size) in [(Some(&raw.x), sensor.width), (raw.y.as_ref(), sensor.height)] {
                let range = column.and_then(|column| column.min().zip(column.max()));
                let Some((least, most)) = range else { continue };
                (lowest, excess) = (lowest.min(least), excess.max(most - i64::from(size)));
            }
        }
        Ok(match self.origin {
            0 => (lowest >= 1 && excess == 0).then_some(1),
            origin => (lowest == -i64::from(origin)).then_some(0),
        })
    }

    /// The values of the polarities, with -1 as 0. Of a very long recording, only the first 2^27 events or so are read.
    ///
    /// # Errors
    /// Errors of [`Recording::read`].
    pub(crate) fn polarities(&self) -> Result<BTreeSet<i128>> {
        let (mut values, mut events, mut next) = (BTreeSet::new(), 0, 0);
        while next < self.samples() && events < MAX_SAMPLE_EVENTS {
            let end = next + self.together(next, self.samples() - next);
            let raw = self.read(next..end)?;
            (events, next) = (events + raw.x.len() as u64, end);
            values.extend(raw.p.iter().flat_map(Coordinates::distinct).map(i128::from));
        }
        Ok(values)
    }

    /// The other files that the recording's data comes from: sources of virtual datasets, external raw files and
    /// targets of external links.
    pub fn linked(&self) -> Vec<LinkedPath> {
        self.reader.linked()
    }

    /// Number of events of all samples together. It is the same for every copy of a recording, however it is stored.
    /// The events are not read, except of a Heidelberg file whose rows only libhdf5 finds.
    ///
    /// # Errors
    /// Errors of [`Recording::read`].
    pub fn events(&self) -> Result<u64> {
        self.reader.events()
    }

    /// The largest x and y, for a recording whose sensor size is unknown.
    ///
    /// # Errors
    /// Errors of reading.
    pub fn extent(&self) -> Result<Option<(i64, i64)>> {
        let origin = i64::from(self.origin);
        Ok(self.reader.extent()?.map(|(x, y)| (x - origin, y - origin)))
    }
}

/// A file's name without its folder.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
