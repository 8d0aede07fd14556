//! Unpacks files into temporary files, for code that reads them at any offset.

use std::any::Any;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::SystemTime;

use tonic_base::{TemporaryFile, check_space, interrupt};
use tonic_shard::KEPT;

use crate::error::{BaseFault, Error, Result};
use crate::source::packed::{failed, is_packed, member, open, raw};

/// Number of bytes that are unpacked at a time.
const PIECE: usize = 1 << 20;

/// The path of a file that can be read at any offset. The file exists at least as long as this value.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    path: PathBuf,
    unpacked: Option<Arc<Unpacked>>,
}

/// A temporary file with the bytes of a packed file.
#[derive(Debug)]
struct Unpacked {
    temporary: TemporaryFile,
    /// The file as [`open_local`] has opened it. It is kept because the file has no name any more, and cannot be opened
    /// again by its path.
    opened: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Deref for Local {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

/// The size of a file, and the time of its last change.
type Version = (u64, Option<SystemTime>);

/// The packed files whose temporary file still exists.
static UNPACKED: Mutex<Vec<(PathBuf, Version, Weak<Unpacked>)>> = Mutex::new(Vec::new());

impl Local {
    /// Returns the size of the temporary file. `None` if the file is not packed.
    pub(crate) fn unpacked_bytes(&self) -> Option<u64> {
        Some(self.unpacked.as_ref()?.temporary.file().metadata().ok()?.len())
    }
}

/// Returns the path of a file that can be read at any offset. For a packed file, this is an unnamed temporary file
/// with the unpacked bytes.
///
/// # Errors
/// [`tonic_base::Error::NoSpace`], [`tonic_base::Error::Io`]; [`Error::DamagedBytes`] for damaged packed data; errors
/// of [`open`].
pub(crate) fn local(path: &Path) -> Result<Local> {
    if !is_packed(path) {
        return Ok(Local { path: path.into(), unpacked: None });
    }
    let version = version(path)?;
    match known(path, version).next() {
        Some(unpacked) => Ok(of(unpacked)),
        None => Ok(of(keep(path, version, unpack(path)?))),
    }
}

/// Calls `open` with the path of a file. A packed file is first unpacked into a temporary file, and `open` gets the
/// path of that one. The temporary file has a name during the call, because libhdf5 needs one. If `open` has already
/// opened this packed file, and the temporary file still exists, returns the earlier result.
///
/// # Errors
/// Those of [`local`].
pub(crate) fn open_local<T: Any + Clone + Send + Sync, E>(
    path: &Path,
    open: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<(Result<T, E>, Local)> {
    if !is_packed(path) {
        return Ok((open(path), Local { path: path.into(), unpacked: None }));
    }
    let version = version(path)?;
    for unpacked in known(path, version) {
        if let Some(opened) = unpacked.opened.get().and_then(|opened| opened.downcast_ref::<T>()) {
            return Ok((Ok(opened.clone()), of(unpacked)));
        }
    }
    let temporary = unpack(path)?;
    let opened = open(temporary.path());
    let unpacked = keep(path, version, temporary);
    if let Ok(opened) = &opened {
        unpacked.opened.get_or_init(|| Box::new(opened.clone()));
    }
    Ok((opened, of(unpacked)))
}

fn of(unpacked: Arc<Unpacked>) -> Local {
    Local { path: unpacked.temporary.path().into(), unpacked: Some(unpacked) }
}

/// Returns the temporary files of this version of a packed file.
fn known(path: &Path, version: Version) -> impl Iterator<Item = Arc<Unpacked>> {
    let unpacked = UNPACKED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = unpacked.iter().filter(|(known, of, _)| known == path && *of == version);
    known.filter_map(|(.., unpacked)| unpacked.upgrade()).collect::<Vec<_>>().into_iter()
}

fn keep(path: &Path, version: Version, mut temporary: TemporaryFile) -> Arc<Unpacked> {
    temporary.unname();
    let kept = Arc::new(Unpacked { temporary, opened: OnceLock::new() });
    let mut unpacked = UNPACKED.lock().unwrap_or_else(PoisonError::into_inner);
    unpacked.retain(|(.., unpacked)| unpacked.strong_count() > 0);
    unpacked.push((path.into(), version, Arc::downgrade(&kept)));
    kept
}

/// Returns the size and the time of the last change of a file. For a member, returns those of its archive.
fn version(path: &Path) -> Result<Version> {
    let file = member(path).map_or_else(|| path.into(), |(archive, _)| archive);
    let meta = std::fs::metadata(&file).map_err(Error::io(path, "open the recording"))?;
    Ok((meta.len(), meta.modified().ok()))
}

/// Returns a lower bound for the number of unpacked bytes. For a member, this is the size in the archive's list. For
/// gzip, the last 4 bytes of the file give the unpacked size modulo 2^32.
fn least_size(path: &Path) -> Result<u64> {
    let len = raw(path)?.len;
    let mut end = [0; 4];
    let mut read = || -> std::io::Result<()> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-4))?;
        file.read_exact(&mut end)
    };
    let is_told = member(path).is_none() && read().is_ok();
    Ok(if is_told { len.max(u32::from_le_bytes(end).into()) } else { len })
}

fn unpack(path: &Path) -> Result<TemporaryFile> {
    let dir = std::env::temp_dir();
    check_space(&dir, least_size(path)?, 0)?;
    let (mut bytes, temporary) = (open(path)?, TemporaryFile::create()?);
    let (mut piece, mut at) = (vec![0; PIECE], 0);
    loop {
        interrupt::check(KEPT)?;
        match bytes.read(&mut piece).map_err(|e| failed(path, at, e))? {
            0 => return Ok(temporary),
            read => {
                temporary.file().write_all(&piece[..read]).map_err(Error::io(&dir, "write a temporary file"))?;
                at += read as u64;
            }
        }
    }
}
