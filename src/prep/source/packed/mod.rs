//! Opens files in gzip, and members of zip archives. Both formats are recognised by the first bytes of a file.
//!
//! A member is named by a path of its own, `archive.zip:dir/member`. Code that reads a file from beginning to end
//! unpacks it while reading. Code that reads at any offset gets a temporary file.
//!
//! ```text
//! archive                      lists the members of a zip archive, and opens them
//! gzip, limit                  unpacks gzip; limits the size of unpacked data
//! local                        unpacks into temporary files
//! ```

mod archive;
mod gzip;
mod limit;
mod local;

use std::fs::File;
use std::io::{Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::error::{BaseFault, Error, Result};
use crate::source::reading::Counted;
pub(crate) use archive::{Archive, Raw, repeated_name};
use gzip::Gzip;
pub(crate) use limit::{MOST_MEMBERS, MOST_RATIO, most_unpacked, open_zip};
pub(crate) use local::{Local, local, open_local};

/// Splits the path of a member into the archive's path and the member's name. `None` for the path of a file.
pub(crate) fn member(path: &Path) -> Option<(PathBuf, &str)> {
    let text = path.to_str().filter(|text| text.contains(':') && !path.exists())?;
    let split = text.match_indices(':').map(|(at, _)| (&text[..at], &text[at + 1..]));
    split.into_iter().find(|(archive, _)| Path::new(archive).is_file()).map(|(archive, name)| (archive.into(), name))
}

/// Returns the path of the file `name` in the folder `dir`, or of the member `name` if `dir` is an archive.
pub(crate) fn path_in(dir: &Path, name: &str) -> PathBuf {
    if dir.is_file() { path_of_member(dir, name) } else { dir.join(name) }
}

/// Returns the path of each of `names` like [`path_in`].
pub(crate) fn paths_in(dir: &Path, names: &[String]) -> Vec<PathBuf> {
    let is_archive = dir.is_file();
    names.iter().map(|name| if is_archive { path_of_member(dir, name) } else { dir.join(name) }).collect()
}

fn path_of_member(archive: &Path, name: &str) -> PathBuf {
    let mut path = archive.as_os_str().to_owned();
    path.push(":");
    path.push(name);
    path.into()
}

/// Number of bytes that are read when a file is opened. Most small files are not larger.
const FIRST: usize = 1 << 15;

/// Opens a file or a member of an archive. Data in gzip stays packed.
///
/// # Errors
/// [`tonic_base::Error::Io`]; errors of [`Archive::open`] and [`Archive::read`].
pub(crate) fn raw(path: &Path) -> Result<Raw> {
    if let Some((archive, name)) = member(path) {
        return Archive::open(&archive)?.read(name);
    }
    let file = File::open(path).map_err(Error::io(path, "open the recording"))?;
    let len = file.metadata().map_err(Error::io(path, "open the recording"))?.len();
    Ok(Raw { bytes: Box::new(file), len })
}

/// Opens a file or a member of an archive for reading its unpacked bytes.
///
/// # Errors
/// Those of [`raw`].
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    if member(path).is_some() {
        let Raw { mut bytes, len } = raw(path)?;
        let head = first(&mut bytes, MARK).map_err(|e| failed(path, 0, e))?;
        let is_gzip = is_gzip(&head);
        let bytes = Cursor::new(head).chain(Counted(bytes));
        return Ok(if is_gzip { Box::new(Gzip::new(bytes, len)) } else { Box::new(bytes) });
    }
    let (file, head) = begin(path, FIRST)?;
    match is_gzip(&head) {
        false if head.len() < FIRST => return Ok(Box::new(Cursor::new(head))),
        false => return Ok(Box::new(Cursor::new(head).chain(Counted(file)))),
        true => {}
    }
    let len = file.metadata().map_err(Error::io(path, "open the recording"))?.len();
    Ok(Box::new(Gzip::new(Cursor::new(head).chain(Counted(file)), len)))
}

/// Opens a file, and reads its first bytes, at most `most`.
fn begin(path: &Path, most: usize) -> Result<(File, Vec<u8>)> {
    let mut file = File::open(path).map_err(Error::io(path, "open the recording"))?;
    let mut head = vec![0; most];
    let len = fill(&mut file, &mut head, most).map_err(Error::io(path, "read the recording"))?;
    head.truncate(len);
    Ok((file, head))
}

/// Reads a whole file, if it is small and not packed. Returns `None` for other files, and if the file cannot be read.
pub(crate) fn small(path: &Path) -> Option<Vec<u8>> {
    // Opening a pipe would wait until another process writes to it.
    let len = std::fs::metadata(path).ok().filter(|meta| meta.is_file() && meta.len() < FIRST as u64)?.len() as usize;
    // The buffer has one byte more than the file. If that byte is filled too, the file has grown, and is not returned.
    let (mut file, mut bytes) = (File::open(path).ok()?, vec![0; len + 1]);
    let read = fill(&mut file, &mut bytes, len).ok().filter(|&read| read == len)?;
    bytes.truncate(read);
    (!is_gzip(&bytes)).then_some(bytes)
}

/// Returns the number of bytes that are read from a file: its size or, for a zip archive of recordings, the size of its
/// members.
///
/// # Errors
/// [`tonic_base::Error::Io`]; errors of [`Archive::of_recordings`].
pub(crate) fn bytes_to_read(path: &Path) -> Result<u64> {
    if Archive::is(path)
        && let Some(archive) = Archive::of_recordings(path)?
    {
        return Ok(archive.bytes());
    }
    Ok(std::fs::metadata(path).map_err(Error::io(path, "open the recording"))?.len())
}

/// Returns whether a path is a file in gzip, or a member of an archive.
pub(crate) fn is_packed(path: &Path) -> bool {
    member(path).is_some()
        || File::open(path).and_then(|mut file| first(&mut file, MARK)).is_ok_and(|head| is_gzip(&head))
}

/// Reads the first unpacked bytes of a file, at most `most`.
///
/// # Errors
/// Those of [`open`]; [`Error::DamagedBytes`] if no byte can be unpacked.
pub(crate) fn head(path: &Path, most: usize) -> Result<Vec<u8>> {
    if member(path).is_none() {
        let (_, head) = begin(path, most)?;
        if !is_gzip(&head) {
            return Ok(head);
        }
    }
    let (mut bytes, mut head, mut len) = (open(path)?, vec![0; most], 0);
    while len < most {
        match bytes.read(&mut head[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if len == 0 => return Err(failed(path, 0, e)),
            Err(_) => break,
        }
    }
    head.truncate(len);
    Ok(head)
}

/// Makes the error for bytes that cannot be read. `at` is the number of bytes that were unpacked before.
pub(crate) fn failed(path: &Path, at: u64, error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => Error::DamagedBytes {
            path: path.into(),
            at,
            expected: "packed data that is whole".into(),
            got: format!("after {at} unpacked bytes: {error}"),
            events: 0,
        },
        _ => Error::io(path, "read the recording")(error),
    }
}

/// Returns the path without `.gz` at its end.
pub(crate) fn without_gz(path: &Path) -> PathBuf {
    match path.extension() {
        Some(ending) if ending.eq_ignore_ascii_case("gz") => path.with_extension(""),
        _ => path.into(),
    }
}

/// Number of bytes by which gzip is recognised.
const MARK: usize = 3;

fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(b"\x1f\x8b\x08")
}

/// Reads the first bytes: at most `most`, and at least [`MARK`] unless the data is shorter.
fn first(bytes: &mut impl Read, most: usize) -> std::io::Result<Vec<u8>> {
    let mut head = vec![0; most];
    let len = fill(bytes, &mut head, MARK)?;
    head.truncate(len);
    Ok(head)
}

/// Fills the start of `buffer` with at least `least` bytes, or with fewer if the data ends before. Returns the number
/// of bytes.
pub(crate) fn fill(bytes: &mut impl Read, buffer: &mut [u8], least: usize) -> std::io::Result<usize> {
    let mut len = 0;
    while len < least {
        match bytes.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(len)
}
