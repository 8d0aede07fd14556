//! A set at an URL, open for reading. Bytes are fetched when they are needed.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tonic_shard::{Error as ShardError, Id, MANIFEST_FILE, Manifest, ShardEntry, ShardFile, Storage};

use crate::error::{Error, Result};
use crate::latest::{LATEST, Latest};
use crate::location::{Location, Patience};
use crate::store::Store;

/// Maximum size of a manifest in bytes.
const MOST_MANIFEST: u64 = 256 << 20;
/// First and largest number of bytes that are fetched at once. What is read in order is fetched in growing pieces.
const PIECES: (u64, u64) = (256 << 10, 8 << 20);
/// Number of pieces of a shard that are kept in memory.
const KEPT: usize = 4;

/// A set at an URL.
#[derive(Debug)]
pub struct RemoteSet {
    store: Store,
    url: PathBuf,
    manifest: Manifest,
    /// The bytes of the manifest file.
    bytes: Bytes,
}

impl RemoteSet {
    /// Finds the set that an URL means: that of the id after `#`, or the latest one, or the one whose manifest is at the
    /// URL itself. Reads its manifest.
    ///
    /// # Errors
    /// [`Error::OtherSet`] if the set is not the one after `#`; [`tonic_shard::Error::NotASet`] if no set is there;
    /// errors of the manifest; errors of the server.
    pub fn open(location: &Location, patience: Patience) -> Result<RemoteSet> {
        let root = Store::open(location, patience)?;
        let pinned = location.pinned();
        let found = match pinned {
            Some(id) => RemoteSet::at(root.below(&id.to_string()))?,
            None => match Latest::read(&root)? {
                Some((latest, _)) => Some(RemoteSet::at(root.below(&latest.set_id.to_string()))?.ok_or_else(|| {
                    let missing = format!("{LATEST} names the set {}, which is not there", latest.set_id);
                    ShardError::Incomplete { path: root.url(""), missing }
                })?),
                None => None,
            },
        };
        let set = match found {
            Some(set) => Some(set),
            None => RemoteSet::at(root.clone())?,
        };
        let got = || match pinned {
            Some(id) => format!("neither {id}/{MANIFEST_FILE} nor {MANIFEST_FILE}"),
            None => format!("neither {LATEST} nor {MANIFEST_FILE}"),
        };
        let set = set.ok_or_else(|| ShardError::NotASet { path: root.url(""), got: got() })?;
        match pinned.filter(|id| *id != set.manifest.set_id) {
            Some(id) => Err(set.refuse(id)),
            None => Ok(set),
        }
    }

    /// Reads the manifest in a folder. Returns `None` if there is none.
    pub(crate) fn at(store: Store) -> Result<Option<RemoteSet>> {
        let Some((bytes, _)) = store.get(MANIFEST_FILE, MOST_MANIFEST)? else { return Ok(None) };
        let manifest = Manifest::parse(&store.url(MANIFEST_FILE), &bytes)?;
        let url = store.url("");
        Ok(Some(RemoteSet { store, url, manifest, bytes }))
    }

    /// Checks that the set has this id.
    ///
    /// # Errors
    /// [`Error::OtherSet`].
    pub fn expect(&self, id: Id) -> Result<()> {
        if self.manifest.set_id == id { Ok(()) } else { Err(self.refuse(id)) }
    }

    fn refuse(&self, expected: Id) -> Error {
        let url = self.url.display().to_string();
        Error::OtherSet { url, expected, got: self.manifest.set_id }
    }

    /// Manifest of the set.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The bytes of the manifest file.
    pub(crate) fn manifest_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The folder of the set.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
}

impl Storage for RemoteSet {
    fn path(&self) -> &Path {
        &self.url
    }

    fn manifest(&self) -> Result<Manifest, ShardError> {
        Ok(self.manifest.clone())
    }

    fn shard(&self, entry: &ShardEntry) -> Result<Box<dyn ShardFile>, ShardError> {
        Ok(Box::new(RemoteShard {
            url: self.store.url(&entry.name),
            store: self.store.clone(),
            name: entry.name.clone(),
            bytes: entry.bytes,
            pieces: Mutex::default(),
        }))
    }
}

/// A shard at an URL.
#[derive(Debug)]
struct RemoteShard {
    store: Store,
    url: PathBuf,
    name: String,
    bytes: u64,
    /// The pieces that were fetched last, the latest first.
    pieces: Mutex<VecDeque<Arc<Piece>>>,
}

#[derive(Debug)]
struct Piece {
    start: u64,
    bytes: Vec<u8>,
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl RemoteShard {
    /// Returns a kept piece that has all of the range.
    fn kept(&self, range: &Range<u64>) -> Option<Arc<Piece>> {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.iter().find(|piece| piece.start <= range.start && range.end <= piece.end()).cloned()
    }

    /// Number of bytes to fetch from `start` on: more if the bytes before were fetched last.
    fn reach(&self, start: u64) -> u64 {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        let before = pieces.iter().find(|piece| piece.start < start && start <= piece.end());
        before.map_or(PIECES.0, |piece| (piece.bytes.len() as u64 * 4).clamp(PIECES.0, PIECES.1))
    }
}

impl ShardFile for RemoteShard {
    fn path(&self) -> &Path {
        &self.url
    }

    fn size(&self) -> u64 {
        self.bytes
    }

    fn read(&self, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), ShardError> {
        out.clear();
        let piece = match self.kept(&range) {
            Some(piece) => piece,
            None => {
                let end = range.end.max(range.start.saturating_add(self.reach(range.start))).min(self.bytes);
                let mut bytes = Vec::with_capacity((end - range.start).min(PIECES.1) as usize);
                let fetched = self.store.read(&self.name, range.start..end, &mut |_, piece| {
                    bytes.extend_from_slice(piece);
                    Ok(())
                });
                fetched?;
                let piece = Arc::new(Piece { start: range.start, bytes });
                let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
                pieces.push_front(piece.clone());
                pieces.truncate(KEPT);
                piece
            }
        };
        let at = (range.start - piece.start) as usize;
        out.extend_from_slice(&piece.bytes[at..at + (range.end - range.start) as usize]);
        Ok(())
    }

    fn pin(&self) -> std::io::Result<()> {
        Err(not_here())
    }

    fn read_ahead(&self) {}
}

/// The error for a shard whose pages are to be locked in memory.
pub(crate) fn not_here() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::Unsupported, "the set is not on this machine; pull it first")
}
