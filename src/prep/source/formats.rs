//! Recognises the format of a file by its first bytes. Errors can then name the format, and say which program reads or
//! converts the file.

use std::path::Path;

use tonic_base::free_name;

use crate::error::{Error, Result};
use crate::remedy::Remedy;
use crate::source::commands::literal;
use crate::source::marks;
use crate::source::packed;
use crate::source::text::Table;

/// File name extensions of HDF5 and NumPy files. In a folder, files with these extensions are taken as recordings.
/// Other files are recognised by their first bytes.
pub(super) const ENDINGS: [&str; 5] = ["h5", "hdf5", "hdf", "npy", "npz"];
/// Number of bytes at the start of a file from which its format is recognised.
const HEAD: usize = 1 << 14;
/// Text for error messages: what this crate reads.
pub(super) const READ: &str = "a recording in HDF5, NumPy's formats, text or those of cameras";
/// Text for error messages: what the user should do with a compressed file or an archive.
pub(super) const UNPACK: &str = "unpack it first";

/// What the user can do with a file of some format. The first item says which programs read the format. The second item
/// is a command that converts or unpacks the file: a program and its arguments, or an empty list.
///
/// In an argument, FILE stands for the path of the file, and OUT for the path of the converted file. If the argument is
/// Python code, the paths are written as string literals.
pub(super) type Way = (&'static str, &'static [&'static str]);

const AEDAT_1: Way = ("jAER reads it; save t, x, y and p with np.savez", &[]);
const AEDAT_3: Way = ("jAER and DV read it; only version 3.1 is read here", &[]);
const OLD_BAG: Way = ("rosbag fix, of ROS 1, writes it as version 2.0, which is read", &[]);
pub(super) const BAG: Way = ("the Python package rosbags reads it; save t, x, y and p with np.savez", &[]);
const RAW: Way = ("its header does not name evt2, evt21 or evt3: name that layout", &[]);
const MATLAB: Way = (
    "MATLAB saves it as version 7.3 (save -v7.3), which is HDF5; scipy.io.loadmat reads it in Python: save t, x, y and \
     p with np.savez",
    &[],
);
pub(super) const PANDAS: Way = ("pandas reads it; save the columns: np.savez(\"events.npz\", t=t, x=x, y=y, p=p)", &[]);
pub(super) const PICKLE: Way =
    ("load it in Python and save the columns: np.savez(\"events.npz\", t=t, x=x, y=y, p=p)", &[]);
pub(super) const TORCH: &str = "torch.load reads it; save the columns: np.savez(\"events.npz\", t=t, x=x, y=y, p=p)";
const NETCDF: Way = ("nccopy converts it to NetCDF 4, which is HDF5", &["nccopy", "-k", "nc4", "FILE", "OUT"]);
const FRAMES: Way = ("it has frames, no events; v2e makes events of frames", &[]);
const SOUND: Way = ("it has sound, no events; a model of a cochlea such as lauscher makes spikes of it", &[]);
const SERVER: Way = ("download the recording again: this is what the server said instead of it", &[]);
const NAMED: Way = ("name another layout, or none", &[]);
/// Text for error messages: what the user can do with a text in which no rows of events are found.
const TEXT: &str = "read it in Python and save the columns: np.savez(\"events.npz\", t=t, x=x, y=y, p=p)";
const NOTHING: Way = ("it has no events", &[]);

/// Commands whose new file is in the folder of the original file, although they don't name it: programs that unpack a
/// file next to it, and `git lfs pull`, which replaces the pointer by the file.
const BESIDE: [&str; 6] = ["gunzip", "bunzip2", "unxz", "unzstd", "unlz4", "git"];

/// Formats that have a mark: fixed bytes near the beginning of the file. For each: the offset of the mark in the file,
/// the mark, the format's name, and advice.
const FORMATS: [(usize, &[u8], &str, Way); 65] = [
    (0, b"#!AER-DAT4", "an AEDAT 4 file", NAMED),
    (0, b"#!AER-DAT3.1", "an AEDAT 3.1 file", NAMED),
    (0, b"#!AER-DAT3", "an AEDAT 3 file", AEDAT_3),
    (0, b"#!AER-DAT2", "an AEDAT 2 file", NAMED),
    (0, b"#!AER-DAT1", "an AEDAT 1 file", AEDAT_1),
    (0, b"#!AER-DAT", "an AEDAT file", AEDAT_1),
    (0, b"Event Stream", "an Event Stream file (.es)", NAMED),
    (0, b"#ROSBAG V2.0\n", "a ROS bag", NAMED),
    (0, b"#ROSBAG", "a ROS bag of an old version", OLD_BAG),
    (0, b"\x89MCAP", "an MCAP file, a bag of ROS 2", BAG),
    (0, b"SQLite format 3\0", "an SQLite database, a bag of ROS 2 perhaps", BAG),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file of version 5", NAMED),
    (0, b"PAR1", "a Parquet file", PANDAS),
    (0, b"ARROW1", "an Arrow file", PANDAS),
    (0, b"FEA1", "a Feather file", PANDAS),
    (0, b"\x1f\x8b", "a gzip archive", (UNPACK, &["gunzip", "-k", "FILE"])),
    (0, b"BZh", "a bzip2 archive", (UNPACK, &["bunzip2", "-k", "FILE"])),
    (0, b"\xfd7zXZ\0", "an xz archive", (UNPACK, &["unxz", "-k", "FILE"])),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive", (UNPACK, &["unzstd", "FILE"])),
    (0, b"\x04\x22\x4d\x18", "an LZ4 archive", (UNPACK, &["unlz4", "FILE"])),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", (UNPACK, &["7z", "x", "FILE"])),
    (0, b"Rar!", "a RAR archive", (UNPACK, &["unrar", "x", "FILE"])),
    (257, b"ustar", "a tar archive", (UNPACK, &["tar", "xf", "FILE"])),
    (0, b"PK\x03\x04", "a zip archive", NAMED),
    (0, b"\x93NUMPY", "a NumPy array", NAMED),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", NAMED),
    (0, b"\x80\x02", "a Python pickle", PICKLE),
    (0, b"\x80\x03", "a Python pickle", PICKLE),
    (0, b"\x80\x04", "a Python pickle", PICKLE),
    (0, b"\x80\x05", "a Python pickle", PICKLE),
    (0, b"}q\0", "a Python pickle", PICKLE),
    (0, b"]q\0", "a Python pickle", PICKLE),
    (0, b"(dp0\n", "a Python pickle", PICKLE),
    (0, b"(lp0\n", "a Python pickle", PICKLE),
    (0, b"cnumpy", "a Python pickle", PICKLE),
    (0, b"CDF\x01", "a NetCDF 3 file", NETCDF),
    (0, b"CDF\x02", "a NetCDF 3 file", NETCDF),
    (0, b"CDF\x05", "a NetCDF 3 file", NETCDF),
    (0, b"\x0e\x03\x13\x01", "an HDF4 file", ("h4toh5 converts it to HDF5", &["h4toh5", "FILE", "OUT"])),
    (0, b"SIMPLE  =", "a FITS file", ("astropy.io.fits reads it; save t, x, y and p with np.savez", &[])),
    (0, b"\x89PNG", "a PNG picture", FRAMES),
    (0, b"\xff\xd8\xff", "a JPEG picture", FRAMES),
    (0, b"GIF8", "a GIF picture", FRAMES),
    (0, b"II*\0", "a TIFF picture", FRAMES),
    (0, b"MM\0*", "a TIFF picture", FRAMES),
    (8, b"AVI LIST", "an AVI video", FRAMES),
    (8, b"WEBPVP8", "a WebP picture", FRAMES),
    (8, b"WAVE", "a WAV file", SOUND),
    (0, b"fLaC", "a FLAC file", SOUND),
    (0, b"OggS", "an Ogg file", SOUND),
    (0, b"ID3", "an MP3 file", SOUND),
    (0, b"RIFF", "a RIFF file, of sound or frames", NOTHING),
    (4, b"ftyp", "an MP4 video", FRAMES),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska video", FRAMES),
    (0, b"version https://git-lfs", "a pointer of Git LFS", ("get the file itself", &["git", "lfs", "pull"])),
    (0, b"\xd4\xc3\xb2\xa1", "a capture of a network (pcap)", NOTHING),
    (0, b"%PDF-", "a PDF document", NOTHING),
    (0, b"<?xml", "an XML text", NOTHING),
    (
        0,
        b"\xff\xfe\0\0",
        "a text in UTF-32",
        ("save it as UTF-8", &["iconv", "-f", "UTF-32", "-t", "UTF-8", "-o", "OUT", "FILE"]),
    ),
    (
        0,
        b"\xff\xfe",
        "a text in UTF-16",
        ("save it as UTF-8", &["iconv", "-f", "UTF-16", "-t", "UTF-8", "-o", "OUT", "FILE"]),
    ),
    (
        0,
        b"\xfe\xff",
        "a text in UTF-16",
        ("save it as UTF-8", &["iconv", "-f", "UTF-16", "-t", "UTF-8", "-o", "OUT", "FILE"]),
    ),
    (0, b"{", "a JSON text", PANDAS),
    (0, b"[", "a JSON text", PANDAS),
    (0, b"<!doctype", "a web page", SERVER),
    (0, b"<html", "a web page", SERVER),
];

/// A format that was recognised: its name, a text that says what reads it, and the command that converts or unpacks the
/// file, if there is one.
pub(super) type Recognised = (String, String, Option<Box<Remedy>>);

/// Recognises the format of the file at `path` by its first bytes, `head`. If a command converts the file, the name of
/// the converted file begins with `stem`. Returns `None` for an unknown format.
pub(super) fn recognise(path: &Path, stem: &str, head: &[u8]) -> Option<Recognised> {
    let known = |name: &str, (reader, words): Way| Some((name.into(), reader.into(), command(path, stem, words)));
    let begins = |at: usize, mark: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(mark));
    // A web page can have white space before its first letters. These can be in upper or lower case.
    let web = head.trim_ascii_start().get(..9).unwrap_or_default().to_ascii_lowercase();
    let is = |(at, mark, ..): &&(usize, &[u8], &str, Way)| match mark {
        [b'{' | b'['] | [b'<', ..] => web.starts_with(mark),
        _ => begins(*at, mark) && (*at != 8 || begins(0, b"RIFF")),
    };
    if let Some((_, _, name, way)) = FORMATS.iter().find(is) {
        return known(name, *way);
    }
    // Prophesee's files begin with lines such as "% evt 3.0" or "% Data file containing CD events".
    if let Some(layout) = marks::marked(head) {
        return known(&format!("a {} file", layout.title()), NAMED);
    }
    let has = |words: &[&str]| words.iter().any(|word| head.windows(word.len()).any(|part| part == word.as_bytes()));
    if head.starts_with(b"% ")
        && (has(&["integrator_name ", "% serial_number ", "% system_ID ", "% plugin_name ", "% firmware_version "])
            || !is_text(head))
    {
        return known("a Prophesee RAW file", RAW);
    }
    if is_matlab_4(head) {
        return known("a MATLAB file of version 4", MATLAB);
    }
    is_text(head).then(|| {
        let line: String = String::from_utf8_lossy(head).lines().next().unwrap_or("").chars().take(40).collect();
        (format!("a text that begins with {line:?}"), TEXT.into(), None)
    })
}

/// Makes the command that converts or unpacks the file at `path`. `words` are the program and the arguments in a
/// [`Way`]. The name of the converted file begins with `stem`. `None` if `words` is empty, or if `path` is not UTF-8.
fn command(path: &Path, stem: &str, words: &[&str]) -> Option<Box<Remedy>> {
    let name = path.to_str()?;
    let (suffix, ending) = match *words.first()? {
        "python3" => ("_events", ".npy"),
        "nccopy" => ("_nc4", ".nc"),
        "iconv" => ("_utf8", ".txt"),
        _ => ("", ".h5"),
    };
    let out = free_name(&format!("{stem}{suffix}"), ending);
    // A command that unpacks a file names the new file itself, so `file` is empty.
    let file = if words.iter().any(|word| word.contains("OUT")) { out.clone() } else { String::new() };
    let word = |word: &&str| match *word {
        "FILE" => name.into(),
        "OUT" => out.clone(),
        code => code.replace("FILE", &literal(name)).replace("OUT", &literal(&out)),
    };
    Some(Box::new(Remedy::Copy { words: words.iter().map(word).collect(), file, with: Vec::new() }))
}

fn stem_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Makes the command that converts or unpacks the file at `path`, which is in `dir`, a folder of recordings. If the
/// command writes the new file next to the original file, the user is told to convert `dir` again.
pub(super) fn command_in_folder(dir: &Path, path: &Path) -> Option<Box<Remedy>> {
    let stem = path.with_extension("");
    let (_, _, mut command) = recognise(path, stem.to_str()?, &head_of(path))?;
    if let Some(Remedy::Copy { words, file, .. }) = command.as_deref_mut()
        && (!file.is_empty() || BESIDE.contains(&words[0].as_str()))
    {
        *file = dir.to_str()?.into();
    }
    command
}

/// Returns whether `head` is the beginning of a MATLAB file of version 4. Such a file begins with five 32-bit integers:
/// type, rows, columns, whether the variable is complex, and the length of the variable's name. The name follows.
fn is_matlab_4(head: &[u8]) -> bool {
    let [kind, rows, columns, complex, length, ..] = *head.as_chunks::<4>().0 else { return false };
    let [kind, rows, columns, complex, length] =
        [kind, rows, columns, complex, length].map(|bytes| u32::from_le_bytes(bytes) as usize);
    let name = head.get(20..20 + length.min(64)).unwrap_or_default();
    let named = matches!(name, [first, letters @ .., 0] if first.is_ascii_alphabetic()
        && letters.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'_'));
    kind < 100 && kind % 10 < 3 && rows > 0 && columns > 0 && complex < 2 && named
}

/// Returns whether `head` is the beginning of a text: UTF-8 or mostly ASCII, without control characters other than
/// white space. The last character may be incomplete.
pub(super) fn is_text(head: &[u8]) -> bool {
    let utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    let ascii = head.iter().filter(|byte| byte.is_ascii()).count();
    let plain = |byte: &u8| !byte.is_ascii_control() || byte.is_ascii_whitespace();
    !head.is_empty() && head.iter().all(plain) && (utf8 || 10 * ascii > 9 * head.len())
}

/// Returns whether `head` is the beginning of a NumPy array or archive, an HDF5 file, a camera's file or a text with
/// events. An HDF5 file can begin with 512, 1024 or 2048 bytes of other data. NumPy archives, and camera files that don't
/// begin with fixed bytes, are recognised by `name`, the name of the file, too: the archive by its ending, the others by
/// their ending and plausible events.
pub(super) fn is_read(head: &[u8], name: &Path) -> bool {
    let hdf5 = |at| head.get(at..).is_some_and(|rest: &[u8]| rest.starts_with(b"\x89HDF\r\n\x1a\n"));
    let is_npz = |name: &Path| name.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npz"));
    head.starts_with(b"\x93NUMPY")
        || head.starts_with(b"PK\x03\x04") && is_npz(&packed::without_gz(name))
        || [0, 512, 1024, 2048].into_iter().any(hdf5)
        || marks::marked(head).or_else(|| marks::probable(name, head)).is_some()
        || is_text(head) && Table::of(&String::from_utf8_lossy(head)).is_some_and(|table| table.has_events())
}

/// Returns the first [`HEAD`] bytes of a file's bytes.
pub(super) fn head_in(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(HEAD)]
}

/// Reads the first [`HEAD`] bytes of a file, unpacked.
///
/// # Errors
/// Those of [`packed::head`].
pub(super) fn head(path: &Path) -> Result<Vec<u8>> {
    packed::head(path, HEAD)
}

/// Reads the first [`HEAD`] bytes of a file, unpacked if that is possible. Returns no bytes if the file cannot be read.
pub(super) fn head_of(path: &Path) -> Vec<u8> {
    head(path).unwrap_or_else(|_| {
        let mut head = Vec::new();
        if let Ok(file) = std::fs::File::open(path) {
            let _ = std::io::Read::read_to_end(&mut std::io::Read::take(file, HEAD as u64), &mut head);
        }
        head
    })
}

/// Returns the error for a file in a format that is recognised but not read. `None` if the format is not recognised.
pub(super) fn recognised(path: &Path, head: &[u8]) -> Option<Error> {
    let (format, reader, command) = recognise(path, &stem_of(path), head)?;
    let (place, expected) = (String::new(), READ.into());
    Some(Error::Foreign { path: path.into(), place, expected, format, reader, command })
}

/// Returns whether the files of a zip archive are those of a spreadsheet or of PyTorch.
pub(super) fn is_document(files: &[String]) -> bool {
    let has = |name: &str| files.iter().any(|file| file == name || file.ends_with(&format!("/{name}")));
    has("workbook.xml") || has("data.pkl")
}

/// Returns the error for a zip archive without NumPy arrays. `files` are the names of the files in the archive.
pub(super) fn zip_archive(path: &Path, files: &[String]) -> Error {
    let has = |name: &str| files.iter().any(|file| file == name || file.ends_with(&format!("/{name}")));
    let some = files.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    let (format, (reader, words)): (String, Way) = match files {
        [] => ("an empty zip archive".into(), ("it has no events", &[])),
        _ if has("workbook.xml") => ("a spreadsheet".into(), ("save it as CSV", &[])),
        _ if has("data.pkl") => ("a PyTorch file".into(), (TORCH, &[])),
        _ => (format!("a zip archive without NumPy arrays ({some})"), (UNPACK, &["unzip", "FILE"])),
    };
    let (place, expected, reader) = (String::new(), "a NumPy archive".into(), reader.into());
    Error::Foreign { path: path.into(), place, expected, format, reader, command: command(path, &stem_of(path), words) }
}

/// Returns the error for data that begins with the bytes `head` and is not what was `expected`. `place` says where in
/// the file the data is, and is empty for the file as a whole.
pub(super) fn foreign(path: &Path, place: &str, head: &[u8], expected: &str) -> Error {
    let (format, reader, command) = recognise(path, &stem_of(path), head).unwrap_or_else(|| {
        let head: String = String::from_utf8_lossy(head).chars().take(8).collect();
        (format!("bytes that begin with {head:?}"), NAMED.0.into(), None)
    });
    let (place, expected) = (place.into(), expected.into());
    Error::Foreign { path: path.into(), place, expected, format, reader, command }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        let mut tar = vec![b'a'; 600];
        tar[100..257].fill(0);
        tar[257..262].copy_from_slice(b"ustar");
        let matlab_4 = [&[0; 4][..], b"\x01\0\0\0\xd0\x07\0\0\0\0\0\0\x02\0\0\0t\0", &[0; 40]].concat();
        for (head, name, next) in [
            (&b"#!AER-DAT3.1\r\n"[..], "an AEDAT 3.1 file", "name another layout"),
            (b"#!AER-DAT3.0\r\n", "an AEDAT 3 file", "jAER"),
            (b"#!AER-DAT2.0\r\n", "an AEDAT 2 file", "name another layout"),
            (b"#!AER-DAT1.0\r\n", "an AEDAT 1 file", "jAER"),
            (b"% date 2020-01-01\n% evt 3.0\n\x00\x01\xff", "a Prophesee RAW (EVT 3) file", "name another layout"),
            (b"% date 2020-01-01\n\x00\x01\xff", "a Prophesee RAW file", "name that layout"),
            (b"% Data file containing CD events.\n% Version 2\n", "a Prophesee DAT file", "name another layout"),
            (b"Event Stream\x02", "an Event Stream file", "name another layout"),
            (b"#ROSBAG V2.0\n", "a ROS bag", "name another layout"),
            (b"#ROSBAG V1.2\n", "a ROS bag of an old version", "rosbag fix"),
            (b"MATLAB 5.0 MAT-file, Platform", "a MATLAB file of version 5", "name another layout"),
            (&matlab_4, "a MATLAB file of version 4", "scipy.io.loadmat"),
            (b"CDF\x02\0", "a NetCDF 3 file", "nccopy -k nc4 a.bin a_nc4.nc"),
            (b"PAR1\x15", "a Parquet file", "pandas"),
            (b"\x1f\x8b\x08", "a gzip archive", "gunzip -k a.bin"),
            (&tar, "a tar archive", "tar xf a.bin"),
            (b"\x80\x04\x95\x00", "a Python pickle", "np.savez"),
            (b"(dp0\nVt\n", "a Python pickle", "np.savez"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "a WAV file", "sound, no events"),
            (b"RIFF\x24\0\0\0AVI LIST", "an AVI video", "frames, no events"),
            (b"\0\0\0\x20ftypisom", "an MP4 video", "frames, no events"),
            (b"\n <!DocType html>", "a web page", "download"),
            (b" [{\"t\": 1}]", "a JSON text", "pandas"),
            (b"\xfe\xff\0t", "a text in UTF-16", "iconv -f UTF-16 -t UTF-8 -o a_utf8.txt a.bin"),
            (b"t,x,y,p\n1,2,3,1\n", "a text that begins with \"t,x,y,p\"", "np.savez"),
            (b"Dear all,\n", "a text that begins with \"Dear all,\"", "np.savez"),
            ("h\u{e9}".as_bytes(), "a text", ""),
            (&"\u{e9}\u{e9}".as_bytes()[..3], "a text", ""),
        ] {
            let (format, reader, command) =
                recognise(Path::new("a.bin"), "a", head).unwrap_or_else(|| panic!("{name}"));
            let words = match command.as_deref() {
                Some(Remedy::Copy { words, .. }) => words.join(" "),
                _ => String::new(),
            };
            assert!(
                format.starts_with(name) && format!("{reader}; {words}").contains(next),
                "{format}: {reader}; {words}"
            );
        }
        for head in [&b""[..], b"\x00\x01\x02\x03", b"ab\x1b[2J", b"\xe9\xe9\xe9\xe9abcdef", b"JUNKJUNKWAVE\0"] {
            assert_eq!(recognise(Path::new("a"), "a", head), None, "{head:?}");
        }
    }
}
