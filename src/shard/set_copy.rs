//! Completes a copy of a set whose shard files come from elsewhere, byte for byte and in any order.
//!
//! Each shard is assembled in a file of its own name, `.00003.shard.part`, which survives a kill. It gets the shard's
//! name when all of its chunks are verified. The manifest comes last, with the bytes that it has elsewhere.

use std::fs::File;
use std::path::{Path, PathBuf};

use tonic_base::{Progress, Verbosity, publish};

use crate::error::{BaseFault, Error, Result};
use crate::layout::{ChunkRecord, ShardHead};
use crate::manifest::{MANIFEST_FILE, Manifest, set_id};
use crate::output_dir::{Existing, Marker, Origin, OutputDir};
use crate::reader::check_listed;
use crate::shard::Shard;
use crate::verify::check_chunks;

/// A copy of a set that is being assembled in a directory.
#[derive(Debug)]
pub struct SetCopy {
    dir: OutputDir,
    manifest: Manifest,
}

impl SetCopy {
    /// Starts a copy of the set with this manifest in the directory `path`, or continues one that was interrupted.
    /// Returns `None` if the directory has the complete set already. With `overwrite`, another set in the directory is
    /// removed first.
    ///
    /// # Errors
    /// [`tonic_base::Error::Busy`] if another process writes to the directory; [`tonic_base::Error::Exists`] if it
    /// holds another set; [`Error::Mismatch`] if it holds another unfinished set; [`tonic_base::Error::Io`].
    pub fn start(path: &Path, manifest: Manifest, overwrite: bool) -> Result<Option<SetCopy>> {
        let dir = OutputDir::open(path, if overwrite { Existing::Overwrite } else { Existing::Auto })?;
        if dir.is_shared() {
            return Err(tonic_base::Error::Busy { path: path.into() }.into());
        }
        if let (Some(there), None) = (dir.manifest()?, dir.marker()?) {
            if there == manifest {
                return Ok(None);
            }
            if !overwrite {
                return Err(Error::exists(path, "it holds another set"));
            }
        }
        let origin = Origin { selection: Some(manifest.set_id), ..Origin::default() };
        let marker = Marker { description: manifest.description.clone(), origin };
        let continued = dir.marker()?.is_some_and(|begun| begun.origin.selection == marker.origin.selection);
        dir.begin(&marker, !overwrite || continued)?;
        Ok(Some(SetCopy { dir, manifest }))
    }

    /// Manifest of the set.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether shard `number` is complete.
    pub fn has(&self, number: usize) -> bool {
        self.check(number, &self.dir.path().join(&self.manifest.shards[number].name)).is_ok()
    }

    /// Path of the file in which shard `number` is assembled.
    pub fn part(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!(".{}.part", self.manifest.shards[number].name))
    }

    /// Checks the header and the index of shard `number`, given the first bytes of its file. `path` is the name of the
    /// file in errors.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`]; [`Error::Incompatible`].
    pub fn head(&self, number: usize, path: &Path, bytes: &[u8]) -> Result<ShardHead> {
        let head = ShardHead::parse(path, bytes, self.manifest.shards[number].bytes)?;
        check_listed(path, &head, number, &self.manifest)?;
        Ok(head)
    }

    /// Gives the file in which shard `number` was assembled the name of the shard, if it is the shard that the manifest
    /// lists and all of its chunks are intact. Otherwise returns the records of the chunks that are damaged.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`] if header or index are damaged; [`tonic_base::Error::Io`].
    pub fn place(&self, number: usize) -> Result<Vec<ChunkRecord>> {
        let part = self.part(number);
        let shard = self.open(number, &part)?;
        let checked = check_shard(&shard, self.manifest.description.classes.len());
        let damaged: Vec<ChunkRecord> = checked.map(|k| shard.head().chunks[k]).collect();
        if damaged.is_empty() {
            let target = self.dir.path().join(&self.manifest.shards[number].name);
            File::open(&part).and_then(|file| file.sync_all()).map_err(Error::io(&part, "write to disk"))?;
            std::fs::rename(&part, &target).map_err(Error::io(&target, "bring the file into place"))?;
        }
        Ok(damaged)
    }

    /// Writes `manifest`, the bytes of the manifest file, which completes the set.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`] if the id of the set doesn't follow from its chunks; [`Error::Incomplete`] if a
    /// shard is missing; [`tonic_base::Error::Io`].
    pub fn finish(self, manifest: &[u8]) -> Result<Manifest> {
        let mut identities = Vec::new();
        for (number, entry) in self.manifest.shards.iter().enumerate() {
            let shard = self.open(number, &self.dir.path().join(&entry.name))?;
            identities.extend(shard.head().chunks.iter().map(|chunk| chunk.identity));
        }
        let path = self.dir.path().join(MANIFEST_FILE);
        let id = set_id(&self.manifest.description, &identities);
        if id != self.manifest.set_id {
            return Err(Error::corrupt(&path, "set_id", id, self.manifest.set_id));
        }
        publish(&path, manifest)?;
        self.dir.release()?;
        Ok(self.manifest)
    }

    fn open(&self, number: usize, path: &Path) -> Result<Shard> {
        let shard = Shard::open(path)?;
        check_listed(path, shard.head(), number, &self.manifest)?;
        Ok(shard)
    }

    /// Checks a complete shard. A damaged one is removed, so that it is assembled anew.
    fn check(&self, number: usize, path: &Path) -> Result<()> {
        let shard = self.open(number, path)?;
        if check_shard(&shard, self.manifest.description.classes.len()).next().is_none() {
            return Ok(());
        }
        std::fs::rename(path, self.part(number)).map_err(Error::io(path, "set aside the damaged shard"))?;
        Err(Error::corrupt(path, "chunks", "intact ones", "damaged ones"))
    }
}

/// Verifies all chunks of a shard. Returns the indices, in the shard, of those that are damaged.
fn check_shard(shard: &Shard, classes: usize) -> impl Iterator<Item = usize> {
    let samples = shard.head().place.samples.into();
    let silent = Progress::start(Verbosity::Quiet, "verify", samples, "samples");
    let checked = check_chunks(std::slice::from_ref(shard), classes, &silent);
    checked.into_iter().enumerate().filter_map(|(k, (_, totals))| totals.is_err().then_some(k))
}
