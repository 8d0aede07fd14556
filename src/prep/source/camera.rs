//! Event cameras' HDF5 layouts: one recording a file, columns or records of t, x, y and p.
//!
//! | layout | events | times |
//! |---|---|---|
//! | `dsec` (DSEC, TUM-VIE) | `events/t`, `x`, `y`, `p` | microseconds since `t_offset` |
//! | `e2vid` (e2vid, ESIM, MVSEC's and others' copies) | `events/ts`, `xs`, `ys`, `ps` | seconds |
//! | `mvsec` | `davis/left/events`, rows of x, y, t, p | seconds |
//! | `prophesee` | `CD/events`, records of x, y, p, t | microseconds |
//!
//! Integers count microseconds and floats seconds, unless `--time-unit` says otherwise. `t_offset` is not added: times
//! stay those of the file. `ms_to_idx` and `indexes` are not needed, and so not trusted.

use std::ops::Range;
use std::path::Path;

use hdf5::types::{FixedAscii, TypeDescriptor, VarLenAscii, VarLenUnicode};
use hdf5::{Dataset, H5Type};

use super::super::events::SensorSize;
use super::hdf::{self, Column};
use super::numbers::{Block, Numbers};
use super::options::Map;
use super::stream::{Columns, Label, Stream};
use super::unit::TimeUnit;
use super::{Layout, SourceOptions};
use crate::error::{Error, Result};

/// MVSEC's camera, a DAVIS346.
const DAVIS346: SensorSize = SensorSize { width: 346, height: 260, polarities: 2 };
const RECORDS: &str = "CD/events";
const MVSEC: &str = "davis/left/events";

/// The layout of an HDF5 file with a camera's events, if it is one of these.
pub fn detect(file: &hdf5::File) -> Option<Layout> {
    let has = |name: &str| file.dataset(name).is_ok();
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
/// [`Error::NotHdf5`], [`Error::MissingDataset`], [`Error::WrongType`], also for columns of different lengths.
pub fn open(path: &Path, layout: Layout, options: &SourceOptions) -> Result<Stream> {
    let file = hdf::open(path)?;
    let name = layout.name();
    let column = |column: &str, axis| Column::open(path, &file, column, axis, name);
    let mut label = None;
    let columns = match (layout, &options.map) {
        (Layout::Map, Some(map)) => {
            label = map.label.as_ref().map(|label| scalar_label(path, &file, label)).transpose()?;
            mapped(map, column)?
        }
        (Layout::Prophesee, _) => Columns::Compound(Compound::open(path, &file)?),
        (Layout::Mvsec, _) => Columns::Separate {
            t: column(MVSEC, Some(2))?,
            x: column(MVSEC, Some(0))?,
            y: Some(column(MVSEC, Some(1))?),
            p: Some(column(MVSEC, Some(3))?),
        },
        (layout, _) => {
            let names = if layout == Layout::E2vid { ["ts", "xs", "ys", "ps"] } else { ["t", "x", "y", "p"] };
            let [t, x, y, p] = names.map(|name| column(&format!("events/{name}"), None));
            Columns::Separate { t: t?, x: x?, y: Some(y?), p: Some(p?) }
        }
    };
    let (len, float) = match &columns {
        Columns::Separate { t, x, y, p } => {
            for other in [Some(x), y.as_ref(), p.as_ref()].into_iter().flatten() {
                if other.len != t.len {
                    return Err(Error::WrongType {
                        path: path.into(),
                        dataset: other.name.clone(),
                        expected: format!("{} events, as {} has", t.len, t.name),
                        got: other.len.to_string(),
                    });
                }
            }
            (t.len, t.is_float())
        }
        Columns::Compound(records) => (records.len, records.float_times),
        _ => (0, false),
    };
    let usual = if float { TimeUnit::Seconds } else { TimeUnit::Microseconds };
    let told = match layout {
        Layout::Mvsec => Some(DAVIS346),
        _ => told_sensor(&file),
    };
    let flat = matches!(&columns, Columns::Separate { y: None, .. });
    let offset = file.dataset("t_offset").ok().filter(|offset| offset.size() == 1);
    let time_offset = offset.and_then(|offset| offset.read_raw::<i64>().ok()?.first().copied());
    let stream = Stream {
        path: path.into(),
        layout,
        unit: options.time_unit.unwrap_or(usual),
        len,
        sensor: if flat { None } else { told },
        label,
        time_offset: time_offset.filter(|&offset| offset != 0),
        columns,
    };
    stream.check_length()
}

fn mapped(map: &Map, column: impl Fn(&str, Option<usize>) -> Result<Column>) -> Result<Columns> {
    let optional =
        |name: &Option<(String, Option<usize>)>| name.as_ref().map(|(name, axis)| column(name, *axis)).transpose();
    Ok(Columns::Separate {
        t: column(&map.t.0, map.t.1)?,
        x: column(&map.x.0, map.x.1)?,
        y: optional(&map.y)?,
        p: optional(&map.p)?,
    })
}

/// A recording's class: one number or one name.
fn scalar_label(path: &Path, file: &hdf5::File, name: &str) -> Result<Label> {
    let dataset = hdf::dataset(path, file, name, Layout::Map.name())?;
    let wrong = |got: String| Error::WrongType {
        path: path.into(),
        dataset: name.into(),
        expected: "one class, a number from 0 or a name".into(),
        got,
    };
    let descriptor = hdf::descriptor(path, &dataset, name)?;
    if dataset.size() != 1 {
        return Err(wrong(format!("{descriptor} of shape {:?}", dataset.shape())));
    }
    if matches!(descriptor, TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_)) {
        let number = dataset.read_raw::<i64>().map_err(|e| hdf::unreadable(path, &dataset, name, 0..1, &e))?;
        let class = number.first().and_then(|&n| u32::try_from(n).ok()).filter(|&n| n < super::MAX_NAMELESS_CLASSES);
        return class.map(Label::Number).ok_or_else(|| wrong(format!("{number:?}")));
    }
    let names = super::hsd::strings(path, &dataset, name)?;
    names.into_iter().next().map(Label::Name).ok_or_else(|| wrong("none".into()))
}

/// The sensor that a file's attributes tell: `geometry` ("640x480"), `sensor_resolution` (height, width), or `width`
/// and `height`, at the top or at the group of the events.
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

/// An attribute's text.
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

/// A dataset of records with the fields x, y, p and t.
#[derive(Debug)]
pub struct Compound {
    dataset: Dataset,
    /// Whether its times are floats.
    float_times: bool,
    len: u64,
}

/// A record whose times are integers. libhdf5 finds the fields by their names and converts them.
#[derive(Clone, Copy, H5Type)]
#[repr(C)]
struct Record {
    x: i32,
    y: i32,
    p: i32,
    t: i64,
}

/// A record whose times are floats.
#[derive(Clone, Copy, H5Type)]
#[repr(C)]
struct FloatRecord {
    x: i32,
    y: i32,
    p: i32,
    t: f64,
}

impl Compound {
    fn open(path: &Path, file: &hdf5::File) -> Result<Compound> {
        let dataset = hdf::dataset(path, file, RECORDS, Layout::Prophesee.name())?;
        let descriptor = hdf::descriptor(path, &dataset, RECORDS)?;
        let field = |name: &str| match &descriptor {
            TypeDescriptor::Compound(record) => record.fields.iter().find(|f| f.name == name).map(|f| &f.ty),
            _ => None,
        };
        let number = |name: &str| {
            use TypeDescriptor::{Boolean, Float, Integer, Unsigned};
            matches!(field(name), Some(Integer(_) | Unsigned(_) | Float(_) | Boolean))
        };
        let shape = dataset.shape();
        match shape.as_slice() {
            &[len] if ["x", "y", "p", "t"].into_iter().all(number) => {
                let float_times = matches!(field("t"), Some(TypeDescriptor::Float(_)));
                Ok(Compound { dataset, float_times, len: len as u64 })
            }
            _ => Err(Error::WrongType {
                path: path.into(),
                dataset: RECORDS.into(),
                expected: "one dimension of records with the numbers x, y, p and t".into(),
                got: format!("{descriptor} of shape {shape:?}"),
            }),
        }
    }

    /// Reads a range.
    ///
    /// # Errors
    /// [`Error::DamagedRecording`], [`Error::Unavailable`].
    pub fn read(&self, path: &Path, range: Range<u64>, unit: TimeUnit) -> Result<Block> {
        let rows = range.start as usize..range.end as usize;
        let unreadable = |e| hdf::unreadable(path, &self.dataset, RECORDS, range.clone(), &e);
        let (t, xyp) = if self.float_times {
            let records = self.dataset.read_slice_1d::<FloatRecord, _>(rows).map_err(unreadable)?;
            let xyp: Vec<[i32; 3]> = records.iter().map(|r| [r.x, r.y, r.p]).collect();
            (Numbers::F64(records.iter().map(|r| r.t).collect()), xyp)
        } else {
            let records = self.dataset.read_slice_1d::<Record, _>(rows).map_err(unreadable)?;
            let xyp = records.iter().map(|r| [r.x, r.y, r.p]).collect();
            (Numbers::I64(records.iter().map(|r| r.t).collect()), xyp)
        };
        let column = |i: usize| {
            let narrow: Option<Vec<u16>> = xyp.iter().map(|event| event[i].try_into().ok()).collect();
            narrow.map_or_else(|| Numbers::I64(xyp.iter().map(|event| event[i].into()).collect()), Numbers::U16)
        };
        Ok(Block {
            t: t.times(unit),
            x: column(0).pixels(),
            y: Some(column(1).pixels()),
            p: Some(column(2).polarities()),
        })
    }
}
