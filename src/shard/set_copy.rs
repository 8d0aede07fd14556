//! Assembles a copy of a set in a directory. The caller writes the bytes of the shards in any order.
//!
//! Each shard is assembled in a temporary file, such as `.00003.shard.part`. The verified file gets the name of the
//! shard. The manifest is written last.

use std::fs::File;
use std::path::{Path, PathBuf};

use tonic_base::{Progress, Verbosity, publish};

use crate::error::{BaseFault, Error, Result};
use crate::layout::{ChunkRecord, ShardHead};
use crate::manifest::{MANIFEST_FILE, Manifest, set_id};
use crate::output_dir::{Existing, Marker, Origin, OutputDir};
use crate::reader::check_listed;
use crate::salvage::shard_chunks;
use crate::shard::Shard;
use crate::verify::check_chunks;

/// A copy of a set that is being assembled in a directory.
#[derive(Debug)]
pub struct SetCopy {
    dir: OutputDir,
    manifest: Manifest,
}

impl SetCopy {
    /// Starts a copy of the set with this manifest in the directory `path`, or continues an interrupted copy. Returns
    /// `None` if the copy in the directory is already complete.
    ///
    /// If `overwrite` is true, removes a different set from the directory first.
    ///
    /// # Errors
    /// [`tonic_base::Error::Busy`] if another process writes to the directory; [`tonic_base::Error::Exists`] if the
    /// directory holds another set and `overwrite` is not set; [`tonic_base::Error::Io`].
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
        let begun = dir.marker()?;
        let continued = begun.as_ref().is_some_and(|begun| begun.origin.selection == marker.origin.selection);
        if begun.is_some() && !continued && !overwrite {
            return Err(Error::exists(path, "it holds another set, which is not finished"));
        }
        dir.begin(&marker, !overwrite || continued)?;
        Ok(Some(SetCopy { dir, manifest }))
    }

    /// Returns the manifest of the set.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Verifies shard `number`. Returns whether it is complete and intact. A shard with damaged chunks is renamed to
    /// the temporary file [`SetCopy::part`].
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`] if a damaged shard cannot be renamed.
    pub fn verify(&self, number: usize) -> Result<bool> {
        let path = self.dir.path().join(&self.manifest.shards[number].name);
        let Ok(shard) = self.open(number, &path) else { return Ok(false) };
        if check_shard(&shard, self.manifest.description.classes.len()).next().is_none() {
            return Ok(true);
        }
        std::fs::rename(&path, self.part(number)).map_err(Error::io(&path, "set aside the damaged shard"))?;
        Ok(false)
    }

    /// Returns the path of the temporary file in which shard `number` is assembled.
    pub fn part(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!(".{}.part", self.manifest.shards[number].name))
    }

    /// Returns the number of chunks of shard `number`.
    pub fn chunks(&self, number: usize) -> usize {
        shard_chunks(&self.manifest.description, number as u64)
    }

    /// Checks header and index of shard `number`. `bytes` is the start of its file. Errors name the file by `path`.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`] if header or index are damaged or differ from the manifest;
    /// [`Error::Incompatible`] for another format version.
    pub fn head(&self, number: usize, path: &Path, bytes: &[u8]) -> Result<ShardHead> {
        let head = ShardHead::parse(path, bytes, self.manifest.shards[number].bytes)?;
        check_listed(path, &head, number, &self.manifest)?;
        Ok(head)
    }

    /// Verifies shard `number` in its temporary file [`SetCopy::part`], and returns the index records of damaged
    /// chunks. If there are none, gives the file the name of the shard.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`] if header or index are damaged or differ from the manifest;
    /// [`tonic_base::Error::Io`].
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

    /// Completes the set: writes the bytes `manifest` to the manifest file. All shards must be complete.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`] if the set id in the manifest differs from the id computed from the chunks;
    /// [`tonic_base::Error::Io`], also if a shard is missing.
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
}

/// Verifies all chunks of a shard. Yields the indices of damaged chunks in the shard.
fn check_shard(shard: &Shard, classes: usize) -> impl Iterator<Item = usize> {
    let samples = shard.head().place.samples.into();
    let silent = Progress::start(Verbosity::Quiet, "verify", samples, "samples");
    let checked = check_chunks(std::slice::from_ref(shard), classes, &silent);
    checked.into_iter().enumerate().filter_map(|(k, (_, totals))| totals.is_err().then_some(k))
}
