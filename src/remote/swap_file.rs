//! Replaces a file in a directory, unless another process has replaced it in the meantime. Also removes the temporary
//! files that killed processes have left.

use std::io::ErrorKind;
use std::path::Path;

use tonic_base::{DirLock, Error as BaseError, drafted, publish};
use tonic_shard::MANIFEST_FILE;

use crate::error::{BaseFault, Error, Result};
use crate::location::Patience;
use crate::text::KEPT;

/// Maximum number of times that the directory is made again after `prune` has removed it.
const TRIES: usize = 3;

/// Writes `content` to the file `name` if the file still has the content `before`. `None` means that there is no file
/// yet. If the file has other content, writes nothing and returns `false`. Waits for the lock of the directory.
pub(crate) fn swap_file(
    dir: &Path,
    name: &str,
    before: Option<&[u8]>,
    content: &[u8],
    patience: Patience,
) -> Result<bool> {
    let mut tries = 0..TRIES;
    let _lock = loop {
        std::fs::create_dir_all(dir).map_err(Error::io(dir, "create the directory"))?;
        match DirLock::take_within(dir, patience.timeout, KEPT) {
            // `prune` has just removed the empty directory.
            Err(BaseError::Io { source, .. }) if source.kind() == ErrorKind::NotFound && tries.next().is_some() => {}
            lock => break lock?,
        }
    };
    remove_drafts(dir, name);
    let path = dir.join(name);
    let there = match std::fs::read(&path) {
        Ok(there) => Some(there),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(e) => return Err(Error::io(&path, "read")(e)),
    };
    if there.as_deref() != before {
        return Ok(false);
    }
    publish(&path, content)?;
    Ok(true)
}

/// Removes the temporary files that killed processes have left for the file `name`. The caller must hold the
/// directory's lock.
fn remove_drafts(dir: &Path, name: &str) {
    remove_named(dir, |file| drafted(file) == Some(name));
}

/// Removes the temporary files that killed processes have left for shards. object_store gives these files names such as
/// `00000.shard#1`.
pub(crate) fn remove_uploads(dir: &Path) {
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    remove_named(dir, |file| file.split_once(".shard#").is_some_and(|(_, number)| is_number(number)));
}

/// Removes the files for whose names `is_old` returns true, if they can be removed.
fn remove_named(dir: &Path, is_old: impl Fn(&str) -> bool) {
    for file in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if file.file_name().to_str().is_some_and(&is_old) {
            let _ = std::fs::remove_file(file.path());
        }
    }
}

/// Removes the directory of a set if it is empty. Temporary files of the manifest are removed first.
pub(crate) fn remove_if_empty(dir: &Path) {
    if let Ok(lock) = DirLock::take(dir) {
        remove_drafts(dir, MANIFEST_FILE);
        drop(lock); // also removes the lock file
        let _ = std::fs::remove_dir(dir);
    }
}
