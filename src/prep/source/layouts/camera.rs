//! Opens HDF5 files with one recording: the layouts of event cameras, and any other file with columns t, x, y and p.
//!
//! | layout | events | times |
//! |---|---|---|
//! | `dsec` (DSEC, TUM-VIE) | `events/t`, `x`, `y`, `p` | microseconds since `t_offset` |
//! | `e2vid` (e2vid, ESIM, copies of MVSEC and others) | `events/ts`, `xs`, `ys`, `ps` | seconds |
//! | `mvsec` | `davis/left/events`, a two-dimensional array with the columns x, y, t, p | seconds |
//! | `prophesee` | `CD/events`, records of x, y, p, t | microseconds |
//! | `map` | columns that the options name, or else columns with usual names ([`survey`]) | |
//!
//! In every layout, integer times are microseconds and float times are seconds, unless an attribute or the options give
//! another unit. MATLAB stores times as floats by default, so its floats without fractions are microseconds. `t_offset`
//! is not added: the times are those in the file. The index datasets `ms_to_idx` and `indexes` are not used.

use std::path::Path;

use hdf5::types::TypeDescriptor;

use crate::error::{Error, Result};
use crate::events::SensorSize;
use crate::source::columns::{
    ArrayInfo, ArrayKind, FieldPath, Fields, GUESSED_EVENTS, MAX_ARRAYS, Part, Survey, TakenColumns, TakenField, shape,
};
use crate::source::commands::{On, mended};
use crate::source::fields::{check_times, left_over, survey, unusable};
use crate::source::hdf;
use crate::source::hdf::{NumberColumn, Tree};
use crate::source::layout::Layout;
use crate::source::options::SourceOptions;
use crate::source::stream::{ClassLabel, EventStore, EventStream, ONE_CLASS};
use crate::source::times::{Timeline, ToldUnit, one_text, told_unit};
use crate::time_unit::TimeUnit;

/// Sensor of MVSEC's camera, a DAVIS346.
const DAVIS346: SensorSize = SensorSize { width: 346, height: 260, polarities: 2 };
const RECORDS: &str = "CD/events";
const MVSEC: &str = "davis/left/events";
const DSEC: [&str; 4] = ["events/t", "events/x", "events/y", "events/p"];
const E2VID: [&str; 4] = ["events/ts", "events/xs", "events/ys", "events/ps"];

/// Detects the layout of a camera's HDF5 file. If no other layout fits the file, returns [`Layout::Map`].
pub(crate) fn detect(file: &hdf::File) -> Layout {
    let has = |name: &&str| exists(file, name);
    if has(&RECORDS) {
        Layout::Prophesee
    } else if DSEC.iter().all(has) {
        Layout::Dsec
    } else if E2VID.iter().all(has) {
        Layout::E2vid
    } else if has(&MVSEC) {
        Layout::Mvsec
    } else {
        Layout::Map
    }
}

/// Returns whether a file has a dataset or a broken link called `name`.
fn exists(file: &hdf::File, name: &str) -> bool {
    file.dataset(name).is_ok() || file.dangles(name)
}

/// Opens a file with one of the layouts of this module.
///
/// # Errors
/// [`Error::Columns`] and [`Error::UnknownLayout`] if it is not clear which fields are the columns t, x, y and p;
/// [`Error::WrongType`] also for columns of different lengths; other errors for missing or damaged data.
pub(crate) fn open(path: &Path, layout: Layout, options: &SourceOptions) -> Result<EventStream> {
    let file = hdf::open_cached(path)?;
    let tree = Tree::of_file(path, &file);
    let (mut fields, has_more) = fields((path, &file, &tree), layout, options)?;
    // A column of words for polarities is reported later, with a command that saves it as numbers.
    if options.map.is_none() && fields[3].as_ref().is_some_and(|p| is_word_array(&tree, p)) {
        fields[3] = None;
    }
    let column = |field: &FieldPath| NumberColumn::open(path, &file, field, layout.name());
    let [t, x, y, p] = fields.each_ref().map(|field| field.as_ref().map(column).transpose());
    let columns = [t?, x?, y?, p?];
    // Columns other than t must not have a scale factor. For t, the factor may be the length of a tick.
    if let Some((other, scale)) = columns[1..].iter().flatten().find_map(|column| Some((column, column.scale?))) {
        return Err(hdf::scaled(path, &other.name, scale));
    }
    let ([Some(t), ..], [Some(times), ..]) = (&columns, &fields) else {
        return Err(hdf::damaged(path, "t", &"no column".into()));
    };
    if let Some(other) = columns.iter().flatten().find(|other| other.len != t.len) {
        let expected = format!("{} events, as {} has", t.len, t.name);
        return Err(Error::wrong_type(path, &other.name, expected, other.len));
    }
    let usual = if t.is_float() && !has_whole_floats(path, t)? { TimeUnit::Seconds } else { TimeUnit::Microseconds };
    let ToldUnit { unit, mut notes, dataset } =
        told_unit(path, &file, (&times.array, &times.to_string()), options.time_unit, usual)?;
    if has_more {
        notes.push(format!(
            "warning: only the first {MAX_ARRAYS} arrays and groups of the file are looked at; if the events are in \
             others, `map` names their columns"
        ));
    }
    let time = Timeline::new(options, unit, notes);
    if options.map.is_none() {
        check_times(path, &tree, &fields, time.unit)?;
    }
    let taken = |column: &NumberColumn| TakenField { field: column.name.clone(), kind: column.kind_name.clone() };
    let group = times.array.rsplit_once('/').map_or("", |(group, _)| group);
    let offset = hdf::optional(path, &file, "t_offset")?.filter(|offset| offset.size() == 1);
    let time_offset = offset.and_then(|offset| offset.read_raw::<i64>().ok()?.first().copied());
    let label = options.map.as_ref().and_then(|map| map.label.as_ref()).filter(|_| layout == Layout::Map);
    let place = place(path, &file, times);
    let unused = unused(times, &place, &fields, t.len);
    let arrays = fields.iter().flatten().map(|field| &field.array).chain(label);
    let used: Vec<&str> = arrays.chain(&unused).chain(&dataset).map(String::as_str).collect();
    let others = left_over::in_hdf5(&file, tree.arrays(), &used);
    let unusable = unusable(&place, &fields, t.len);
    let on = columns[3].as_ref().and_then(|p| p.on.clone().map(|on| (p.name.clone(), on)));
    let stream = EventStream {
        path: path.into(),
        layout,
        len: t.len,
        sensor: if layout == Layout::Mvsec { Some(DAVIS346) } else { told_sensor(&file, group) },
        label: label.map(|label| scalar_label(path, &file, label)).transpose()?,
        time_offset: time_offset.filter(|&offset| offset != 0),
        taken: TakenColumns {
            fields: columns.each_ref().map(|column| column.as_ref().map(taken)),
            unit: Some(time.unit),
            unused,
            others,
            unusable,
        },
        linked: file.linked(),
        notes: Vec::new(),
        time,
        columns: EventStore::Hdf5(Box::new(columns)),
    };
    if let Some((p, (word, on))) = on.filter(|(_, (_, on))| *on != 1) {
        return Err(Error::Columns {
            path: path.into(),
            place: p.clone(),
            expected: "1 for polarities that are on".into(),
            got: format!("an enum in which {word} is {on}"),
            remedies: mended(path, layout, &stream.taken, &p, On::Number(on.into())).into_iter().collect(),
        });
    }
    stream.check_length()
}

/// Returns whether MATLAB wrote the times and the first times are whole numbers.
fn has_whole_floats(path: &Path, t: &NumberColumn) -> Result<bool> {
    let times = if t.is_of_matlab() { t.read(path, 0..t.len.min(GUESSED_EVENTS))?.floats() } else { return Ok(false) };
    Ok(times.iter().all(|time| !time.is_finite() || time.fract() == 0.0))
}

/// Returns whether `field` is an array of texts.
fn is_word_array(tree: &Tree<'_>, field: &FieldPath) -> bool {
    let is = |array: &ArrayInfo| {
        array.name == field.array && matches!(&array.kind, ArrayKind::Other(kind) if unusable::is_text(kind))
    };
    field.part == Part::Whole && tree.arrays().iter().any(is)
}

/// Finds the fields that are the columns t, x, y and p. Also returns whether the search left out parts of the file,
/// because at most [`MAX_ARRAYS`] arrays and groups are looked at.
fn fields(
    (path, file, tree): (&Path, &hdf::File, &Tree<'_>),
    layout: Layout,
    options: &SourceOptions,
) -> Result<(Fields, bool)> {
    let whole = |name: &str| FieldPath { array: name.into(), part: Part::Whole };
    let searched = |tree: &Tree<'_>| -> Result<(Fields, bool)> {
        Ok((survey::find(path, tree, options.columns.as_ref())?, tree.has_more()))
    };
    match (layout, &options.map) {
        (Layout::Dsec, _) => Ok((DSEC.map(|name| Some(whole(name))), false)),
        (Layout::E2vid, _) => Ok((E2VID.map(|name| Some(whole(name))), false)),
        (Layout::Mvsec, _) => {
            let columns = Some(mvsec_width(file));
            let column = |index| FieldPath { array: MVSEC.into(), part: Part::Column { index, columns } };
            Ok(([2, 0, 1, 3].map(|index| Some(column(index))), false))
        }
        (Layout::Prophesee, _) => {
            hdf::events(path, file, &whole(RECORDS), layout.name())?;
            let records = Tree::of_dataset(path, file, RECORDS);
            let member = |name: &str| FieldPath { array: RECORDS.into(), part: Part::Member(name.into()) };
            let exact = ["t", "x", "y", "p"].map(member);
            let len = records.arrays().first().and_then(|records| shape::column(&records.shape)).unwrap_or(0);
            let members = survey::fields_of_length(records.arrays(), len);
            match exact.iter().all(|field| members.contains(field)) {
                true => Ok((exact.map(Some), false)),
                false => searched(&records),
            }
        }
        (_, Some(map)) => Ok((map.fields(|name| exists(file, name)), false)),
        (_, None) => {
            let found = searched(tree);
            let Err(Error::UnknownLayout { .. }) = &found else { return found };
            // The columns may be in a cell of MATLAB.
            match searched(&Tree::of_cells(path, file)) {
                Err(Error::UnknownLayout { .. }) => found,
                found => found,
            }
        }
    }
}

/// Returns the number of columns of `davis/left/events` in an MVSEC file. Some copies have more than x, y, t and p.
fn mvsec_width(file: &hdf::File) -> u64 {
    let shape = file.dataset(MVSEC).map_or(Vec::new(), |table| table.shape());
    let shape: Vec<u64> = shape.into_iter().map(|size| size as u64).collect();
    shape::likely_table(&shape).map_or(4, |table| table.columns.max(4))
}

/// Returns the fields that could be columns of the events but are not used. `place` has the arrays next to t, and `len`
/// is the number of events.
fn unused(t: &FieldPath, place: &[ArrayInfo], fields: &Fields, len: u64) -> Vec<String> {
    match t.part {
        Part::Column { columns, .. } if t.array == MVSEC => {
            (4..columns.unwrap_or(4)).map(|i| format!("{MVSEC}[{i}]")).collect()
        }
        _ => survey::left_over(place, fields, len),
    }
}

/// Returns the arrays next to t: the array of records that has t, or else all arrays in the group of t. Empty if t is a
/// column of a two-dimensional array.
fn place(path: &Path, file: &hdf::File, t: &FieldPath) -> Vec<ArrayInfo> {
    let tree = match t.part {
        Part::Member(_) => Tree::of_dataset(path, file, &t.array),
        Part::Whole => Tree::of_group(path, file, t.array.rsplit_once('/').map_or("", |(group, _)| group)),
        Part::Column { .. } => return Vec::new(),
    };
    tree.arrays().to_vec()
}

/// Reads a recording's class from a dataset with one number or one name.
fn scalar_label(path: &Path, file: &hdf::File, name: &str) -> Result<ClassLabel> {
    let dataset = hdf::dataset(path, file, name, Layout::Map.name())?;
    let wrong = |got: String| Error::wrong_type(path, name, ONE_CLASS, got);
    let descriptor = hdf::descriptor(path, &dataset, name)?;
    if let Some(text) = hdf::letters(&dataset).filter(|text| !text.is_empty()) {
        return Ok(ClassLabel::Name(text));
    }
    if dataset.size() != 1 {
        return Err(wrong(format!("{descriptor} of shape {:?}", dataset.shape())));
    }
    if matches!(descriptor, TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_)) {
        let number = dataset.read_raw::<i64>().map_err(|e| hdf::unreadable(path, &dataset, name, 0..1, &e))?;
        let class = number.first().and_then(|&number| ClassLabel::of_number(number));
        return class.ok_or_else(|| wrong(format!("{number:?}")));
    }
    if matches!(descriptor, TypeDescriptor::Float(_)) && hdf::class_of(&dataset).is_some() {
        let number = dataset.read_raw::<f64>().map_err(|e| hdf::unreadable(path, &dataset, name, 0..1, &e))?;
        let whole = number.first().filter(|number| number.fract() == 0.0).map(|&number| number as i64);
        return whole.and_then(ClassLabel::of_number).ok_or_else(|| wrong(format!("{number:?}")));
    }
    let names = hdf::strings(path, &dataset, name)?;
    names.into_iter().next().map(ClassLabel::Name).ok_or_else(|| wrong("none".into()))
}

/// Reads the sensor size from attributes: `geometry` ("640x480"), `sensor_resolution` (height, width), or `width` and
/// `height`. `group` is the path of the group with the events.
fn told_sensor(file: &hdf5::File, group: &str) -> Option<SensorSize> {
    let groups = ["events", "CD", group].into_iter().filter_map(|name| file.group(name).ok());
    let groups: Vec<hdf5::Group> = file.as_group().ok().into_iter().chain(groups).collect();
    let numbers = |name: &str| {
        let attribute = groups.iter().find_map(|group| group.attr(name).ok())?;
        (attribute.size() <= 4).then(|| attribute.read_raw::<i64>().ok()).flatten()
    };
    let one = |name: &str| numbers(name)?.first().copied();
    let (width, height) =
        if let Some(geometry) = groups.iter().find_map(|group| one_text(&*group.attr("geometry").ok()?)) {
            let (width, height) = geometry.split_once('x')?;
            (width.trim().parse().ok()?, height.trim().parse().ok()?)
        } else if let Some(&[height, width, ..]) = numbers("sensor_resolution").as_deref() {
            (width, height)
        } else {
            (one("width")?, one("height")?)
        };
    SensorSize::plausible(width.try_into().ok()?, height.try_into().ok()?, 2)
}
