//! Unpacks archives (zip, tar, tar.gz, gz) that come from servers. Refuses links, file names that lead out of the
//! directory, and archives that grow too large.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write, copy};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use tonic_base::{BaseFault, check_space, human_bytes, interrupt};

use crate::error::{Error, Result};
use crate::source::{MOST_MEMBERS, MOST_RATIO, most_unpacked, open_zip, without_gz};

/// Maximum number of bytes between the contents of two members of a tar archive. They include the name of the second
/// member, which is read into memory.
const MOST_BETWEEN: u64 = 1 << 20;
/// Text of the message if the command is interrupted.
const KEPT: &str = "the archive is kept";

/// What was unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Number of files.
    pub files: u64,
    /// Names of the files and folders that were put directly into the target directory.
    pub names: Vec<String>,
}

/// Returns whether [`unpack`] unpacks a file with this name.
pub fn is_archive(name: &str) -> bool {
    is_many(name) || name.to_lowercase().ends_with(".gz")
}

/// Returns whether a file with this name is an archive of many files.
fn is_many(name: &str) -> bool {
    let name = name.to_lowercase();
    [".zip", ".tar", ".tar.gz", ".tgz"].iter().any(|ending| name.ends_with(ending))
}

/// Unpacks an archive into the directory `into`. Creates the directory if it doesn't exist. Files are moved into `into`
/// only when all are unpacked. They replace files of the same name.
///
/// A zip or tar archive inside the archive is unpacked too, into the folder that contains this inner archive. The inner
/// archive is then removed.
///
/// # Errors
/// - [`Error::DamagedRecording`] for damaged bytes, for members that are links or devices, for names that occur twice
///   or lead out of the directory, and for contents that are too large for their archive.
/// - [`NoSpace`](tonic_base::Error::NoSpace), [`Interrupted`](tonic_base::Error::Interrupted),
///   [`Io`](tonic_base::Error::Io).
pub fn unpack(archive: &Path, into: &Path) -> Result<Unpacked> {
    std::fs::create_dir_all(into).map_err(Error::io(into, "create the directory"))?;
    let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let staging = Staging::new(into.join(format!(".{name}.unpacking")))?;
    let size = archive.metadata().map_err(Error::io(archive, "read the archive"))?.len();
    let most = most_unpacked(size);
    let mut unpacker = Unpacker { archive, into: &staging.0, files: 0, bytes: 0, most };
    unpacker.unpack()?;
    let Unpacker { mut files, mut bytes, .. } = unpacker;
    for inner in archives_in(&staging.0)? {
        let folder = inner.parent().unwrap_or(&staging.0);
        let mut unpacker = Unpacker { archive: &inner, into: folder, files, bytes, most };
        unpacker.unpack()?;
        (files, bytes) = (unpacker.files - 1, unpacker.bytes);
        std::fs::remove_file(&inner).map_err(Error::io(&inner, "remove the file"))?;
    }
    Ok(Unpacked { files, names: place(&staging.0, into)? })
}

/// A hidden directory. Dropping this value removes it and its contents.
struct Staging(PathBuf);

impl Staging {
    fn new(path: PathBuf) -> Result<Staging> {
        match std::fs::remove_dir_all(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(path, "remove the directory")(e)),
            _ => {}
        }
        std::fs::create_dir(&path).map_err(Error::io(&path, "create the directory"))?;
        Ok(Staging(path))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Unpacker<'a> {
    archive: &'a Path,
    into: &'a Path,
    /// Number of files that were written.
    files: u64,
    /// Number of bytes that were written.
    bytes: u64,
    /// Maximum number of bytes that may be written.
    most: u64,
}

impl Unpacker<'_> {
    fn unpack(&mut self) -> Result<()> {
        let name = self.archive.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let mut file = File::open(self.archive).map_err(|e| self.unreadable(e))?;
        let mut head = [0; 2];
        let got = file.read(&mut head).and_then(|n| file.seek(SeekFrom::Start(0)).map(|_| n));
        let head = &head[..got.map_err(|e| self.unreadable(e))?];
        let read = |file| BufReader::with_capacity(1 << 16, file);
        match head {
            b"PK" => self.unpack_zip(file),
            [0x1f, 0x8b] if is_many(&name) => self.unpack_tar(MultiGzDecoder::new(read(file))),
            [0x1f, 0x8b] => {
                let target = without_gz(Path::new(self.archive.file_name().unwrap_or_default()));
                self.write(&target, None, &mut MultiGzDecoder::new(read(file)))
            }
            _ if name.ends_with(".tar") => self.unpack_tar(read(file)),
            _ => Err(Error::damaged(self.archive, "its first bytes", "they are not those of a zip, gzip or tar file")),
        }
    }

    fn unreadable(&self, e: std::io::Error) -> Error {
        Error::io(self.archive, "read the archive")(e)
    }

    fn damaged(&self, member: &str, reason: impl std::fmt::Display) -> Error {
        Error::damaged(self.archive, member, reason)
    }

    fn unpack_zip(&mut self, file: File) -> Result<()> {
        let mut zip = open_zip(file).map_err(|e| self.damaged("its list of members", e))?;
        if zip.has_duplicate_names() {
            return Err(self.damaged("its list of members", "a name occurs twice"));
        }
        let mut needed = 0_u64;
        for index in 0..zip.len() {
            let member = zip.by_index_raw(index).map_err(|e| self.damaged(&format!("member {index}"), e))?;
            needed = needed.saturating_add(member.size());
        }
        if needed > self.most.saturating_sub(self.bytes) {
            return Err(self.too_large(needed));
        }
        check_space(self.into, needed, 0)?;
        for index in 0..zip.len() {
            let mut member = zip.by_index(index).map_err(|e| self.damaged(&format!("member {index}"), e))?;
            let name = member.name().map_err(|e| self.damaged(&format!("member {index}"), e))?.into_owned();
            if member.is_symlink() || member.encrypted() {
                let what = if member.encrypted() { "it is encrypted" } else { "it is a link" };
                return Err(self.damaged(&name, what));
            }
            let path = self.inside(&name)?;
            if member.is_dir() {
                self.create_dir(&path)?;
            } else {
                let size = member.size();
                self.write(&path, Some(size), &mut member)?;
            }
        }
        Ok(())
    }

    fn unpack_tar(&mut self, file: impl Read) -> Result<()> {
        let left = Rc::new(Cell::new(MOST_BETWEEN));
        let mut tar = tar::Archive::new(Between { bytes: file, left: Rc::clone(&left) });
        let entries = tar.entries().map_err(|e| self.damaged("its list of members", e))?;
        for entry in entries {
            let place = format!("member {}", self.files);
            let mut member = entry.map_err(|e| self.damaged(&place, e))?;
            let name = String::from_utf8(member.path_bytes().into_owned());
            let name = name.map_err(|_| self.damaged(&place, "its name is not UTF-8"))?;
            let kind = member.header().entry_type();
            if kind.is_pax_global_extensions() {
                continue;
            }
            let path = self.inside(&name)?;
            if kind.is_dir() {
                self.create_dir(&path)?;
            } else if kind.is_file() || kind.is_contiguous() {
                let size = member.size();
                left.set(u64::MAX);
                self.write(&path, Some(size), &mut member)?;
            } else {
                return Err(self.damaged(&name, "it is a link or a device"));
            }
            left.set(MOST_BETWEEN);
        }
        Ok(())
    }

    /// Returns the path of a member, relative to the directory. Refuses names that lead out of the directory.
    fn inside(&self, name: &str) -> Result<PathBuf> {
        let mut path = PathBuf::new();
        for part in Path::new(name).components() {
            match part {
                Component::Normal(part) => path.push(part),
                Component::CurDir => {}
                _ => return Err(self.damaged(name, "its name leads out of the folder")),
            }
        }
        let is_odd = |c: char| c == '\\' || c == '\0' || c == ':' && cfg!(windows);
        if name.contains(is_odd) {
            return Err(self.damaged(name, "its name has a character that no name may have"));
        }
        Ok(path)
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        let path = self.into.join(path);
        std::fs::create_dir_all(&path).map_err(Error::io(path, "create the directory"))
    }

    /// Writes a member. If `size` is given, the member must have that many bytes.
    fn write(&mut self, path: &Path, size: Option<u64>, content: &mut dyn Read) -> Result<()> {
        interrupt::check(KEPT)?;
        let name = path.display().to_string();
        self.files += 1;
        if self.files > MOST_MEMBERS {
            return Err(self.damaged(&name, format!("the archive has more than {MOST_MEMBERS} members")));
        }
        let target = self.into.join(path);
        if let Some(folder) = path.parent() {
            self.create_dir(folder)?;
        }
        let file = match OpenOptions::new().write(true).create_new(true).open(&target) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Err(self.damaged(&name, "its name occurs twice")),
            opened => opened.map_err(Error::io(&target, "create the file"))?,
        };
        let mut out = BufWriter::with_capacity(1 << 16, file);
        let mut written = 0;
        loop {
            let piece = (1 << 24).min(self.most.saturating_sub(self.bytes) + 1);
            let mut reader = Reading { content: &mut *content, failed: None };
            let copied = copy(&mut (&mut reader).take(piece), &mut out);
            let n = match (copied, reader.failed) {
                (Ok(n), _) => n,
                (Err(_), Some(e)) => return Err(self.damaged(&name, e)),
                (Err(e), None) => return Err(Error::io(target, "write the file")(e)),
            };
            written += n;
            self.bytes += n;
            if self.bytes > self.most {
                return Err(self.too_large(self.bytes));
            }
            if n < piece {
                break;
            }
            interrupt::check(KEPT)?;
        }
        if size.is_some_and(|size| size != written) {
            let size = size.unwrap_or_default();
            return Err(self.damaged(&name, format!("expected {size} bytes, got {written}")));
        }
        out.flush().map_err(Error::io(target, "write the file"))
    }

    fn too_large(&self, bytes: u64) -> Error {
        let reason = format!(
            "expected at most {}, {MOST_RATIO} times its own size, got {}",
            human_bytes(self.most),
            human_bytes(bytes)
        );
        Error::damaged(self.archive, "the size of its members", reason)
    }
}

/// Reads a tar archive, and fails after `left` bytes. `unpack_tar` sets `left` to [`MOST_BETWEEN`] after each member,
/// and to the maximum before the content of a member.
struct Between<R> {
    bytes: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Between<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.left.get();
        if left == 0 && !buffer.is_empty() {
            let text = format!("more than {MOST_BETWEEN} bytes before a member, such as a long name");
            return Err(std::io::Error::new(ErrorKind::InvalidData, text));
        }
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.bytes.read(&mut buffer[..most])?;
        self.left.set(left - read as u64);
        Ok(read)
    }
}

/// A reader that keeps the text of its error, to tell errors of reading from errors of writing.
struct Reading<'a> {
    content: &'a mut dyn Read,
    failed: Option<String>,
}

impl Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.content.read(buffer).inspect_err(|e| {
            if e.kind() != ErrorKind::Interrupted {
                self.failed = Some(e.to_string());
            }
        })
    }
}

/// Returns the paths of all zip and tar archives below a directory, sorted.
fn archives_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).map_err(Error::io(&dir, "list the directory"))? {
            let entry = entry.map_err(Error::io(&dir, "list the directory"))?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(Error::io(entry.path(), "read the file"))?);
            if kind.is_dir() {
                dirs.push(path);
            } else if is_many(&entry.file_name().to_string_lossy()) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Moves the files and folders of one directory into another. Returns their names.
fn place(from: &Path, into: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(from).map_err(Error::io(from, "list the directory"))? {
        let entry = entry.map_err(Error::io(from, "list the directory"))?;
        let (path, target) = (entry.path(), into.join(entry.file_name()));
        if path.is_dir() && target.is_dir() {
            place(&path, &target)?;
        } else {
            std::fs::rename(&path, &target).map_err(Error::io(target, "bring the file into place"))?;
        }
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests;
