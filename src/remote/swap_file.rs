//! Replaces a file of a directory, on this machine or on a file server, unless another process has replaced it.

use std::io::ErrorKind;
use std::path::Path;

use tonic_base::{DirLock, publish};

use crate::error::{BaseFault, Error, Result};
use crate::location::Patience;
use crate::text::KEPT;

/// Replaces the file `name` with `content`, but only if it still has the content `before`. `None` means that there is
/// no such file yet. Returns `false`, and writes nothing, if the file has another content. Each process that writes
/// takes the directory's lock, and waits for the process that holds it.
pub(crate) fn swap_file(
    dir: &Path,
    name: &str,
    before: Option<&[u8]>,
    content: &[u8],
    patience: Patience,
) -> Result<bool> {
    std::fs::create_dir_all(dir).map_err(Error::io(dir, "create the directory"))?;
    let _lock = DirLock::take_within(dir, patience.timeout, KEPT)?;
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
