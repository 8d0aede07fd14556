//! Writes a set. A kill, a full disk or a second writer never leaves a directory that looks like a complete set but
//! isn't.
//!
//! Shards are renamed to their final names one by one, and the manifest is written last. Until then, the directory has
//! a lock file and a marker file. The lock keeps a second writer out. The marker describes the set, so that a resume
//! refuses to continue a different conversion.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tonic_base::{DirLock, drafted, publish, remove_file};

use crate::chunk::Chunk;
use crate::codec::{Decoder, EncodedChunk};
use crate::description::{Id, MARKER, SetDescription, SourceFile, shard_name};
use crate::difference::differing_parts;
use crate::error::{BaseFault, Error, Result};
use crate::ledger::Ledger;
use crate::manifest::{MANIFEST_FILE, Manifest, ShardEntry, Totals};
use crate::shard::Shard;
use crate::shard_draft::{ShardDraft, shard_entry};

/// Text for the error message of an interrupted conversion: what it has kept.
pub const KEPT: &str = "complete shards are kept";

/// What to do if the output directory already holds files of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Return an error and change nothing.
    Refuse,
    /// Continue an unfinished set after its last complete shard.
    Resume,
    /// Remove the old set and write a new one.
    Overwrite,
}

impl Existing {
    /// Returns the choice for the two flags `resume` and `overwrite`. If both are true, [`Existing::Resume`].
    pub fn asked(resume: bool, overwrite: bool) -> Existing {
        match (resume, overwrite) {
            (true, _) => Existing::Resume,
            (_, true) => Existing::Overwrite,
            _ => Existing::Refuse,
        }
    }
}

/// Content of the marker file.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    /// Description of the set that is being written.
    #[serde(flatten)]
    description: SetDescription,
    #[serde(flatten)]
    origin: Origin,
}

/// How the content of a set was chosen, apart from its description. It is known only while the set is unfinished.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// If the set is made of samples of other sets, a hash that identifies these samples. Otherwise `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Id>,
    /// Settings that decide which values are read, by name. The caller of [`OutputDir::unfinished`] compares them. Empty
    /// if the set is not made from recordings, or was begun by an earlier version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// Directory of a set, locked for writing.
#[derive(Debug)]
pub struct OutputDir {
    path: PathBuf,
    /// The lock of the directory. Dropping this value releases it.
    _lock: DirLock,
}

impl OutputDir {
    /// Creates the directory if needed, and locks it.
    ///
    /// # Errors
    /// [`tonic_base::Error::Busy`] if another process is writing there.
    ///
    /// [`tonic_base::Error::Exists`] if `path` is a file. With [`Existing::Refuse`], also if the directory holds shards
    /// or a manifest. With [`Existing::Resume`], also if the directory holds a complete set.
    ///
    /// [`tonic_base::Error::Io`].
    pub fn open(path: &Path, existing: Existing) -> Result<OutputDir> {
        if path.exists() && !path.is_dir() {
            return Err(Error::exists(path, "it is a file; give a directory"));
        }
        std::fs::create_dir_all(path).map_err(Error::io(path, "create the directory"))?;
        let dir = OutputDir::lock(path)?;
        let complete = || path.join(MANIFEST_FILE).exists() && !path.join(MARKER).exists();
        if existing == Existing::Resume && complete() {
            let remedy = "the set is complete, there is nothing to resume";
            return Err(Error::exists(path, remedy));
        }
        // Hidden files (the marker, temporary files) come from a conversion that ended before its first shard.
        // Replacing them loses nothing.
        let worth = |file: &PathBuf| !file.file_name().unwrap_or_default().to_string_lossy().starts_with('.');
        if existing == Existing::Refuse && dir.set_files()?.iter().any(worth) {
            return Err(Error::exists(path, "it holds a set"));
        }
        Ok(dir)
    }

    /// Locks an existing directory, whatever it holds.
    ///
    /// # Errors
    /// [`tonic_base::Error::Busy`], [`tonic_base::Error::Io`].
    pub fn lock(path: &Path) -> Result<OutputDir> {
        Ok(OutputDir { path: path.into(), _lock: DirLock::take(path)? })
    }

    /// Path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Description and origin of the unfinished set in this directory; `None` if there is none.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`]; [`tonic_base::Error::Corrupt`] if the marker cannot be parsed.
    pub fn unfinished(&self) -> Result<Option<(SetDescription, Origin)>> {
        Ok(self.marker()?.map(|marker| (marker.description, marker.origin)))
    }

    fn marker(&self) -> Result<Option<Marker>> {
        let path = self.path.join(MARKER);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path, "read the marker")(e)),
        };
        let marker = serde_json::from_str(&text).map_err(|e| Error::corrupt(&path, "JSON", "a description", e))?;
        Ok(Some(marker))
    }

    /// Removes the files of the set and keeps all others. The manifest is removed first, so that no reader mistakes
    /// the remaining files for a complete set.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    pub fn clear(&self) -> Result<()> {
        remove_file(&self.path.join(MANIFEST_FILE))?;
        Ok(self.set_files()?.iter().try_for_each(|file| remove_file(file))?)
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

    fn release(self) -> Result<()> {
        Ok(remove_file(&self.path.join(MARKER))?)
    }
}

/// Whether a file with this name belongs to a set. Files that don't belong to a set are never removed.
fn is_set_file(name: &str) -> bool {
    let number = name.strip_suffix(".shard").unwrap_or_default();
    let shard = number.len() >= 5 && number.bytes().all(|b| b.is_ascii_digit());
    shard || name == MANIFEST_FILE || name == MARKER
}

/// Writes the chunks of a set, in order.
#[derive(Debug)]
pub struct SetWriter {
    dir: OutputDir,
    description: SetDescription,
    totals: Totals,
    identities: Vec<[u8; 32]>,
    shards: Vec<ShardEntry>,
    shard: Option<ShardDraft>,
}

impl SetWriter {
    /// Starts to write the described set. With `resume`, an unfinished set in `dir` is continued after its complete
    /// shards. Without `resume`, or if `dir` has no unfinished set, all files of a set in `dir` are removed.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if the unfinished set in `dir` is a different one; [`tonic_base::Error::Corrupt`] if its
    /// marker cannot be parsed; [`tonic_base::Error::Io`].
    pub fn start(dir: OutputDir, description: SetDescription, resume: bool) -> Result<SetWriter> {
        SetWriter::start_with(dir, description, Origin::default(), resume, &mut |_, _| {})
    }

    /// Like [`SetWriter::start`], of content that `origin` tells. A continued set must have the same selection, and has
    /// these settings from now on. `kept` is called for each complete shard of a continued set, with the number of its
    /// first sample and the ledgers of its samples.
    ///
    /// # Errors
    /// Errors of [`SetWriter::start`].
    pub fn start_with(
        dir: OutputDir,
        description: SetDescription,
        origin: Origin,
        resume: bool,
        kept: &mut dyn FnMut(u64, &[Ledger]),
    ) -> Result<SetWriter> {
        let marker = Marker { description, origin };
        let started = dir.marker()?.filter(|_| resume);
        match &started {
            Some(started) => check_same(&dir.path, &marker, started)?,
            None => dir.clear()?,
        }
        if started.as_ref().is_none_or(|started| started.origin != marker.origin) {
            let text = serde_json::to_string_pretty(&marker).expect("a description has string keys");
            publish(&dir.path.join(MARKER), text.as_bytes())?;
        }
        let (description, identities, shards) = (marker.description, Vec::new(), Vec::new());
        let totals = Totals::new(description.classes.len());
        let mut writer = SetWriter { dir, description, totals, identities, shards, shard: None };
        if started.is_some() {
            writer.take_up_complete_shards(kept)?;
        }
        Ok(writer)
    }

    /// Description of the set that is being written.
    pub fn description(&self) -> &SetDescription {
        &self.description
    }

    /// Identity of each chunk written so far, including those kept from an interrupted conversion.
    pub fn identities(&self) -> &[[u8; 32]] {
        &self.identities
    }

    /// Number of chunks written so far, including those kept from an interrupted conversion.
    pub fn chunks_done(&self) -> u64 {
        self.identities.len() as u64
    }

    /// Appends the next chunk. `encoded` has the bytes to write. `chunk` is the same chunk, decoded: its samples are
    /// added to the totals.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    pub fn write(&mut self, chunk: &Chunk, encoded: EncodedChunk) -> Result<()> {
        let draft = match &mut self.shard {
            Some(draft) => draft,
            None => self.shard.insert(ShardDraft::create(&self.dir.path, &self.description, self.shards.len() as u64)?),
        };
        draft.append(&encoded)?;
        self.totals.add(chunk);
        self.identities.push(encoded.record.identity);
        if draft.is_full() {
            let draft = self.shard.take().expect("the shard that was just written to");
            self.shards.push(draft.publish()?);
        }
        Ok(())
    }

    /// Writes the manifest, which completes the set.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    ///
    /// # Panics
    /// If not all chunks of the set have been written.
    pub fn finish(self) -> Result<Manifest> {
        assert_eq!(self.identities.len() as u64, self.description.chunks(), "every chunk has been written");
        let manifest = Manifest::new(self.description, self.totals, self.shards, &self.identities);
        manifest.publish(&self.dir.path)?;
        self.dir.release()?;
        Ok(manifest)
    }

    /// Stops writing and returns the directory, still locked, so that the caller can start again in it.
    pub fn abandon(self) -> OutputDir {
        self.dir
    }

    /// Verifies the shards that an interrupted conversion has completed, and takes them over. Stops at the first shard
    /// that is missing or damaged: writing continues there.
    fn take_up_complete_shards(&mut self, kept: &mut dyn FnMut(u64, &[Ledger])) -> Result<()> {
        let (mut decoder, classes) = (Decoder::new(), self.description.classes.len());
        for number in 0..self.description.shards() {
            let path = self.dir.path.join(shard_name(number));
            let place = self.description.shard_place(number);
            let Ok(shard) = Shard::open(&path) else { break };
            if shard.head().layout != self.description.layout() || shard.head().place != place {
                break;
            }
            let (mut totals, mut chunk) = (Totals::new(classes), Chunk::new(self.description.widths, 0));
            let mut ledgers = Vec::with_capacity(place.samples as usize);
            let whole = (0..shard.head().chunks.len()).all(|k| {
                let result = shard.decode_and_verify(k, classes, &mut decoder, &mut chunk);
                totals.add(&chunk);
                ledgers.extend_from_slice(&chunk.table.ledgers);
                result.is_ok()
            });
            if !whole {
                break;
            }
            self.totals.merge(&totals);
            let first = self.identities.len() as u64 * u64::from(self.description.chunk_samples);
            kept(first, &ledgers);
            self.identities.extend(shard.head().chunks.iter().map(|c| c.identity));
            self.shards.push(shard_entry(number, shard.head()));
        }
        Ok(())
    }
}

/// The recordings that others lack, for an error.
fn other_files(files: &[SourceFile], others: &[SourceFile]) -> String {
    /// Maximum number of recordings that are named.
    const MOST: usize = 3;
    let lacks = |file: &&SourceFile| !others.contains(file);
    let name = |file: &SourceFile| {
        format!("{} ({} bytes, {} samples, blake3 {:.8})", file.name, file.bytes, file.samples, file.blake3)
    };
    let named: Vec<String> = files.iter().filter(lacks).take(MOST).map(name).collect();
    match files.iter().filter(lacks).count() {
        0 if files.len() == others.len() => "the same files in another order".into(),
        0 => "no other files".into(),
        n if n > MOST => format!("{} and {} more", named.join(", "), n - MOST),
        _ => named.join(", "),
    }
}

/// Returns an error that names the first field in which the new set differs from the unfinished one. The list of linked
/// files isn't compared if the unfinished set has none, because old versions of this program didn't write it. The
/// caller compares the settings.
fn check_same(dir: &Path, mine: &Marker, begun: &Marker) -> Result<()> {
    let of = |marker: &Marker| serde_json::to_value(marker).expect("a description has string keys");
    let sources = [&begun.description.sources, &mine.description.sources];
    let hashes = sources.map(|files| files.iter().map(|file| file.blake3).collect::<Vec<_>>());
    let (mine, begun) = (of(mine), of(begun));
    // First the fields that a user changes, then those that follow from them.
    let numbers = if hashes[0] == hashes[1] { ["samples", "sources"] } else { ["sources", "samples"] };
    let fields = ["recipe"].into_iter().chain(numbers).map(String::from);
    let all =
        [&mine, &begun].into_iter().filter_map(|value| value.as_object()).flat_map(|object| object.keys().cloned());
    let unknown = |field: &String| field == "settings" || field == "linked_files" && begun.get(field).is_none();
    match fields.chain(all).find(|field| mine.get(field) != begun.get(field) && !unknown(field)) {
        None => Ok(()),
        Some(field) => {
            let say = |value: &serde_json::Value| match value.get(&field) {
                Some(serde_json::Value::String(text)) => text.clone(),
                value => value.map_or("none".into(), ToString::to_string),
            };
            let (expected, got) = match field.as_str() {
                "sources" => (other_files(sources[0], sources[1]), other_files(sources[1], sources[0])),
                _ => differing_parts(&say(&begun), &say(&mine)),
            };
            Err(Error::Mismatch { path: dir.into(), other: dir.join(MARKER), field, expected, got })
        }
    }
}
