//! Opens sets at URLs for reading. The bytes of a shard are fetched when they are read.

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

/// Maximum size of a manifest file in bytes.
const MOST_MANIFEST: u64 = 256 << 20;
/// Minimum and maximum number of bytes of one fetch, unless the reader asks for more. While a shard is read in order,
/// each fetch is four times as large as the one before.
const PIECES: (u64, u64) = (256 << 10, 8 << 20);
/// Number of fetched pieces of a shard that are kept in memory.
const KEPT: usize = 4;
/// Number of shards whose headers and indexes are fetched at the same time.
pub(crate) const CONNECTIONS: usize = 16;

/// A set at a URL, open for reading.
#[derive(Debug)]
pub struct RemoteSet {
    store: Store,
    url: PathBuf,
    manifest: Manifest,
    /// The bytes of the manifest file.
    bytes: Bytes,
}

impl RemoteSet {
    /// Finds the set that a URL means, and reads its manifest:
    ///
    /// - the set with the id after `#`;
    /// - without an id, the latest set that was pushed to the URL;
    /// - if none was pushed, the set whose `manifest.json` is directly in the folder at the URL.
    ///
    /// # Errors
    /// - [`Error::OtherSet`] if the set has another id than the one after `#`.
    /// - [`tonic_shard::Error::NotASet`] if no set is there.
    /// - [`tonic_shard::Error::Incomplete`] if `latest.json` names a set that is not there.
    /// - Errors of the manifest and of the server.
    pub fn open(location: &Location, patience: Patience) -> Result<RemoteSet> {
        let root = Store::open(location, patience)?;
        let pinned = location.pinned();
        let found = match pinned {
            Some(id) => RemoteSet::at(root.below(&id.to_string()))?,
            None => RemoteSet::latest(&root)?,
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

    /// Opens the set that `latest.json` names. `None` if there is no such file.
    fn latest(root: &Store) -> Result<Option<RemoteSet>> {
        let mut missing = None;
        while let Some((Latest { set_id, .. }, _)) = Latest::read(root)? {
            let set = RemoteSet::at(root.below(&set_id.to_string()))?;
            if set.is_some() {
                return Ok(set);
            }
            // Another set may have become the latest one meanwhile, and `prune` has then removed this one.
            if missing.replace(set_id) == Some(set_id) {
                let missing = format!("{LATEST} names the set {set_id}, which is not there");
                return Err(ShardError::Incomplete { path: root.url(""), missing }.into());
            }
        }
        Ok(None)
    }

    /// Opens the set whose manifest is in the folder `store`. `None` if the folder has no manifest.
    pub(crate) fn at(store: Store) -> Result<Option<RemoteSet>> {
        let Some((bytes, _)) = store.get(MANIFEST_FILE, MOST_MANIFEST)? else { return Ok(None) };
        let manifest = Manifest::parse(&store.url(MANIFEST_FILE), &bytes)?;
        let url = store.url("");
        Ok(Some(RemoteSet { store, url, manifest, bytes }))
    }

    /// Checks that the set has the id `id`.
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

    /// Returns [`Error::OtherSet`] if the folder on the server now has another set. `None` if it has the same set or
    /// cannot be read.
    pub(crate) fn replaced(&self) -> Option<Error> {
        let now = RemoteSet::at(self.store.clone()).ok()??;
        now.expect(self.manifest.set_id).err()
    }

    /// Returns the manifest of the set.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn manifest_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the folder of the set on the server.
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

    fn connections(&self) -> usize {
        CONNECTIONS
    }
}

/// A shard of a set at a URL, open for reading.
#[derive(Debug)]
struct RemoteShard {
    store: Store,
    url: PathBuf,
    name: String,
    bytes: u64,
    /// The pieces of the shard that were fetched last, at most [`KEPT`], the newest first.
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
    /// Returns a piece in memory that contains the whole range, if there is one.
    fn kept(&self, range: &Range<u64>) -> Option<Arc<Piece>> {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.iter().find(|piece| piece.start <= range.start && range.end <= piece.end()).cloned()
    }

    /// Returns how many bytes to fetch from the offset `start` on. If the piece before this offset is in memory, the
    /// number is four times the size of that piece, within the limits [`PIECES`].
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
                let bytes = self.store.read_bytes(&self.name, range.start..end)?;
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

    fn forget(&self, range: Range<u64>) -> bool {
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.retain(|piece| piece.end() <= range.start || range.end <= piece.start);
        true
    }
}

/// Returns the error of [`ShardFile::pin`] for a shard that is not on this machine.
pub(crate) fn not_here() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::Unsupported, "the set is not on this machine; pull it first")
}
