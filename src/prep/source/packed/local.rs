//! Unpacks files into temporary files, for code that reads them at any offset.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
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
    _temporary: Option<Arc<TemporaryFile>>,
}

impl Deref for Local {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

/// A packed file and its unpacked bytes: the file's path, its size and time of change, and the temporary file.
type Unpacked = (PathBuf, (u64, Option<SystemTime>), Weak<TemporaryFile>);

/// The packed files whose temporary file still exists.
static UNPACKED: Mutex<Vec<Unpacked>> = Mutex::new(Vec::new());

/// Returns the path of a file that can be read at any offset. For a packed file, this is an unnamed temporary file
/// with the unpacked bytes.
///
/// # Errors
/// [`tonic_base::Error::NoSpace`], [`tonic_base::Error::Io`]; [`Error::DamagedBytes`] for damaged packed data; errors
/// of [`open`].
pub(crate) fn local(path: &Path) -> Result<Local> {
    if !is_packed(path) {
        return Ok(Local { path: path.into(), _temporary: None });
    }
    let version = version(path)?;
    let unpacked = UNPACKED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut known = unpacked.iter().filter(|(known, of, _)| known == path && *of == version);
    if let Some(temporary) = known.find_map(|(.., temporary)| temporary.upgrade()) {
        return Ok(Local { path: temporary.path().into(), _temporary: Some(temporary) });
    }
    drop(unpacked);
    let temporary = unpack(path)?;
    Ok(keep(path, version, temporary))
}

/// Calls `open` with the path of a file. A packed file is first unpacked into a temporary file, and `open` gets the
/// path of the temporary file. The temporary file has a name during the call, because libhdf5 needs one.
///
/// # Errors
/// Those of [`local`].
pub(crate) fn open_local<T>(path: &Path, open: impl FnOnce(&Path) -> T) -> Result<(T, Local)> {
    if !is_packed(path) {
        return Ok((open(path), Local { path: path.into(), _temporary: None }));
    }
    let (version, temporary) = (version(path)?, unpack(path)?);
    let opened = open(temporary.path());
    Ok((opened, keep(path, version, temporary)))
}

fn keep(path: &Path, version: (u64, Option<SystemTime>), mut temporary: TemporaryFile) -> Local {
    temporary.unname();
    let temporary = Arc::new(temporary);
    let mut unpacked = UNPACKED.lock().unwrap_or_else(PoisonError::into_inner);
    unpacked.retain(|(.., temporary)| temporary.strong_count() > 0);
    unpacked.push((path.into(), version, Arc::downgrade(&temporary)));
    Local { path: temporary.path().into(), _temporary: Some(temporary) }
}

/// Returns the size and the time of the last change of a file. For a member, returns those of its archive.
fn version(path: &Path) -> Result<(u64, Option<SystemTime>)> {
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
