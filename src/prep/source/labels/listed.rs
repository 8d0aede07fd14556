//! A list of the recordings in a folder, with their classes. The preset of a dataset makes the list.

use crate::source::labels::table::Row;

/// Recordings of a folder. Each recording has a class, or each of its intervals has one. Other files of the folder are
/// ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedFiles {
    /// Names of the classes, by class number. Empty if the recordings have no classes.
    pub(crate) classes: Vec<String>,
    pub(crate) files: Vec<ListedFile>,
    /// Notes for the user about the list.
    pub(crate) notes: Vec<String>,
}

impl ListedFiles {
    /// Returns the intervals of all recordings, in order: start and end in microseconds.
    pub(crate) fn intervals(&self) -> impl Iterator<Item = (i64, i64)> {
        self.files.iter().flat_map(|file| &file.intervals).filter_map(|(row, _)| row.interval)
    }
}

/// One recording of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedFile {
    /// Path relative to the folder, separated by `/`.
    pub name: String,
    /// Class number of the recording, or [`tonic_shard::NO_LABEL`].
    pub class: u32,
    /// Intervals that are samples, with their class numbers. Empty if the whole recording is one sample.
    pub intervals: Vec<(Row, u32)>,
}

impl ListedFile {
    /// Makes an entry for a recording that is one sample.
    pub(crate) fn whole(name: String, class: u32) -> ListedFile {
        ListedFile { name, class, intervals: Vec::new() }
    }
}
