//! Reads and writes the bytes of a file at a given offset. Many threads can use the same file at the same time.

use std::fs::File;
use std::ops::Range;

pub(crate) fn read_at(file: &File, range: Range<u64>) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    #[cfg(unix)]
    std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, range.start)?;
    #[cfg(windows)]
    if std::os::windows::fs::FileExt::seek_read(file, &mut bytes, range.start)? < bytes.len() {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

pub(crate) fn write_at(file: &File, at: u64, bytes: &[u8]) -> std::io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, at);
    #[cfg(windows)]
    return match std::os::windows::fs::FileExt::seek_write(file, bytes, at)? {
        0 if !bytes.is_empty() => Err(std::io::ErrorKind::WriteZero.into()),
        written if written < bytes.len() => write_at(file, at + written as u64, &bytes[written..]),
        _ => Ok(()),
    };
}
