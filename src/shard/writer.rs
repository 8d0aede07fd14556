//! Writing a set so that a kill, a full disk or a second writer never leaves half of one.
//!
//! Shards are published one by one, the manifest last. While a set is being written its directory holds a marker that
//! says what is being made of what, so that a resume can refuse to continue another conversion, and a lock, so that a
//! second writer is turned away.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::codec::{Chunk, Decoder, EncodedChunk};
use super::layout::{ChunkRecord, ShardHead, aligned};
use super::manifest::{self, Id, Manifest, SetDescription, ShardEntry, Totals, identity_of, shard_name};
use super::reader::Shard;
use crate::error::{Error, Result};
use crate::lock::DirLock;
use crate::publish::{Draft, drafted, publish, remove};

/// The marker's file name.
pub const MARKER: &str = ".incomplete.json";
/// What a writer that is interrupted leaves, and how to go on.
pub const KEPT: &str = "complete shards are kept; run the same command with --resume to go on";

/// What to do about what the output directory holds already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Refuse it.
    Refuse,
    /// Go on from the last complete shard.
    Resume,
    /// Remove the set in it.
    Overwrite,
}

impl Existing {
    /// What `--resume` and `--overwrite` ask for.
    pub fn asked(resume: bool, overwrite: bool) -> Existing {
        match (resume, overwrite) {
            (true, _) => Existing::Resume,
            (_, true) => Existing::Overwrite,
            _ => Existing::Refuse,
        }
    }
}

/// What the marker says.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    /// What is being made.
    #[serde(flatten)]
    description: SetDescription,
    /// Of which samples of other sets, as a hash, where it is made of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    selection: Option<Id>,
}

/// A set's directory, locked for writing.
#[derive(Debug)]
pub struct OutputDir {
    path: PathBuf,
    /// Held, not read.
    _lock: DirLock,
}

impl OutputDir {
    /// Creates the directory where needed and takes its lock.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Exists`] for a directory with a set in it under [`Existing::Refuse`], with a complete one
    /// under [`Existing::Resume`], [`Error::Io`].
    pub fn open(path: &Path, existing: Existing) -> Result<OutputDir> {
        if path.exists() && !path.is_dir() {
            return Err(Error::Exists { path: path.into(), remedy: "it is a file; give a directory" });
        }
        std::fs::create_dir_all(path).map_err(Error::io(path, "create the directory"))?;
        let dir = OutputDir::lock(path)?;
        let complete = || path.join(manifest::FILE_NAME).exists() && !path.join(MARKER).exists();
        if existing == Existing::Resume && complete() {
            let remedy = "the set is complete, there is nothing to resume";
            return Err(Error::Exists { path: path.into(), remedy });
        }
        // A marker or drafts alone are a conversion that ended before it had anything: nothing is lost by another.
        let worth = |file: &PathBuf| !file.file_name().unwrap_or_default().to_string_lossy().starts_with('.');
        if existing == Existing::Refuse && dir.set_files()?.iter().any(worth) {
            return Err(Error::Exists {
                path: path.into(),
                remedy: "--resume goes on with an interrupted convert, --overwrite replaces the set",
            });
        }
        Ok(dir)
    }

    /// Takes the lock of a directory that is there, whatever is in it.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Io`].
    pub fn lock(path: &Path) -> Result<OutputDir> {
        Ok(OutputDir { path: path.into(), _lock: DirLock::take(path)? })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What an interrupted conversion was making here.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`].
    pub fn unfinished(&self) -> Result<Option<SetDescription>> {
        Ok(self.marker()?.map(|marker| marker.description))
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

    /// Removes the set's files, the manifest first, so that no reader takes what is left for a set. Other files stay.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn clear(&self) -> Result<()> {
        remove(&self.path.join(manifest::FILE_NAME))?;
        self.set_files()?.iter().try_for_each(|file| remove(file))
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
        remove(&self.path.join(MARKER))
    }
}

/// Whether a name is one that a writer gives: others' files in the directory are not to be touched.
fn is_set_file(name: &str) -> bool {
    let number = name.strip_suffix(".shard").unwrap_or_default();
    let shard = number.len() >= 5 && number.bytes().all(|b| b.is_ascii_digit());
    shard || name == manifest::FILE_NAME || name == MARKER
}

/// Writes a set's chunks, in order.
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
    /// Starts the set that `description` describes; with `resume`, after the shards of it that are complete already.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the directory holds the beginning of another set, [`Error::Io`].
    pub fn start(dir: OutputDir, description: SetDescription, resume: bool) -> Result<SetWriter> {
        SetWriter::begin(dir, Marker { description, selection: None }, resume)
    }

    /// As [`SetWriter::start`], for a set made of samples of other sets, which `selection` tells from any others.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the directory holds the beginning of another set, [`Error::Io`].
    pub fn start_selection(
        dir: OutputDir,
        description: SetDescription,
        selection: Id,
        resume: bool,
    ) -> Result<SetWriter> {
        SetWriter::begin(dir, Marker { description, selection: Some(selection) }, resume)
    }

    fn begin(dir: OutputDir, marker: Marker, resume: bool) -> Result<SetWriter> {
        let started = dir.marker()?.filter(|_| resume);
        match &started {
            Some(started) => check_same(&dir.path, &marker, started)?,
            None => {
                dir.clear()?;
                let text = serde_json::to_string_pretty(&marker).expect("a description has string keys");
                publish(&dir.path.join(MARKER), text.as_bytes())?;
            }
        }
        let (description, identities, shards) = (marker.description, Vec::new(), Vec::new());
        let totals = Totals::new(description.classes.len());
        let mut writer = SetWriter { dir, description, totals, identities, shards, shard: None };
        if started.is_some() {
            writer.take_up_complete_shards()?;
        }
        Ok(writer)
    }

    /// The set that is being written.
    pub fn description(&self) -> &SetDescription {
        &self.description
    }

    /// The number of chunks that need not be made again.
    pub fn chunks_done(&self) -> u64 {
        self.identities.len() as u64
    }

    /// Appends the next chunk: its content, for the sums, and its bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
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

    /// Publishes the manifest. The set is complete.
    ///
    /// # Errors
    /// [`Error::Io`].
    ///
    /// # Panics
    /// If chunks are missing.
    pub fn finish(self) -> Result<Manifest> {
        assert_eq!(self.identities.len() as u64, self.description.chunks(), "every chunk has been written");
        let manifest = Manifest::new(self.description, self.totals, self.shards, &self.identities);
        manifest.publish(&self.dir.path)?;
        self.dir.release()?;
        Ok(manifest)
    }

    /// Gives the directory back, to start over.
    pub fn abandon(self) -> OutputDir {
        self.dir
    }

    /// Reads back the shards that an interrupted conversion completed; the first that is not whole is made again.
    fn take_up_complete_shards(&mut self) -> Result<()> {
        let (mut decoder, classes) = (Decoder::new(), self.description.classes.len());
        for number in 0..self.description.shards() {
            let path = self.dir.path.join(shard_name(number));
            let place = self.description.shard_place(number);
            let Ok(shard) = Shard::open(&path) else { break };
            if shard.head().layout != self.description.layout() || shard.head().place != place {
                break;
            }
            let (mut totals, mut chunk) = (Totals::new(classes), Chunk::new(self.description.widths, 0));
            let whole = (0..shard.head().chunks.len()).all(|k| {
                let result = shard.decode_and_verify(k, classes, &mut decoder, &mut chunk);
                totals.add(&chunk);
                result.is_ok()
            });
            if !whole {
                break;
            }
            self.totals.merge(&totals);
            self.identities.extend(shard.head().chunks.iter().map(|c| c.identity));
            self.shards.push(shard_entry(number, shard.head()));
        }
        Ok(())
    }
}

/// Refuses to go on with another set than was begun, and names the first field that differs.
fn check_same(dir: &Path, mine: &Marker, begun: &Marker) -> Result<()> {
    let of = |marker: &Marker| serde_json::to_value(marker).expect("a description has string keys");
    let (mine, begun) = (of(mine), of(begun));
    // What a user has changed comes first, before what follows from it.
    let fields = ["recipe", "samples", "sources"].map(String::from).into_iter();
    let all = [&mine, &begun].into_iter().flat_map(|value| value.as_object()).flat_map(|object| object.keys().cloned());
    match fields.chain(all).find(|field| mine.get(field) != begun.get(field)) {
        None => Ok(()),
        Some(field) => {
            let say = |value: &serde_json::Value| value.get(&field).map_or("none".into(), ToString::to_string);
            let (expected, got) = (say(&begun), say(&mine));
            Err(Error::Mismatch { path: dir.into(), other: dir.join(MARKER), field, expected, got })
        }
    }
}

fn shard_entry(number: u64, head: &ShardHead) -> ShardEntry {
    ShardEntry {
        name: shard_name(number),
        bytes: head.file_bytes(),
        samples: head.place.samples.into(),
        identity: identity_of(head.chunks.iter().map(|c| &c.identity)),
    }
}

/// A shard that is being written, beside its place until it is published.
#[derive(Debug)]
pub struct ShardDraft {
    draft: Draft,
    path: PathBuf,
    head: ShardHead,
    chunks: usize,
    end: u64,
}

impl ShardDraft {
    /// A draft of shard `number` of the set that `description` describes.
    ///
    /// # Errors
    /// [`Error::Io`].
    ///
    /// # Panics
    /// If there are not so many.
    pub fn create(dir: &Path, description: &SetDescription, number: u64) -> Result<ShardDraft> {
        let path = dir.join(shard_name(number));
        let place = description.shard_place(number);
        let chunks = place.samples.div_ceil(description.chunk_samples) as usize;
        let mut draft = Draft::create(&path)?;
        let end = ShardHead::bytes(chunks);
        draft.file.seek(SeekFrom::Start(end)).map_err(Error::io(&path, "write the shard"))?;
        let head = ShardHead { layout: description.layout(), place, chunks: Vec::with_capacity(chunks) };
        Ok(ShardDraft { draft, path, head, chunks, end })
    }

    /// Appends its next chunk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(&mut self, encoded: &EncodedChunk) -> Result<()> {
        self.head.chunks.push(ChunkRecord { offset: self.end, ..encoded.record });
        let unpadded = self.end + encoded.record.stored_bytes;
        self.end = aligned(unpadded);
        let padding = [0; super::layout::ALIGNMENT];
        self.draft
            .file
            .write_all(&encoded.stored)
            .and_then(|()| self.draft.file.write_all(&padding[..(self.end - unpadded) as usize]))
            .map_err(Error::io(&self.path, "write the shard"))
    }

    fn is_full(&self) -> bool {
        self.head.chunks.len() == self.chunks
    }

    /// What the manifest says of it, when all its chunks have been appended.
    pub fn entry(&self) -> ShardEntry {
        shard_entry(self.head.place.number.into(), &self.head)
    }

    /// Brings it into place, in the stead of what was there.
    ///
    /// # Errors
    /// [`Error::Io`]; what was there is then as it was.
    pub fn publish(mut self) -> Result<ShardEntry> {
        let head = self.head.to_bytes();
        let write = Error::io(&self.path, "write the shard's head");
        self.draft.file.seek(SeekFrom::Start(0)).and_then(|_| self.draft.file.write_all(&head)).map_err(write)?;
        let entry = self.entry();
        self.draft.publish()?;
        Ok(entry)
    }
}
