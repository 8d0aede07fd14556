//! Unpacks archives (zip, tar, tar.gz, gz) that come from servers: names that lead elsewhere, links and bombs are
//! refused.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write, copy};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tonic_base::{BaseFault, check_space, human_bytes, interrupt};

use crate::error::{Error, Result};

/// An archive may be this many times as large as its file. DEFLATE reaches 1,032.
const MOST_GROWTH: u64 = 250;
/// Smaller contents are never refused for their growth.
const SMALL: u64 = 1 << 30;
/// Archives of more members are refused.
const MOST_MEMBERS: u64 = 10_000_000;
/// Text of an interrupted command.
const KEPT: &str = "the archive is kept";

/// What was unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Number of files.
    pub files: u64,
    /// Names of the files and folders in the directory that they are in.
    pub names: Vec<String>,
}

/// Returns whether a file is an archive that [`unpack`] unpacks, by its name.
pub fn is_archive(name: &str) -> bool {
    is_many(name) || name.to_lowercase().ends_with(".gz")
}

/// Returns whether the name is that of an archive of many files.
fn is_many(name: &str) -> bool {
    let name = name.to_lowercase();
    [".zip", ".tar", ".tar.gz", ".tgz"].iter().any(|ending| name.ends_with(ending))
}

/// Unpacks an archive into the directory `into`, which it creates. Archives in the archive are unpacked too, next to
/// themselves. Files get their places only when all are unpacked; files of the same name are replaced.
///
/// # Errors
/// - [`Error::DamagedRecording`] for damaged bytes, names that lead out of the directory or occur twice, members that
///   are no files, and contents that are too large for their archive.
/// - [`NoSpace`](tonic_base::Error::NoSpace), [`Interrupted`](tonic_base::Error::Interrupted),
///   [`Io`](tonic_base::Error::Io).
pub fn unpack(archive: &Path, into: &Path) -> Result<Unpacked> {
    std::fs::create_dir_all(into).map_err(Error::io(into, "create the directory"))?;
    let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let staging = Staging::new(into.join(format!(".{name}.unpacking")))?;
    let size = archive.metadata().map_err(Error::io(archive, "read the archive"))?.len();
    let most = size.saturating_mul(MOST_GROWTH).max(SMALL);
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

/// A hidden directory that is removed with all it holds.
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
    /// Their bytes, and the most that they may have.
    bytes: u64,
    most: u64,
}

impl Unpacker<'_> {
    fn unpack(&mut self) -> Result<()> {
        let name = self.archive.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let mut file = File::open(self.archive).map_err(|e| self.unreadable(e))?;
        let mut head = [0; 2];
        let got = file.read(&mut head).and_then(|n| file.seek(SeekFrom::Start(0)).map(|_| n));
        let head = &head[..got.map_err(|e| self.unreadable(e))?];
        let file = BufReader::with_capacity(1 << 16, file);
        match head {
            b"PK" => self.unpack_zip(file),
            [0x1f, 0x8b] if is_many(&name) => self.unpack_tar(MultiGzDecoder::new(file)),
            [0x1f, 0x8b] => {
                let target = name_without_gz(self.archive);
                self.write(&target, None, &mut MultiGzDecoder::new(file))
            }
            _ if name.ends_with(".tar") => self.unpack_tar(file),
            _ => Err(Error::damaged(self.archive, "its first bytes", "they are not those of a zip, gzip or tar file")),
        }
    }

    fn unreadable(&self, e: std::io::Error) -> Error {
        Error::io(self.archive, "read the archive")(e)
    }

    fn damaged(&self, member: &str, reason: impl std::fmt::Display) -> Error {
        Error::damaged(self.archive, member, reason)
    }

    fn unpack_zip(&mut self, file: BufReader<File>) -> Result<()> {
        let mut zip = zip::ZipArchive::new(file).map_err(|e| self.damaged("its list of members", e))?;
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
        let mut tar = tar::Archive::new(file);
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
                self.write(&path, Some(size), &mut member)?;
            } else {
                return Err(self.damaged(&name, "it is a link or a device"));
            }
        }
        Ok(())
    }

    /// Returns the path of a member below the directory. Refuses names that lead elsewhere.
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

    /// Writes a member, which must have `size` bytes.
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
            "expected at most {}, {MOST_GROWTH} times its own size, got {}",
            human_bytes(self.most),
            human_bytes(bytes)
        );
        Error::damaged(self.archive, "the size of its members", reason)
    }
}

/// Tells an error of reading from one of writing.
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

fn name_without_gz(archive: &Path) -> PathBuf {
    PathBuf::from(archive.file_stem().unwrap_or_default())
}

/// Returns the archives of many files below a directory, in the order of their paths.
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
mod tests {
    use zip::write::SimpleFileOptions;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("tonic-prep-unpack-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        /// Writes an archive, unpacks it and returns the error, with the names that are in the folder after it.
        fn refusal(&self, name: &str, bytes: &[u8]) -> String {
            let archive = self.0.join(name);
            std::fs::write(&archive, bytes).unwrap();
            let error = unpack(&archive, &self.0.join("out")).unwrap_err().to_string();
            assert_eq!(std::fs::read_dir(self.0.join("out")).unwrap().count(), 0, "{error}");
            assert!(!self.0.join("evil").exists() && !self.0.join("out/evil").exists(), "{error}");
            error
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, bytes) in members {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn tarred(members: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, kind, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            if !kind.is_file() {
                header.set_link_name("/etc/passwd").unwrap();
            }
            header.set_cksum();
            tar.append(&header, *bytes).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(bytes).unwrap();
        gz.finish().unwrap()
    }

    #[test]
    fn archives_of_each_kind_are_unpacked_also_within_another() {
        let folder = Folder::new("kinds");
        let file = tar::EntryType::Regular;
        let tar = tarred(&[("./1/x.npy", file, b"one"), ("2/x.npy", file, b"two")]);
        let nested =
            zipped(&[("cats.zip", &zipped(&[("cat/1.bin", b"meow")])), ("more/dogs.tar", &tar), ("a.txt", b"")]);
        for (name, bytes, names, files) in [
            ("a.zip", nested, vec!["a.txt", "cat", "more"], 4),
            ("b.tar.gz", gzipped(&tar), vec!["1", "2"], 2),
            ("c.tar", tar, vec!["1", "2"], 2),
            ("d-ubyte.gz", gzipped(b"plain"), vec!["d-ubyte"], 1),
        ] {
            let archive = folder.0.join(name);
            std::fs::write(&archive, bytes).unwrap();
            let out = folder.0.join("out");
            let done = unpack(&archive, &out).unwrap();
            assert_eq!((done.files, &done.names), (files, &names.into_iter().map(String::from).collect()), "{name}");
        }
        let read = |path: &str| std::fs::read(folder.0.join("out").join(path)).unwrap();
        assert_eq!(
            (read("cat/1.bin"), read("more/1/x.npy"), read("2/x.npy")),
            (b"meow".into(), b"one".into(), b"two".into())
        );
        assert_eq!(read("d-ubyte"), b"plain");
        assert!(!folder.0.join("out/cats.zip").exists());
    }

    #[test]
    fn hostile_archives_are_refused_and_leave_nothing() {
        use tar::EntryType;
        let folder = Folder::new("hostile");
        for name in ["../evil", "/tmp/evil", "a/../../evil", "a\\..\\evil"] {
            let error = folder.refusal("a.zip", &zipped(&[("good", b"1"), (name, b"2")]));
            assert!(error.contains("leads out") || error.contains("a character"), "{name}: {error}");
            let error = folder.refusal("a.tar", &tarred(&[(name, EntryType::Regular, b"2")]));
            assert!(error.contains("leads out") || error.contains("a character"), "{name}: {error}");
        }
        for kind in [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Fifo] {
            let error = folder.refusal("a.tar.gz", &gzipped(&tarred(&[("x", kind, b"")])));
            assert!(error.contains("x: cannot be read: it is a link or a device"), "{error}");
        }
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.add_symlink("x", "/etc/passwd", SimpleFileOptions::default()).unwrap();
        assert!(folder.refusal("a.zip", &zip.finish().unwrap().into_inner()).contains("it is a link"));
        let twice = tarred(&[("x", EntryType::Regular, b"1"), ("x", EntryType::Regular, b"2")]);
        assert!(folder.refusal("a.tar", &twice).contains("occurs twice"));
        let whole = zipped(&[("x", &[7; 100_000])]);
        folder.refusal("a.zip", &whole[..whole.len() / 2]);
        let mut flipped = zipped(&[("x", b"some content")]);
        flipped[33] ^= 1;
        folder.refusal("a.zip", &flipped);
        let tar = gzipped(&tarred(&[("x", EntryType::Regular, &[7; 100_000])]));
        folder.refusal("a.tar.gz", &tar[..tar.len() / 2]);
        assert!(folder.refusal("a.zip", b"<html>").contains("first bytes"));
    }

    #[test]
    fn a_bomb_is_refused_before_it_fills_the_disk() {
        let folder = Folder::new("bomb");
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        (0..(SMALL >> 20) + 1).for_each(|_| gz.write_all(&[0; 1 << 20]).unwrap());
        let bomb = gz.finish().unwrap();
        assert!(folder.refusal("a.gz", &bomb).contains("expected at most 1.1 GB"));
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file("x", SimpleFileOptions::default().large_file(true)).unwrap();
        (0..(SMALL >> 20) + 1).for_each(|_| zip.write_all(&[0; 1 << 20]).unwrap());
        assert!(folder.refusal("a.zip", &zip.finish().unwrap().into_inner()).contains("expected at most 1.1 GB"));
    }
}
