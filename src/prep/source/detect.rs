//! Detects the layout of a file from its content, and opens a file that holds one recording.

use std::borrow::Cow;
use std::path::Path;

use tonic_shard::Id;

use crate::error::{BaseFault, Error, Result};
use crate::events::{Events, SensorSize};
use crate::source::cameras;
use crate::source::check::check;
use crate::source::columns::TakenColumns;
use crate::source::formats;
use crate::source::hdf;
use crate::source::hdf::LinkedPath;
use crate::source::kept::Kept;
use crate::source::layout::Layout;
use crate::source::layouts::{camera, hsd, mat_file, npy_files, npz_archive, ntidigits, smnist, stmnist, text};
use crate::source::marks;
use crate::source::matlab;
use crate::source::options::SourceOptions;
use crate::source::packed;
use crate::source::stream::{ClassLabel, EventStore, EventStream};
use crate::source::text::Table;
use crate::source::times::Timeline;
use crate::time_unit::TimeUnit;

/// Note for the user if a compressed file was unpacked into a temporary file.
const UNPACKED: &str = "HDF5, NumPy and MATLAB files that are packed are unpacked into temporary files";

/// Returns the layout of a file: the one in `options`, or else the first layout that fits the file's content. An HDF5
/// file has [`Layout::Map`] if the options name its columns, or if no other layout fits.
///
/// # Errors
/// [`Error::NotARecording`] for a file of an unknown format; [`tonic_base::Error::Usage`] if the layout in the options
/// contradicts the other options or the file.
pub(super) fn layout_of(path: &Path, options: &SourceOptions) -> Result<Layout> {
    layout_by(path, options, None)
}

/// Returns the layout of a file like [`layout_of`]. `bytes` has the whole file, if it was read already.
fn layout_by(path: &Path, options: &SourceOptions, bytes: Option<&[u8]>) -> Result<Layout> {
    let layout = found_layout(path, options, bytes)?;
    match &options.topic {
        Some(topic) if layout != Layout::Rosbag => {
            let expected = format!("none for {}, which is no ROS bag ({})", path.display(), layout.name());
            Err(Error::usage("topic", expected, topic))
        }
        _ => Ok(layout),
    }
}

fn found_layout(path: &Path, options: &SourceOptions, bytes: Option<&[u8]>) -> Result<Layout> {
    let asked = options.layout.filter(|&layout| layout != Layout::Map);
    let are_named = options.map.is_some() || options.columns.is_some();
    let has_names = |layout: &Layout| are_named && !layout.has_arrays();
    let named_twice = |layout: Layout| {
        let expected = "map, or none, where the columns are named";
        Err(Error::usage("layout", expected, format!("{}, whose columns have their own names", layout.name())))
    };
    if let Some(asked) = asked.filter(has_names) {
        return named_twice(asked);
    }
    let head = bytes.map_or_else(|| head(path).map(Cow::Owned), |bytes| Ok(Cow::Borrowed(formats::head_in(bytes))))?;
    match (asked, layout_of_arrays(&head).or_else(|| marks::marked(&head)).or_else(|| images(&head))) {
        (Some(asked), Some(found)) if asked != found && (asked.has_arrays() || asked.is_of_camera()) => {
            let expected = format!("{}, as the bytes of {} tell", found.name(), path.display());
            return Err(Error::usage("layout", expected, asked.name()));
        }
        (Some(asked), _) => return Ok(asked),
        (None, Some(found)) if has_names(&found) => return named_twice(found),
        (None, Some(found)) => return Ok(found),
        (None, None) => {}
    }
    if let Some(found) = marks::probable(path, &head).filter(|layout| options.layout.is_none() && !has_names(layout)) {
        return Ok(found);
    }
    if formats::is_text(&head) && Table::of(&String::from_utf8_lossy(&head)).is_some() {
        return Ok(Layout::Csv);
    }
    if head.is_empty() && path.is_file() {
        return Err(Error::not_a_recording(path, formats::READ, "an empty file"));
    }
    let file = hdf::open(path).map_err(|fault| match fault {
        Error::NotARecording { path, expected, got } => {
            let camera = match path.extension().and_then(|ending| ending.to_str()) {
                Some("bin" | "dat" | "raw") => {
                    ", and no mark of a camera's file; `layout` names its layout if it is one"
                }
                _ => "",
            };
            Error::NotARecording { path, expected, got: format!("{got}; it is no NumPy file either{camera}") }
        }
        fault => fault,
    })?;
    Ok(if options.layout.is_some() || options.map.is_some() || options.columns.is_some() {
        Layout::Map
    } else if hsd::detect(&file) {
        Layout::Hsd
    } else if ntidigits::detect(&file) {
        Layout::Ntidigits
    } else {
        camera::detect(&file)
    })
}

/// Returns the first bytes of a file. If the file is compressed, returns the first decompressed bytes.
fn head(path: &Path) -> Result<Vec<u8>> {
    if packed::member(path).is_some() {
        return formats::head(path);
    }
    // Opening a pipe would wait until another process writes to it.
    let kind = std::fs::metadata(path).map_err(Error::io(path, "open the recording"))?.file_type();
    match kind.is_file() {
        true => formats::head(path),
        false if kind.is_dir() => Ok(Vec::new()),
        false => Err(Error::not_a_recording(path, "a regular file", "a pipe, a socket or a device")),
    }
}

/// Returns the layout of a NumPy or MATLAB file, recognised by its first bytes. `None` for any other file.
fn layout_of_arrays(head: &[u8]) -> Option<Layout> {
    match head.first_chunk::<4>() {
        Some(b"\x93NUM") => Some(Layout::Npy),
        Some(b"PK\x03\x04" | b"PK\x05\x06") => Some(Layout::Npz),
        _ => matlab::is_marked(head).then_some(Layout::Mat),
    }
}

/// Returns [`Layout::Smnist`] if `head` is the beginning of a file with MNIST images, else `None`.
fn images(head: &[u8]) -> Option<Layout> {
    smnist::detect(head).then_some(Layout::Smnist)
}

/// Opens and checks a file that holds one recording. A layout with many samples per file is an error.
pub(super) fn open_stream(path: &Path, options: &SourceOptions) -> Result<EventStream> {
    let stream = match layout_of(path, options)? {
        Layout::Npy => npy_files::open_npy(path, options)?,
        Layout::Npz => npz_archive::open_npz(path, options)?,
        Layout::Mat => mat_file::open_mat(path, options)?,
        Layout::Csv => text::open_text(path, options)?,
        Layout::Stmnist => stmnist::open(path, options)?,
        layout if layout.is_of_camera() => cameras::open(path, layout, options)?,
        layout if layout.has_samples() => {
            let expected = format!("one recording a file in a folder; give {} by itself", path.display());
            return Err(Error::usage("layout", expected, layout.title()));
        }
        layout => camera::open(path, layout, options)?,
    };
    checked(stream, options)
}

/// Opens and checks a file like [`open_stream`]. If `options` has a camera's layout, opens the file with this layout
/// and doesn't check again that it fits.
pub(super) fn reopen_stream(path: &Path, options: &SourceOptions) -> Result<EventStream> {
    match options.layout {
        Some(layout) if layout.is_of_camera() => checked(cameras::open(path, layout, options)?, options),
        _ => open_stream(path, options),
    }
}

/// Limits an open recording to the range of events that the options give, and checks it.
fn checked(stream: EventStream, options: &SourceOptions) -> Result<EventStream> {
    let mut stream = stream.restrict(options.events)?;
    let notes = check(&stream, options)?;
    stream.notes.extend(notes);
    if stream.is_unpacked() {
        stream.notes.push(UNPACKED.into());
    }
    Ok(stream)
}

/// Decodes a camera's file, or a text file of events, into columns in memory. The number of events is not limited. The
/// events keep the order of the file. Their coordinates are not checked against the sensor.
///
/// # Errors
/// - [`tonic_base::Error::Usage`] for a file of another layout
/// - [`Error::NotARecording`] for a text file without y or p, or with numbers that [`Events`] cannot hold
/// - [`Error::DamagedBytes`] for a damaged file of a camera
/// - [`Error::BadRow`] for an invalid line of a text file
/// - [`tonic_base::Error::Io`] if the file cannot be read
pub fn decode_camera(path: &Path, options: &SourceOptions) -> Result<Events> {
    let store = match layout_of(path, options)? {
        layout if layout.is_of_camera() => cameras::decode_all(path, layout, options)?,
        Layout::Csv => text::decode_text(path, options)?,
        layout => return Err(Error::usage("layout", "that of a camera's file or a text", layout.title())),
    };
    let events = match store {
        EventStore::Memory(block) => block.into_events(),
        _ => None,
    };
    events.ok_or_else(|| {
        let expected = "times, x and y from 0 to 65535, and polarities from 0 to 255";
        Error::not_a_recording(path, expected, "other numbers, or fewer columns")
    })
}

/// Returns the number of events in a file that holds one recording. Counts only events in the range that the options
/// give.
pub(crate) fn events_of(path: &Path, options: &SourceOptions) -> Result<u64> {
    Ok(open_stream(path, options)?.len)
}

/// What is found out about a file when it is opened for the first time, for the reader that opens it again.
#[derive(Debug)]
pub(super) struct FirstLook {
    /// Number of events in the range that the options give, or of all events if they give no range.
    pub events: u64,
    /// The other files that hold the recording's data.
    pub linked: Vec<LinkedPath>,
    /// The temporary file of a packed recording.
    pub unpacked: Option<Kept>,
    /// The hash of the file's bytes and their number. `None` if the file was not read whole.
    pub content: Option<(Id, u64)>,
}

/// What is known about the recording in a file before its events are read.
#[derive(Debug)]
pub(super) struct Head {
    pub layout: Layout,
    /// Sensor size, if the file or the layout gives it.
    pub sensor: Option<SensorSize>,
    /// Class of the recording, if the file gives it.
    pub label: Option<ClassLabel>,
    /// Number of events outside the range that the options give.
    pub out_of_range: u64,
    /// The fields of the file that are used as the columns of events.
    pub taken: TakenColumns,
    /// Notes for the user about how the recording was opened.
    pub notes: Vec<String>,
    pub found: FirstLook,
}

/// Opens and checks a file like [`open_stream`], without reading all of its events. The events in an npz archive and in
/// a MATLAB file are not checked.
pub(super) fn read_head(path: &Path, options: &SourceOptions) -> Result<Head> {
    let bytes = packed::small(path);
    let unpacked = if bytes.is_some() { None } else { Kept::unpack(path) };
    let content = bytes.as_ref().map(|bytes| (Id(*blake3::hash(bytes).as_bytes()), bytes.len() as u64));
    let layout = layout_by(path, options, bytes.as_deref())?;
    if matches!(layout, Layout::Npz | Layout::Mat) {
        let head = if layout == Layout::Npz { npz_archive::npz_head } else { mat_file::mat_head };
        let (taken, label, len) = head(path, options)?;
        let notes = taken.left_over_note().into_iter().collect();
        let used = options.events.map_or(0..len, |events| events.of(len));
        let events = used.end.saturating_sub(used.start);
        let (out_of_range, linked) = (len - events, Vec::new());
        let found = FirstLook { events, linked, unpacked, content };
        return Ok(Head { layout, sensor: None, label, out_of_range, taken, notes, found });
    }
    if layout.is_of_camera() {
        let (sensor, taken, notes, len) = cameras::head(path, layout, options, bytes)?;
        let mut time = Timeline::new(options, TimeUnit::Microseconds, Vec::new());
        let events = options.events.map_or(Ok(len), |events| time.restrict(events, path, len))?;
        let (out_of_range, linked) = (time.left_out, Vec::new());
        let found = FirstLook { events, linked, unpacked, content };
        return Ok(Head { layout, sensor, label: None, out_of_range, taken, notes, found });
    }
    let stream = match layout {
        Layout::Csv => checked(text::count_text(path, options)?, options)?,
        _ => open_stream(path, options)?,
    };
    let EventStream { sensor, label, len, time, linked, taken, notes, .. } = stream;
    let (out_of_range, found) = (time.left_out, FirstLook { events: len, linked, unpacked, content });
    Ok(Head { layout, sensor, label, out_of_range, taken, notes, found })
}
