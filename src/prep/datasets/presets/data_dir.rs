//! Finds files in the folder of a data set. Makes the error for files that are missing.

use std::path::{Path, PathBuf};

use tonic_base::some_of;

use crate::datasets::Dataset;
use crate::error::{BaseFault, Error, Result};
use crate::source::{SYSTEM_FOLDERS, SourceOptions, TableColumns};

/// What a preset has found: the file or folder to open, and the options that the data set needs.
pub(super) type Found = (PathBuf, SourceOptions);

/// Parses an order of columns, such as `t,x,y,p`.
pub(super) fn columns(order: &str) -> Result<TableColumns> {
    order.parse().map_err(|expected: String| Error::usage("columns", expected, order))
}

/// The folder that a data set was unpacked into, and the split that is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct DataDir<'a> {
    pub dataset: &'static Dataset,
    /// The folder of the download. The user gives its path.
    pub dir: &'a Path,
    /// Folders inside `dir` that can contain the data.
    pub folders: &'static [&'static str],
    pub split: &'a str,
}

/// The names of the files and folders in a folder, sorted. Leaves out hidden ones and [`SYSTEM_FOLDERS`].
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub files: Vec<String>,
    pub folders: Vec<String>,
}

impl Entries {
    pub(super) fn of(dir: &Path) -> Result<Entries> {
        let mut entries = Entries::default();
        for entry in std::fs::read_dir(dir).map_err(Error::io(dir, "list the folder"))? {
            let entry = entry.map_err(Error::io(dir, "list the folder"))?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(Error::io(dir, "list the folder"))?);
            let Some(name) = path.file_name().and_then(|name| name.to_str()).map(String::from) else { continue };
            if name.starts_with('.') || SYSTEM_FOLDERS.contains(&name.as_str()) {
                continue;
            }
            let is_folder = kind.is_dir() || (kind.is_symlink() && path.is_dir());
            if is_folder { entries.folders.push(name) } else { entries.files.push(name) }
        }
        entries.files.sort_unstable();
        entries.folders.sort_unstable();
        Ok(entries)
    }

    /// Returns the files with the ending `ending`.
    pub(super) fn ending_with(&self, ending: &str) -> impl Iterator<Item = &String> {
        self.files.iter().filter(move |name| name.rsplit_once('.').is_some_and(|(_, end)| end == ending))
    }
}

impl DataDir<'_> {
    /// The folders that can contain the data: the folder of the download, and folders inside it that Tonic or the
    /// archive of the data set creates.
    pub(super) fn places(&self) -> impl Iterator<Item = PathBuf> {
        std::iter::once(self.dir.into()).chain(self.folders.iter().map(|folder| self.dir.join(folder)))
    }

    /// Looks for the paths `names` in all folders that can contain the data. Returns the first path that exists.
    ///
    /// # Errors
    /// [`Error::NotADownload`].
    pub(super) fn find(&self, names: &[&str]) -> Result<PathBuf> {
        let mut paths = self.places().flat_map(|place| names.iter().map(move |name| place.join(name)));
        paths.find(|path| path.exists()).ok_or_else(|| self.missing(self.dir, names.join(" or ")))
    }

    /// Returns notes for the user: the split, and a warning if it has fewer samples than were published. `recordings`
    /// is the number of recordings that were found.
    pub(super) fn notes(&self, recordings: usize) -> Vec<String> {
        let (title, name) = (&self.dataset.title, self.split);
        let count = self.count_note(recordings);
        let all = self.dataset.samples_of(name).filter(|&all| recordings < all as usize);
        let lacks = all.map(|all| format!("warning: {title} {name} has {all} samples, of which {recordings} are here"));
        std::iter::once(count).chain(lacks).collect()
    }

    /// Returns the note that says how many recordings the split has.
    pub(super) fn count_note(&self, recordings: usize) -> String {
        format!("{} {}: {recordings} recordings", self.dataset.title, self.split)
    }

    /// Returns the error for a file or folder that is missing in the folder `place`.
    pub(super) fn missing(&self, place: &Path, expected: impl Into<String>) -> Error {
        let entries = Entries::of(place).unwrap_or_default();
        let names: Vec<String> = entries.folders.into_iter().map(|name| name + "/").chain(entries.files).collect();
        let got = match (place.exists(), &names[..]) {
            (false, _) => "no such folder".into(),
            (true, []) => "an empty folder".into(),
            (true, names) => some_of(names),
        };
        self.unlike(place, expected, got)
    }

    /// Returns the error for a download that differs from the published data set.
    pub(super) fn unlike(&self, place: &Path, expected: impl Into<String>, got: impl Into<String>) -> Error {
        Error::NotADownload {
            path: place.into(),
            dir: self.dir.into(),
            dataset: &self.dataset.name,
            title: &self.dataset.title,
            expected: expected.into(),
            got: got.into(),
        }
    }
}
