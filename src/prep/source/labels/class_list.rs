//! The caller's list of classes: which classes there are, and in which order. The label of each recording is replaced
//! by the index of its class in this list.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tonic_base::some_of;
use tonic_shard::{NO_LABEL, SetDescription};
use unicode_normalization::UnicodeNormalization;

use crate::error::{BaseFault, Error, Result};
use crate::source::labels::table::Row;
use crate::source::labels::text::read_text;
use crate::source::recording::Recording;

/// The caller's list of the names of all classes, in the order of their indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassList {
    names: Arc<[String]>,
    /// Maps the name of each class, in Unicode normal form C, to its index in `names`.
    indices: Arc<HashMap<String, u32>>,
    /// Path of the text file or of the shard set that the list was read from.
    path: PathBuf,
}

impl ClassList {
    /// Reads a list of classes from a text file with one name per line. Empty lines are skipped.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`]; [`Error::NotUtf8`]; [`Error::BadTable`] for a file without names, or with the same
    /// name twice.
    pub fn read(path: &Path) -> Result<ClassList> {
        let text = read_text(path)?;
        let bad = |line, expected: &str, got: String| Error::BadTable {
            path: path.into(),
            line,
            expected: expected.into(),
            got,
        };
        let mut lines: HashMap<String, usize> = HashMap::new();
        let mut names = Vec::new();
        for (line, name) in text.lines().enumerate().map(|(i, line)| (i + 1, line.trim())) {
            if name.is_empty() {
                continue;
            }
            if let Some(first) = lines.insert(name.nfc().collect(), line) {
                return Err(bad(line, "each class once", format!("{name:?}, which is line {first} too")));
            }
            names.push(name.to_string());
        }
        if names.is_empty() {
            return Err(bad(1, "the name of a class in each line", "none".into()));
        }
        Ok(ClassList::of(path, names))
    }

    /// Takes the list of classes of an existing shard set. Error messages name `place`, the directory or the URL of the
    /// set.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] for a set without classes, or with two classes whose names differ only in their
    /// Unicode normal form.
    pub fn of_set(place: &Path, description: &SetDescription) -> Result<ClassList> {
        let names = description.classes.clone();
        if names.is_empty() {
            return Err(Error::usage("classes_of", "a set with classes", format!("none in {}", place.display())));
        }
        let list = ClassList::of(place, names);
        if list.indices.len() < list.names.len() {
            let expected = "classes that differ in more than the Unicode normal form of their names";
            return Err(Error::usage("classes_of", expected, place.display()));
        }
        Ok(list)
    }

    /// Makes the list from the names of the classes. Error messages call the list `classes`.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] for a list without names, with an empty name, or with the same name twice.
    pub fn of_names(names: Vec<String>) -> Result<ClassList> {
        let wrong = |expected: &str, got: String| Err(Error::usage("classes", expected, got));
        let mut seen = HashSet::new();
        match names.iter().find(|name| name.is_empty() || !seen.insert(name.nfc().collect::<String>())) {
            _ if names.is_empty() => wrong("at least one name", "none".into()),
            Some(name) if name.is_empty() => wrong("names", "an empty text".into()),
            Some(name) => wrong("each class once", format!("{name:?} twice")),
            None => Ok(ClassList::of(Path::new("classes"), names)),
        }
    }

    pub(crate) fn names(&self) -> Arc<[String]> {
        Arc::clone(&self.names)
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns the index of the class `name`. Error messages name `path`, the path of the recording.
    ///
    /// # Errors
    /// [`Error::UnknownClass`].
    pub(crate) fn number_of(&self, path: &Path, name: &str) -> Result<u32> {
        self.index(name).ok_or_else(|| self.unknown(path, None, &[name.into()]))
    }

    fn of(path: &Path, names: Vec<String>) -> ClassList {
        let indices = names.iter().map(|name| name.nfc().collect()).zip(0..).collect();
        ClassList { names: names.into(), indices: Arc::new(indices), path: path.into() }
    }

    /// Returns the index of a class in the list. `None` if the list doesn't have the class. `name` can be in any
    /// Unicode normal form.
    fn index(&self, name: &str) -> Option<u32> {
        self.indices.get(name).or_else(|| self.indices.get(&name.nfc().collect::<String>())).copied()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the list has the class `name`, which can be in any Unicode normal form.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.index(name).is_some()
    }

    /// Checks that the label of every row of a table is in the list. `table` is the path of the table, for the error
    /// message.
    ///
    /// # Errors
    /// [`Error::UnknownClass`] for the first row whose label is not in the list.
    pub(crate) fn check_rows(&self, table: &Path, rows: &[Row]) -> Result<()> {
        match rows.iter().find(|row| !self.has(&row.label)) {
            Some(row) => Err(self.unknown(table, Some(row.line), std::slice::from_ref(&row.label))),
            None => Ok(()),
        }
    }

    /// Replaces the class names of recordings by this list, and each label by the index of its class in the list.
    ///
    /// A recording without class names has numbers as labels. Usually these numbers are already indices into the list.
    /// In two cases, they are names of classes instead: the list has a name that is a number, or one of the numbers is
    /// too large for an index.
    ///
    /// # Errors
    /// [`Error::UnknownClass`] for a class that is not in the list; [`tonic_base::Error::Usage`] if recordings without
    /// class names have no labels either.
    pub(crate) fn apply(&self, recordings: &mut [Recording]) -> Result<()> {
        let numbered = self.indices_of_numbers(recordings)?;
        // The class names that several recordings share, and the indices of these classes in the list.
        let mut shared: Option<(Arc<[String]>, Vec<u32>)> = None;
        for recording in recordings {
            let labels = recording.labels.iter_mut().filter(|label| **label != NO_LABEL);
            let Some(names) = recording.classes.replace(Arc::clone(&self.names)) else {
                labels.for_each(|label| *label = numbered[label]);
                continue;
            };
            let known = shared.take().filter(|(known, _)| Arc::ptr_eq(known, &names));
            let indices = known.map_or_else(|| self.find(&recording.path, &names), |(_, indices)| Ok(indices))?;
            labels.for_each(|label| *label = indices[*label as usize]);
            shared = Some((names, indices));
        }
        Ok(())
    }

    /// Maps each label of the recordings without class names to the index of its class in the list.
    /// Such a label is a number: either the name of a class in the list, such as "7", or the index itself.
    /// [`ClassList::apply`] says how this is decided. For indices, a note is added to the first recording.
    ///
    /// # Errors
    /// Errors of [`ClassList::apply`].
    fn indices_of_numbers(&self, recordings: &mut [Recording]) -> Result<HashMap<u32, u32>> {
        let nameless = || recordings.iter().filter(|recording| recording.classes.is_none());
        let Some(first) = nameless().next() else { return Ok(HashMap::new()) };
        let path = first.path.clone();
        let mut used: Vec<u32> = nameless().flat_map(|recording| &recording.labels).copied().collect();
        used.sort_unstable();
        used.dedup();
        used.retain(|&label| label != NO_LABEL);
        if used.is_empty() {
            return Err(Error::usage("classes", "recordings with labels", format!("none in {}", path.display())));
        }
        let numbers_in_list = self.names.iter().any(|name| name.parse::<i64>().is_ok());
        if numbers_in_list || used.iter().any(|&label| label as usize >= self.names.len()) {
            let names: Vec<String> = used.iter().map(ToString::to_string).collect();
            return Ok(used.into_iter().zip(self.find(&path, &names)?).collect());
        }
        let names: Vec<String> = used.iter().map(|&at| format!("{at} is {}", self.names[at as usize])).collect();
        recordings[0].notes.push(format!("labels are places in the list of classes: {}", some_of(&names)));
        Ok(used.iter().map(|&label| (label, label)).collect())
    }

    /// Looks up each class of `names` in the list, and returns the indices. Error messages name `path`, the path of the
    /// recording.
    ///
    /// # Errors
    /// [`Error::UnknownClass`] if the list lacks some of the names.
    fn find(&self, path: &Path, names: &[String]) -> Result<Vec<u32>> {
        let indices: Option<Vec<u32>> = names.iter().map(|name| self.index(name)).collect();
        indices.ok_or_else(|| {
            let unknown = names.iter().filter(|name| !self.has(name)).cloned();
            self.unknown(path, None, &unknown.collect::<Vec<_>>())
        })
    }

    fn unknown(&self, path: &Path, line: Option<usize>, names: &[String]) -> Error {
        Error::UnknownClass {
            path: path.into(),
            line,
            list: self.path.clone(),
            expected: some_of(&self.names),
            got: some_of(names),
        }
    }
}
