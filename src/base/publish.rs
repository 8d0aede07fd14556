//! Atomic writes: a file appears whole or not at all.
//!
//! Every file that outlives a run (shards, manifests, checkpoints, models, pictures) is written to a temporary sibling,
//! synced, and renamed to its final name. A kill therefore leaves the old file or the new one, and programs that have
//! the old one mapped keep it.

use crate::error::BaseFault;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A file that is being written under a temporary name. Dropping this value deletes the file, unless [`Draft::publish`]
/// has renamed it.
#[derive(Debug)]
pub struct Draft {
    /// Temporary file, open for reading and writing.
    pub file: File,
    target: PathBuf,
    temporary: PathBuf,
    published: bool,
}

impl Draft {
    /// Creates a temporary file in the same directory as `target`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be created.
    pub fn create(target: &Path) -> Result<Draft> {
        let temporary = temporary_sibling(target);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)
            .map_err(Error::io(&temporary, "create the file"))?;
        Ok(Draft { file, target: target.into(), temporary, published: false })
    }

    /// Path of the temporary file.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Syncs the temporary file, renames it to its target and syncs the directory.
    ///
    /// # Errors
    /// [`Error::Io`]. If only the sync of the directory failed, the target has been replaced. After any other error it
    /// is unchanged.
    pub fn publish(mut self) -> Result<()> {
        self.file.sync_all().map_err(Error::io(&self.temporary, "write to disk"))?;
        std::fs::rename(&self.temporary, &self.target).map_err(Error::io(&self.target, "bring the file into place"))?;
        self.published = true;
        sync_parent(&self.target)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Writes `bytes` to `target` atomically.
///
/// # Errors
/// [`Error::Io`]. If only the sync of the directory failed, the target has been replaced. After any other error it is
/// unchanged.
pub fn publish(target: &Path, bytes: &[u8]) -> Result<()> {
    let mut draft = Draft::create(target)?;
    draft.file.write_all(bytes).map_err(Error::io(target, "write the file"))?;
    draft.publish()
}

/// Removes a file if it exists, and syncs its directory.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, "remove the file")(e)),
        _ => sync_parent(path),
    }
}

/// Total size in bytes of the files directly inside `dir`; 0 if there is no such directory.
pub fn bytes_in(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

/// Returns the final name of a file, given the name of its temporary file (`.NAME.tmp`). Returns `None` if `name`
/// doesn't have this form. Use it to find the temporary files that a killed process left behind.
pub fn drafted(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(".tmp")
}

fn temporary_sibling(target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".tmp");
    target.with_file_name(name)
}

fn sync_parent(path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    File::open(parent).and_then(|d| d.sync_all()).map_err(Error::io(parent, "sync the directory"))
}
