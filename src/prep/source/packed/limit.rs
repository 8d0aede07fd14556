//! Limits on the unpacked size of packed data, and on the number of members of an archive.

use std::fs::File;
use std::io::{BufReader, Error, ErrorKind, Read, Seek, SeekFrom};

use zip::ZipArchive;
use zip::result::{ZipError, ZipResult};

/// A packed file may unpack to this many times its size. Every file may unpack to [`SMALL`] bytes. Recordings stay
/// far below this ratio; zip bombs exceed it.
pub(crate) const MOST_RATIO: u64 = 500;
const SMALL: u64 = 64 << 20;
/// Maximum number of members of an archive.
pub(crate) const MOST_MEMBERS: u64 = 1 << 22;

/// Returns the maximum number of bytes that `packed` bytes may unpack to.
pub(crate) fn most_unpacked(packed: u64) -> u64 {
    packed.saturating_mul(MOST_RATIO).max(SMALL)
}

/// Opens a zip archive. First checks the number of its members, because the list of members is read into memory.
///
/// # Errors
/// Those of [`ZipArchive::new`]; [`ZipError::InvalidArchive`] for more than [`MOST_MEMBERS`] members.
pub(crate) fn open_zip(mut file: File) -> ZipResult<ZipArchive<BufReader<File>>> {
    let members = members(&mut file)?;
    if members > MOST_MEMBERS {
        let text = format!("it has {members} members, and at most {MOST_MEMBERS} are read");
        return Err(ZipError::InvalidArchive(text.into()));
    }
    file.rewind()?;
    ZipArchive::new(BufReader::new(file))
}

/// Returns the number of members according to the record at the end of an archive. 0 if there is no such record.
/// Source: "APPNOTE.TXT - .ZIP File Format Specification", 4.3.14 to 4.3.16.
fn members(file: &mut File) -> std::io::Result<u64> {
    const RECORD: usize = 22;
    const LOCATOR: usize = 20;
    let mut end = Vec::new();
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub((RECORD + LOCATOR + 0xffff) as u64)))?;
    file.read_to_end(&mut end)?;
    let Some(at) = end.windows(4).rposition(|four| four == b"PK\x05\x06") else { return Ok(0) };
    let count = end.get(at + 10..at + 12).map_or(0, |two| u64::from(u16::from_le_bytes([two[0], two[1]])));
    let locator =
        at.checked_sub(LOCATOR).map(|at| &end[at..at + LOCATOR]).filter(|four| four.starts_with(b"PK\x06\x07"));
    let Some(place) = locator.and_then(|locator| locator[8..].first_chunk()) else { return Ok(count) };
    let mut record = [0; 40];
    file.seek(SeekFrom::Start(u64::from_le_bytes(*place)))?;
    match file.read_exact(&mut record) {
        Ok(()) => Ok(record[32..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight))),
        Err(_) => Ok(count),
    }
}

/// Makes the error for data that unpacks to more than `most` bytes.
pub(super) fn too_large(most: u64) -> Error {
    let text = format!("it unpacks to more than {most} bytes, {MOST_RATIO} times its size");
    Error::new(ErrorKind::InvalidData, text)
}
