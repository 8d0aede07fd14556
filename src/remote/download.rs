//! Downloads single files, such as the files of a data set. After an interruption, another call continues where the
//! first one stopped, if the file on the server has not changed.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use tonic_base::{Error as BaseError, Progress, check_space, publish, remove_file};

use crate::error::{BaseFault, Error, Result};
use crate::location::{Location, Patience};
use crate::store::Store;

/// Maximum number of attempts for a file that changes on the server while it is fetched.
const TRIES: usize = 3;

/// A file on a server.
#[derive(Debug)]
pub struct RemoteFile {
    store: Store,
    version: FileVersion,
}

/// Size, ETag and time of the last change of a file on a server. They show whether the file was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileVersion {
    pub bytes: u64,
    /// ETag. `None` if the server sends none.
    pub tag: Option<String>,
    /// Time of the last change, in seconds since 1970. 0 if the server doesn't send it.
    pub changed: i64,
}

impl FileVersion {
    /// Returns whether two versions certainly have the same bytes.
    fn is_surely(&self, other: &FileVersion) -> bool {
        self == other && (self.tag.is_some() || self.changed != 0)
    }
}

/// An unfinished download: a file with the bytes that have arrived, and a small file with their [`FileVersion`].
struct Part {
    path: PathBuf,
    file: File,
    about: PathBuf,
}

impl RemoteFile {
    /// Asks a server for the size and the version of a file. `url` is the URL of the file itself.
    ///
    /// # Errors
    /// [`Error::BadUrl`]; [`Error::NotFetched`] if the server doesn't have the file or doesn't say its size.
    pub fn open(url: &str, patience: Patience) -> Result<RemoteFile> {
        let store = Store::open(&Location::parse(url)?, patience)?;
        let version = store.version("").map_err(|e| not_fetched(&store, e))?;
        if version.bytes == u64::MAX {
            let why = "expected an answer with Content-Length, got one without".into();
            return Err(Error::NotFetched { url: shown(&store), why });
        }
        Ok(RemoteFile { store, version })
    }

    /// Size of the file in bytes.
    pub fn bytes(&self) -> u64 {
        self.version.bytes
    }

    /// Returns how many bytes an interrupted [`RemoteFile::fetch`] to `target` has left on the disk. The next `fetch`
    /// continues with these bytes or, if they are of another version of the file, replaces them.
    pub fn there(target: &Path) -> u64 {
        part_paths(target).0.metadata().map_or(0, |meta| meta.len())
    }

    /// Downloads the file to `target`, whose directory must exist. Checks the MD5 if `md5` is given. Returns the MD5.
    ///
    /// Until the file is complete and checked, its bytes are in a hidden file in the same directory. After an
    /// interruption, another call continues with this hidden file.
    ///
    /// # Errors
    /// [`Error::NotFetched`] if the server fails, or if the file has another MD5; [`BaseError::NoSpace`],
    /// [`BaseError::Interrupted`], [`BaseError::Io`] of the disk.
    pub fn fetch(&self, target: &Path, md5: Option<&str>, progress: &Progress) -> Result<String> {
        let mut version = self.version.clone();
        let mut tries = 1..TRIES;
        loop {
            let mut part = Part::open(target)?;
            let (mut hash, mut at) = part.take_up(&version, md5.is_some())?;
            let resumed = at > 0;
            check_space(target, version.bytes, at)?;
            progress.add(at);
            let range = at..version.bytes;
            let read = self.store.read_version("", range, Some(&version), &mut |_, piece| {
                part.file.write_all(piece).map_err(Error::io(&part.path, "write the file"))?;
                hash.update(piece);
                at += piece.len() as u64;
                progress.add(piece.len() as u64);
                Ok(())
            });
            match read {
                Ok(()) => {}
                Err(Error::Replaced { .. }) if tries.next().is_some() => {
                    part.remove()?;
                    version = self.store.version("").map_err(|e| not_fetched(&self.store, e))?;
                    continue;
                }
                Err(error) => return Err(not_fetched(&self.store, error)),
            }
            let got = hex(&hash.finalize());
            match md5 {
                // The bytes of the interrupted download may have been of another version of the file.
                Some(md5) if md5 != got && resumed && tries.next().is_some() => part.remove()?,
                Some(md5) if md5 != got => {
                    part.remove()?;
                    let why = format!("expected a file with the md5 {md5}, got one with {got}");
                    return Err(Error::NotFetched { url: shown(&self.store), why });
                }
                _ => {
                    part.publish(target)?;
                    return Ok(got);
                }
            }
        }
    }
}

/// Returns the MD5 of a file in hexadecimal digits.
///
/// # Errors
/// [`BaseError::Io`].
pub fn md5_of(path: &Path) -> Result<String> {
    let mut hash = Md5::new();
    let mut file = File::open(path).map_err(Error::io(path, "read the file"))?;
    hash_all(&mut file, &mut hash).map_err(Error::io(path, "read the file"))?;
    Ok(hex(&hash.finalize()))
}

impl Part {
    fn open(target: &Path) -> Result<Part> {
        let (path, about) = part_paths(target);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(Error::io(&path, "create the file"))?;
        Ok(Part { path, file, about })
    }

    /// Hashes the bytes that have arrived. Returns the hash and the number of these bytes. Removes the bytes if they
    /// may belong to another version than `version`. `has_md5` says whether the caller will check the MD5 of the whole
    /// file.
    fn take_up(&mut self, version: &FileVersion, has_md5: bool) -> Result<(Md5, u64)> {
        let begun = std::fs::read(&self.about).ok().and_then(|text| serde_json::from_slice::<FileVersion>(&text).ok());
        let fits = |begun: &FileVersion| {
            let unknown = begun.tag.is_none() && version.tag.is_none() && begun.changed == version.changed;
            begun.is_surely(version) || has_md5 && begun.bytes == version.bytes && unknown
        };
        let fault = Error::io(&self.path, "write the file");
        let mut hash = Md5::new();
        let there = if begun.as_ref().is_some_and(fits) {
            hash_all(&mut self.file, &mut hash).map_err(Error::io(&self.path, "read the file"))?
        } else {
            0
        };
        if there > version.bytes || there == 0 {
            self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0))).map_err(fault)?;
            publish(&self.about, &serde_json::to_vec(version).expect("a version is JSON"))?;
            return Ok((Md5::new(), 0));
        }
        Ok((hash, there))
    }

    fn remove(self) -> Result<()> {
        remove_file(&self.path)?;
        Ok(remove_file(&self.about)?)
    }

    fn publish(self, target: &Path) -> Result<()> {
        self.file.sync_all().map_err(Error::io(&self.path, "write to disk"))?;
        std::fs::rename(&self.path, target).map_err(Error::io(target, "bring the file into place"))?;
        Ok(remove_file(&self.about)?)
    }
}

/// Returns the paths of the two files of an unfinished download to `target`: the bytes, and their version.
fn part_paths(target: &Path) -> (PathBuf, PathBuf) {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    (target.with_file_name(format!(".{name}.part")), target.with_file_name(format!(".{name}.part.json")))
}

/// Adds the rest of a file to a hash. Returns the number of bytes that were added.
fn hash_all(file: &mut File, hash: &mut Md5) -> std::io::Result<u64> {
    let (mut buffer, mut bytes) = (vec![0; 1 << 20], 0);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(bytes);
        }
        hash.update(&buffer[..n]);
        bytes += n as u64;
    }
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn shown(store: &Store) -> String {
    store.url("").display().to_string()
}

/// Converts errors of the server to [`Error::NotFetched`]. Returns other errors unchanged.
fn not_fetched(store: &Store, error: Error) -> Error {
    let url = store.url("");
    match error {
        Error::Base(BaseError::Io { path, source, .. }) if path == url => {
            Error::NotFetched { url: shown(store), why: format!("cannot read: {source}") }
        }
        Error::Base(BaseError::Corrupt { path, place, expected, got }) if path == url => {
            Error::NotFetched { url: shown(store), why: format!("{place}: expected {expected}, got {got}") }
        }
        Error::Shard(_) => Error::NotFetched { url: shown(store), why: "the server has no such file".into() },
        other => other,
    }
}
