//! Opens the sources of virtual datasets, and collects the files that they are in.

use std::collections::HashSet;
use std::path::PathBuf;

use hdf5::Dataset;

use crate::source::hdf::cause::last_words;
use crate::source::hdf::coverage::{Selection, Strided};
use crate::source::hdf::links::{LinkedPath, follow};
use crate::source::hdf::search;

/// A part of a virtual dataset that comes from one source dataset.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Name of the source file. "." is the file of the virtual dataset.
    pub(super) file: String,
    /// Path of the source dataset.
    pub(super) dataset: String,
    /// The entries of the source dataset that are read.
    pub(super) source: Selection,
    /// Where the source entries are in the virtual dataset: a list of boxes, each with a [`Strided`] for each axis.
    pub(super) target: Vec<Vec<Strided>>,
}

impl Piece {
    /// Describes a fault of the source in a message. `wrong` says what the fault is. `dataset` is the virtual dataset.
    pub(super) fn described(&self, dataset: &Dataset, wrong: &str) -> String {
        let file = match &self.file[..] {
            "." => "the file itself".to_string(),
            file => search::expected_at(file, &PathBuf::from(dataset.filename())).display().to_string(),
        };
        format!("{file}, dataset {}, {wrong}", self.dataset)
    }
}

/// Opens the sources of virtual datasets, and collects the files that they are in.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// The other files that hold data: files of sources, targets of links, and external raw files.
    pub(super) linked: Vec<LinkedPath>,
    seen: HashSet<PathBuf>,
    /// The source file that was opened last: its name, the file that refers to it, and its path and handle.
    opened: Option<(String, PathBuf, (PathBuf, hdf5::File))>,
}

impl Sources {
    /// Adds a file to `linked`, if it isn't there yet.
    pub(super) fn note(&mut self, file: LinkedPath) {
        let place = file.path.canonicalize().unwrap_or_else(|_| file.path.clone());
        if self.seen.insert(place) {
            self.linked.push(file);
        }
    }

    /// Opens the source of a piece of the virtual dataset `dataset`. Returns the source dataset and the path of its
    /// file. The error is a text that follows the source's name in a message.
    pub(super) fn open(&mut self, dataset: &Dataset, piece: &Piece) -> Result<(Dataset, PathBuf), String> {
        let unreadable = |error: hdf5::Error| format!("which cannot be read ({})", last_words(&error));
        let from = PathBuf::from(dataset.filename());
        let own = piece.file == ".";
        let (path, file) =
            if own { (from, dataset.file().map_err(unreadable)?) } else { self.open_file(&piece.file, from)? };
        let trail = || file.as_group().map(|top| follow(&top, &piece.dataset)).map_err(unreadable);
        let Ok(source) = file.dataset(&piece.dataset) else {
            return Err(trail()?.broken.unwrap_or_else(|| "which is not there".into()));
        };
        if !own {
            self.note(LinkedPath { name: piece.file.clone(), path: path.clone() });
        }
        if source.filename() != file.filename() {
            trail()?.files.into_iter().for_each(|file| self.note(file));
        }
        Ok((source, path))
    }

    fn open_file(&mut self, name: &str, from: PathBuf) -> Result<(PathBuf, hdf5::File), String> {
        let opened = match self.opened.take().filter(|(last, by, _)| last == name && *by == from) {
            Some((.., opened)) => opened,
            None => search::open(name, &from, search::VIRTUAL_PREFIX)?,
        };
        self.opened = Some((name.into(), from, opened.clone()));
        Ok(opened)
    }
}
