//! The output directory of a set: which processes may write there, and whether an existing set is continued, replaced
//! or refused.
//!
//! With [`Existing::Auto`], or on a file system without locks, several processes can write the same set. All make the
//! same bytes, in temporary files of their own. A process that finds the marker file of another set stops.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tonic_base::{
    DirLock, Draft, Error as BaseError, drafted, first_of, is_abandoned, publish, remove_abandoned, remove_file,
};

use crate::description::{Id, MARKER, SetDescription, SourceFile, shard_name};
use crate::difference::{differing_parts, listed};
use crate::error::{BaseFault, Error, Result};
use crate::manifest::{MANIFEST_FILE, Manifest, ShardEntry};
use crate::storage::refuse_url;

/// Name of an empty file that exists while an old set is being removed. If a later process finds this file, the
/// removal was interrupted, and the shards in the directory belong to the old set.
const REMOVED: &str = ".removed";

/// What to do if the output directory already holds files of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Return an error if there are shards or a manifest.
    Refuse,
    /// Continue an unfinished set. It is an error if the set is complete.
    Resume,
    /// Continue an unfinished set, or start a new one. Check a complete set. Other processes can write the same set at
    /// the same time.
    Auto,
    /// Remove the old set first.
    Overwrite,
}

impl Existing {
    /// Whether this choice continues an unfinished set.
    pub fn resumes(self) -> bool {
        matches!(self, Existing::Resume | Existing::Auto)
    }
}

/// Content of the marker file of an unfinished set.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Marker {
    #[serde(flatten)]
    pub(crate) description: SetDescription,
    #[serde(flatten)]
    pub(crate) origin: Origin,
}

/// How a set is made: facts in the marker file of an unfinished set that are not in the set's description.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// - If samples were selected from other sets: a hash that identifies the selected samples.
    /// - If the set is a copy: the id of the copied set.
    /// - If the set is made from recordings: `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Id>,
    /// Name and value of each setting that decides what is read from the recordings. Empty without recordings, and in
    /// sets that older versions began.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

impl Marker {
    fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("a description has string keys")
    }
}

/// What a writer finds in its output directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// Nothing to continue. The marker file of the new set has been written.
    Nothing,
    /// The same set, unfinished. Its complete shards can be kept.
    Shards,
    /// A complete set with the same description, and its list of shards.
    Complete(Vec<ShardEntry>),
}

/// Directory of a set, open for writing.
#[derive(Debug)]
pub struct OutputDir {
    path: PathBuf,
    existing: Existing,
    /// Lock on the directory, released on drop. `None` if another process holds it.
    lock: Option<DirLock>,
}

impl OutputDir {
    /// Creates the directory if needed, and locks it.
    ///
    /// # Errors
    /// - [`tonic_base::Error::Busy`] if another process holds the lock, except with [`Existing::Auto`].
    /// - [`tonic_base::Error::Exists`] if `path` is a file.
    /// - [`tonic_base::Error::Exists`] with [`Existing::Refuse`] if the directory holds shards or a manifest.
    /// - [`tonic_base::Error::Exists`] with [`Existing::Resume`] if the directory holds a complete set.
    /// - [`tonic_base::Error::Exists`] if the directory holds shards but no file that describes them, except with
    ///   [`Existing::Overwrite`].
    /// - [`tonic_base::Error::Usage`] if `path` is a URL.
    /// - [`tonic_base::Error::Io`] if the directory cannot be created, locked or read.
    pub fn open(path: &Path, existing: Existing) -> Result<OutputDir> {
        refuse_url("output", path)?;
        if path.exists() && !path.is_dir() {
            return Err(Error::exists(path, "it is a file; give a directory"));
        }
        std::fs::create_dir_all(path).map_err(Error::io(path, "create the directory"))?;
        let lock = match DirLock::take(path) {
            Err(BaseError::Busy { .. }) if existing == Existing::Auto => None,
            lock => Some(lock?),
        };
        let dir = OutputDir { path: path.into(), existing, lock };
        let complete = || path.join(MANIFEST_FILE).exists() && !path.join(MARKER).exists();
        if existing == Existing::Resume && complete() {
            let remedy = "the set is complete, there is nothing to resume";
            return Err(Error::exists(path, remedy));
        }
        // Hidden files (the marker, temporary files) come from a conversion that ended before its first shard.
        // Replacing them loses nothing.
        let worth = |file: &PathBuf| !file.file_name().unwrap_or_default().to_string_lossy().starts_with('.');
        let is_worth = existing != Existing::Overwrite && dir.set_files()?.iter().any(worth);
        // List the files first, then look for the marker. Another process writes its marker before its shards, so this
        // order never finds its shards without its marker.
        if is_worth && existing == Existing::Refuse {
            return Err(Error::exists(path, "it holds a set"));
        }
        if is_worth && [MARKER, MANIFEST_FILE, REMOVED].iter().all(|name| !path.join(name).exists()) {
            return Err(Error::exists(path, "it holds shards of a set whose manifest is missing"));
        }
        Ok(dir)
    }

    /// Locks an existing directory, whatever it holds.
    ///
    /// # Errors
    /// [`tonic_base::Error::Busy`] if another process holds the lock; [`tonic_base::Error::Io`] if the directory cannot
    /// be locked.
    pub fn lock(path: &Path) -> Result<OutputDir> {
        Ok(OutputDir { path: path.into(), existing: Existing::Overwrite, lock: Some(DirLock::take(path)?) })
    }

    /// Path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether another process held the lock when the directory was opened.
    pub fn is_shared(&self) -> bool {
        self.lock.is_none()
    }

    /// Returns description and origin of the unfinished set in the directory. `None` if there is no such set.
    ///
    /// With [`Existing::Auto`], the set can also be complete. The origin of a complete set has only the settings.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`]; [`tonic_base::Error::Corrupt`] if the marker or the manifest cannot be parsed.
    pub fn begun(&self) -> Result<Option<(SetDescription, Origin)>> {
        match self.marker()? {
            Some(marker) => Ok(Some((marker.description, marker.origin))),
            None if self.existing == Existing::Auto => {
                let origin = |settings| Origin { settings, ..Origin::default() };
                Ok(self.manifest()?.map(|manifest| (manifest.description, origin(manifest.settings))))
            }
            None => Ok(None),
        }
    }

    pub(crate) fn marker(&self) -> Result<Option<Marker>> {
        let path = self.path.join(MARKER);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path, "read the marker")(e)),
        };
        let marker = serde_json::from_str(&text).map_err(|e| Error::corrupt(&path, "JSON", "a description", e))?;
        Ok(Some(marker))
    }

    pub(crate) fn manifest(&self) -> Result<Option<Manifest>> {
        let path = self.path.join(MANIFEST_FILE);
        path.exists().then(|| Manifest::read(&self.path)).transpose()
    }

    /// Prepares the directory for the set that `marker` describes. If `resume` is true and the directory holds this
    /// set, keeps its files. Otherwise, removes the old set, except with [`Existing::Auto`].
    pub(crate) fn begin(&self, marker: &Marker, resume: bool) -> Result<Begun> {
        if resume && let Some(found) = self.find(marker)? {
            remove_abandoned(&self.path, is_set_file)?;
            return Ok(found);
        }
        // Another process may be writing this set, or may have finished it since the call of `find`. So existing shards
        // stay, and shards with other bytes are replaced one by one.
        if self.existing != Existing::Auto {
            self.clear()?;
        }
        let mut draft = Draft::create(&self.path.join(MARKER))?;
        draft.write(marker.text().as_bytes())?;
        if draft.publish_new()? {
            let last = shard_name(marker.description.shards());
            self.remove_files(|file| file.file_name().is_some_and(|name| is_from(&name.to_string_lossy(), &last)))?;
            return Ok(Begun::Nothing);
        }
        // Another process has begun a set in the meantime. If it is the same set, both processes write it.
        self.find(marker).map(|found| found.unwrap_or(Begun::Nothing))
    }

    /// Looks for a set that can be continued. Returns an error if it is not the set that `marker` describes.
    fn find(&self, marker: &Marker) -> Result<Option<Begun>> {
        if let Some(mut begun) = self.marker()? {
            // Other processes write the set with narrower counts. Each of them starts over with the wider counts and
            // replaces the narrow shards.
            let narrower = begun.description.widths.counts < marker.description.widths.counts;
            if narrower && self.existing == Existing::Auto {
                begun.description.widths = marker.description.widths;
                check_same(&self.path, marker, &begun)?;
                publish(&self.path.join(MARKER), marker.text().as_bytes())?;
                return Ok(Some(Begun::Shards));
            }
            check_same(&self.path, marker, &begun)?;
            if begun.origin != marker.origin {
                publish(&self.path.join(MARKER), marker.text().as_bytes())?;
            }
            return Ok(Some(Begun::Shards));
        }
        let complete = if self.existing == Existing::Auto { self.manifest()? } else { None };
        let Some(Manifest { description, shards, .. }) = complete else { return Ok(None) };
        let begun = Marker { description, origin: marker.origin.clone() };
        check_same(&self.path, marker, &begun)?;
        // A manifest doesn't hold the selection. So if samples were selected, the set is written again.
        Ok(marker.origin.selection.is_none().then_some(Begun::Complete(shards)))
    }

    /// Makes a complete set unfinished: writes the marker file and removes the manifest.
    pub(crate) fn reopen(&self, marker: &Marker) -> Result<()> {
        publish(&self.path.join(MARKER), marker.text().as_bytes())?;
        Ok(remove_file(&self.path.join(MANIFEST_FILE))?)
    }

    /// Checks that the set in the directory still has this description. If not, another process has begun a different
    /// set, and this function returns an error.
    pub(crate) fn check_owned(&self, description: &SetDescription) -> Result<()> {
        let there = match self.marker()? {
            Some(marker) => Some(marker.description),
            None => self.manifest()?.map(|manifest| manifest.description), // another process has finished the set
        };
        if there.as_ref() == Some(description) {
            return Ok(());
        }
        Err(BaseError::Busy { path: self.path.clone() }.into())
    }

    /// Removes the files of the set, but no other files and no temporary files of running processes.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`] if a file cannot be removed.
    pub fn clear(&self) -> Result<()> {
        let removed = self.path.join(REMOVED);
        std::fs::File::create(&removed).map_err(Error::io(&removed, "create the file"))?;
        remove_file(&self.path.join(MANIFEST_FILE))?;
        self.remove_files(|file| !is_draft(file) || is_abandoned(file))?;
        Ok(remove_file(&removed)?)
    }

    fn remove_files(&self, is_old: impl Fn(&Path) -> bool) -> Result<()> {
        let mut old = self.set_files()?.into_iter().filter(|file| is_old(file));
        Ok(old.try_for_each(|file| remove_file(&file))?)
    }

    fn set_files(&self) -> Result<Vec<PathBuf>> {
        let listing = std::fs::read_dir(&self.path).map_err(Error::io(&self.path, "list the directory"))?;
        let mut files = Vec::new();
        for entry in listing {
            let path = entry.map_err(Error::io(&self.path, "list the directory"))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if is_set_file(drafted(&name).unwrap_or(&name)) {
                files.push(path);
            }
        }
        Ok(files)
    }

    /// Removes the marker file and releases the lock. The manifest must already be published.
    pub(crate) fn release(self) -> Result<()> {
        remove_file(&self.path.join(REMOVED))?;
        Ok(remove_file(&self.path.join(MARKER))?)
    }
}

/// Path of the file that describes the set in `dir`: the marker file, or else the manifest.
pub fn describing_file(dir: &Path) -> PathBuf {
    Some(dir.join(MARKER)).filter(|marker| marker.exists()).unwrap_or_else(|| dir.join(MANIFEST_FILE))
}

fn is_draft(file: &Path) -> bool {
    drafted(&file.file_name().unwrap_or_default().to_string_lossy()).is_some()
}

/// Whether `name` is the name of the shard `first`, or of a later shard.
fn is_from(name: &str, first: &str) -> bool {
    name.ends_with(".shard") && (name.len(), name) >= (first.len(), first)
}

fn is_set_file(name: &str) -> bool {
    let whole = name.strip_prefix('.').and_then(|name| name.strip_suffix(".part")).unwrap_or(name);
    let number = whole.strip_suffix(".shard").unwrap_or_default();
    let shard = number.len() >= 5 && number.bytes().all(|b| b.is_ascii_digit());
    shard || [MANIFEST_FILE, MARKER].contains(&name)
}

/// Text for error messages: the recordings in `files` that are not in `others`.
fn other_files(files: &[SourceFile], others: &[SourceFile]) -> String {
    const MOST: usize = 3;
    let lacks = |file: &&SourceFile| !others.contains(file);
    let name = |file: &SourceFile| {
        format!("{} ({} bytes, {} samples, blake3 {:.8})", file.name, file.bytes, file.samples, file.blake3)
    };
    let named: Vec<String> = files.iter().filter(lacks).map(name).collect();
    match named.len() {
        0 if files.len() == others.len() => {
            let moved = files.iter().zip(others).position(|(file, other)| file != other).unwrap_or(0);
            format!("{} as file {} of the same {}", files[moved].name, moved + 1, files.len())
        }
        0 => "no other files".into(),
        _ => first_of(&named, MOST),
    }
}

/// Returns an error if the new set (`mine`) is not the set in the directory (`begun`). Doesn't compare settings.
fn check_same(dir: &Path, mine: &Marker, begun: &Marker) -> Result<()> {
    let of = |marker: &Marker| serde_json::to_value(marker).expect("a description has string keys");
    let sources = [&begun.description.sources, &mine.description.sources];
    let hashes = sources.map(|files| files.iter().map(|file| file.blake3).collect::<Vec<_>>());
    let descriptions = [&begun.description, &mine.description];
    let (mine, begun) = (of(mine), of(begun));
    // First the fields that a user changes, then those that follow from them.
    let numbers = if hashes[0] == hashes[1] { ["samples", "sources"] } else { ["sources", "samples"] };
    let fields = ["recipe", "part"].into_iter().chain(numbers).map(String::from);
    let all =
        [&mine, &begun].into_iter().filter_map(|value| value.as_object()).flat_map(|object| object.keys().cloned());
    let unknown = |field: &String| field == "settings" || field == "linked_files" && begun.get(field).is_none();
    match fields.chain(all).find(|field| mine.get(field) != begun.get(field) && !unknown(field)) {
        None => Ok(()),
        Some(mut field) => {
            let (theirs, new, mine) = (descriptions[0], &mine, descriptions[1]);
            if field == "tool" && theirs.tool.level != mine.tool.level {
                field = "level".into();
            }
            let (expected, got) = match field.as_str() {
                "sources" => (other_files(sources[0], sources[1]), other_files(sources[1], sources[0])),
                _ => differing_parts(&shown(&field, theirs, &begun), &shown(&field, mine, new)),
            };
            Err(Error::Mismatch { path: dir.into(), other: describing_file(dir), field, expected, got })
        }
    }
}

/// Returns the value of a field as text for error messages. `description` and `marker` describe the same set.
fn shown(field: &str, description: &SetDescription, marker: &serde_json::Value) -> String {
    let names = |names: &[String]| if names.is_empty() { "none".into() } else { listed(names) };
    match field {
        "classes" => names(&description.classes),
        "extras" => names(&description.extras),
        "shape" => description.shape.to_string(),
        "part" => description.part.map_or("none".into(), |part| format!("{}/{}", part.index, part.of)),
        "level" => description.tool.level.to_string(),
        "tool" => description.tool.to_string(),
        "widths" => format!("counts of {:?}", description.widths.counts).to_lowercase(),
        "linked_files" => {
            let files = description.linked_files.iter();
            names(&files.map(|file| format!("{} (blake3 {:.8})", file.name, file.blake3)).collect::<Vec<_>>())
        }
        _ => match marker.get(field) {
            Some(serde_json::Value::String(text)) => text.clone(),
            value => value.map_or("none".into(), ToString::to_string),
        },
    }
}
