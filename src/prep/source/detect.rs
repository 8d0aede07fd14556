//! Detects the layout of a file from its content, and opens a file that holds one recording.

use std::path::Path;

use crate::error::{BaseFault, Error, Result};
use crate::events::SensorSize;
use crate::source::check::check;
use crate::source::columns::TakenColumns;
use crate::source::hdf;
use crate::source::hdf::LinkedPath;
use crate::source::layout::Layout;
use crate::source::layouts::{camera, hsd, npy_files, npz_archive, ntidigits};
use crate::source::options::SourceOptions;
use crate::source::stream::{ClassLabel, EventStream};

/// Returns the layout of a file: the one in `options`, or else the first layout that fits the file's content. An HDF5
/// file has [`Layout::Map`] if the options name its columns, or if no other layout fits.
///
/// # Errors
/// [`Error::NotARecording`] for a file that is neither HDF5 nor NumPy; [`tonic_base::Error::Usage`] if the layout in
/// the options contradicts the other options or the file.
pub(super) fn layout_of(path: &Path, options: &SourceOptions) -> Result<Layout> {
    let asked = options.layout.filter(|&layout| layout != Layout::Map);
    let are_named = options.map.is_some() || options.columns.is_some();
    if let Some(asked) = asked.filter(|layout| are_named && !matches!(layout, Layout::Npy | Layout::Npz)) {
        let expected = "map, or none, where the columns are named";
        return Err(Error::usage("layout", expected, format!("{}, whose columns have their own names", asked.name())));
    }
    match (asked, numpy_layout(path)?) {
        (Some(Layout::Npy | Layout::Npz), Some(found)) if asked != Some(found) => {
            let expected = format!("{}, as the bytes of {} tell", found.name(), path.display());
            return Err(Error::usage("layout", expected, asked.map_or("", Layout::name)));
        }
        (Some(asked), _) => return Ok(asked),
        (None, Some(found)) => return Ok(found),
        (None, None) => {}
    }
    let file = hdf::open(path).map_err(|fault| match fault {
        Error::NotARecording { path, expected, got } => {
            Error::NotARecording { path, expected, got: format!("{got}; it is no NumPy file either") }
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

/// Returns the layout of a NumPy file, recognised by its first bytes. `None` for any other file.
fn numpy_layout(path: &Path) -> Result<Option<Layout>> {
    // Opening a pipe would wait until another process writes to it.
    let kind = std::fs::metadata(path).map_err(Error::io(path, "open the recording"))?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        return Err(Error::not_a_recording(path, "a regular file", "a pipe, a socket or a device"));
    }
    let mut head = [0; 4];
    let file = std::fs::File::open(path).map_err(Error::io(path, "open the recording"))?;
    Ok(match std::io::Read::read_exact(&mut &file, &mut head).is_ok().then_some(&head) {
        Some(b"\x93NUM") => Some(Layout::Npy),
        Some(b"PK\x03\x04" | b"PK\x05\x06") => Some(Layout::Npz),
        _ => None,
    })
}

/// Opens and checks a file that holds one recording. A layout with many samples per file is an error.
pub(super) fn open_stream(path: &Path, options: &SourceOptions) -> Result<EventStream> {
    let stream = match layout_of(path, options)? {
        Layout::Npy => npy_files::open_npy(path, options)?,
        Layout::Npz => npz_archive::open_npz(path, options)?,
        layout if layout.has_samples() => {
            let expected = format!("one recording a file in a folder; give {} by itself", path.display());
            return Err(Error::usage("layout", expected, layout.title()));
        }
        layout => camera::open(path, layout, options)?,
    };
    let mut stream = stream.restrict(options.events)?;
    let notes = check(&stream, options)?;
    stream.notes.extend(notes);
    Ok(stream)
}

/// Returns the number of events in a file that holds one recording. Counts only events in the range that the options
/// give.
pub(crate) fn events_of(path: &Path, options: &SourceOptions) -> Result<u64> {
    Ok(open_stream(path, options)?.len)
}

/// What is known about the recording in a file before its events are read.
#[derive(Debug)]
pub(super) struct Head {
    pub layout: Layout,
    /// Sensor size, if the file or the layout gives it.
    pub sensor: Option<SensorSize>,
    /// Class of the recording, if the file gives it.
    pub label: Option<ClassLabel>,
    /// Number of events in the range that the options give, or else of all events.
    pub events: u64,
    /// Number of events outside the range that the options give.
    pub out_of_range: u64,
    /// Other files that hold some of the recording's data.
    pub linked: Vec<LinkedPath>,
    /// The fields of the file that are used as the columns of events.
    pub taken: TakenColumns,
    /// Notes for the user about how the recording was opened.
    pub notes: Vec<String>,
}

/// Opens and checks a file like [`open_stream`], without reading all of its events. The events in an npz archive are
/// not checked.
pub(super) fn read_head(path: &Path, options: &SourceOptions) -> Result<Head> {
    let layout = layout_of(path, options)?;
    if layout == Layout::Npz {
        let (taken, label, len) = npz_archive::npz_head(path, options)?;
        let notes = taken.left_over_note().into_iter().collect();
        let used = options.events.map_or(0..len, |events| events.of(len));
        let events = used.end.saturating_sub(used.start);
        let (out_of_range, linked) = (len - events, Vec::new());
        return Ok(Head { layout, sensor: None, label, events, out_of_range, linked, taken, notes });
    }
    let EventStream { sensor, label, len, time, linked, taken, notes, .. } = open_stream(path, options)?;
    Ok(Head { layout, sensor, label, events: len, out_of_range: time.left_out, linked, taken, notes })
}
