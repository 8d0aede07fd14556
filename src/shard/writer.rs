//! Writing a set so that a kill, a full disk or a second writer never leaves half of one.
//!
//! Shards are published one by one, the manifest last. While a set is being written its directory holds a marker that
//! says what is being made of what, so that a resume can refuse to continue another conversion, and a lock, so that a
//! second writer is turned away.

use std::fs::{File, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::codec::{Chunk, Decoder, EncodedChunk};
use super::layout::{ChunkRecord, ShardHead, ShardPlace, aligned};
use super::manifest::{self, Manifest, SetDescription, ShardEntry, Totals, identity_of, shard_name};
use super::reader::Shard;
use crate::error::{Error, Result};
use crate::publish::{Draft, drafted, publish, remove};

/// The marker's file name.
pub const MARKER: &str = ".incomplete.json";
const LOCK: &str = ".lock";

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

/// A set's directory, locked for writing.
#[derive(Debug)]
pub struct OutputDir {
    path: PathBuf,
    /// Held, not read: the lock goes when the file is closed, also by a kill.
    _lock: File,
}

impl OutputDir {
    /// Creates the directory where needed and takes its lock.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Exists`] for a directory with a set in it under [`Existing::Refuse`], [`Error::Io`].
    pub fn open(path: &Path, existing: Existing) -> Result<OutputDir> {
        if path.exists() && !path.is_dir() {
            return Err(Error::Exists { path: path.into(), remedy: "it is a file; give a directory" });
        }
        std::fs::create_dir_all(path).map_err(Error::io(path, "create the directory"))?;
        let dir = OutputDir { path: path.into(), _lock: take_lock(path)? };
        if existing == Existing::Refuse && !dir.set_files()?.is_empty() {
            return Err(Error::Exists {
                path: path.into(),
                remedy: "--resume goes on with an interrupted convert, --overwrite replaces the set",
            });
        }
        Ok(dir)
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
        let path = self.path.join(MARKER);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path, "read the marker")(e)),
        };
        let description = serde_json::from_str(&text).map_err(|e| Error::corrupt(&path, "JSON", "a description", e))?;
        Ok(Some(description))
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

impl Drop for OutputDir {
    /// Takes the lock's file away, also from a directory whose set was refused; what a kill leaves is taken over.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path.join(LOCK));
    }
}

/// Whether a name is one that a writer gives: others' files in the directory are not to be touched.
fn is_set_file(name: &str) -> bool {
    let number = name.strip_suffix(".shard").unwrap_or_default();
    let shard = number.len() >= 5 && number.bytes().all(|b| b.is_ascii_digit());
    shard || name == manifest::FILE_NAME || name == MARKER
}

fn take_lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    loop {
        let lock = File::create(&path).map_err(Error::io(&path, "create the lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path: dir.into() }),
            Err(TryLockError::Error(e)) => return Err(Error::io(&path, "take the lock")(e)),
        }
        // A writer that ended in between has removed this very file: a lock on it would turn nobody away.
        if is_at(&lock, &path) {
            return Ok(lock);
        }
    }
}

/// Whether an open file is the one that has this name now.
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
        file.metadata().map(id).ok().is_some_and(|open| std::fs::metadata(path).map(id).ok() == Some(open))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists() // an open file cannot be removed there
    }
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
        let totals = Totals::new(description.classes.len());
        let (identities, shards) = (Vec::new(), Vec::new());
        let mut writer = SetWriter { dir, description, totals, identities, shards, shard: None };
        match writer.dir.unfinished()?.filter(|_| resume) {
            Some(unfinished) => {
                writer.check_same(&unfinished)?;
                writer.take_up_complete_shards()?;
            }
            None => {
                writer.dir.clear()?;
                let text = serde_json::to_string_pretty(&writer.description).expect("a description has string keys");
                publish(&writer.dir.path.join(MARKER), text.as_bytes())?;
            }
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

    fn check_same(&self, unfinished: &SetDescription) -> Result<()> {
        let of = |d: &SetDescription| serde_json::to_value(d).expect("a description has string keys");
        let (mine, theirs) = (of(&self.description), of(unfinished));
        // What a user has changed comes first, before what follows from it.
        let fields = ["recipe", "samples", "sources"].into_iter().map(String::from);
        let fields = fields.chain(mine.as_object().into_iter().flat_map(|object| object.keys().cloned()));
        let mut differing = fields.filter_map(|field| Some((mine.get(&field)?.clone(), field)));
        match differing.find(|(value, field)| theirs.get(field) != Some(value)) {
            None => Ok(()),
            Some((value, field)) => Err(Error::Mismatch {
                path: self.dir.path.clone(),
                other: self.dir.path.join(MARKER),
                field: field.clone(),
                expected: theirs.get(field).map_or("none".into(), ToString::to_string),
                got: value.to_string(),
            }),
        }
    }

    /// Reads back the shards that an interrupted conversion completed; the first that is not whole is made again.
    fn take_up_complete_shards(&mut self) -> Result<()> {
        let (mut decoder, classes) = (Decoder::new(), self.description.classes.len());
        for number in 0..self.description.shards() {
            let path = self.dir.path.join(shard_name(number));
            let place = shard_place(&self.description, number);
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

/// The place of shard `number` in the set.
fn shard_place(description: &SetDescription, number: u64) -> ShardPlace {
    let per_shard = u64::from(description.shard_chunks) * u64::from(description.chunk_samples);
    let first_sample = number * per_shard;
    let samples = (description.samples - first_sample).min(per_shard) as u32;
    ShardPlace { number: number as u32, first_sample, samples }
}

fn shard_entry(number: u64, head: &ShardHead) -> ShardEntry {
    ShardEntry {
        name: shard_name(number),
        bytes: head.file_bytes(),
        samples: head.place.samples.into(),
        identity: identity_of(head.chunks.iter().map(|c| &c.identity)),
    }
}

/// A shard that is being written.
#[derive(Debug)]
struct ShardDraft {
    draft: Draft,
    path: PathBuf,
    head: ShardHead,
    chunks: usize,
    end: u64,
}

impl ShardDraft {
    fn create(dir: &Path, description: &SetDescription, number: u64) -> Result<ShardDraft> {
        let path = dir.join(shard_name(number));
        let place = shard_place(description, number);
        let chunks = place.samples.div_ceil(description.chunk_samples) as usize;
        let mut draft = Draft::create(&path)?;
        let end = ShardHead::bytes(chunks);
        draft.file.seek(SeekFrom::Start(end)).map_err(Error::io(&path, "write the shard"))?;
        let head = ShardHead { layout: description.layout(), place, chunks: Vec::with_capacity(chunks) };
        Ok(ShardDraft { draft, path, head, chunks, end })
    }

    fn append(&mut self, encoded: &EncodedChunk) -> Result<()> {
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

    fn publish(mut self) -> Result<ShardEntry> {
        let head = self.head.to_bytes();
        let write = Error::io(&self.path, "write the shard's head");
        self.draft.file.seek(SeekFrom::Start(0)).and_then(|_| self.draft.file.write_all(&head)).map_err(write)?;
        let entry = shard_entry(self.head.place.number.into(), &self.head);
        self.draft.publish()?;
        Ok(entry)
    }
}
