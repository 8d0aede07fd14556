//! A recording that is open for reading, independent of its layout.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tonic_shard::Id;

use crate::error::Result;
use crate::events::SensorSize;
use crate::source::columns::{NO_PIXEL, TakenColumns};
use crate::source::filler::Filler;
use crate::source::hdf::LinkedPath;
use crate::source::layout::Layout;
use crate::source::packed;
use crate::source::placing::{self, Placing};
use crate::source::raw::{Coordinates, MAX_SAMPLE_EVENTS, RawSamples};
use crate::source::unlabelled::Unlabelled;
use crate::time_unit::TimeUnit;

/// A recording that is open for reading. It has one or more samples.
#[derive(Debug)]
pub struct Recording {
    /// Path of the file.
    pub path: PathBuf,
    /// Name in a set's manifest: the path relative to the opened folder, or the name of the opened file.
    pub name: String,
    /// Layout of the file.
    pub layout: Layout,
    /// Sensor size, if the file or the layout gives it.
    pub sensor: Option<SensorSize>,
    /// Class number of each sample, or [`tonic_shard::NO_LABEL`], (samples,).
    pub labels: Vec<u32>,
    /// Names of the classes, by class number. `None` if the classes have no names.
    pub classes: Option<Arc<[String]>>,
    /// Extra columns of the file, sorted by name: the name, and one number for each sample, (samples,).
    pub extras: Vec<(String, Vec<i64>)>,
    /// Which fields of the file are used as the columns of events.
    pub columns: TakenColumns,
    /// Notes for the user about how the recording was opened.
    pub notes: Vec<String>,
    /// The events that are outside all labelled intervals, and therefore in no sample. `None` if there are none.
    pub(crate) unlabelled: Option<Unlabelled>,
    /// Number of events that were left out because they are outside the range of events in the options.
    pub(crate) out_of_range: u64,
    /// How x and y become pixels.
    pub(super) placing: Placing,
    pub(super) reader: Box<dyn ReadSamples>,
    pub(super) filler: Filler,
}

/// A sample with more events than this is read in blocks, if the recipe allows it.
pub(crate) const LARGE_SAMPLE: u64 = 1 << 22;
/// A large sample is read in blocks of this many events.
pub(crate) const BLOCK_EVENTS: u64 = 1 << 18;

/// Number of samples that are read at once if each sample is a row of a dataset.
const ROWS_TOGETHER: u64 = 8;

/// Reads the events of a recording. Each layout has an implementation.
pub(super) trait ReadSamples: std::fmt::Debug + Send + Sync {
    /// Reads the raw events of consecutive samples.
    fn read(&self, samples: Range<u64>) -> Result<RawSamples>;

    /// Returns the number of events of all samples together.
    fn events(&self) -> Result<u64>;

    /// Returns the number of events of a sample. `None` if the sample cannot be read in blocks.
    fn sample_events(&self, _sample: u64) -> Option<u64> {
        None
    }

    /// Checks the times of a sample in blocks of at most `most` events. Returns whether the events are in order of
    /// time. [`ReadSamples::sample_events`] must return a number for the sample.
    fn check_in_blocks(&self, _sample: u64, _most: u64) -> Result<bool> {
        Ok(true)
    }

    /// Calls `take` with consecutive blocks of a sample's raw events in the file's order, at most `most` events each.
    /// Call [`ReadSamples::check_in_blocks`] first.
    fn read_in_blocks(&self, sample: u64, _most: u64, take: &mut dyn FnMut(RawSamples) -> Result<()>) -> Result<()> {
        take(self.read(sample..sample + 1)?)
    }

    /// Returns how many samples to read at once from sample `first` on: at most `most`.
    fn together(&self, _first: u64, most: u64) -> u64 {
        most.min(ROWS_TOGETHER)
    }

    /// Returns the other files that hold data of the recording.
    fn linked(&self) -> Vec<LinkedPath> {
        Vec::new()
    }

    /// Returns notes for the user about the samples that were read so far.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the assumed unit of the file's times. `None` if the unit is certain, or if the user accepts implausible
    /// times. Some layouts return `None` before the first read.
    fn assumed_unit(&self) -> Option<TimeUnit> {
        None
    }

    /// Returns the duration of the recording in microseconds. `None` for layouts with many samples. For a recording
    /// that is a single sample, `None` before the first read.
    fn lasts(&self) -> Option<i64> {
        None
    }

    /// Returns whether the file is opened, and perhaps decoded, again to read its samples.
    fn reopens(&self) -> bool {
        false
    }

    /// Returns whether a sample's events were out of order in the file and were sorted before the recording was cut
    /// into samples. `false` for recordings that were not cut: whoever reads their samples finds out.
    fn reordered(&self, _sample: u64) -> bool {
        false
    }

    /// Returns the hash of the recording and its length in bytes, if they are known: of the events of samples that a
    /// program has added, or of the bytes of a small file. Otherwise `None`.
    fn content(&self) -> Option<(Id, u64)> {
        None
    }

    /// Returns the largest x and y. `None` if the layout gives the sensor size.
    fn extent(&self) -> Result<Option<(i64, i64)>> {
        Ok(None)
    }
}

impl Recording {
    /// Returns the number of samples.
    pub fn samples(&self) -> u64 {
        self.labels.len() as u64
    }

    /// Returns whether a sample's events were out of order in the file and were sorted before the recording was cut
    /// into samples. `false` for recordings that were not cut: whoever reads their samples finds out.
    pub fn reordered(&self, sample: u64) -> bool {
        self.reader.reordered(sample)
    }

    /// Returns notes for the user about the samples that were read so far.
    pub fn found(&self) -> Vec<String> {
        self.reader.notes().into_iter().chain(self.filler.note()).collect()
    }

    /// Returns the assumed unit of the file's times. `None` if the unit is certain, or if the user accepts implausible
    /// times. Some layouts return `None` before the first read.
    pub(crate) fn assumed_unit(&self) -> Option<TimeUnit> {
        self.reader.assumed_unit()
    }

    /// Returns the duration of the recording in microseconds. `None` for layouts with many samples. For a recording
    /// that is a single sample, `None` before the first read.
    pub(crate) fn lasts(&self) -> Option<i64> {
        self.reader.lasts()
    }

    /// Returns how many samples to read at once from sample `first` on: at most `most`.
    pub fn together(&self, first: u64, most: u64) -> u64 {
        self.reader.together(first, most)
    }

    /// Reads the raw events of consecutive samples.
    ///
    /// # Errors
    /// [`crate::Error::DamagedRecording`], [`crate::Error::BadSample`]; errors of [`Recording::open`], because a file
    /// of a folder is opened for each read.
    pub fn read(&self, samples: Range<u64>) -> Result<RawSamples> {
        let raw = self.reader.read(samples.clone())?;
        self.filler.look(samples.start, &raw);
        Ok(self.placing.place(raw))
    }

    /// Returns the hash of the recording and its length in bytes, if they are known: of the events of samples that a
    /// program has added, or of the bytes of a small file. Otherwise `None`.
    pub(crate) fn content(&self) -> Option<(Id, u64)> {
        self.reader.content()
    }

    /// Returns whether the file is opened, and perhaps decoded, again to read its samples.
    pub(crate) fn reopens(&self) -> bool {
        self.reader.reopens()
    }

    /// Returns the number of events of a sample. `None` if the sample cannot be read in blocks.
    pub(crate) fn sample_events(&self, sample: u64) -> Option<u64> {
        self.reader.sample_events(sample)
    }

    /// Checks the times of a large sample in blocks of at most `most` events. Returns whether the events are in order
    /// of time.
    pub(crate) fn check_in_blocks(&self, sample: u64, most: u64) -> Result<bool> {
        self.reader.check_in_blocks(sample, most)
    }

    /// Calls `take` with consecutive blocks of a sample's raw events in the file's order, at most `most` events each.
    /// Call [`Recording::check_in_blocks`] first.
    pub(crate) fn read_in_blocks(
        &self,
        sample: u64,
        most: u64,
        mut take: impl FnMut(RawSamples) -> Result<()>,
    ) -> Result<()> {
        let mut lowest = None;
        if self.placing.to_zero {
            let below = |a: Option<i64>, b: Option<i64>| a.into_iter().chain(b).min();
            self.reader.read_in_blocks(sample, most, &mut |raw| {
                let raw = self.placing.place_block(raw, [0; 2]);
                let events = 0..raw.x.len();
                let [x, y] = lowest.unwrap_or_default();
                let of_y = raw.y.as_ref().and_then(|y| placing::lowest(y, events.clone()));
                lowest = Some([below(x, placing::lowest(&raw.x, events)), below(y, of_y)]);
                Ok(())
            })?;
        }
        let lowest = lowest.unwrap_or_default().map(Option::unwrap_or_default);
        let (mut before, all) = (0, self.sample_events(sample).unwrap_or(0));
        self.reader.read_in_blocks(sample, most, &mut |raw| {
            self.filler.look_at_block(sample, &raw, 0, (before, all));
            before += raw.count(0);
            take(self.placing.place_block(raw, lowest))
        })
    }

    /// Calls `look` with consecutive blocks of the recording's events, until about [`MAX_SAMPLE_EVENTS`] events were
    /// read.
    fn look_at(&self, mut look: impl FnMut(&RawSamples)) -> Result<()> {
        let (mut events, mut next) = (0, 0);
        while next < self.samples() && events < MAX_SAMPLE_EVENTS {
            let end = next + self.together(next, self.samples() - next);
            if self.sample_events(next).is_some_and(|events| events > LARGE_SAMPLE) {
                self.check_in_blocks(next, BLOCK_EVENTS)?;
                self.read_in_blocks(next, BLOCK_EVENTS, |raw| {
                    if events < MAX_SAMPLE_EVENTS {
                        look(&raw);
                    }
                    events += raw.x.len() as u64;
                    Ok(())
                })?;
            } else {
                let raw = self.read(next..end)?;
                look(&raw);
                events += raw.x.len() as u64;
            }
            next = end;
        }
        Ok(())
    }

    /// Guesses the coordinate of the first pixel, for a recording with coordinates outside the sensor. Reads only about
    /// the first 2^27 events.
    ///
    /// - `Some(1)` if the options give 0, all coordinates are at least 1, and the largest x or y is exactly the
    ///   sensor's width or height.
    /// - `Some(0)` if the options give 1 and the smallest coordinate in the file is 0.
    /// - `None` otherwise.
    ///
    /// # Errors
    /// Errors of [`Recording::read`].
    pub fn likely_origin(&self, sensor: SensorSize) -> Result<Option<u8>> {
        let (mut lowest, mut excess) = (i64::MAX, i64::MIN);
        self.look_at(|raw| {
            for (column, size) in [(Some(&raw.x), sensor.width), (raw.y.as_ref(), sensor.height)] {
                let range = column.and_then(|column| column.min().zip(column.max()));
                let Some((least, most)) = range else { continue };
                (lowest, excess) = (lowest.min(least), excess.max(most - i64::from(size)));
            }
        })?;
        Ok(match self.placing.origin {
            0 => (lowest >= 1 && excess == 0).then_some(1),
            origin => (lowest == -i64::from(origin)).then_some(0),
        })
    }

    /// Returns the lowest x and the lowest y of about the first 2^27 events, or 0 for a coordinate that is never
    /// negative. `None` if less than a tenth of the events have a negative x or y.
    pub(crate) fn lowest(&self) -> Result<Option<[i64; 2]>> {
        let (mut lowest, mut negative, mut events) = ([0; 2], 0, 0);
        self.look_at(|raw| {
            let at = |i| [raw.x.get(i), raw.y.as_ref().map_or(0, |y| y.get(i))];
            let known = (0..raw.x.len()).map(at).filter(|pixel| !pixel.contains(&NO_PIXEL));
            known.for_each(|pixel| {
                events += 1;
                negative += u64::from(pixel.iter().any(|n| *n < 0));
                lowest = [lowest[0].min(pixel[0]), lowest[1].min(pixel[1])];
            });
        })?;
        Ok((10 * negative >= events && negative > 0).then_some(lowest))
    }

    /// Returns the different polarities of about the first 2^27 events, with -1 converted to 0.
    pub(crate) fn polarities(&self) -> Result<BTreeSet<i128>> {
        let mut values = BTreeSet::new();
        self.look_at(|raw| values.extend(raw.p.iter().flat_map(Coordinates::distinct).map(i128::from)))?;
        Ok(values)
    }

    /// Returns the other files that the recording's data comes from: sources of virtual datasets, external raw files
    /// and targets of external links.
    pub fn linked(&self) -> Vec<LinkedPath> {
        self.reader.linked()
    }

    /// Returns the number of events of all samples together.
    ///
    /// # Errors
    /// Errors of [`Recording::read`].
    pub fn events(&self) -> Result<u64> {
        self.reader.events()
    }

    /// Returns the largest x and y, counted from 0. `None` if the layout gives the sensor size.
    ///
    /// # Errors
    /// Errors of [`Recording::read`].
    pub fn extent(&self) -> Result<Option<(i64, i64)>> {
        let origin = i64::from(self.placing.origin);
        Ok(self.reader.extent()?.map(|(x, y)| (x - origin, y - origin)))
    }
}

/// Returns the name of the file at a path. For a member of an archive, returns the name of the archive and then that
/// of the member: `a.zip:b/c.csv`.
pub(super) fn file_name(path: &Path) -> String {
    if let Some((archive, name)) = packed::member(path) {
        return format!("{}:{name}", file_name(&archive));
    }
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
