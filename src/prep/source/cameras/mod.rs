//! Opens files in the formats of cameras. Each file is read once, from its beginning to its end, and decoded into
//! columns: in memory or, if there are many events, in a temporary file.
//!
//! ```text
//! evt3, evt2, dat              Prophesee: RAW in EVT 3, in EVT 2 and 2.1, and DAT; evt reads the header of RAW
//! aedat2, aedat3, aedat4       iniVation: jAER, cAER, DV; aedat4_streams and flatbuffer read parts of aedat4
//! event_stream, nmnist         Event Stream (.es); .bin of N-MNIST and N-Caltech101
//! rosbag, ros_messages         bags of ROS 1, and the messages of events in them
//! input                        reads the bytes of a file in order
//! unpacked                     decompresses parts of a file
//! block                        collects decoded events, and appends them to memory or disk
//! ```
//!
//! Times are in microseconds, without the wraps of the format's clock. Data other than events of change, such as
//! triggers and frames, is only counted, and a note for the user says how much there is.

mod aedat2;
mod aedat3;
mod aedat4;
mod aedat4_streams;
mod block;
mod dat;
mod event_stream;
mod evt;
mod evt2;
mod evt3;
mod flatbuffer;
mod input;
mod nmnist;
mod ros_messages;
mod rosbag;
mod unpacked;

use std::io::Cursor;
use std::path::Path;

use crate::error::{BaseFault, Error, Result};
use crate::events::SensorSize;
use crate::source::cameras::block::Decoded;
use crate::source::cameras::input::Input;
use crate::source::columns::{TakenColumns, TakenField};
use crate::source::formats;
use crate::source::layout::Layout;
use crate::source::marks::marked;
use crate::source::options::SourceOptions;
use crate::source::stream::{EventStore, EventStream};
use crate::source::target::Target;
use crate::source::times::Timeline;
use crate::time_unit::TimeUnit;

/// Number of bytes at the beginning of a file that are compared with the marks. A mark is a text at the beginning of a
/// file that shows the layout. All marks are shorter.
const MARK: usize = 16;

/// Opens a camera's file and decodes it.
///
/// # Errors
/// [`tonic_base::Error::Io`]; [`Error::DamagedBytes`], unless the options are lenient; [`tonic_base::Error::Usage`] for
/// a unit other than microseconds; errors of the decoders.
pub(crate) fn open(path: &Path, layout: Layout, options: &SourceOptions) -> Result<EventStream> {
    let File { sensor, taken, notes, columns, len } = decode(Input::open(path)?, layout, options, Target::memory())?;
    let mut time = Timeline::new(options, TimeUnit::Microseconds, Vec::new());
    time.unit_given = true;
    Ok(EventStream {
        path: path.into(),
        layout,
        time,
        len,
        sensor,
        label: None,
        taken,
        time_offset: None,
        linked: Vec::new(),
        notes,
        columns,
    })
}

/// Counts the events of a camera's file. `bytes` has the whole file, if it was read already. Returns the size of the
/// sensor (if the file gives it), the columns, notes for the user, and the number of events.
///
/// # Errors
/// Errors of [`open`].
pub(crate) fn head(
    path: &Path,
    layout: Layout,
    options: &SourceOptions,
    bytes: Option<Vec<u8>>,
) -> Result<(Option<SensorSize>, TakenColumns, Vec<String>, u64)> {
    let input = bytes.map_or_else(|| Input::open(path), |bytes| Ok(Input::of(path, Box::new(Cursor::new(bytes)))))?;
    let File { sensor, taken, notes, len, .. } = decode(input, layout, options, Target::Count)?;
    Ok((sensor, taken, notes, len))
}

/// Decodes a camera's file into columns in memory, however many events it has. The events are in the order of the file.
///
/// # Errors
/// Errors of [`open`].
pub(crate) fn decode_all(path: &Path, layout: Layout, options: &SourceOptions) -> Result<EventStore> {
    Ok(decode(Input::open(path)?, layout, options, Target::Memory(None, u64::MAX))?.columns)
}

/// Returns the columns t, x, y and p, which all cameras' files have. `place` is the topic with the events, if the file
/// is a ROS bag.
fn taken(place: Option<&str>) -> TakenColumns {
    let place = place.map_or(String::new(), |place| format!("{place}."));
    let column = |field: &str, kind: &str| Some(TakenField { field: format!("{place}{field}"), kind: kind.into() });
    let fields = [column("t", "int64"), column("x", "uint16"), column("y", "uint16"), column("p", "uint8")];
    TakenColumns { fields, unit: Some(TimeUnit::Microseconds), ..TakenColumns::default() }
}

/// A decoded file of a camera.
struct File {
    /// Size of the sensor, if the file gives it.
    sensor: Option<SensorSize>,
    taken: TakenColumns,
    notes: Vec<String>,
    /// The events. `len` is their number.
    columns: EventStore,
    len: u64,
}

fn decode(mut input: Input<'_>, layout: Layout, options: &SourceOptions, target: Target) -> Result<File> {
    let (path, mut out) = (input.path(), Decoded::new(target));
    if let Some(unit) = options.time_unit.filter(|&unit| unit != TimeUnit::Microseconds) {
        let expected = format!("us, or none, for {}, which counts microseconds", path.display());
        return Err(Error::usage("time_unit", expected, unit.name()));
    }
    let head = input.peek(MARK)?;
    let has_mark = matches!(layout, Layout::Es | Layout::Aedat2 | Layout::Aedat3 | Layout::Aedat4 | Layout::Rosbag);
    if has_mark && marked(head) != Some(layout) {
        return Err(formats::foreign(path, "", head, layout.title()));
    }
    let result = match layout {
        Layout::Evt3 => evt3::decode(&mut input, &mut out),
        Layout::Evt2 => evt2::decode_2(&mut input, &mut out),
        Layout::Evt21 => evt2::decode_21(&mut input, &mut out),
        Layout::Dat => dat::decode(&mut input, &mut out),
        Layout::Es => event_stream::decode(&mut input, &mut out),
        Layout::Aedat2 => aedat2::decode(&mut input, &mut out, options.sensor),
        Layout::Aedat3 => aedat3::decode(&mut input, &mut out),
        Layout::Aedat4 => aedat4::decode(&mut input, &mut out),
        Layout::Rosbag => rosbag::decode(&mut input, &mut out, options.topic.as_deref()),
        _ => nmnist::decode(&mut input, &mut out),
    };
    // A packed file ends with its checksum. The decoder may have stopped before that, after the last event.
    let result = result.and_then(|()| input.finish());
    let result = match result {
        Ok(()) | Err(Error::DamagedBytes { .. }) => input.fault().map_or(result, Err),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => {}
        Err(Error::DamagedBytes { at, expected, got, .. }) => {
            let events = out.events();
            if !options.lenient {
                return Err(Error::DamagedBytes { path: path.into(), at, expected, got, events });
            }
            out.notes.push(format!(
                "warning: damaged: at byte {at}, expected {expected}, got {got}; only the {events} events before it are \
                 read"
            ));
        }
        Err(error) => return Err(error),
    }
    let (sensor, taken, notes) = (out.sensor, taken(out.place.as_deref()), std::mem::take(&mut out.notes));
    let (columns, len) = out.finish()?;
    Ok(File { sensor, taken, notes, columns, len })
}
