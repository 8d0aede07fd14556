//! The input recordings of a conversion, in order. Finds the recording of each sample of the set.

mod open;

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::events::SensorSize;
use crate::source::{
    Kind, Kinds, Layout, LinkedPath, RawSamples, Recording, SourceOptions, TOO_SHORT, TakenColumns, Unlabelled,
    compare_files, odd_unit, raw,
};

/// The input recordings of one set, in order. They have the same sensor, classes and extra columns.
#[derive(Debug)]
pub struct Inputs {
    inputs: Vec<Input>,
    /// Size of the sensor, which is the same for all recordings.
    pub sensor: SensorSize,
    /// Names of the classes. A label is an index into this list.
    pub classes: Vec<String>,
    /// Names of the extra columns.
    pub extras: Vec<String>,
    /// Layout of the first recording.
    pub layout: Layout,
    /// Layouts of all recordings, each layout once.
    pub layouts: Vec<Layout>,
    /// The fields of the first recording that were read as the columns t, x, y and p.
    pub columns: TakenColumns,
    /// Whether the recordings are of a cochlea: the sensor has one row, and no field could be y or p.
    pub cochlea: bool,
    /// Notes for the user about how the recordings were opened.
    pub notes: Vec<String>,
    rowless: Rowless,
    options: SourceOptions,
}

/// Counts the recordings that have no row in the table of labels, and their events. The set doesn't contain these
/// recordings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rowless {
    pub recordings: u64,
    pub events: u64,
}

/// A recording, and which of its samples are in the set.
#[derive(Debug)]
pub(super) struct Input {
    pub recording: Recording,
    /// Number of samples at the start of the recording that are not in the set.
    pub skipped: u64,
    /// Index in the set of the first sample that comes from this recording.
    pub first: u64,
    /// Number of samples of the recording that are in the set.
    pub samples: u64,
}

impl Input {
    /// Share of the recording's samples that is in the set, 0 to 1.
    fn share(&self) -> f64 {
        self.samples as f64 / self.recording.samples().max(1) as f64
    }
}

/// The raw events of consecutive samples of one recording.
#[derive(Debug)]
pub struct RecordingSlice<'a> {
    /// The recording that the samples belong to.
    pub recording: &'a Recording,
    /// Number of samples of the recording that come before the slice.
    pub first: u64,
    /// Raw events of the samples.
    pub raw: RawSamples,
}

impl Inputs {
    pub(super) fn recordings(&self) -> impl Iterator<Item = &Recording> {
        self.inputs.iter().map(|input| &input.recording)
    }

    /// Recordings with events outside all intervals of the table of labels, each with a description of these events.
    pub(super) fn unlabelled(&self) -> impl Iterator<Item = (&Recording, &Unlabelled)> {
        self.inputs.iter().filter_map(|input| Some((&input.recording, input.recording.unlabelled.as_ref()?)))
    }

    /// Adds information to an [`Error::ImplausibleTimes`]: if a few other recordings fit the assumed unit of time, the
    /// error says that only this recording doesn't fit. Returns all other errors unchanged.
    pub(super) fn compare(&self, error: Error) -> Error {
        if !matches!(error, Error::ImplausibleTimes { .. }) {
            return error;
        }
        let files: Vec<PathBuf> = self.recordings().map(|recording| recording.path.clone()).collect();
        compare_files(error, &files, &self.options)
    }

    pub(super) fn rowless(&self) -> Rowless {
        self.rowless
    }

    /// Recordings with events outside the range that the user gave, and the number of these events. Empty if there is
    /// only one recording: then the user chose the range for this recording, so these events are not lost.
    pub(super) fn out_of_range(&self) -> impl Iterator<Item = (&Recording, u64)> {
        let cut = self.inputs.iter().map(|input| (&input.recording, input.recording.out_of_range));
        cut.filter(|(_, events)| *events > 0)
    }

    /// Returns how many events the table of labels and the range of events leave out, and the number of all events.
    /// Both are 0 if no events are left out. Both are estimates if only some samples of a recording are kept.
    pub(super) fn left_out(&self) -> Result<(u64, u64)> {
        let (mut left, mut all) = (self.rowless.events, self.rowless.events);
        if left == 0 && self.unlabelled().next().is_none() && self.out_of_range().next().is_none() {
            return Ok((0, 0));
        }
        for input in &self.inputs {
            let of_share = |events: u64| (events as f64 * input.share()).round() as u64;
            let outside = input.recording.out_of_range;
            let (unlabelled, used) = match &input.recording.unlabelled {
                Some(unlabelled) => (unlabelled.events, unlabelled.of),
                None => (0, input.recording.events()?),
            };
            left += of_share(outside + unlabelled);
            all += of_share(outside + used);
        }
        Ok((left, all))
    }

    /// Notes for the user about what was found in the recordings. Lists each note once. If the text before the first
    /// colon is the same in several warnings, lists only the first of these warnings.
    pub(super) fn found(&self) -> Vec<String> {
        let notes = |recording| Recording::found(recording).into_iter().map(|note| (&*recording.name, note));
        let mut found = self.recordings().flat_map(notes).collect::<Kinds>().into_list();
        let (alone, all) = (self.inputs.len() == 1, self.inputs.len());
        found.retain(|Kind { note, count, .. }| {
            *count < all || !note.contains(TOO_SHORT) || self.samples() > all as u64
        });
        let said = found.into_iter().map(|found| if alone { found.note } else { found.text() });
        let mut said: Vec<String> = said.collect();
        if !said.iter().any(|note| note.contains(TOO_SHORT)) {
            said.extend(odd_unit(self.recordings()));
        }
        said
    }

    /// Returns a text that identifies the recordings. It has a hash of the names, sizes and numbers of samples of all
    /// recordings. The text must be the same for all parts of a set.
    pub(super) fn fingerprint(&self) -> Result<String> {
        let mut hash = blake3::Hasher::new();
        for input in &self.inputs {
            hash.update(input.recording.name.as_bytes()).update(&[0]);
            hash.update(&file_bytes(input)?.to_le_bytes()).update(&input.samples.to_le_bytes());
        }
        let hash = hash.finalize().to_hex();
        Ok(format!("{} recordings of {} samples ({hash:.8})", self.inputs.len(), self.samples()))
    }

    pub(super) fn label(&self, sample: u64) -> u32 {
        let input = &self.inputs[self.inputs.partition_point(|input| input.first + input.samples <= sample)];
        input.recording.labels[(sample - input.first + input.skipped) as usize]
    }

    /// Returns lines that say how the recordings were opened: their layouts, the sensor, and the field that was read as
    /// each column.
    pub fn lines(&self) -> [String; 2] {
        let layouts: Vec<&str> = self.layouts.iter().map(|layout| layout.title()).collect();
        [format!("layout: {}, sensor {}", layouts.join(", "), self.sensor), format!("columns: {}", self.columns.text())]
    }

    /// Number of samples in the set. Doesn't count samples that [`Inputs::keep`] removed.
    pub fn samples(&self) -> u64 {
        self.inputs.last().map_or(0, |last| last.first + last.samples)
    }

    /// Keeps only the samples whose indices in the set are in `range`. The first kept sample then has index 0.
    pub fn keep(&mut self, range: Range<u64>) {
        self.inputs.retain_mut(|input| {
            let (from, to) = (range.start.max(input.first), range.end.min(input.first + input.samples));
            if from < to {
                input.skipped += from - input.first;
                (input.first, input.samples) = (from - range.start, to - from);
            }
            from < to
        });
    }

    /// Number of recordings that a range of samples comes from, and the total size of these recordings in bytes.
    pub(super) fn size_of(&self, range: &Range<u64>) -> Result<(u64, u64)> {
        let bytes = self.within(range).map(file_bytes).sum::<Result<u64>>()?;
        Ok((self.within(range).count() as u64, bytes))
    }

    /// Approximate size in bytes that the kept samples have in the recordings.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    pub fn bytes(&self) -> Result<u64> {
        self.inputs.iter().map(|i| Ok((file_bytes(i)? as f64 * i.share()) as u64)).sum()
    }

    /// Approximate number of events of the kept samples. It is the same for all copies of the recordings, in any format
    /// and compression. It is estimated if only some samples of a recording are kept.
    ///
    /// # Errors
    /// Errors of [`Recording::events`].
    pub fn events(&self) -> Result<u64> {
        self.inputs.iter().map(|input| Ok((input.recording.events()? as f64 * input.share()) as u64)).sum()
    }

    /// Recordings that the samples in `range` come from. A recording without samples belongs to the next sample of
    /// the set. If there is no next sample, it belongs to the last sample.
    pub(super) fn within(&self, range: &Range<u64>) -> impl Iterator<Item = &Input> {
        let end = if range.end == self.samples() { u64::MAX } else { range.end };
        let range = range.start..end;
        self.inputs.iter().filter(move |input| {
            let last = (input.first + input.samples).saturating_sub(1);
            range.contains(&input.first) || (input.first < range.start && range.start <= last)
        })
    }

    /// Returns the files, other than the recordings, that hold data of the samples in `range`: for example the
    /// sources of virtual datasets. Lists each file once.
    pub fn linked(&self, range: &Range<u64>) -> Vec<LinkedPath> {
        let (mut linked, mut seen) = (Vec::new(), HashSet::new());
        for input in self.within(range) {
            linked.extend(input.recording.linked().into_iter().filter(|file| seen.insert(file.path.clone())));
        }
        linked
    }

    /// Returns the recording of sample `sample` of the set, and the sample's index in this recording. `None` if the set
    /// has no such sample.
    pub(super) fn find(&self, sample: u64) -> Option<(&Recording, u64)> {
        let at = self.inputs.partition_point(|input| input.first + input.samples <= sample);
        self.inputs.get(at).map(|input| (&input.recording, sample - input.first + input.skipped))
    }

    /// Reads the raw events of a range of samples, in pieces that fit in memory. The range can span several recordings.
    ///
    /// # Errors
    /// Errors of [`Recording::read`].
    pub fn read(&self, range: Range<u64>) -> impl Iterator<Item = Result<RecordingSlice<'_>>> {
        let mut next = range.start;
        std::iter::from_fn(move || {
            let at = self.inputs.partition_point(|input| input.first + input.samples <= next);
            let input = self.inputs.get(at).filter(|_| next < range.end)?;
            let first = next - input.first + input.skipped;
            let most = range.end.min(input.first + input.samples) - next;
            let samples = input.recording.together(first, most);
            next += samples;
            let raw = input.recording.read(first..first + samples).map_err(|error| self.compare(error));
            Some(raw.map(|raw| RecordingSlice { recording: &input.recording, first, raw }))
        })
    }
}

fn file_bytes(input: &Input) -> Result<u64> {
    match input.recording.content() {
        Some((_, bytes)) => Ok(bytes),
        None => size(&input.recording.path),
    }
}

pub(super) fn size(path: &Path) -> Result<u64> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(meta.len()),
        Err(_) => Ok(raw(path)?.len), // a member of an archive
    }
}
