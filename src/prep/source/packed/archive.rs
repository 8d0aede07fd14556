//! Lists the members of a zip archive, and opens them.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use zip::CompressionMethod;

use crate::error::{BaseFault, Error, Result};
use crate::source::packed::limit::{most_unpacked, open_zip, too_large};

/// Advice for the user in errors about archives that cannot be read.
const UNPACK: &str = "unpack the archive, and convert the folder";

/// A zip archive. Its members have the same order as in the file.
#[derive(Debug)]
pub(crate) struct Archive {
    path: PathBuf,
    /// Paths of the folders and files in the archive, such as `dir/` and `dir/file`. Only the path of a folder ends
    /// with a slash.
    pub(crate) names: Vec<String>,
    members: HashMap<String, Member>,
}

/// The bytes of a file or of an archive member, and their number. Data in gzip stays packed.
pub(crate) struct Raw {
    pub(crate) bytes: Box<dyn Read + Send>,
    pub(crate) len: u64,
}

#[derive(Debug)]
struct Member {
    /// Offset in the archive at which the packed bytes begin. The next field is their number.
    at: u64,
    packed: u64,
    /// Number of unpacked bytes. The next field is their checksum.
    size: u64,
    crc: u32,
    method: CompressionMethod,
    is_encrypted: bool,
}

/// An open archive, with the size of its file and the time of its last change.
type Opened = (u64, Option<SystemTime>, Arc<Archive>);

/// The archive that was opened last. It is kept because its list of members would otherwise be read again for each
/// member.
static OPENED: Mutex<Option<Opened>> = Mutex::new(None);

impl Archive {
    /// Returns whether a file is a zip archive. Reads only its first bytes.
    pub(crate) fn is(path: &Path) -> bool {
        let mut head = [0; 4];
        let mut read = || File::open(path).and_then(|mut file| file.read_exact(&mut head));
        // Opening a pipe would wait until another process writes to it.
        path.is_file() && read().is_ok() && matches!(&head, b"PK\x03\x04" | b"PK\x05\x06")
    }

    /// Opens an archive of recordings. `None` for NumPy archives, and for empty or damaged archives. The reader of
    /// NumPy archives opens all of these, and reports the damage.
    ///
    /// # Errors
    /// Those of [`Archive::open`], except damage.
    pub(crate) fn of_recordings(path: &Path) -> Result<Option<Arc<Archive>>> {
        match Archive::open(path) {
            Ok(archive) => Ok(Some(archive).filter(|archive| !archive.is_npz())),
            Err(Error::DamagedRecording { .. }) => Ok(None),
            Err(_) if named_npz(path) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns whether the archive is for the reader of NumPy archives. There are three cases:
    ///
    /// - its name ends in `.npz`;
    /// - it has only arrays (`.npy`) and no folders;
    /// - it is empty.
    fn is_npz(&self) -> bool {
        let mut files = self.names.iter().filter(|name| !name.starts_with("__MACOSX/")).peekable();
        named_npz(&self.path)
            || files.peek().is_none()
            || files.all(|name| name.ends_with(".npy") && !name.contains('/'))
    }

    /// Reads the list of members.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`]; [`Error::DamagedRecording`] for a damaged archive; [`Error::Foreign`] for two members
    /// with the same name, and for names that lead out of the archive.
    pub(crate) fn open(path: &Path) -> Result<Arc<Archive>> {
        let file = File::open(path).map_err(Error::io(path, "open the archive"))?;
        let meta = file.metadata().map_err(Error::io(path, "open the archive"))?;
        let (len, changed) = (meta.len(), meta.modified().ok());
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of_len, of_changed, archive)) = &*opened
            && (*of_len, *of_changed, archive.path.as_path()) == (len, changed, path)
        {
            return Ok(Arc::clone(archive));
        }
        let archive = Arc::new(Archive::list(path, file)?);
        *opened = Some((len, changed, Arc::clone(&archive)));
        Ok(archive)
    }

    fn list(path: &Path, file: File) -> Result<Archive> {
        let unreadable = |e: zip::result::ZipError| Error::damaged(path, "archive", e);
        let foreign = |place: &str, expected: &str, format: String| Error::Foreign {
            path: path.into(),
            place: place.into(),
            expected: expected.into(),
            format,
            reader: UNPACK.into(),
            command: None,
        };
        let mut zip = open_zip(file).map_err(unreadable)?;
        if zip.has_duplicate_names() {
            let start = zip.central_directory_start();
            let name = repeated_name(zip.into_inner(), start).map_err(Error::io(path, "read the archive"))?;
            return Err(foreign("archive", "each name once", format!("two of {name}")));
        }
        let (mut names, mut members) = (Vec::new(), HashMap::new());
        for i in 0..zip.len() {
            let member = zip.by_index_raw(i).map_err(unreadable)?;
            let name = member.name().map_err(unreadable)?.replace('\\', "/");
            if member.enclosed_name().is_none() || name.split('/').any(|part| part == "..") || name.starts_with('/') {
                return Err(foreign("archive", "names inside the archive", format!("{name:?}")));
            }
            let at = member.data_start().ok_or_else(|| Error::damaged(path, &*name, "its place is unknown"))?;
            let (packed, size, crc) = (member.compressed_size(), member.size(), member.crc32());
            let (method, is_encrypted) = (member.compression(), member.encrypted());
            names.push(name.clone());
            let member = Member { at, packed, size, crc, method, is_encrypted };
            if let Some(_other) = members.insert(name.clone(), member) {
                return Err(foreign("archive", "each name once", format!("two of {name:?}")));
            }
        }
        Ok(Archive { path: path.into(), names, members })
    }

    /// Returns the number of unpacked bytes of all members.
    pub(crate) fn bytes(&self) -> u64 {
        self.members.values().fold(0, |bytes, member| bytes.saturating_add(member.size))
    }

    /// Opens a member.
    ///
    /// # Errors
    /// - [`tonic_base::Error::Io`], also if there is no such member.
    /// - [`Error::Foreign`] if the member is encrypted, or compressed by a method other than deflate.
    /// - [`Error::DamagedRecording`] if the list gives an implausible size.
    pub(crate) fn read(&self, name: &str) -> Result<Raw> {
        let foreign = |expected: &str, format: String| Error::Foreign {
            path: self.path.clone(),
            place: name.into(),
            expected: expected.into(),
            format,
            reader: UNPACK.into(),
            command: None,
        };
        let Some(member) = self.members.get(name) else {
            let missing = std::io::Error::new(ErrorKind::NotFound, format!("the archive has no member {name}"));
            return Err(Error::io(&self.path, "open the recording")(missing));
        };
        if member.is_encrypted {
            return Err(foreign("a member without a password", "an encrypted one".into()));
        }
        let most = most_unpacked(member.packed);
        if member.size > most {
            return Err(Error::damaged(&self.path, name, too_large(most)));
        }
        let mut file = File::open(&self.path).map_err(Error::io(&self.path, "open the archive"))?;
        file.seek(SeekFrom::Start(member.at)).map_err(Error::io(&self.path, "read the archive"))?;
        let packed = file.take(member.packed);
        let bytes: Box<dyn Read + Send> = match member.method {
            CompressionMethod::STORE => Box::new(packed),
            CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(packed)),
            other => return Err(foreign("deflate as its compression", format!("another method ({other})"))),
        };
        let checked = Checked { bytes, crc: Crc::new(), got: 0, size: member.size, expected: member.crc };
        Ok(Raw { bytes: Box::new(checked), len: member.size })
    }
}

fn named_npz(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npz"))
}

/// Reads the unpacked bytes of a member. Reading fails if the number of bytes or their checksum is wrong.
struct Checked {
    bytes: Box<dyn Read + Send>,
    crc: Crc,
    got: u64,
    size: u64,
    expected: u32,
}

impl Read for Checked {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let read = self.bytes.read(out)?;
        self.crc.update(&out[..read]);
        self.got += read as u64;
        let (got, is_end) = (self.got, read == 0 && !out.is_empty());
        let wrong = |text: String| Err(std::io::Error::new(ErrorKind::InvalidData, text));
        if got > self.size || is_end && got < self.size {
            return wrong(format!("the archive's list promises {} bytes, there are {got}", self.size));
        }
        if is_end && self.crc.sum() != self.expected {
            return wrong("its checksum is not that of the archive's list".into());
        }
        Ok(read)
    }
}

/// Returns the first name that occurs twice in the list of members. The list begins at byte `start` of the file.
pub(crate) fn repeated_name(mut list: BufReader<File>, start: u64) -> std::io::Result<String> {
    list.seek(SeekFrom::Start(start))?;
    let mut seen = HashSet::new();
    let mut fixed = [0; 46];
    loop {
        list.read_exact(&mut fixed)?;
        let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16::from_le_bytes([fixed[at], fixed[at + 1]])));
        let mut bytes = vec![0; name + extra + comment];
        list.read_exact(&mut bytes)?;
        let name = String::from_utf8_lossy(&bytes[..name]).into_owned();
        if let Some(twice) = seen.replace(name) {
            return Ok(twice);
        }
    }
}
