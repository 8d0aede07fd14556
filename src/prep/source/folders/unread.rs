//! Recognises recordings in formats that this crate does not read.

use std::borrow::Cow;
use std::path::Path;

use crate::source::formats::{self, BAG, ENDINGS, PANDAS, PICKLE, TORCH, UNPACK, recognise};
use crate::source::matlab;
use crate::source::text::Table;

const COLUMNS: &str = "if it has events, convert it by itself and name its columns";
const NAMED: &str = "if it has events, convert it by itself and name its layout";
const LOST: &str = "look for a copy whose first bytes are there";
const HDF5: &str = "open it with h5py, and save t, x, y and p with np.savez";

/// The format of a file that is or may be a recording but that this crate does not read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unread {
    pub(crate) format: Cow<'static, str>,
    /// Text for messages: which program reads or converts a file of this format.
    pub(crate) reader: Cow<'static, str>,
    /// Whether a file of this format is certainly a recording. If `false`, the file may contain other data.
    pub(crate) has_events: bool,
}

impl Unread {
    /// A recording whose name lacks the usual ending: HDF5, NumPy's format, a text with events, or a camera's file.
    /// Such a file is left out only if a copy of it is read.
    pub(crate) const RENAMED: Unread = Unread {
        format: Cow::Borrowed(
            "HDF5 or NumPy under another ending, a text, or of a camera, a copy of a recording that is read",
        ),
        reader: Cow::Borrowed("name it otherwise to take it too"),
        has_events: true,
    };

    /// A MATLAB file that is left out because it is not named like the recordings.
    pub(crate) const MATLAB: Unread = Unread {
        format: Cow::Borrowed("a MATLAB file, named otherwise than the recordings"),
        reader: Cow::Borrowed("convert it by itself if it has events"),
        has_events: false,
    };
}

/// The first words of the names of formats whose files contain only events.
const OF_EVENTS: [&str; 5] = ["an AEDAT", "an Event Stream", "a ROS bag", "an MCAP", "a Prophesee"];
/// The first words of the names of formats whose files can contain events or other data.
const OF_ANYTHING: [&str; 8] =
    ["an SQLite", "a MATLAB", "a Parquet", "an Arrow", "a Feather", "a Python pickle", "a NetCDF", "an HDF4"];
/// Endings of recordings in formats that this crate doesn't read. Each entry has the ending, whether a file with this
/// ending is certainly a recording, the name of the format, and which program reads it.
const KNOWN_ENDINGS: [(&str, bool, &str, &str); 20] = [
    ("aedat", true, "a file named as AEDAT, without its first line", LOST),
    ("aedat2", true, "a file named as AEDAT 2, without its first line", LOST),
    ("aedat4", true, "a file named as AEDAT 4, without its first line", LOST),
    ("es", false, "a file named as Event Stream, without its first bytes", LOST),
    ("bag", true, "a file named as a ROS bag, without its first bytes", BAG.0),
    ("mcap", true, "a file named as MCAP, without its first bytes", BAG.0),
    ("raw", false, "a file named as Prophesee RAW, without its header", NAMED),
    ("dat", false, "a file named as Prophesee DAT, without its header", NAMED),
    ("bin", false, "a binary file, of N-MNIST or N-Caltech101 perhaps", NAMED),
    ("mat", false, "a file named as MATLAB's, without its header", HDF5),
    ("nc", false, "a file named as NetCDF, without its first bytes", HDF5),
    ("h5py", false, "a file named as HDF5, without its first bytes", HDF5),
    ("parquet", false, "a file named as Parquet, without its first bytes", PANDAS.0),
    ("jsonl", false, "rows of JSON", PANDAS.0),
    ("ndjson", false, "rows of JSON", PANDAS.0),
    ("pkl", false, "a file named as a Python pickle, without its first bytes", PICKLE.0),
    ("pt", false, "a PyTorch file", TORCH),
    ("pth", false, "a PyTorch file", TORCH),
    ("zip", false, "a zip archive", UNPACK),
    ("tar", false, "a tar archive", UNPACK),
];

/// Returns whether files with this ending, in lower case, may be recordings.
pub(crate) fn may_be_recording(ending: &str) -> bool {
    ENDINGS.contains(&ending) || KNOWN_ENDINGS.iter().any(|known| known.0 == ending)
}

/// Recognises a file that may be a recording but that this crate does not read, by its first bytes and its name.
pub(crate) fn unread(head: &[u8], name: &str) -> Option<Unread> {
    let lower = name.to_lowercase();
    let (stem, ending) = lower.rsplit_once('.').unwrap_or((&lower, ""));
    let has = |names: &[&str], format: &str| names.iter().any(|name| format.starts_with(name));
    if formats::is_text(head) && Table::of(&String::from_utf8_lossy(head)).is_some_and(|table| table.is_open()) {
        let (format, reader) = ("a text with columns of numbers".into(), COLUMNS.into());
        return Some(Unread { format, reader, has_events: false });
    }
    if matlab::is_marked(head) {
        return Some(Unread::MATLAB);
    }
    if let Some((format, reader, _)) = recognise(Path::new(name), stem, head) {
        let is_archive = reader == UNPACK;
        let of_recording = is_archive && stem.rsplit_once('.').is_some_and(|(_, inner)| may_be_recording(inner));
        let has_events = has(&OF_EVENTS, &format) || of_recording;
        if has_events || is_archive || has(&OF_ANYTHING, &format) {
            return Some(Unread { format: format.into(), reader: reader.into(), has_events });
        }
    }
    let (_, has_events, format, reader) = *KNOWN_ENDINGS.iter().find(|known| known.0 == ending)?;
    let (format, reader) =
        if head.is_empty() { ("an empty file", "look for a copy with its bytes") } else { (format, reader) };
    Some(Unread { format: format.into(), reader: reader.into(), has_events })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_that_are_not_read_are_told_by_bytes_or_ending() {
        for (name, head, has_events) in [
            ("a.bin", &b"#!AER-DAT4.0\r\n\x00"[..], Some(true)),
            ("a.AEDAT", b"\x00\x01", Some(true)),
            ("a", b"#ROSBAG V1.2\n", Some(true)),
            ("a.raw", b"% evt 3.0\n\x00\xff", Some(true)),
            ("a.raw", b"\x00\xff", Some(false)),
            ("a.bin", b"\x00\xff", Some(false)),
            ("a.mat", b"MATLAB 5.0 MAT-file, by", Some(false)),
            ("a.pkl", b"\x80\x04\x95", Some(false)),
            ("a.npy.gz", b"\x1f\x8b\x08", Some(true)),
            ("a.pt", b"PK\x03\x04", Some(false)),
            ("a.jsonl", b"{\"t\": 1}\n", Some(false)),
            ("a.tar.gz", b"\x1f\x8b\x08", Some(true)),
            ("docs.gz", b"\x1f\x8b\x08", Some(false)),
            ("a.csv", b"1,2,3,4.5\n5,2,3,4.5\n", Some(false)),
            ("a.csv", b"t,x,y,z\n5,2,3,4.5\n", Some(false)),
            ("labels.csv", b"class,start,end\n1,2000,3000\n", None),
            ("table.tsv", b"file\tlabel\n1.npy\twave\n", None),
            ("README.txt", b"mine", None),
            ("Thumbs.db", b"\xd0\xcf\x11\xe0", None),
            ("1.png", b"\x89PNG\r\n", None),
            ("empty", b"", None),
        ] {
            assert_eq!(unread(head, name).map(|unread| unread.has_events), has_events, "{name}");
        }
    }
}
