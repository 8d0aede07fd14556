//! Recognises file formats that are not read here by their first bytes, and names what reads them.

use std::path::Path;

use crate::error::Error;

/// File extensions of recordings.
pub(super) const ENDINGS: [&str; 5] = ["h5", "hdf5", "hdf", "npy", "npz"];
/// Number of bytes at the start of a file that its format is told from.
pub(super) const HEAD: usize = 2056;
/// What is read, for messages.
pub(super) const READ: &str = "a recording in HDF5 or NumPy's formats";

/// What turns a file into one that is read.
pub(super) const RAW: &str =
    "convert it to HDF5 with the Metavision SDK (metavision_file_to_hdf5), or to NumPy with expelliarmus";
pub(super) const AEDAT: &str =
    "read it with dv-processing or the Python package aedat, and save t, x, y and p with np.savez";
pub(super) const LORIS: &str = "read it with loris or faery, and save t, x, y and p with np.savez";
pub(super) const BAG: &str = "read it with the Python package rosbags, and save t, x, y and p with np.savez";
pub(super) const UNPACK: &str = "unpack it first";
const PANDAS: &str = "read it with pandas and save the columns: np.savez(\"events.npz\", t=t, x=x, y=y, p=p)";
const FRAMES: &str = "it has frames, no events; v2e makes events of frames";
pub(super) const LOADTXT: &str =
    "save it as an array: np.save(\"events.npy\", np.loadtxt(FILE, delimiter=\",\", skiprows=1))";
const NAMED: &str = "name another layout, or none";

/// Formats: the offset of their mark, the mark, the format's name, and what to do with it.
const FORMATS: [(usize, &[u8], &str, &str); 40] = [
    (0, b"#!AER-DAT4", "an AEDAT 4 file", AEDAT),
    (0, b"#!AER-DAT3", "an AEDAT 3 file", AEDAT),
    (0, b"#!AER-DAT2", "an AEDAT 2 file", AEDAT),
    (0, b"#!AER-DAT", "an AEDAT file", AEDAT),
    (0, b"Event Stream", "an Event Stream file (.es)", LORIS),
    (0, b"#ROSBAG", "a ROS bag", BAG),
    (0, b"\x89MCAP", "an MCAP file, a bag of ROS 2", BAG),
    (0, b"SQLite format 3\0", "an SQLite database, a bag of ROS 2 perhaps", BAG),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file of version 5", "save it as version 7.3 (save -v7.3), which is HDF5"),
    (0, b"PAR1", "a Parquet file", PANDAS),
    (0, b"ARROW1", "an Arrow file", PANDAS),
    (0, b"FEA1", "a Feather file", PANDAS),
    (0, b"\x1f\x8b", "a gzip archive", UNPACK),
    (0, b"BZh", "a bzip2 archive", UNPACK),
    (0, b"\xfd7zXZ\0", "an xz archive", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive", UNPACK),
    (0, b"\x04\x22\x4d\x18", "an LZ4 archive", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (0, b"Rar!", "a RAR archive", UNPACK),
    (257, b"ustar", "a tar archive", UNPACK),
    (0, b"PK\x03\x04", "a zip archive", NAMED),
    (0, b"\x93NUMPY", "a NumPy array", NAMED),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", NAMED),
    (0, b"\x80\x02", "a Python pickle", SAVEZ),
    (0, b"\x80\x03", "a Python pickle", SAVEZ),
    (0, b"\x80\x04", "a Python pickle", SAVEZ),
    (0, b"\x80\x05", "a Python pickle", SAVEZ),
    (0, b"CDF\x01", "a NetCDF 3 file", NETCDF),
    (0, b"CDF\x02", "a NetCDF 3 file", NETCDF),
    (0, b"CDF\x05", "a NetCDF 3 file", NETCDF),
    (0, b"\x0e\x03\x13\x01", "an HDF4 file", "convert it to HDF5 with h4toh5"),
    (0, b"\x89PNG", "a PNG picture", FRAMES),
    (0, b"\xff\xd8\xff", "a JPEG picture", FRAMES),
    (0, b"RIFF", "an AVI or WAV file", FRAMES),
    (4, b"ftyp", "an MP4 video", FRAMES),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska video", FRAMES),
    (0, b"version https://git-lfs", "a pointer of Git LFS", "get the file itself: git lfs pull"),
    (0, b"<!DOCTYPE", "a web page", "download the recording again: this is what the server said instead of it"),
    (0, b"<html", "a web page", "download the recording again: this is what the server said instead of it"),
    (0, b"\xff\xfe", "a text in UTF-16", "save it as UTF-8"),
];
const SAVEZ: &str = "load it in Python and save the columns: np.savez(\"events.npz\", t=t, x=x, y=y, p=p)";
const NETCDF: &str = "convert it to NetCDF 4, which is HDF5 (nccopy -k nc4)";

/// A format that is recognised: its name, and what to do with such a file.
pub(super) fn recognise(head: &[u8]) -> Option<(String, &'static str)> {
    let found = FORMATS.iter().find(|(at, mark, ..)| head.get(*at..).is_some_and(|rest| rest.starts_with(mark)));
    if let Some((_, _, name, reader)) = found {
        return Some(((*name).into(), reader));
    }
    // Prophesee's files begin with lines such as "% evt 3.0" or "% Data file containing CD events".
    let has = |words: &[u8]| head.windows(words.len()).any(|window| window == words);
    if head.starts_with(b"% ") {
        let name = if has(b"Data file containing") { "a Prophesee DAT file" } else { "a Prophesee RAW file" };
        return Some((name.into(), RAW));
    }
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may be cut off.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let is_text = !text.is_empty() && text.chars().all(|letter| !letter.is_control() || letter.is_ascii_whitespace());
    is_text.then(|| {
        let line: String = text.lines().next().unwrap_or("").chars().take(40).collect();
        (format!("a text that begins with {line:?}"), LOADTXT)
    })
}

/// Whether a file begins as HDF5, after a block of text perhaps, or as a NumPy array.
pub(super) fn is_read(head: &[u8]) -> bool {
    let hdf5 = |at| head.get(at..).is_some_and(|rest: &[u8]| rest.starts_with(b"\x89HDF\r\n\x1a\n"));
    head.starts_with(b"\x93NUMPY") || [0, 512, 1024, 2048].into_iter().any(hdf5)
}

/// The first bytes of a file. Empty if it cannot be read.
pub(super) fn head_of(path: &Path) -> Vec<u8> {
    let mut head = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        let _ = std::io::Read::read_to_end(&mut std::io::Read::take(file, HEAD as u64), &mut head);
    }
    head
}

/// The error for a file of a format that is recognised but not read.
pub(super) fn recognised(path: &Path, head: &[u8]) -> Option<Error> {
    let (format, reader) = recognise(head)?;
    let (place, expected) = (String::new(), READ.into());
    Some(Error::Foreign { path: path.into(), place, expected, format, reader: reader.into() })
}

/// The error for bytes that do not begin as what was `expected`, at a place of a file. An empty place is the file.
pub(super) fn foreign(path: &Path, place: &str, head: &[u8], expected: &str) -> Error {
    let (format, reader) = recognise(head).unwrap_or_else(|| {
        let head: String = String::from_utf8_lossy(head).chars().take(8).collect();
        (format!("bytes that begin with {head:?}"), NAMED)
    });
    let (place, expected, reader) = (place.into(), expected.into(), reader.into());
    Error::Foreign { path: path.into(), place, expected, format, reader }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        let mut tar = vec![b'a'; 600];
        tar[100..257].fill(0);
        tar[257..262].copy_from_slice(b"ustar");
        for (head, name) in [
            (&b"#!AER-DAT3.1\r\n"[..], "AEDAT 3"),
            (b"#!AER-DAT1.0\r\n", "an AEDAT file"),
            (b"% date 2020-01-01\n% evt 3.0\n\x00\x01\xff", "Prophesee RAW"),
            (b"% Data file containing CD events.\n% Version 2\n", "Prophesee DAT"),
            (b"\x80\x04\x95\x00", "pickle"),
            (&tar, "tar"),
            (b"\0\0\0\x20ftypisom", "MP4"),
            (b"t,x,y,p\n1,2,3,1\n", "a text that begins with \"t,x,y,p\""),
            ("h\u{e9}".as_bytes(), "a text"),
            (&"\u{e9}\u{e9}".as_bytes()[..3], "a text"),
        ] {
            assert!(recognise(head).is_some_and(|(found, _)| found.contains(name)), "{name}");
        }
        for head in [&b""[..], b"\x00\x01\x02\x03", b"ab\x1b[2J", b"\xe9\xe9\xe9\xe9abcdef"] {
            assert_eq!(recognise(head), None, "{head:?}");
        }
    }
}
