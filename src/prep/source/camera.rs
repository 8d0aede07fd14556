//! HDF5 layouts of event cameras: one recording per file, as columns or records of t, x, y and p.
//!
//! | layout | events | times |
//! |---|---|---|
//! | `dsec` (DSEC, TUM-VIE) | `events/t`, `x`, `y`, `p` | microseconds since `t_offset` |
//! | `e2vid` (e2vid, ESIM, MVSEC's and others' copies) | `events/ts`, `xs`, `ys`, `ps` | seconds |
//! | `mvsec` | `davis/left/events`, rows of x, y, t, p | seconds |
//! | `prophesee` | `CD/events`, records of x, y, p, t | microseconds |
//!
//! Integer times are microseconds and float times are seconds, unless an attribute or the options give a unit. `t_offset` is not added:
//! the times are those in the file. The indexes `ms_to_idx` and `indexes` are not used.

use std::path::Path;

use hdf5::types::{FixedAscii, TypeDescriptor, VarLenAscii, VarLenUnicode};

use crate::error::{Error, Result};
use crate::events::SensorSize;
use crate::source::hdf;
use crate::source::hdf::{NumberColumn, Records};
use crate::source::labels::MAX_NAMELESS_CLASSES;
use crate::source::layout::Layout;
use crate::source::options::{Map, SourceOptions};
use crate::source::stream::{ClassLabel, EventStore, EventStream};
use crate::source::timeline::Timeline;
use crate::source::told_unit::told_unit;
use crate::source::unit::TimeUnit;

/// The camera of MVSEC, a DAVIS346.
const DAVIS346: SensorSize = SensorSize { width: 346, height: 260, polarities: 2 };
const RECORDS: &str = "CD/events";
const MVSEC: &str = "davis/left/events";

/// Detects which of these layouts a file has, if any.
pub(super) fn detect(file: &hdf::File) -> Option<Layout> {
    let has = |name: &str| file.dataset(name).is_ok() || file.dangles(name);
    if has(RECORDS) {
        Some(Layout::Prophesee)
    } else if has("events/t") || has("events/x") {
        Some(Layout::Dsec)
    } else if has("events/ts") || has("events/xs") {
        Some(Layout::E2vid)
    } else if has(MVSEC) {
        Some(Layout::Mvsec)
    } else {
        None
    }
}

/// Opens a recording of one of these layouts.
///
/// # Errors
/// [`Error::NotARecording`], [`Error::MissingDataset`], [`Error::WrongType`], also for columns of different lengths.
pub(super) fn open(path: &Path, layout: Layout, options: &SourceOptions) -> Result<EventStream> {
    let file = hdf::open_cached(path)?;
    let name = layout.name();
    let column = |column: &str, axis| NumberColumn::open(path, &file, column, axis, name);
    let mut label = None;
    let columns = match (layout, &options.map) {
        (Layout::Map, Some(map)) => {
            label = map.label.as_ref().map(|label| scalar_label(path, &file, label)).transpose()?;
            mapped(map, column)?
        }
        (Layout::Prophesee, _) => EventStore::Records(Records::open(path, &file, RECORDS, name)?),
        (Layout::Mvsec, _) => EventStore::Separate {
            t: column(MVSEC, Some(2))?,
            x: column(MVSEC, Some(0))?,
            y: Some(column(MVSEC, Some(1))?),
            p: Some(column(MVSEC, Some(3))?),
        },
        (layout, _) => {
            let names = if layout == Layout::E2vid { ["ts", "xs", "ys", "ps"] } else { ["t", "x", "y", "p"] };
            let [t, x, y, p] = names.map(|name| column(&format!("events/{name}"), None));
            EventStore::Separate { t: t?, x: x?, y: Some(y?), p: Some(p?) }
        }
    };
    let (len, float, times) = match &columns {
        EventStore::Separate { t, x, y, p } => {
            for other in [Some(x), y.as_ref(), p.as_ref()].into_iter().flatten() {
                if other.len != t.len {
                    let expected = format!("{} events, as {} has", t.len, t.name);
                    return Err(Error::wrong_type(path, &other.name, expected, other.len));
                }
            }
            (t.len, t.is_float, t.name.as_str())
        }
        EventStore::Records(records) => (records.len, records.float_times, RECORDS),
        _ => (0, false, RECORDS),
    };
    let usual = if float { TimeUnit::Seconds } else { TimeUnit::Microseconds };
    let (unit, note) = told_unit(&file, times, options.time_unit, usual);
    let told = match layout {
        Layout::Mvsec => Some(DAVIS346),
        _ => told_sensor(&file),
    };
    let flat = matches!(&columns, EventStore::Separate { y: None, .. });
    let offset = hdf::optional(path, &file, "t_offset")?.filter(|offset| offset.size() == 1);
    let time_offset = offset.and_then(|offset| offset.read_raw::<i64>().ok()?.first().copied());
    let stream = EventStream {
        path: path.into(),
        layout,
        time: Timeline::new(options, unit, note),
        len,
        sensor: if flat { None } else { told },
        label,
        time_offset: time_offset.filter(|&offset| offset != 0),
        linked: file.linked(),
        columns,
    };
    stream.check_length()
}

fn mapped(map: &Map, column: impl Fn(&str, Option<usize>) -> Result<NumberColumn>) -> Result<EventStore> {
    let optional =
        |name: &Option<(String, Option<usize>)>| name.as_ref().map(|(name, axis)| column(name, *axis)).transpose();
    Ok(EventStore::Separate {
        t: column(&map.t.0, map.t.1)?,
        x: column(&map.x.0, map.x.1)?,
        y: optional(&map.y)?,
        p: optional(&map.p)?,
    })
}

/// Reads a recording's class from a dataset with one number or one name.
fn scalar_label(path: &Path, file: &hdf::File, name: &str) -> Result<ClassLabel> {
    let dataset = hdf::dataset(path, file, name, Layout::Map.name())?;
    let wrong = |got: String| Error::wrong_type(path, name, "one class, a number from 0 or a name", got);
    let descriptor = hdf::descriptor(path, &dataset, name)?;
    if dataset.size() != 1 {
        return Err(wrong(format!("{descriptor} of shape {:?}", dataset.shape())));
    }
    if matches!(descriptor, TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_)) {
        let number = dataset.read_raw::<i64>().map_err(|e| hdf::unreadable(path, &dataset, name, 0..1, &e))?;
        let class = number.first().and_then(|&n| u32::try_from(n).ok()).filter(|&n| n < MAX_NAMELESS_CLASSES);
        return class.map(ClassLabel::Number).ok_or_else(|| wrong(format!("{number:?}")));
    }
    let names = hdf::strings(path, &dataset, name)?;
    names.into_iter().next().map(ClassLabel::Name).ok_or_else(|| wrong("none".into()))
}

/// Reads the sensor size from attributes of the root or of the events' group: `geometry` ("640x480"),
/// `sensor_resolution` (height, width), or `width` and `height`.
fn told_sensor(file: &hdf5::File) -> Option<SensorSize> {
    let groups = ["events", "CD"].into_iter().filter_map(|name| file.group(name).ok());
    let groups: Vec<hdf5::Group> = file.as_group().ok().into_iter().chain(groups).collect();
    let numbers = |name: &str| {
        let attribute = groups.iter().find_map(|group| group.attr(name).ok())?;
        (attribute.size() <= 4).then(|| attribute.read_raw::<i64>().ok()).flatten()
    };
    let one = |name: &str| numbers(name)?.first().copied();
    let (width, height) = if let Some(geometry) = groups.iter().find_map(|group| text(&group.attr("geometry").ok()?)) {
        let (width, height) = geometry.split_once('x')?;
        (width.trim().parse().ok()?, height.trim().parse().ok()?)
    } else if let Some(&[height, width, ..]) = numbers("sensor_resolution").as_deref() {
        (width, height)
    } else {
        (one("width")?, one("height")?)
    };
    let valid = |n: i64| u32::try_from(n).ok().filter(|n| (1..=65_536).contains(n));
    Some(SensorSize { width: valid(width)?, height: valid(height)?, polarities: 2 })
}

/// Reads an attribute as text.
fn text(attribute: &hdf5::Attribute) -> Option<String> {
    let scalar = attribute.size() == 1;
    let dtype = attribute.dtype().ok()?.to_descriptor().ok().filter(|_| scalar)?;
    match dtype {
        TypeDescriptor::VarLenUnicode => Some(attribute.read_scalar::<VarLenUnicode>().ok()?.to_string()),
        TypeDescriptor::VarLenAscii => Some(attribute.read_scalar::<VarLenAscii>().ok()?.to_string()),
        TypeDescriptor::FixedAscii(n) | TypeDescriptor::FixedUnicode(n) if n <= 64 => {
            Some(attribute.read_scalar::<FixedAscii<64>>().ok()?.to_string())
        }
        _ => None,
    }
}
