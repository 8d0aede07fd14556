//! Opens a set in a directory. The shards are memory-mapped files.

use std::path::{Path, PathBuf};

use crate::error::{BaseFault, Error, Result};
use crate::manifest::{Manifest, ShardEntry};
use crate::mapped_file::MappedFile;
use crate::storage::{ShardFile, Storage};

/// Path of a directory that holds a set.
#[derive(Debug)]
pub(crate) struct Directory(pub(crate) PathBuf);

impl Storage for Directory {
    fn path(&self) -> &Path {
        &self.0
    }

    fn manifest(&self) -> Result<Manifest> {
        Manifest::read(&self.0)
    }

    fn shard(&self, entry: &ShardEntry) -> Result<Box<dyn ShardFile>> {
        let path = self.0.join(&entry.name);
        match std::fs::metadata(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let missing = format!("the manifest names {}, which is not there", entry.name);
                Err(Error::Incomplete { path: self.0.clone(), missing })
            }
            Ok(meta) if meta.len() != entry.bytes => {
                Err(Error::corrupt(&path, "file length", format!("{} bytes", entry.bytes), meta.len()))
            }
            _ => Ok(Box::new(MappedFile::open(&path)?)),
        }
    }
}
